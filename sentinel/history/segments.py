"""Sealed segments: Parquet, sorted by tag and time, so that a tag's values lie together and the rest is skipped.

In: `Readings`.  Out: a file whose name says which time it covers.  Columns: ``time`` (of receipt, ns UTC: nobody on the wire chooses it),
``tag``, ``value`` in the tag's unit, ``quality``.  Retention lets the oldest go, whole files at a time.
"""

import io
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from sentinel.durable import write_whole
from sentinel.model.observation import Readings
from sentinel.model.time import Instant

TORN = ".torn"
_NAME = re.compile(r"(\d{19,20})-(\d{19,20})-(\d{10})\.parquet")
_JOURNAL = re.compile(r"(\d{10})\.journal")
_ROWS_PER_GROUP = 1 << 16
_SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("ns", tz="UTC")),
        ("tag", pa.dictionary(pa.int32(), pa.string())),
        ("value", pa.float64()),
        ("quality", pa.uint8()),
    ]
)


class TornFileError(ValueError):
    """A segment that does not read as one."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Segment:
    number: int
    first: int
    last: int
    path: Path


def list_segments(directory: Path) -> list[Segment]:
    """In the order in which they were written."""
    found = [(match, path) for path in directory.iterdir() if (match := _NAME.fullmatch(path.name))]
    return sorted(Segment(number=int(m[3]), first=int(m[1]), last=int(m[2]), path=path) for m, path in found)


def list_journals(directory: Path) -> list[tuple[int, Path]]:
    return sorted((int(match[1]), path) for path in directory.iterdir() if (match := _JOURNAL.fullmatch(path.name)))


def journal_path(directory: Path, number: int) -> Path:
    return directory / f"{number:010d}.journal"


def seal(directory: Path, number: int, blocks: Iterable[Readings]) -> Segment | None:
    """The segment is whole on disk when it returns; None where there is nothing to keep.  Raises OSError."""
    import pyarrow.parquet as pq  # half a second that the road to here need not wait for

    readings = Readings.concat([block.take((block.tag >= 0) & (block.seen >= 0)) for block in blocks])
    if not len(readings):
        return None
    rank = np.argsort(np.argsort(np.array(readings.names)))  # of each code, by name
    order = np.lexsort((readings.seen, rank[readings.tag]))
    tags = pa.DictionaryArray.from_arrays(pa.array(readings.tag[order]), pa.array(readings.names))
    columns = [pa.array(readings.seen[order]).cast(_SCHEMA.field("time").type), tags]
    columns += [pa.array(readings.value[order]), pa.array(readings.quality[order])]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, schema=_SCHEMA), out, compression="zstd", row_group_size=_ROWS_PER_GROUP)
    first, last = int(readings.seen.min()), int(readings.seen.max())
    path = directory / f"{first:019d}-{last:019d}-{number:010d}.parquet"
    write_whole(path, out.getvalue())
    return Segment(number=number, first=first, last=last, path=path)


def read_segment(path: Path, tags: Collection[str], since: int, until: int) -> Readings:
    """Of these tags, from since to before until.  Raises TornFileError, or FileNotFoundError when retention was quicker."""
    import pyarrow.parquet as pq

    bounds = [pa.scalar(instant, pa.timestamp("ns", tz="UTC")) for instant in (since, until)]
    wanted = [("tag", "in", sorted(tags)), ("time", ">=", bounds[0]), ("time", "<", bounds[1])]
    try:
        table = pq.read_table(path, filters=wanted)
        names = table["tag"].combine_chunks().cast(_SCHEMA.field("tag").type)
        if isinstance(names, pa.ChunkedArray):
            names = pa.concat_arrays(names.chunks) if names.num_chunks else pa.array([], _SCHEMA.field("tag").type)
        times = table["time"].cast(pa.int64()).to_numpy()
        return Readings(
            names=tuple(str(name) for name in names.dictionary.to_pylist()),
            pool=np.zeros(0, np.uint8),
            time=times,
            seen=times,
            tag=names.indices.to_numpy(zero_copy_only=False).astype(np.int32),
            value=table["value"].to_numpy(),
            quality=table["quality"].to_numpy(),
        )
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise TornFileError(f"{path.name}: {error}") from error


def sweep(directory: Path, max_octets: int, oldest: Instant) -> int:
    """How many files were let go: what ended before ``oldest``, then the oldest until the rest fits.  Torn files count, and go, alike."""
    kept: list[tuple[int, int, Path]] = []
    gone = 0
    for path in directory.iterdir():
        match = _NAME.fullmatch(path.name)
        if match is None and path.suffix != TORN:
            continue
        about = path.stat()
        last = int(match[2]) if match else about.st_mtime_ns
        if last < oldest:
            path.unlink()
            gone += 1
        else:
            kept.append((last, about.st_size, path))
    total = sum(size for _, size, _ in kept)
    for _, size, path in sorted(kept):
        if total <= max_octets:
            break
        path.unlink()
        total -= size
        gone += 1
    return gone
