"""Rows of (time, tag, value, quality) as `Polled`, and what OPC UA says about a value in our words.  Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sentinel.model.exchange import Polled
from sentinel.model.observation import Counters, Readings
from sentinel.model.protocol import Quality
from sentinel.model.time import NS_PER_S, Instant

Row = tuple[int, str, float, Quality]


def polled(source: str, until: Instant, rows: Sequence[Row], counters: Counters, seen: Sequence[int] | None = None) -> Polled:
    """``seen``: the times of receipt, where they differ from the rows' own."""
    if not rows:
        return Polled(source=source, until=until, counters=counters)
    names = tuple(dict.fromkeys(tag for _, tag, _, _ in rows))
    code = {name: at for at, name in enumerate(names)}
    times = [time for time, _, _, _ in rows]
    readings = Readings.of(
        names,
        time=times,
        seen=times if seen is None else seen,
        tag=[code[tag] for _, tag, _, _ in rows],
        value=[value for _, _, value, _ in rows],
        quality=[quality for _, _, _, quality in rows],
    )
    return Polled(source=source, until=until, readings=readings, counters=counters)


def quality_of(status: int) -> Quality:
    """By the two top bits of an OPC UA StatusCode (Part 4, 7.39.1)."""
    severity = status >> 30
    return Quality.GOOD if severity == 0 else Quality.UNCERTAIN if severity == 1 else Quality.BAD


def instant_of(stamp: datetime | None) -> Instant | None:
    """UTC without a zone is how the library gives times."""
    if stamp is None:
        return None
    whole = stamp.replace(tzinfo=UTC, microsecond=0)
    return Instant(round(whole.timestamp()) * NS_PER_S + stamp.microsecond * 1000)
