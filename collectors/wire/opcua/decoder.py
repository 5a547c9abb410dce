"""The entrance for byte streams of one OPC UA connection; any cutting of them into segments gives the same rows."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from collectors.compiled import kernel
from collectors.wire.modbus.decoder import Segment, columns, written
from collectors.wire.modbus.layout import OUT, POOL_PER_FEED, SEGMENT_OCTETS, SOURCE, TALLY, zeros
from collectors.wire.opcua.layout import KEPT_OCTETS, State
from collectors.wire.opcua.stream import feed, lose, open_stream
from sentinel.model.observation import Messages
from sentinel.model.time import Instant


@kernel
def feed_segment(
    streams: Any,
    carry: Any,
    long: Any,
    owners: Any,
    pending: Any,
    rows: Any,
    pool: Any,
    tally: Any,
    source: Any,
    x: int,
    octets: Any,
    start: int,
    end: int,
) -> bool:
    swapped: bool = feed(streams, carry, long, owners, pending, rows, pool, tally, source, x, octets, start, end, 0, 0, False)
    return swapped


class ConnectionDecoder:
    """Everything that is fed is taken for OPC UA, whatever its port.  Raises nothing on any octets."""

    def __init__(self) -> None:
        self._state = State(1)
        self._rows: Any = zeros(1, OUT)  # room for more than ROWS_PER_FEED
        self._written = written(self._rows)
        self._pool: Any = np.zeros(POOL_PER_FEED + KEPT_OCTETS, np.uint8)
        self._tally: Any = np.zeros(1, TALLY)
        self._source: Any = np.zeros(1, SOURCE)
        self._turned = False  # who said hello is not who opened the connection
        self._last: Segment | None = None
        for x in (0, 1):
            open_stream(self._state.streams, self._state.pending, x, False)

    def decode(self, segments: Iterable[Segment]) -> Messages:
        """The chunks that these octets completed, in order."""
        return Messages.concat([part for segment in segments for part in self._feed(segment)])

    def close(self, time: Instant) -> Messages:
        """The connection has ended: what was begun is reported as cut."""
        if self._last is None:
            return Messages.empty()
        names = self._say_source(self._last._replace(time=time))
        t = self._state
        for x in (0, 1):
            lose(*t.tables(), self._rows, self._pool, self._tally, self._source, x, -1)
        return columns(self._written, self._pool, self._tally, names)

    def _feed(self, segment: Segment) -> Iterable[Messages]:
        t = self._state
        self._last = segment._replace(octets=b"")
        octets = np.frombuffer(bytearray(segment.octets), np.uint8)
        for start in range(0, len(octets), SEGMENT_OCTETS):
            names = self._say_source(segment)
            end = min(start + SEGMENT_OCTETS, len(octets))
            x = int(segment.from_client == self._turned)
            self._turned ^= feed_segment(*t.tables(), self._rows, self._pool, self._tally, self._source, x, octets, start, end)
            yield columns(self._written, self._pool, self._tally, names)

    def _say_source(self, segment: Segment) -> tuple[str, ...]:
        source = self._source[0]
        source["time"], source["frame"], source["flow"] = segment.time, 0, segment.flow
        source["client"], source["server"] = (1, 0) if self._turned else (0, 1)
        source["port"], source["client_port"] = segment.port, segment.port
        source["source_mac"] = source["target_mac"] = -1
        return (segment.client, segment.server)
