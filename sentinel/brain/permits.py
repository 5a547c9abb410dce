"""Permits: a write that the court does not decide, to a tag that says `on_deadline: ask`, is refused, and people are asked.

In: commands with undecided verdicts.  Out: proposed actions.  Whoever asks and another person who approves let the same write of the same
client to the same server pass once, within the action's time; an unsafe verdict refuses it all the same.  A permit is held in memory
alone: after a restart nobody knows whether it was used, so that it is lost then, and says so.
"""

import asyncio
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import ClassVar

from sentinel.clock import Clock
from sentinel.model.action import Action, ActionKind, ActionState, Receipt
from sentinel.model.command import Command
from sentinel.model.ids import ActionId, AssetId, short_id
from sentinel.model.tags import OnDeadline, TagMap
from sentinel.model.time import Instant, iso, seconds_between
from sentinel.model.verdict import Judgement, Verdict
from sentinel.ports import Spec, Stability
from sentinel.records import Records
from sentinel.respond.interlock import canonical
from sentinel.respond.lifecycle import MAX_PERMIT_WAIT_S

LASTS_S = 600.0
MAX_ASKED = 32  # proposals that wait for people
MAX_ASKED_OF_SOURCE = 4  # nobody keeps people busy with doubtful writes
ENFORCER = "permit"

Same = tuple[str, str, str, str, int | None, tuple[tuple[str, float | None, float | None], ...]]


def same(command: Command) -> Same:
    """Equal for commands that do the same thing: who, to whom, by which service, which points to which values."""
    writes = tuple((write.point, write.raw, write.value) for write in command.writes)
    return canonical(command.source), canonical(command.target), command.protocol, command.operation, command.unit, writes


@dataclass(frozen=True, slots=True)
class _Granted:
    action: ActionId
    expires: Instant


class Permits:
    """An enforcer, of what no other one enforces."""

    spec: ClassVar[Spec] = Spec(name=ENFORCER, summary="lets one doubtful write of a client pass, once", stability=Stability.STABLE)

    def __init__(self, tags: TagMap, records: Records, clock: Clock) -> None:
        self._tags, self._records, self._clock = tags, records, clock
        self._asked: OrderedDict[Same, tuple[AssetId, Instant]] = OrderedDict()
        self._granted: dict[Same, _Granted] = {}
        self.passed_over = 0  # doubtful writes about which nobody was asked, because too many wait already

    def proposal(self, command: Command, verdict: Verdict) -> Action | None:
        """None where the verdict decides, a tag says something else, or people are asked already."""
        if verdict.judgement is not Judgement.UNDECIDED or not self._asks(command):
            return None
        now, what = self._clock.now(), same(command)
        for key, (_, since) in list(self._asked.items()):
            if seconds_between(since, now) >= MAX_PERMIT_WAIT_S:
                del self._asked[key]
        if what in self._asked:
            return None
        of_source = Counter(source for source, _ in self._asked.values())[command.source]
        if len(self._asked) >= MAX_ASKED or of_source >= MAX_ASKED_OF_SOURCE:
            self.passed_over += 1
            return None
        self._asked[what] = command.source, now
        words = ", ".join(write.words() for write in command.writes[:3])
        return Action(
            id=ActionId(short_id("action", command.id, ActionKind.PERMIT)),
            kind=ActionKind.PERMIT,
            target=command.source,
            protects=(command.target,),
            command=command.id,
            reason=f"{command.source} would write {words} on {command.target}, and the court does not decide it: {verdict.reason}",
            enforcer=ENFORCER,
            dry_run=False,
            lasts_s=LASTS_S,
            proposed=now,
            changed=now,
        )

    def _asks(self, command: Command) -> bool:
        """Every point has a name, and none of them says refuse."""
        tags = [self._tags.by_name.get(write.tag or "") for write in command.writes]
        choices = {tag.on_deadline if tag else OnDeadline.REFUSE for tag in tags}
        return OnDeadline.ASK in choices and OnDeadline.REFUSE not in choices

    def take(self, command: Command, verdict: Verdict) -> ActionId | None:
        """The permit under which a doubtful command passes; used up by that."""
        if verdict.judgement is not Judgement.UNDECIDED:
            return None
        what = same(command)
        granted = self._granted.get(what)
        if granted is None or granted.expires <= self._clock.now():
            return None
        del self._granted[what]
        self._asked.pop(what, None)
        return granted.action

    async def apply(self, action: Action) -> Receipt:
        command = await asyncio.to_thread(self._records.find, Command, action.command) if action.command else None
        if action.kind is not ActionKind.PERMIT or command is None:
            return self._receipt(action, False, "the write that it is for is not known any more")
        what = same(command)
        known = self._granted.get(what)
        if action.state is ActionState.APPLIED and (known is None or known.action != action.id):
            return self._receipt(action, False, "the appliance was started again, and it is not known whether it was used")
        if action.expires is None:
            return self._receipt(action, False, "it has no end")
        self._granted[what] = _Granted(action.id, action.expires)
        words = ", ".join(write.words() for write in command.writes[:3])
        return self._receipt(action, True, f"{command.source} may write {words} on {command.target} once, until {iso(action.expires)}")

    async def release(self, action: Action) -> Receipt:
        for what, granted in list(self._granted.items()):
            if granted.action == action.id:
                del self._granted[what]
        return self._receipt(action, True, "it lets nothing pass any more")

    def _receipt(self, action: Action, applied: bool, message: str) -> Receipt:
        return Receipt(action=action.id, enforcer=self.spec.name, applied=applied, verified=applied, at=self._clock.now(), message=message)
