"""Limits: values and rates of single tags, read or written.

Three limits, never mixed up: the range that an engineer gave a tag (plant file), the envelope that learning saw, and the fastest change
that learning saw.  A learnt envelope counts only if the second half of what was learnt did not widen it: what still grows (counters,
slow drifts, a short learning) has no envelope.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from sentinel.detect.evidence import listed
from sentinel.model.columns import Array, distinct, grouped, remembered
from sentinel.model.command import Command
from sentinel.model.detection import Detection, Severity
from sentinel.model.ids import AssetId
from sentinel.model.observation import Messages, Readings
from sentinel.model.protocol import MessageKind, Quality
from sentinel.model.spectrum import is_feature
from sentinel.model.tags import Tag, TagMap, TagRole
from sentinel.model.time import NS_PER_S, Instant
from sentinel.model.window import Window
from sentinel.ports import Spec

MIN_SAMPLES = 300
MARGIN = 1.0  # of the learnt width, on either side
MIN_MARGIN = 0.05  # of the engineered span, where there is one
RATE_FACTOR = 3.0
MIN_ELAPSED_S = 0.05  # closer readings are one reading twice
SETTLING_S = 600.0  # after a write the process goes elsewhere, as it was told
MAX_TAGS = 20_000
_RANGE_SLACK = 0.01  # of the span: a reading may sit on the edge of its instrument
_OPERATED = frozenset({TagRole.SETPOINT, TagRole.OUTPUT})
_MEASURED = frozenset({TagRole.PROCESS_VALUE})


class Stretch(NamedTuple):
    """What the good readings of one tag amount to in one window.  ``fastest``: change per second from one to the next."""

    readings: int
    low: float
    high: float
    first: float
    last: float
    first_time: int
    last_time: int
    fastest: float


@dataclass(slots=True)
class _Envelope:
    count: int = 0
    low: float = math.inf
    high: float = -math.inf
    widened_at: int = 0  # the sample that last widened it
    fastest: float = 0.0  # per second
    last: float = math.nan
    last_time: int = 0

    def take(self, stretch: "Stretch") -> None:
        if stretch.low < self.low or stretch.high > self.high:
            self.low, self.high = min(stretch.low, self.low), max(stretch.high, self.high)
            self.widened_at = self.count + stretch.readings
        self.count += stretch.readings
        self.fastest = max(self.fastest, self.rate(stretch))
        self.follow(stretch)

    def follow(self, stretch: "Stretch") -> None:
        self.last, self.last_time = stretch.last, stretch.last_time

    def rate(self, stretch: "Stretch") -> float:
        """The fastest change up to and within a stretch, per second."""
        elapsed_s = (stretch.first_time - self.last_time) / NS_PER_S if self.last_time else 0.0
        return max(stretch.fastest, abs(stretch.first - self.last) / elapsed_s if elapsed_s >= MIN_ELAPSED_S else 0.0)

    @property
    def holds(self) -> bool:
        return self.count >= MIN_SAMPLES and 2 * self.widened_at <= self.count


class Limits:
    spec: ClassVar[Spec] = Spec(
        name="limits",
        summary="tag values outside their engineered range or learnt envelope, changes faster than learnt, writes beyond either",
        attack=("T0836", "T0838", "T0831", "T1692.002"),
    )

    def __init__(self, tag_map: TagMap | None = None) -> None:
        self._tag_map = tag_map
        self._last_write = 0
        self._envelopes: dict[str, _Envelope] = {}
        self._written: dict[str, _Envelope] = {}
        self._active = False

    def learn(self, window: Window) -> None:
        for tag, (_, stretch) in stretches(window.readings).items():
            if is_feature(tag):  # what a spectrum may do is a matter of its sensor's whole spectrum
                continue
            envelope = self._envelope(self._envelopes, tag)
            if envelope is not None:
                envelope.take(stretch)
        for command in window.commands:
            for write in command.writes:
                envelope = self._envelope(self._written, write.tag or f"{command.target} {write.point}")
                if envelope is not None:
                    value = write.value if write.value is not None else write.raw
                    if value is None:
                        continue
                    envelope.take(Stretch(1, value, value, value, value, command.seen, command.seen, 0.0))

    def _envelope(self, table: dict[str, _Envelope], tag: str) -> _Envelope | None:
        if tag not in table and len(table) >= MAX_TAGS:
            return None
        return table.setdefault(tag, _Envelope())

    def activate(self) -> None:
        self._active = True

    def score(self, window: Window) -> Sequence[Detection]:
        self._last_write = max([self._last_write, *(command.seen for command in window.commands)])
        return [*self._score_readings(window), *[found for command in window.commands for found in self._score_command(command)]]

    def _known(self, tag: str) -> Tag | None:
        return self._tag_map.by_name.get(tag) if self._tag_map else None

    # -- readings --

    def _score_readings(self, window: Window) -> list[Detection]:
        readings, found = window.readings, []
        for tag, (rows, stretch) in stretches(readings).items():
            if is_feature(tag):
                continue
            known, envelope = self._known(tag), self._envelopes.get(tag) if self._active else None
            detection = self._outside_range(known, readings, rows, stretch) if known else None
            if detection is None and envelope is not None:
                detection = self._outside_envelope(tag, known, envelope, readings, rows, stretch)
            if detection is not None:
                found.append(detection)
            if envelope is not None:
                envelope.follow(stretch)
        return _joined(found, window.messages)

    def _outside_range(self, tag: Tag, readings: Readings, rows: Array, stretch: Stretch) -> Detection | None:
        slack = _RANGE_SLACK * (tag.high - tag.low)
        if (first := _first_outside(readings, rows, stretch, tag.low - slack, tag.high + slack)) is None:
            return None
        value, seen = first
        limit = "engineered range"
        return self._reading(tag.name, value, tag.unit, seen, limit, tag.low, tag.high, Severity.HIGH, 0.8, beyond=abs(value))

    def _outside_envelope(
        self, tag: str, known: Tag | None, envelope: _Envelope, readings: Readings, rows: Array, stretch: Stretch
    ) -> Detection | None:
        if not envelope.holds or (known and known.role not in _MEASURED) or (known is None and envelope.high <= envelope.low):
            return None
        span = known.high - known.low if known else 0.0
        margin = max(MARGIN * (envelope.high - envelope.low), MIN_MARGIN * span)
        low, high = envelope.low - margin, envelope.high + margin
        unit = known.unit if known else "raw"
        settled = stretch.last_time - self._last_write > SETTLING_S * NS_PER_S
        severity, confidence = (Severity.MEDIUM, 0.5) if known and settled else (Severity.LOW, 0.3)
        if (first := _first_outside(readings, rows, stretch, low, high)) is not None:
            value, seen = first
            return self._reading(tag, value, unit, seen, "learnt envelope", low, high, severity, confidence, beyond=abs(value))
        allowed = RATE_FACTOR * max(envelope.fastest, MIN_MARGIN * span / 10.0)
        if known and (rate := envelope.rate(stretch)) > allowed:
            seen = Instant(stretch.last_time)
            return self._reading(tag, rate, f"{unit}/s", seen, "learnt rate", -allowed, allowed, Severity.LOW, 0.3, beyond=rate)
        return None

    def _reading(
        self,
        tag: str,
        value: float,
        unit: str,
        seen: Instant,
        limit: str,
        low: float,
        high: float,
        severity: Severity,
        confidence: float,
        *,
        beyond: float,
    ) -> Detection:
        unit = "" if unit in ("1", "raw") else f" {unit}"
        place = tag.partition(" unit ")[0] if " unit " in tag else "plant"
        what = "changes by" if limit == "learnt rate" else "is"
        return Detection(
            detector=self.spec.name,
            title=f"{tag} {what} {value:.4g}{unit}, outside its {limit} of {low:.4g} to {high:.4g}{unit}",
            seen=seen,
            target=AssetId(place) if place != "plant" else None,
            tags=(tag,),
            cause=f"process:{place}",
            feature=f"{limit} of {tag}",
            observed=f"{value:.4g}{unit}",
            expected=f"{low:.4g} to {high:.4g}{unit} ({limit})",
            score=beyond,
            threshold=high if value > high else low,
            why=f"{tag} {what} {value:.4g}{unit}; its {limit} is {low:.4g} to {high:.4g}{unit}.",
            techniques=("T0831",),
            severity=severity,
            confidence=confidence,
        )

    # -- commands --

    def _score_command(self, command: Command) -> list[Detection]:
        found = []
        for write in command.writes:
            known = self._known(write.tag) if write.tag else None
            if known is None or write.value is None:
                continue
            unit = "" if known.unit == "1" else f" {known.unit}"
            told = f"{known.name} = {write.value:.4g}{unit}"
            usual = self._envelopes.get(known.name)
            if not known.low <= write.value <= known.high:
                found.append(
                    self._write(
                        command, known, told, "engineered range", f"{known.low:.4g} to {known.high:.4g}{unit}", Severity.HIGH, 0.9, "T0836"
                    )
                )
            elif known.role is TagRole.LIMIT and self._active and known.name not in self._written:
                found.append(
                    self._write(command, known, told, "alarm limit", "an alarm limit that nobody moves", Severity.MEDIUM, 0.6, "T0838")
                )
            elif self._active and known.role in _OPERATED and usual is not None and usual.count:
                low, high = min(usual.low, self._written_low(known)), max(usual.high, self._written_high(known))
                margin = max(MARGIN * (high - low), MIN_MARGIN * (known.high - known.low))
                if not low - margin <= write.value <= high + margin:
                    expected = f"{low:.4g} to {high:.4g}{unit}, from what was learnt"
                    found.append(self._write(command, known, told, "usual range", expected, Severity.LOW, 0.4, "T0836"))
        return found

    def _written_low(self, tag: Tag) -> float:
        return self._written[tag.name].low if tag.name in self._written else math.inf

    def _written_high(self, tag: Tag) -> float:
        return self._written[tag.name].high if tag.name in self._written else -math.inf

    def _write(
        self, command: Command, tag: Tag, told: str, limit: str, expected: str, severity: Severity, confidence: float, technique: str
    ) -> Detection:
        beyond = "moves an alarm limit" if limit == "alarm limit" else f"outside its {limit} ({expected})"
        return Detection(
            detector=self.spec.name,
            title=f"{command.source} writes {told} on {command.target}: {beyond}",
            seen=command.seen,
            frame=command.frame_number,
            frames=(command.frame_number,) if command.frame_number else (),
            source=command.source,
            target=command.target,
            tags=(tag.name,),
            cause=f"{'habit' if severity is Severity.LOW else 'actor'}:{command.source}",
            feature=f"write: {limit}",
            observed=told,
            expected=expected,
            score=1.0,
            threshold=0.0,
            why=f"{command.source} writes {told} by {command.operation}: {beyond}.",
            techniques=(technique, "T1692.001") if severity >= Severity.MEDIUM else (technique,),
            severity=severity,
            confidence=confidence,
        )

    # -- at rest --

    def state(self) -> Mapping[str, Any]:
        state: dict[str, Any] = {}
        for name, table in (("read", self._envelopes), ("written", self._written)):
            tags = sorted(table)
            state[f"{name}_tags"] = tags
            rows = [[e.count, e.low, e.high, e.widened_at, e.fastest] for e in (table[tag] for tag in tags)]
            state[name] = np.array(rows, np.float64).reshape(len(tags), 5)
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        for name, table in (("read", self._envelopes), ("written", self._written)):
            for tag, (count, low, high, widened_at, fastest) in zip(state[f"{name}_tags"], state[name].tolist(), strict=True):
                table[tag] = _Envelope(int(count), low, high, int(widened_at), fastest)
        self._active = True


@remembered
def by_tag(readings: Readings) -> dict[str, Array]:
    """Rows of good, finite readings per tag, in order."""
    rows = np.flatnonzero((readings.tag >= 0) & (readings.quality == Quality.GOOD) & np.isfinite(readings.value))
    if not len(rows):
        return {}
    first, which = distinct(readings.tag[rows])  # by first appearance: name codes depend on the batching
    names = [readings.names[code] for code in readings.tag[rows[first]].tolist()]
    return dict(zip(names, (rows[group] for group in grouped(which)), strict=True))


@remembered
def stretches(readings: Readings) -> dict[str, tuple[Array, Stretch]]:
    """Per tag its rows, as `by_tag`, and what they amount to; all tags at once."""
    parts = by_tag(readings)
    if not parts:
        return {}
    joined = np.concatenate(list(parts.values()))
    counts = np.array([len(rows) for rows in parts.values()])
    ends = np.cumsum(counts) - 1
    starts = ends - counts + 1
    values, times = readings.value[joined], readings.seen[joined]
    rates = np.zeros(len(joined))
    elapsed_s = np.diff(times) / NS_PER_S
    usable = elapsed_s >= MIN_ELAPSED_S
    usable[starts[1:] - 1] = False  # from one tag to the next
    rates[1:][usable] = np.abs(np.diff(values))[usable] / elapsed_s[usable]
    columns = (
        counts,
        np.minimum.reduceat(values, starts),
        np.maximum.reduceat(values, starts),
        values[starts],
        values[ends],
        times[starts],
        times[ends],
        np.maximum.reduceat(rates, starts),
    )
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {tag: (part, Stretch(*row)) for (tag, part), row in zip(parts.items(), rows, strict=True)}


def _first_outside(readings: Readings, rows: Array, stretch: Stretch, low: float, high: float) -> tuple[float, Instant] | None:
    if low <= stretch.low and stretch.high <= high:
        return None
    values = readings.value[rows]
    at = int(np.argmax((values < low) | (values > high)))
    return float(values[at]), Instant(int(readings.seen[rows[at]]))


def _joined(found: list[Detection], messages: Messages) -> list[Detection]:
    """One detection per cause, limit and window: a bad second of fifty tags is told once, with all their names."""
    groups: dict[tuple[str, str], list[Detection]] = defaultdict(list)
    for detection in found:
        groups[detection.cause, detection.feature.partition(" of ")[0]].append(detection)
    joined = []
    for (_, limit), members in groups.items():
        worst = max(members, key=lambda detection: detection.severity)
        tags = tuple(dict.fromkeys(tag for detection in members for tag in detection.tags))
        carriers = np.flatnonzero((messages.kind == MessageKind.RESPONSE) & (messages.value_octets > 0))
        near = carriers[messages.time[carriers] == worst.seen]
        frames = tuple(sorted({int(frame) for frame in messages.frame[near] if frame}))
        more = f" and {len(tags) - 1} other tags" if len(tags) > 1 else ""
        joined.append(
            replace(
                worst,
                title=worst.title + (f" ({listed(tags[1:])} too)" if more else ""),
                seen=min(detection.seen for detection in members),
                frame=frames[0] if frames else 0,
                frames=frames,
                tags=tags[:64],
                feature=limit,
                observed=worst.observed + more,
            )
        )
    return joined
