"""Reading a history, also while it is written, also in another process.

In: a directory, tags, a span of time.  Out: `Found`: the readings by tag and time, and what could not be read; `summarise` makes buckets of
them.  Raises InputError where more is asked for than ``limit`` values: memory is bounded before it is filled.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sentinel.errors import InputError
from sentinel.history.journal import Blocks
from sentinel.history.segments import TornFileError, list_journals, list_segments, read_segment
from sentinel.model.observation import Readings
from sentinel.model.time import NS_PER_S, Instant

MAX_VALUES = 20_000_000
_TRIES = 5  # a journal may be sealed between our looking and our reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Sorted by tag, then time of receipt.  ``defects``: files that were passed over, one sentence each."""

    readings: Readings
    defects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a tag did within a span that begins at ``time``; over values that are numbers."""

    tag: str
    time: Instant
    mean: float
    low: float
    high: float
    last: float
    values: int


def read(directory: Path, tags: Collection[str], since: int, until: int, limit: int = MAX_VALUES) -> Found:
    """Of these tags, received from ``since`` to before ``until``.  Raises InputError where there is no history, or too much."""
    for left in reversed(range(_TRIES)):
        try:
            return _read(directory, tags, since, until, limit)
        except FileNotFoundError as error:
            if not directory.is_dir():
                raise InputError(f"{directory}: there is no history") from error
            if not left:
                raise InputError(f"{directory}: its files change faster than they can be read") from error
    raise AssertionError("unreachable")


def _read(directory: Path, tags: Collection[str], since: int, until: int, limit: int) -> Found:
    parts: list[Readings] = []
    defects: list[str] = []
    total = 0

    def keep(readings: Readings) -> None:
        nonlocal total
        total += len(readings)
        if total > limit:
            raise InputError(f"more than {limit} values: ask for fewer tags or a shorter time, or for a summary of it piece by piece")
        parts.append(readings)

    journals = list_journals(directory)  # before the segments: what is sealed in between is then found twice, never not at all
    sealed = set()
    for segment in list_segments(directory):
        sealed.add(segment.number)
        if segment.last < since or segment.first >= until:
            continue
        try:
            keep(read_segment(segment.path, tags, since, until))
        except TornFileError as error:
            defects.append(str(error))
    for number, path in journals:
        if number in sealed:
            continue
        for block in Blocks(path):  # what lies behind the last whole block is being written
            codes = [code for code, name in enumerate(block.names) if name in tags]
            keep(block.take(np.isin(block.tag, codes) & (block.seen >= since) & (block.seen < until)))
    joined = Readings.concat(parts)
    rank = np.argsort(np.argsort(np.array(joined.names))) if joined.names else np.zeros(0, np.int64)
    order = np.lexsort((joined.seen, rank[joined.tag])) if len(joined) else np.zeros(0, np.int64)
    return Found(readings=joined.take(order), defects=tuple(defects))


def summarise(readings: Readings, every_s: float) -> list[Summary]:
    """Buckets of whole multiples of ``every_s`` since 1970, those without values left out.  ``readings`` as `read` gives them."""
    if not every_s > 0.0 or every_s * NS_PER_S > 2**62:
        raise InputError(f"every {every_s:g} s: expected more than 0")
    numbers = readings.take(np.isfinite(readings.value))
    if not len(numbers):
        return []
    width = max(1, round(every_s * NS_PER_S))
    bucket = numbers.seen // width
    starts = np.flatnonzero(np.concatenate([[True], (np.diff(bucket) != 0) | (np.diff(numbers.tag) != 0)]))
    ends = np.concatenate([starts[1:], [len(numbers)]])
    sums, lows = np.add.reduceat(numbers.value, starts), np.minimum.reduceat(numbers.value, starts)
    highs = np.maximum.reduceat(numbers.value, starts)
    return [
        Summary(
            tag=numbers.names[numbers.tag[start]],
            time=Instant(int(bucket[start]) * width),
            mean=float(total / (end - start)),
            low=float(low),
            high=float(high),
            last=float(numbers.value[end - 1]),
            values=int(end - start),
        )
        for start, end, total, low, high in zip(starts, ends, sums, lows, highs, strict=True)
    ]
