"""Fold: what rests on one cause becomes one finding.

The cause of a detection names a kind and a subject.  A small kind (``habit``, ``protocol``, ``rhythm``, ``process``) joins a strong
finding about the same asset that is going on at that moment: a flood and the polls that it starves are one thing.  A cause that was
quiet for long, or that turns from small to grave, opens a new finding: who looked at the small one must not miss the grave one.
What single messages are enough for is told before its window is folded (`foretell`), as a draft; the window opens the case under the
draft's name, with all that rests on it.  Subjects are named by addresses, and addresses can be forged: beyond a number of new findings a
minute, what many subjects do to one asset is one finding about that asset (``crowd``).
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from sentinel.model.command import Command
from sentinel.model.detection import Detection, Severity
from sentinel.model.finding import Finding
from sentinel.model.ids import AssetId, CommandId, FindingId
from sentinel.model.observation import Outage, TurnedAway
from sentinel.model.tags import TagMap
from sentinel.model.time import Instant, iso, seconds_between
from sentinel.model.verdict import Judgement, Verdict
from sentinel.ports import Outcome
from sentinel.triage.case import MAX_COMMANDS, Case, Controls
from sentinel.triage.lifecycle import TAKES_NEWS
from sentinel.triage.severity import lowered, severity_of_verdict

QUIET_S = 900.0  # a cause that was silent for a quarter of an hour comes back as a new finding: another episode
QUIET_SMALL_S = 86_400.0  # small news of one cause is told once a day
TOGETHER_S = 60.0  # a symptom this close to a strong finding about the same asset belongs to it
AFTERMATH_S = 300.0  # a victim may take this long to recover
MAX_CASES = 10_000  # the oldest are let go; they stay in the records
MAX_COMMANDS_REMEMBERED = 10_000
CROWD = 32  # new findings of one kind about one asset within a minute; nobody reads more of them one by one
CROWD_S = 60.0
MAX_DRAFTS = 256  # of one source and second
MAX_CROWDED = 4096  # assets that are counted; the one longest unheard is forgotten
_SMALL = frozenset({"habit", "protocol", "rhythm", "process"})
_SUFFERED = frozenset({"rhythm", "process"})
_BETWEEN = frozenset({"link", "tamper"})


def _kind(cause: str) -> str:
    return cause.partition(":")[0]


def _subject(cause: str) -> str:
    return cause.partition(":")[2]


def _quiet_s(case: Case) -> float:
    return QUIET_S if case.severity >= Severity.MEDIUM else QUIET_SMALL_S


class Triage:
    """Every method returns the findings that are new or have changed, oldest first."""

    def __init__(self, tags: TagMap | None = None, controls: Controls = lambda _: False) -> None:
        self._tags, self._controls = tags, controls
        self._cases: OrderedDict[FindingId, Case] = OrderedDict()
        self._by_cause: dict[str, FindingId] = {}
        self._quiet: dict[tuple[str, str, str], FindingId] = {}  # (cause, detector, feature) that a person does not want to hear of
        self._commands: OrderedDict[CommandId, Command] = OrderedDict()
        self._heard_by: dict[CommandId, str | None] = {}
        self._case_of: dict[CommandId, FindingId] = {}
        self._crowds: OrderedDict[tuple[str, AssetId | None], tuple[Instant, int]] = OrderedDict()
        self._drafts: dict[str, dict[str, Case]] = defaultdict(dict)  # by source and cause; until the source's window is folded
        self.let_go = 0
        self.quieted = 0  # detections that a person did not want to hear of

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(self._told(case) for case in self._cases.values())

    def restore(self, findings: Iterable[Finding]) -> None:
        for finding in sorted(findings, key=lambda finding: (finding.first_seen, finding.first_frame, finding.id)):
            case = Case.resumed(finding)
            self._cases[case.id] = case
            self._by_cause[case.cause] = case.id
            self._case_of |= dict.fromkeys(case.commands, case.id)
            self.labelled(finding)

    def labelled(self, finding: Finding) -> None:
        """What a person decided; the rules of it are in ``lifecycle``.  A finding that is to be quiet for a time takes what it told
        already, and nothing graver, without a word; whatever else its cause does is told."""
        case = self._cases.get(finding.id) or next((draft for draft in self._pending() if draft.id == finding.id), None)
        if case is None:
            return
        case.state, case.quiet_until, case.learnt = finding.state, finding.quiet_until, finding.learnt
        for detector, feature in case.features:
            key = case.cause, detector, feature
            if case.quiet_until is not None:
                self._quiet[key] = case.id
            elif self._quiet.get(key) == case.id:
                del self._quiet[key]

    def is_learnt(self, detection: Detection) -> bool:
        """A person says that this is normal, for a time."""
        case = self._quiet_about(detection)
        return case is not None and case.learnt

    # -- detections --

    def foretell(self, detections: Sequence[Detection], source: str) -> list[Finding]:
        """Of messages whose window comes later, in any pieces: graver news as it stands so far, without the frames that the window will
        count.  Each cause is named by its first message, so that neither its pieces nor their times show in what is folded."""
        told: dict[str, Case] = {}
        for detection in sorted(detections, key=lambda d: (d.seen, d.frame, -d.severity, d.cause, d.feature)):
            if _kind(detection.cause) in _SMALL or detection.severity < Severity.MEDIUM or self._quiet_about(detection) is not None:
                continue
            drafts = self._drafts[source]
            draft = drafts.get(detection.cause) or self._drafted(detection, len(drafts))
            if draft is None:
                continue
            drafts[detection.cause] = draft
            if (detection.detector, detection.feature) not in draft.features or detection.severity > draft.severity:
                if draft.id in self._cases and draft is self._cases[draft.id]:
                    draft = drafts[detection.cause] = draft.copied()
                draft.add(detection, strikes=True)
                told[detection.cause] = draft
        return [self._told(draft) for draft in told.values()]

    def _drafted(self, detection: Detection, drafts: int) -> Case | None:
        """The open case that this will join, or what opens one; None where a crowd does, or the second has too many already."""
        case = self._open_case(detection.cause, detection.seen)
        if drafts >= MAX_DRAFTS:
            return None
        if case is not None and case.severity >= Severity.MEDIUM:
            return case
        if self._is_crowded(detection):
            return None
        return Case.opened(detection.cause, detection.title, detection.severity, detection.seen, detection.frame)

    def _pending(self) -> Iterator[Case]:
        """Drafts whose case is still to be opened."""
        return (draft for drafts in self._drafts.values() for draft in drafts.values() if draft.id not in self._cases)

    def _draft_of(self, cause: str, severity: Severity) -> Case | None:
        return next((draft for draft in self._pending() if draft.cause == cause), None) if severity >= Severity.MEDIUM else None

    def fold(self, detections: Sequence[Detection], source: str | None = None) -> list[Finding]:
        """The detections of one window; ``source`` heard their frames."""
        touched: dict[FindingId, Case] = {}
        frames: dict[FindingId, list[int]] = defaultdict(list)
        for detection in sorted(detections, key=lambda d: (_kind(d.cause) in _SMALL, d.seen, d.frame, -d.severity, d.cause, d.feature)):
            if (quiet := self._quiet_about(detection)) is not None:
                self.quieted += 1
                quiet.add(detection, strikes=False)
                if quiet.detection_count.bit_count() == 1:  # told with every doubling
                    touched[quiet.id] = quiet
                continue
            case = self._case_for(detection)
            case.add(detection, strikes=_kind(detection.cause) == _kind(case.cause))
            frames[case.id] += detection.frames
            touched[case.id] = case
        for key, case in touched.items():
            case.add_frames(frames[key], source)
        if source is not None and source in self._drafts:
            for draft in [draft for draft in self._pending() if self._drafts[source].get(draft.cause) is draft]:
                touched[draft.id] = self._open(draft)  # whoever judged meanwhile by another baseline: what was told stays told
            del self._drafts[source]
        return [self._told(case) for case in touched.values()]

    def _quiet_about(self, detection: Detection) -> Case | None:
        case = self._cases.get(self._quiet.get((detection.cause, detection.detector, detection.feature), FindingId("")))
        if case is None or case.quiet_until is None or detection.seen >= case.quiet_until or detection.severity > case.severity:
            return None
        return case

    def _case_for(self, detection: Detection) -> Case:
        if _kind(detection.cause) in _SMALL:
            strong = self._strong_about(detection)
            if strong:
                return strong
        case = self._open_case(detection.cause, detection.seen)
        if case is None and self._draft_of(detection.cause, detection.severity) is None and self._is_crowded(detection):
            return self._crowd_about(detection)
        if case and not (case.severity <= Severity.LOW and detection.severity >= Severity.MEDIUM):
            return case
        return self._open(Case.opened(detection.cause, detection.title, detection.severity, detection.seen, detection.frame))

    def _open_case(self, cause: str, seen: Instant) -> Case | None:
        case = self._cases.get(self._by_cause.get(cause, FindingId("")))
        if case and case.state in TAKES_NEWS and seconds_between(case.last_seen, seen) <= _quiet_s(case):
            return case
        return None

    def _strong_about(self, detection: Detection) -> Case | None:
        """What an asset does joins what the same asset does; what an asset suffers joins whatever strikes it."""
        kind, subject = _kind(detection.cause), _subject(detection.cause)
        suffered = {name for name in (subject, detection.target, detection.source) if name}
        for case in reversed(self._cases.values()):
            if _kind(case.cause) in _SMALL or case.severity < Severity.MEDIUM or case.state not in TAKES_NEWS:
                continue
            since_s = seconds_between(case.struck, detection.seen)
            if since_s > AFTERMATH_S or (since_s > TOGETHER_S and kind not in _SUFFERED):
                continue
            if case.cause == f"actor:{subject}" or (_kind(case.cause) in _BETWEEN and subject in case.assets):
                return case
            if kind in _SUFFERED and not suffered.isdisjoint(case.assets):
                return case
        return None

    def _is_crowded(self, detection: Detection) -> bool:
        """Counts this new cause with those of its kind about the same asset."""
        key = (_kind(detection.cause), detection.target)
        if key[0] == "crowd":
            return False
        since, count = self._crowds.pop(key, (detection.seen, 0))
        if seconds_between(since, detection.seen) > CROWD_S:
            since, count = detection.seen, 0
        self._crowds[key] = (since, count + 1)
        if len(self._crowds) > MAX_CROWDED:
            self._crowds.popitem(last=False)
        return count >= CROWD

    def _crowd_about(self, detection: Detection) -> Case:
        cause = f"crowd:{detection.target or _kind(detection.cause)}"
        case = self._open_case(cause, detection.seen)
        if case:
            return case
        whom = f" with {detection.target}" if detection.target else ""
        title = f"More than {CROWD} assets begin the same{whom} within a minute: {detection.title}"
        case = self._open(Case.opened(cause, title, detection.severity, detection.seen, detection.frame))
        case.title_rank = (Severity.CRITICAL, 1.0)  # no member of a crowd gives it its name
        return case

    def _open(self, case: Case) -> Case:
        draft = self._draft_of(case.cause, case.severity)
        if draft is not None:
            case.id, case.state = draft.id, draft.state
        self._cases[case.id] = case
        self._by_cause[case.cause] = case.id
        subject = _subject(case.cause)
        for command in self._commands.values():  # commands that came before their finding
            if command.source == subject and abs(seconds_between(command.seen, case.first_seen)) <= TOGETHER_S:
                self._attach(command, case)
        while len(self._cases) > MAX_CASES:
            self._let_go(next(iter(self._cases.values())))
            self.let_go += 1
        return case

    # -- commands, verdicts, outcomes, outages --

    def command(self, command: Command, source: str | None = None) -> list[Finding]:
        """Remember it, and who heard its frame; a strong finding about its source, if there is one, takes it as evidence."""
        self._commands[command.id], self._heard_by[command.id] = command, source
        while len(self._commands) > MAX_COMMANDS_REMEMBERED:
            forgotten, _ = self._commands.popitem(last=False)
            self._case_of.pop(forgotten, None)
            self._heard_by.pop(forgotten, None)
        for cause in (f"actor:{command.source}", f"habit:{command.source}"):
            case = self._open_case(cause, command.seen)
            if case and self._attach(command, case):
                return [self._told(case)]
        return []

    def _attach(self, command: Command, case: Case) -> bool:
        if command.id in self._case_of or len(case.commands) >= MAX_COMMANDS:
            return False
        self._case_of[command.id] = case.id
        case.commands.append(command.id)
        case.involve((command.source, command.target), (write.tag for write in command.writes if write.tag), ())
        return True

    def verdict(self, verdict: Verdict) -> list[Finding]:
        """Unsafe raises the finding of its command, or opens one; safe lowers a finding that rests on nothing but safe commands."""
        command = self._commands.get(verdict.command)
        case = self._cases.get(self._case_of.get(verdict.command, FindingId("")))
        severity = severity_of_verdict(verdict)
        if severity is None:
            if case is None:
                return []
            case.note(verdict)
            if verdict.judgement is Judgement.SAFE:
                case.safe_commands.add(verdict.command)
                if _kind(case.cause) in _SMALL and case.safe_commands.issuperset(case.commands):
                    case.severity = lowered(case.severity)
            return [self._told(case)]
        title = f"The twin says no: {verdict.reason}"
        source, target, seen, frame = AssetId("unknown"), AssetId("unknown"), verdict.judged, 0
        if command:
            source, target, seen, frame = command.source, command.target, command.seen, command.frame_number
            what = ", ".join(write.words() for write in command.writes[:3]) or command.operation
            title = f"{source} commands {what} on {target}: {verdict.reason}"
        if case is None or (case.severity <= Severity.LOW and severity >= Severity.HIGH):
            case = self._open_case(f"actor:{source}", seen) or self._open(Case.opened(f"actor:{source}", title, severity, seen, frame))
        if command and self._case_of.get(command.id) != case.id:
            self._case_of[command.id] = case.id
            if len(case.commands) < MAX_COMMANDS:
                case.commands.append(command.id)
        if frame:
            case.add_frames([frame] if frame not in case.frames else [], self._heard_by.get(verdict.command))
        case.involve((source, target), (w.tag for w in (command.writes if command else ()) if w.tag), verdict.techniques)
        case.raise_to(severity, title, verdict.probability or 0.5)
        case.struck = max(case.struck, seen)
        case.features["court", verdict.invariant or "invariant"] = max(verdict.probability or 0.5, 0.5)
        case.note(verdict)
        return [self._told(case)]

    def outcome(self, outcome: Outcome) -> list[Finding]:
        """What the gate did.  A refusal that no finding explains is one: somebody's write did not reach the plant."""
        command = self._commands.get(outcome.command)
        case = self._cases.get(self._case_of.get(outcome.command, FindingId("")))
        did = "forwarded" if outcome.forwarded else "refused"
        how = "after its ruling" if outcome.ruled else "at its deadline, without a ruling"
        sentence = f"The gate {did} a write {how}: {outcome.reason}"
        if case is None and not outcome.forwarded and command:
            cause = f"gate:{command.source}"
            title = f"The gate refused a write of {command.source} to {command.target}: {outcome.reason}"
            case = self._open_case(cause, outcome.at) or self._open(Case.opened(cause, title, Severity.LOW, outcome.at, 0))
            case.detection_count += 1
            self._attach(command, case)
        if case is None:
            return []
        case.explain(sentence)
        case.last_seen = max(case.last_seen, outcome.at)
        return [self._told(case)]

    def outage(self, outage: Outage) -> list[Finding]:
        cause = f"outage:{outage.process}"
        away = seconds_between(outage.since, outage.until)
        sentence = f"{outage.process} was away for {away:.1f} s from {iso(outage.since)}: {outage.reason}"
        case = self._open_case(cause, outage.since)
        if case is None:
            title = f"Blind spot: {outage.process} was away for {away:.1f} s ({outage.reason})"
            case = self._open(Case.opened(cause, title, Severity.MEDIUM, outage.since, 0))
            case.features["outage", outage.process] = 1.0
        case.detection_count += 1
        case.last_seen = max(case.last_seen, outage.until)
        case.explain(sentence)
        return [self._told(case)]

    def turned_away(self, told: TurnedAway) -> list[Finding]:
        """The business of whoever knocked: a machine whose certificate nobody has put there yet, or one that tries.  Of a server: somebody
        else may answer in its place."""
        cause = f"actor:{told.source}"
        sentence = f"{told.gate} refused {told.source} a channel to {told.target}: {told.reason}"
        if told.is_server:
            sentence = f"{told.gate} opens no channel to {told.source} and reads nothing there: {told.reason}"
        case = self._open_case(cause, told.at) or self._open(Case.opened(cause, sentence, Severity.MEDIUM, told.at, 0))
        case.detection_count += told.times
        case.last_seen = max(case.last_seen, told.at)
        case.features["gate", "turned away"] = 0.5
        case.involve((told.source, told.target), (), ())
        case.raise_to(Severity.MEDIUM, sentence, 0.5)
        shown = f"It showed the certificate of {told.subject}" if told.subject else "What it showed names nobody"
        case.explain(f"{sentence}.  {shown}.")
        return [self._told(case)]

    def loss(self, source: str, packets: int, seen: Instant) -> list[Finding]:
        """A sensor has lost so many packets, or what they said, since it began: told when there are some, and with every doubling."""
        cause = f"loss:{source}"
        case = self._open_case(cause, seen)
        if case is None:
            case = self._open(Case.opened(cause, f"Blind spot: {source} loses packets", Severity.MEDIUM, seen, 0))
            case.features["loss", source] = 1.0
        case.detection_count += 1
        case.last_seen = max(case.last_seen, seen)
        case.explain(
            f"{source} has dropped {packets} packets or rows by {iso(seen)}: more comes than it can take, or its limits are reached."
        )
        return [self._told(case)]

    def repetition(self, source: str, copies: int, packets: int, seen: Instant) -> list[Finding]:
        """Of so many packets that a sensor has heard since it began, so many were copies: told as `loss` is."""
        cause = f"repetition:{source}"
        case = self._open_case(cause, seen)
        if case is None:
            title = f"Mirror port: {source} hears packets twice"
            case = self._open(Case.opened(cause, title, Severity.LOW, seen, 0))
            case.features["repetition", source] = 1.0
        case.detection_count += 1
        case.last_seen = max(case.last_seen, seen)
        case.explain(
            f"{copies} of {packets} packets that {source} has heard by {iso(seen)} are copies of one that it heard just before: its mirror "
            "port copies both ends of a conversation, or several VLANs.  No copy is counted or taken for a message, but they use up what "
            "the port can carry."
        )
        return [self._told(case)]

    def tick(self, now: Instant) -> None:
        """Let go of what no news can reach any more."""
        for case in [case for case in self._cases.values() if seconds_between(case.last_seen, now) > 2 * _quiet_s(case)]:
            if case.quiet_until is None or case.quiet_until <= now:
                self._let_go(case)

    def _let_go(self, case: Case) -> None:
        del self._cases[case.id]
        if self._by_cause.get(case.cause) == case.id:
            del self._by_cause[case.cause]
        for detector, feature in case.features:
            if self._quiet.get((case.cause, detector, feature)) == case.id:
                del self._quiet[case.cause, detector, feature]

    def _told(self, case: Case) -> Finding:
        return case.finding(self._tags, self._controls)
