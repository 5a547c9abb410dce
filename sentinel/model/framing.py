"""How processes of the appliance talk over a unix socket: length-prefixed frames around JSON or an Arrow IPC stream.  Sans-io.

Header, big-endian: magic "SN", version, kind, sequence (u64), payload octets (u32).  A receiver that cannot parse a header must close:
there is no way back into step.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

_HEADER = struct.Struct(">2sBBQI")
_MAGIC, _VERSION = b"SN", 1
MAX_PAYLOAD_OCTETS = 64 * 1024 * 1024  # a second of messages at 10 Gbit/s stays below; more is a lie or a bug


class FrameKind(IntEnum):
    HELLO = 1  # JSON exchange.Hello: the first frame of a connection
    ACK = 2  # JSON exchange.Ack: everything of its lane up to the sequence is kept; the sender may forget it
    HEARD_MESSAGES = 10  # Arrow, metadata {"source", "until", counters}
    HEARD_FLOWS = 11
    HEARD = 12  # JSON exchange.Mark: closes the frames above, moves the watermark
    READINGS = 13  # Arrow, metadata {"source", "until", counters}
    HEARD_DETAILS = 14  # between HEARD_FLOWS and HEARD, where there are any
    COMMAND = 20  # JSON Command: seen, or held and waiting for a RULING
    RULING = 21  # JSON Ruling: what the gate shall do with a held command
    OUTCOME = 22  # JSON Outcome: what the gate did
    TURNED_AWAY = 23  # JSON TurnedAway: whom a gate refused
    QUARANTINE = 30  # JSON exchange.QuarantineOrder: gate enforcement; answered by RECEIPT
    RELEASE = 31  # JSON exchange.ReleaseOrder
    RECEIPT = 32  # JSON Receipt; from a collector exchange.ReceiptOf
    OUTAGE = 40  # JSON Outage
    EXCERPT = 41  # JSON exchange.ExcerptOrder asks a sensor for the frames it still has; answered by EXCERPT with pcapng octets
    SNAPSHOT = 50  # JSON + arrays: the state that the court judges from
    JUDGE = 51  # JSON Command and what it refers to
    VERDICT = 52  # JSON Verdict
    BEGUN = 53  # nothing: the court has begun with the command of that sequence
    FAILURE = 60  # JSON {"problem"}: the request of that sequence could not be served


class FramingError(ValueError):
    """The other side does not speak this protocol."""


@dataclass(frozen=True, slots=True)
class Frame:
    kind: FrameKind
    sequence: int
    payload: bytes

    def header(self) -> bytes:
        """What goes before the payload."""
        return _HEADER.pack(_MAGIC, _VERSION, self.kind, self.sequence, len(self.payload))

    def encode(self) -> bytes:
        return self.header() + self.payload


class FrameReader:
    """Turns any chunking of a byte stream into frames; holds at most one frame's worth of octets."""

    def __init__(self, limit: int = MAX_PAYLOAD_OCTETS) -> None:
        self._limit = limit
        self._held = bytearray()

    def feed(self, octets: bytes) -> list[Frame]:
        """Raises FramingError on a foreign header, an unknown kind or a payload above the limit."""
        self._held += octets
        frames = []
        while len(self._held) >= _HEADER.size:
            magic, version, kind, sequence, size = _HEADER.unpack_from(self._held)
            if magic != _MAGIC or version != _VERSION:
                raise FramingError(f"not a frame header: {bytes(self._held[: _HEADER.size]).hex()}")
            if size > self._limit:
                raise FramingError(f"frame of {size} octets, at most {self._limit} are taken")
            try:
                known = FrameKind(kind)
            except ValueError as error:
                raise FramingError(f"unknown frame kind {kind}") from error
            end = _HEADER.size + size
            if len(self._held) < end:
                break
            frames.append(Frame(known, sequence, bytes(self._held[_HEADER.size : end])))
            del self._held[:end]
        return frames
