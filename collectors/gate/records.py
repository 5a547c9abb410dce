"""How the relay tells its observer what passed: fixed headers around octets, in the order in which they were heard.  Sans-io.

The first line of the stream is an `ObserverConfig` as JSON; then records: kind, connection number, time (ns UTC), octets that follow.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from sentinel.model.ids import AssetId
from sentinel.model.protocol import Protocol
from sentinel.model.time import Instant

RECORD = struct.Struct(">BIqI")
LIMIT_OCTETS = 1 << 16  # of one record; the relay receives less at once


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserverConfig:
    name: str  # the observer's process
    source: str  # of its observations: the gate
    intake: str
    server: AssetId
    port: int
    protocol: Protocol = Protocol.MODBUS
    connections: int
    farewell_s: float


class Record(IntEnum):
    FROM_CLIENT = 0
    FROM_SERVER = 1
    OPENED = 2  # octets: the client's address
    KNOWN = 3  # the same, of a connection that stands since before this observer
    CLOSED = 4
    RESET = 5
    REFUSED = 6  # a client's address; there is no connection
    HOLE = 7  # octets were dropped before this; how many records in all, as 8 octets
    MARK = 8  # everything before its time has been told


class Told(NamedTuple):
    kind: Record
    flow: int
    time: Instant
    octets: bytes


def pack(kind: Record, flow: int, time: Instant, octets: bytes) -> bytes:
    return RECORD.pack(kind, flow, time, len(octets)) + octets


def connection(kind: Record, flow: int, time: Instant, client: AssetId) -> bytes:
    return pack(kind, flow, time, client.encode())


class RecordReader:
    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, octets: bytes) -> list[Told]:
        """Raises ValueError when the stream is not one of the relay's."""
        self._held += octets
        told, at = [], 0
        while len(self._held) - at >= RECORD.size:
            kind, flow, time, size = RECORD.unpack_from(self._held, at)
            if size > LIMIT_OCTETS:
                raise ValueError(f"a record of {size} octets")
            end = at + RECORD.size + size
            if len(self._held) < end:
                break
            told.append(Told(Record(kind), flow, Instant(time), bytes(self._held[at + RECORD.size : end])))
            at = end
        del self._held[:at]
        return told
