"""What follows from a verdict for a held write: one rule, and what the plant file and the gate's settings declare for doubt.

In: a command, its verdict, the tags' declared choices.  Out: a `Ruling`.  Pure.
"""

from collections.abc import Iterable

from sentinel.model.command import Command
from sentinel.model.ids import AssetId
from sentinel.model.tags import OnDeadline, TagMap
from sentinel.model.verdict import Judgement, Verdict
from sentinel.ports import Ruling
from sentinel.respond.interlock import canonical
from sentinel.settings import Gate


def ruling_for(command: Command, verdict: Verdict, tags: TagMap, *, learning: bool, unknown: OnDeadline = OnDeadline.REFUSE) -> Ruling:
    """Safe passes, unsafe is refused.  Undecided follows each tag's declared choice, and refuse wins where several tags are written.
    ``unknown``: the gate's choice for points that no tag names, and for requests whose points have no name.
    While the baseline is learning, doubt alone refuses nothing: a twin that is not in step yet must not stop a running plant."""
    if verdict.judgement is Judgement.SAFE:
        return Ruling(command=command.id, forward=True, reason=verdict.reason)
    if verdict.judgement is Judgement.UNSAFE:
        return Ruling(command=command.id, forward=False, reason=verdict.reason)
    if learning:
        return Ruling(command=command.id, forward=True, reason=f"undecided while learning: {verdict.reason}")
    named = [tags.by_name[write.tag] for write in command.writes if write.tag is not None and write.tag in tags.by_name]
    choices = {tag.on_deadline for tag in named}
    if len(named) < len(command.writes) or not named:
        choices.add(unknown)
    asks = OnDeadline.ASK in choices and OnDeadline.REFUSE not in choices
    then = "undecided, people are asked" if asks else "undecided, by declared choice"
    return Ruling(command=command.id, forward=choices == {OnDeadline.FORWARD}, reason=f"{then}: {verdict.reason}")


def unknown_choice(gates: Iterable[Gate], target: AssetId) -> OnDeadline:
    """What the gates before a server declare for addresses that the plant file does not name; refuse where they disagree."""
    choices = {gate.unknown_tag for gate in gates if canonical(AssetId(gate.upstream.rpartition(":")[0].strip("[]"))) == canonical(target)}
    return OnDeadline.FORWARD if choices == {OnDeadline.FORWARD.value} else OnDeadline.REFUSE
