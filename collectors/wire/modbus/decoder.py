"""The entrance for byte streams that never were packets: what the inline gate relays.

Segments go in, in the order in which they were heard; the same rows come out that a sensor on the wire would give, without frames and
hardware addresses.  Any cutting of a stream into segments gives the same rows.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from collectors.compiled import kernel
from collectors.wire.modbus.layout import OUT, POOL_PER_FEED, SEGMENT_OCTETS, State, zeros
from collectors.wire.modbus.stream import feed, lose, open_stream
from sentinel.model.ids import AssetId
from sentinel.model.observation import Messages
from sentinel.model.time import Instant


class Segment(NamedTuple):
    time: Instant
    flow: int  # the caller's own connection number, any non-negative integer; becomes Messages.flow
    client: AssetId
    server: AssetId
    port: int  # the server's
    from_client: bool
    octets: bytes


@kernel
def feed_segment(
    streams: Any,
    carry: Any,
    pending: Any,
    scratch: Any,
    rows: Any,
    pool: Any,
    tally: Any,
    source: Any,
    x: int,
    octets: Any,
    start: int,
    end: int,
) -> int:
    seen: int = feed(streams, carry, pending, scratch, rows, pool, tally, source, x, octets, start, end, 0, 0, False)
    return seen


def written(rows: Any) -> dict[str, Any]:
    """The columns of a table of `layout.OUT`."""
    return {name: rows[name][0] for name in Messages.dtypes()}


def columns(rows: dict[str, Any], pool: Any, tally: Any, names: tuple[str, ...]) -> Messages:
    """Copy the rows out that kernels have written, and start the buffers anew."""
    count, octets = int(tally[0]["rows"]), int(tally[0]["pool"])
    tally[0]["rows"] = tally[0]["pool"] = 0
    if not count:
        return Messages.empty()
    arrays: dict[str, Any] = {name: column[:count].copy() for name, column in rows.items()}
    return Messages(names=names, pool=pool[:octets].copy(), **arrays)


class StreamDecoder:
    """Everything that is fed is taken for Modbus/TCP, whatever its port.

    Raises ValueError when more than ``connections`` are open at once: the caller limits its connections and closes them here.
    """

    def __init__(self, connections: int = 256) -> None:
        self._tables = State(connections)
        self._free = list(range(connections))[::-1]
        self._slots: dict[int, int] = {}  # the caller's connection number -> index in the tables
        self._last: dict[int, Segment] = {}  # whose names a row at the end carries
        self._rows = zeros(1, OUT)  # room for more than ROWS_PER_FEED
        self._written = written(self._rows)
        self._pool = np.zeros(POOL_PER_FEED, np.uint8)

    @property
    def forgotten(self) -> int:
        """Requests that waited for their response when newer ones took their place."""
        return int(self._tables.tally[0]["forgotten"])

    def decode(self, segments: Iterable[Segment]) -> Messages:
        """The messages that these octets completed, in order.  Never raises on any octets."""
        return Messages.concat([part for segment in segments for part in self._feed(segment)])

    def close(self, flow: int, time: Instant) -> Messages:
        """The connection has ended: what was begun is reported as cut, its memory is given back."""
        slot, last = self._slots.pop(flow, None), self._last.pop(flow, None)
        if slot is None or last is None:
            return Messages.empty()
        names = self._say_source(last._replace(time=time))
        t = self._tables
        for x in (2 * slot, 2 * slot + 1):
            lose(t.streams, t.carry, t.pending, self._rows, self._pool, t.tally, t.source, x, -1)
        self._free.append(slot)
        return columns(self._written, self._pool, t.tally, names)

    def _feed(self, segment: Segment) -> Iterable[Messages]:
        t = self._tables
        slot = self._slots.get(segment.flow)
        if slot is None:
            if not self._free:
                raise ValueError(f"more than {t.pending.shape[1]} connections are open at once")
            slot = self._slots[segment.flow] = self._free.pop()
            for x in (2 * slot, 2 * slot + 1):
                open_stream(t.streams, x, True, False)
        self._last[segment.flow] = segment._replace(octets=b"")
        names = self._say_source(segment)
        x = 2 * slot + (0 if segment.from_client else 1)
        octets = np.frombuffer(bytearray(segment.octets), np.uint8)
        for start in range(0, len(octets), SEGMENT_OCTETS):
            end = min(start + SEGMENT_OCTETS, len(octets))
            feed_segment(t.streams, t.carry, t.pending, t.scratch, self._rows, self._pool, t.tally, t.source, x, octets, start, end)
            yield columns(self._written, self._pool, t.tally, names)

    def _say_source(self, segment: Segment) -> tuple[str, ...]:
        source = self._tables.source[0]
        source["time"], source["frame"], source["flow"] = segment.time, 0, segment.flow
        source["client"], source["server"], source["port"] = 0, 1, segment.port
        source["source_mac"] = source["target_mac"] = -1
        return (segment.client, segment.server)
