"""Liveness: transmitters that say what they have said before, reading by reading, or that stand still and never did so for so long.

One `Vitality` for each process value that is heard, the same arithmetic by which the twin believes a tag or not; of a second the newest
reading counts.  A repetition is told from the first minute, before any learning.  Standing still is told only of tags whose longest stand
was learnt, and beyond a multiple of it: a plant may rest.  Each is told once, when it begins.  Readings that are bad, not finite, late or
sent twice are no signs of life, and none of death.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from sentinel.detect.evidence import listed
from sentinel.detect.limits import by_tag
from sentinel.model.detection import Detection, Severity
from sentinel.model.tags import TagMap, TagRole
from sentinel.model.time import Instant, seconds_between
from sentinel.model.window import Window
from sentinel.ports import Spec
from sentinel.twin.vitality import Vitality

MAX_STREAMS = 2_000  # a tag as one source reads it; 29 kB each
STANDS_FACTOR = 3.0  # times the longest stand that was learnt
MAX_NAMED = 64


@dataclass(slots=True)
class _Stream:
    life: Vitality
    heard: int = 0  # the newest reading
    value: float = float("nan")
    moved: int = 0
    longest_s: float = 0.0  # between two moves
    told: set[str] = field(default_factory=set)


class Liveness:
    spec: ClassVar[Spec] = Spec(
        name="liveness",
        summary="process values that repeat a recording, or stand still far longer than they ever did",
        attack=("T1692.002",),
    )

    def __init__(self, tag_map: TagMap | None = None) -> None:
        tags = tag_map.tags if tag_map else ()
        self._ranges = {tag.name: (tag.low, tag.high) for tag in tags if tag.role is TagRole.PROCESS_VALUE}
        self._streams: dict[tuple[str, str], _Stream] = {}
        self._longest: dict[str, float] = {}  # per tag, learnt
        self._active = False
        self.unwatched = 0  # readings of streams beyond the limit

    def _follow(self, window: Window) -> list[tuple[str, _Stream]]:
        """The streams that the window carried news of, by tag."""
        found = []
        for tag, rows in by_tag(window.readings).items():
            if tag not in self._ranges:
                continue
            stream = self._streams.get((window.source, tag))
            if stream is None:
                if len(self._streams) >= MAX_STREAMS:
                    self.unwatched += len(rows)
                    continue
                stream = self._streams[window.source, tag] = _Stream(Vitality(*self._ranges[tag]))
            row = rows[int(np.argmax(window.readings.seen[rows]))]
            at, value = int(window.readings.seen[row]), float(window.readings.value[row])
            if at <= stream.heard:
                continue
            stream.life.heard(value, Instant(at))
            if value != stream.value:
                stream.moved, stream.value = at, value
            stream.heard = at
            stream.longest_s = max(stream.longest_s, seconds_between(stream.moved, at))
            found.append((tag, stream))
        return found

    def learn(self, window: Window) -> None:
        self._follow(window)  # brings nothing new where the window was judged before
        for tag in by_tag(window.readings):
            if (stream := self._streams.get((window.source, tag))) is not None:
                self._longest[tag] = max(self._longest.get(tag, 0.0), stream.longest_s)

    def activate(self) -> None:
        self._active = True

    def score(self, window: Window) -> Sequence[Detection]:
        fresh = self._follow(window)
        repeats = [tag for tag, stream in fresh if self._begins("repeats", stream, stream.life.repeats(Instant(stream.heard)))]
        stands = [tag for tag, stream in fresh if self._begins("stands", stream, self._stands_too_long(tag, stream))]
        found = []
        if repeats:
            told = f"{'repeat' if len(repeats) > 1 else 'repeats'}, reading by reading, what was said before"
            why = "a process and its noise never do the same thing twice: a recording is being played, or a gateway sends old values"
            found.append(self._detection(window, repeats, told, why, "repeated readings", Severity.HIGH, 0.7))
        if stands:
            seconds = max(seconds_between(stream.moved, stream.heard) for tag, stream in fresh if tag in stands)
            longest = max(self._longest[tag] for tag in stands)
            told = f"{'have' if len(stands) > 1 else 'has'} stood still for {seconds:.0f} s"
            why = f"while learning it was {longest:.0f} s at most: a dead transmitter, a frozen register, or a value held by force"
            found.append(self._detection(window, stands, told, why, "signs of life", Severity.MEDIUM, 0.4))
        return found

    def _begins(self, what: str, stream: _Stream, is_so: bool) -> bool:
        begins = is_so and what not in stream.told
        (stream.told.add if is_so else stream.told.discard)(what)
        return begins

    def _stands_too_long(self, tag: str, stream: _Stream) -> bool:
        longest = self._longest.get(tag, 0.0) if self._active else 0.0
        if longest <= 0.0 or seconds_between(stream.moved, stream.heard) <= STANDS_FACTOR * longest:
            return False
        return stream.life.complaint(Instant(stream.heard)) is not None

    def _detection(
        self, window: Window, tags: list[str], told: str, why: str, feature: str, severity: Severity, confidence: float
    ) -> Detection:
        return Detection(
            detector=self.spec.name,
            title=f"{listed(tags)} {told}",
            seen=window.start,
            tags=tuple(tags[:MAX_NAMED]),
            cause="process:plant",
            feature=feature,
            observed=f"{len(tags)} of {len(self._streams)} process values",
            expected="readings that move as often as they always have, and never the same way twice",
            score=float(len(tags)),
            threshold=0.0,
            why=f"{listed(tags)} {told}; {why}.",
            techniques=("T1692.002",),
            severity=severity,
            confidence=confidence,
        )

    # -- at rest --

    def state(self) -> Mapping[str, Any]:
        tags = sorted(self._longest)
        return {"tags": tags, "longest_s": np.array([self._longest[tag] for tag in tags], np.float64)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._longest = dict(zip([str(tag) for tag in state["tags"]], state["longest_s"].tolist(), strict=True))
        self._active = True
