"""Files of public data sets become tables: one row per scan, one column per tag, labels where the set gives them.

``.gz`` is unpacked on the way.  What is not as its set defines it (columns missing, a text where a number belongs, rows of unequal
length, another separator) is an `InputError` that names file and line.  A value that is missing or not finite is NaN and counted; a file in
which more than one value in twenty is missing is refused.
"""

import gzip
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sentinel.errors import InputError
from sentinel.model.columns import Array

MAX_OCTETS = 1 << 28  # of one file, unpacked
MAX_MISSING = 0.05  # of all values of a file
BATADAL_ROW_S, TEP_ROW_S, SKAB_ROW_S = 3600.0, 180.0, 1.0
TEP_TAGS = 52
TEP_FAULT_ROW = 160  # of a test file: the fault begins after eight hours
_TEP_NAME = re.compile(r"d(\d\d)(_te)?\.dat(\.gz)?")
_TEP_NAMES = tuple([f"XMEAS({i})" for i in range(1, 42)] + [f"XMV({i})" for i in range(1, 12)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """``values``: rows x tags, NaN = missing.  ``hours``: of the day, per row, where a set has a calendar.  ``digits``: decimals."""

    name: str
    tags: tuple[str, ...]
    values: Array
    labels: Array
    row_s: float
    digits: Array
    hours: Array | None = None
    missing: int = 0  # values


def lines_of(path: Path) -> list[str]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as source:
            octets = source.read(MAX_OCTETS + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    if len(octets) > MAX_OCTETS:
        raise InputError(f"{path}: unpacks to more than {MAX_OCTETS} octets")
    try:
        return octets.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text: {error.reason} at octet {error.start}") from error


def batadal(path: Path) -> Table:
    """C-Town, hourly: ``DATETIME``, 43 tags, ``ATT_FLAG`` (1 = attack; in a partly labelled file all else counts as normal)."""
    header, rows = _separated(path, ",", "DATETIME", last="ATT_FLAG")
    hours = np.array([_hour(path, number, fields[0]) for number, fields in rows])
    return _table(path, header[1:-1], [(n, f[1:-1]) for n, f in rows], _flags(path, rows, -1), BATADAL_ROW_S, hours)


def skab(path: Path) -> Table:
    """Pump loop at 1 Hz: ``datetime``, eight tags, then ``anomaly`` and ``changepoint`` unless the file is free of both."""
    header, rows = _separated(path, ";", "datetime")
    labelled = "anomaly" in header
    count = header.index("anomaly") if labelled else len(header)
    labels = _flags(path, rows, count) if labelled else np.zeros(len(rows), bool)
    return _table(path, header[1:count], [(n, f[1:count]) for n, f in rows], labels, SKAB_ROW_S)


def tep(path: Path) -> Table:
    """Tennessee Eastman: 52 columns every three minutes.  The name tells the fault (d00 = none); a test file (_te) has it from row 161."""
    named = _TEP_NAME.fullmatch(path.name)
    if named is None:
        raise InputError(f"{path}: the name of a Tennessee Eastman file tells its fault, as in d04.dat or d04_te.dat")
    rows = [(number, line.split()) for number, line in enumerate(lines_of(path), start=1) if line.strip()]
    if len(rows) == TEP_TAGS and rows and len(rows[0][1]) != TEP_TAGS:  # d00.dat is stored on its side
        width = len(rows[0][1])
        for number, fields in rows:
            if len(fields) != width:
                raise InputError(f"{path}:{number}: {len(fields)} values, the first line has {width}")
        rows = [(1, [fields[column] for _, fields in rows]) for column in range(width)]
    for number, fields in rows:
        if len(fields) != TEP_TAGS:
            raise InputError(f"{path}:{number}: {len(fields)} values, a row of the Tennessee Eastman process has {TEP_TAGS}")
    labels = np.full(len(rows), named[1] != "00")
    if named[2]:
        labels[:TEP_FAULT_ROW] = False
    return _table(path, _TEP_NAMES, rows, labels, TEP_ROW_S)


READERS: dict[str, Callable[[Path], Table]] = {"batadal": batadal, "tep": tep, "skab": skab}


def held(values: Array) -> Array:
    """Every gap filled with the last good value of its tag, or with the first one where none came before."""
    good = np.isfinite(values)
    rows = np.where(good, np.arange(len(values))[:, None], good.argmax(axis=0))
    found: Array = np.take_along_axis(values, np.maximum.accumulate(rows, axis=0), axis=0)
    return found


def same_tags(tables: Sequence[Table]) -> None:
    """Raises InputError when files that belong together do not carry the same tags."""
    for table in tables[1:]:
        if table.tags != tables[0].tags:
            odd = sorted(set(table.tags) ^ set(tables[0].tags)) or ["another order"]
            raise InputError(f"{table.name}: its tags are not those of {tables[0].name}: {', '.join(odd[:4])}")


def _separated(path: Path, separator: str, first: str, last: str | None = None) -> tuple[list[str], list[tuple[int, list[str]]]]:
    lines = lines_of(path)
    header = [name.strip() for name in lines[0].split(separator)] if lines else []
    if len(header) < 3 or header[0] != first or (last and header[-1] != last):
        want = f"{first}{separator}...{separator + last if last else ''}"
        raise InputError(f"{path}:1: the header is not {want}, separated by {separator!r}")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if line.strip():
            fields = line.split(separator)
            if len(fields) != len(header):
                raise InputError(f"{path}:{number}: {len(fields)} fields, the header has {len(header)}")
            rows.append((number, fields))
    return header, rows


def _hour(path: Path, number: int, text: str) -> int:
    hour = text.strip().rpartition(" ")[2].partition(":")[0]
    if not hour.isdigit() or int(hour) > 23:
        raise InputError(f"{path}:{number}: {text!r} is no date and hour, as in 06/01/14 00")
    return int(hour)


def _flags(path: Path, rows: Sequence[tuple[int, list[str]]], column: int) -> Array:
    return np.array([_number(path, number, "label", fields[column]) == 1.0 for number, fields in rows], bool)


def _number(path: Path, line: int, tag: str, text: str) -> float:
    text = text.strip()
    if not text:
        return float("nan")
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{path}:{line}: {tag} is {text!r}, which is no number") from None


def _decimals(text: str) -> int:
    mantissa, _, exponent = text.strip().lower().partition("e")
    return max(len(mantissa.partition(".")[2]) - (int(exponent) if exponent.lstrip("+-").isdigit() else 0), 0)


def _table(
    path: Path, tags: Sequence[str], rows: Sequence[tuple[int, list[str]]], labels: Array, row_s: float, hours: Array | None = None
) -> Table:
    if not rows:
        raise InputError(f"{path}: holds no rows")
    if len(set(tags)) != len(tags):
        raise InputError(f"{path}:1: a tag stands twice in the header")
    values = np.array([[_number(path, number, tag, text) for tag, text in zip(tags, fields, strict=True)] for number, fields in rows])
    digits = np.array([max(map(_decimals, column)) for column in zip(*(fields for _, fields in rows), strict=True)])
    missing = ~np.isfinite(values)
    if missing.mean() > MAX_MISSING:
        raise InputError(f"{path}: {missing.mean():.0%} of its values are missing or not finite, at most {MAX_MISSING:.0%} are filled")
    for column in np.flatnonzero(missing.all(axis=0)).tolist():
        raise InputError(f"{path}: {tags[column]} has no value at all")
    values[missing] = np.nan
    return Table(
        name=str(path), tags=tuple(tags), values=values, labels=labels, row_s=row_s, digits=digits, hours=hours, missing=int(missing.sum())
    )
