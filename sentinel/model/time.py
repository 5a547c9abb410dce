"""Time as integers: nanoseconds since 1970-01-01 UTC.  Floats lose microseconds at today's dates; integers compare exactly."""

from datetime import UTC, datetime
from typing import NewType

Instant = NewType("Instant", int)

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


def after(instant: Instant, seconds: float) -> Instant:
    return Instant(instant + round(seconds * NS_PER_S))


def seconds_between(earlier: int, later: int) -> float:
    return (later - earlier) / NS_PER_S


def iso(instant: int) -> str:
    """RFC 3339 in UTC with microseconds: what people and other tools read."""
    whole, rest = divmod(instant, NS_PER_S)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"
