"""The connection protocol (OPC 10000-6, clause 7.1): chunks out of a byte stream, Hello, Acknowledge and Error.  Sans-io.

What a header says is checked as soon as its eight octets are there; a stream that lies in one of them has no way back into step.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from collectors.gate.opcua.binary import DecodingError, Reader, string
from sentinel.model.opcua import HEADER_OCTETS

MESSAGE_TYPE_INVALID, MESSAGE_TOO_LARGE = 0x807E0000, 0x80800000  # Bad_Tcp... (OPC 10000-6, 7.1.5)
INTERNAL_ERROR, NOT_CONNECTED = 0x80820000, 0x800D0000  # Bad_TcpInternalError, Bad_ServerNotConnected (OPC 10000-6, A.2)
SERVER_URL_INVALID = 0x80830000
SECURITY_CHECKS_FAILED, CHANNEL_ID_INVALID = 0x80130000, 0x80220000
TOKEN_UNKNOWN, SEQUENCE_INVALID = 0x80870000, 0x80880000
POLICY_REJECTED, MODE_REJECTED = 0x80550000, 0x80540000
SMALLEST_BUFFER, LARGEST_BUFFER = 8192, 65536  # octets of a chunk (clause 7.1.2.3)
_MAX_URL = 4096
_HEADER = struct.Struct("<4sI")
_HELLO = struct.Struct("<5I")


class ChannelError(Exception):
    """The connection must end; ``status`` goes to the other side in an Error message (clause 7.1.2.5)."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status = status


class Splitter:
    """Whole chunks of the allowed types out of octets in any cutting; holds less than one chunk."""

    __slots__ = ("_held", "limit", "types")

    def __init__(self, types: frozenset[bytes]) -> None:
        self._held = bytearray()
        self.types = types
        self.limit = SMALLEST_BUFFER  # until the buffers are agreed

    @property
    def is_empty(self) -> bool:
        return not self._held

    def feed(self, octets: bytes) -> Iterator[bytes]:
        """Raises ChannelError.  What the caller does with one chunk may change the limit of the next."""
        if not self._held and len(octets) >= HEADER_OCTETS and self._size(octets) == len(octets):
            yield octets
            return
        held = self._held
        held += octets
        while len(held) >= HEADER_OCTETS and len(held) >= (size := self._size(held)):
            chunk = bytes(held[:size])
            del held[:size]
            yield chunk

    def _size(self, octets: bytes | bytearray) -> int:
        kind, size = _HEADER.unpack_from(octets)
        if kind not in self.types:
            raise ChannelError(MESSAGE_TYPE_INVALID, f"a message of type {kind!r}")
        if size > self.limit:
            raise ChannelError(MESSAGE_TOO_LARGE, f"a chunk of {size} octets, {self.limit} are agreed")
        if size <= HEADER_OCTETS:
            raise ChannelError(INTERNAL_ERROR, f"a chunk of {size} octets")
        return int(size)


@dataclass(frozen=True, slots=True)
class Agreed:
    """What one side announces in Hello or Acknowledge.  0 = no limit, for messages and chunks."""

    receives: int  # octets of a chunk
    sends: int
    message: int  # octets of a message that it takes
    chunks: int


def hello(agreed: Agreed, url: bytes) -> bytes:
    body = _HELLO.pack(0, agreed.receives, agreed.sends, agreed.message, agreed.chunks) + string(url)
    return _HEADER.pack(b"HELF", HEADER_OCTETS + len(body)) + body


def acknowledge(agreed: Agreed) -> bytes:
    return _HEADER.pack(b"ACKF", HEADER_OCTETS + _HELLO.size) + _HELLO.pack(0, agreed.receives, agreed.sends, agreed.message, agreed.chunks)


def error(status: int, reason: str) -> bytes:
    body = struct.pack("<I", status) + string(reason.encode()[:_MAX_URL])
    return _HEADER.pack(b"ERRF", HEADER_OCTETS + len(body)) + body


def read_hello(chunk: bytes) -> tuple[Agreed, bytes]:
    """(what the client announces, its endpoint URL).  Raises ChannelError."""
    try:
        url = Reader(chunk, HEADER_OCTETS + _HELLO.size).string() or b""
    except DecodingError as problem:
        raise ChannelError(INTERNAL_ERROR, f"Hello: {problem}") from problem
    if len(url) > _MAX_URL:
        raise ChannelError(SERVER_URL_INVALID, f"an endpoint URL of {len(url)} octets")
    return read_acknowledge(chunk), url


def read_acknowledge(chunk: bytes) -> Agreed:
    """Raises ChannelError."""
    if len(chunk) < HEADER_OCTETS + _HELLO.size:
        raise ChannelError(INTERNAL_ERROR, f"{chunk[:3]!r} of {len(chunk)} octets")
    _, receives, sends, message, chunks = _HELLO.unpack_from(chunk, HEADER_OCTETS)
    if receives < SMALLEST_BUFFER or sends < SMALLEST_BUFFER:
        raise ChannelError(INTERNAL_ERROR, f"buffers of {receives} and {sends} octets; {SMALLEST_BUFFER} are the least")
    return Agreed(receives, sends, message, chunks)


def read_error(chunk: bytes) -> tuple[int, str]:
    """(status, reason) of an Error message, as far as they are there."""
    try:
        reader = Reader(chunk, HEADER_OCTETS)
        return reader.u32(), (reader.string() or b"").decode(errors="replace")
    except DecodingError:
        return INTERNAL_ERROR, ""
