"""OPC UA binary encoding (OPC 10000-6, clause 5.2), as far as a gate looks into messages.  Sans-io.

Every read is bounded by the octets that are there; nothing is believed of a length before it was compared with them.
"""

import struct
from dataclasses import dataclass

from sentinel.model import opcua

BAD_DECODING, BAD_LIMITS = 0x80070000, 0x80080000  # OPC 10000-6, A.2
_MAX_DEPTH = 16  # of what may contain itself; real messages stay below 4
_U16, _U32, _I32, _U64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<i"), struct.Struct("<Q")
_NUMBERS = {1: "?", 2: "<b", 3: "<B", 4: "<h", 5: "<H", 6: "<i", 7: "<I", 8: "<q", 9: "<Q", 10: "<f", 11: "<d"}  # built-in type: struct
_FIXED = {code: struct.calcsize(form) for code, form in _NUMBERS.items()} | {13: 8, 14: 16, 19: 4}
NULL = b"\xff\xff\xff\xff"  # of a string or an array


class DecodingError(ValueError):
    """``status``: the StatusCode that says what is wrong."""

    def __init__(self, problem: str, status: int = BAD_DECODING) -> None:
        super().__init__(problem)
        self.status = status


class Reader:
    """A place in octets that moves on."""

    __slots__ = ("at", "octets")

    def __init__(self, octets: bytes, at: int = 0) -> None:
        self.octets, self.at = octets, at

    def take(self, size: int) -> bytes:
        end = self.at + size
        if size < 0 or end > len(self.octets):
            raise DecodingError(f"{size} octets are announced at {self.at}, {len(self.octets) - self.at} are there")
        taken = self.octets[self.at : end]
        self.at = end
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int(_U16.unpack(self.take(2))[0])

    def u32(self) -> int:
        return int(_U32.unpack(self.take(4))[0])

    def u64(self) -> int:
        return int(_U64.unpack(self.take(8))[0])

    def string(self) -> bytes | None:
        """A String or ByteString."""
        size = int(_I32.unpack(self.take(4))[0])
        return None if size == -1 else self.take(size)

    def count(self) -> int:
        """Of an array's elements, none of which is smaller than an octet; null is empty."""
        count = int(_I32.unpack(self.take(4))[0])
        if count < -1 or count > len(self.octets) - self.at:
            raise DecodingError(f"an array of {count} elements at {self.at}")
        return max(count, 0)

    def node(self) -> str:
        """A NodeId in the standard's text form (clause 5.3.1.10), namespace 0 left out."""
        form = self.byte()
        if form == 0:
            return f"i={self.byte()}"
        namespace = self.byte() if form == 1 else self.u16()
        prefix = f"ns={namespace};" if namespace else ""
        if form == 1:
            return f"{prefix}i={self.u16()}"
        if form == 2:
            return f"{prefix}i={self.u32()}"
        if form == 3:
            return f"{prefix}s={(self.string() or b'').decode(errors='backslashreplace')}"
        if form == 4:
            a, b, c = struct.unpack("<IHH", self.take(8))
            d = self.take(8).hex()
            return f"{prefix}g={a:08x}-{b:04x}-{c:04x}-{d[:4]}-{d[4:]}"
        if form == 5:
            return f"{prefix}b={(self.string() or b'').hex()}"
        raise DecodingError(f"a NodeId of form {form}")

    def skip_expanded_node(self) -> None:
        flags = self.octets[self.at] if self.at < len(self.octets) else 0
        inner = Reader(bytes((flags & 0x3F,)) + self.octets[self.at + 1 : self.at + 1 + 0x10000])
        inner.node()
        self.take(inner.at)
        if flags & 0x80:
            self.string()
        if flags & 0x40:
            self.u32()

    def extension_object(self) -> tuple[str, bytes | None]:
        """(type id, body; None where there is none)."""
        kind, encoding = self.node(), self.byte()
        if encoding == 0:
            return kind, None
        if encoding not in (1, 2):
            raise DecodingError(f"an ExtensionObject of encoding {encoding}")
        return kind, self.string()

    def skip_localized_text(self) -> None:
        mask = self.byte()
        for bit in (1, 2):
            if mask & bit:
                self.string()

    def skip_diagnostics(self, depth: int = 0) -> None:
        if depth > _MAX_DEPTH:
            raise DecodingError("diagnostics are nested too deep", BAD_LIMITS)
        mask = self.byte()
        for bit in (1, 2, 4, 8):
            if mask & bit:
                self.u32()
        if mask & 0x10:
            self.string()
        if mask & 0x20:
            self.u32()
        if mask & 0x40:
            self.skip_diagnostics(depth + 1)

    def variant(self, depth: int = 0) -> float | None:
        """The number that a scalar holds; None of everything else, and of what is not finite."""
        if depth > _MAX_DEPTH:
            raise DecodingError("a Variant is nested too deep", BAD_LIMITS)
        mask = self.byte()
        kind = mask & 0x3F
        if not mask & 0x80:
            return self._value(kind, depth)
        for _ in range(self.count()):
            self._value(kind, depth)
        if mask & 0x40:
            for _ in range(self.count()):
                self.u32()
        return None

    def data_value(self, depth: int = 0) -> float | None:
        """Its Variant's number."""
        mask = self.byte()
        number = self.variant(depth) if mask & 0x01 else None
        for bit, size in ((0x02, 4), (0x04, 8), (0x10, 2), (0x08, 8), (0x20, 2)):
            if mask & bit:
                self.take(size)
        return number

    def _value(self, kind: int, depth: int) -> float | None:
        if form := _NUMBERS.get(kind):
            number = float(struct.unpack(form, self.take(_FIXED[kind]))[0])
            return number if number - number == 0 else None
        if size := _FIXED.get(kind):
            self.take(size)
        elif kind in (12, 15, 16) or kind > 25:  # 26 to 31 are to be read as ByteString (clause 5.2.2.16)
            self.string()
        elif kind == 17:
            self.node()
        elif kind == 18:
            self.skip_expanded_node()
        elif kind == 20:
            self.u16()
            self.string()
        elif kind == 21:
            self.skip_localized_text()
        elif kind == 22:
            self.extension_object()
        elif kind == 23:
            self.data_value(depth + 1)
        elif kind == 24:
            self.variant(depth + 1)
        elif kind == 25:
            self.skip_diagnostics(depth + 1)
        return None


def string(octets: bytes | None) -> bytes:
    return NULL if octets is None else _I32.pack(len(octets)) + octets


def u32(number: int) -> bytes:
    return _U32.pack(number)


def service_of(body: bytes) -> int:
    """The encoding id in namespace 0 of a message's body; -1 = none that the standard could mean."""
    if body[:2] == b"\x01\x00" and len(body) >= 4:
        return body[2] | body[3] << 8
    if body[:3] == b"\x02\x00\x00" and len(body) >= 7:
        return int(_U32.unpack_from(body, 3)[0])
    return body[1] if body[:1] == b"\x00" and len(body) >= 2 else -1


def type_id(service: int) -> bytes:
    return b"\x01\x00" + _U16.pack(service)


@dataclass(frozen=True, slots=True)
class RequestHeader:
    """Of a request (OPC 10000-4, 7.33).  ``token``: the session's authentication token, encoded."""

    service: int
    token: bytes
    handle: int
    end: int  # where the service's own parameters begin


def request_header(body: bytes) -> RequestHeader:
    reader = Reader(body)
    reader.node()
    at = reader.at
    reader.node()
    token = body[at : reader.at]
    reader.u64()
    handle = reader.u32()
    reader.u32()
    reader.string()
    reader.u32()
    reader.extension_object()
    return RequestHeader(service_of(body), token, handle, reader.at)


def response_header(body: bytes) -> tuple[int, int]:
    """(service result, where the service's own parameters begin) of a response (OPC 10000-4, 7.34)."""
    reader = Reader(body)
    reader.node()
    reader.u64()
    reader.u32()
    result = reader.u32()
    reader.skip_diagnostics()
    for _ in range(reader.count()):
        reader.string()
    reader.extension_object()
    return result, reader.at


def response_handle(body: bytes) -> int:
    """The request handle of a response, as far as it can be read (OPC 10000-4, 7.34)."""
    return int.from_bytes(body[12:16], "little") if body[:2] == b"\x01\x00" else 0


def response(service: int, handle: int, status: int, stamp: int, parameters: bytes = b"") -> bytes:
    """A whole response of our own; ``stamp``: a DateTime (clause 5.2.2.5)."""
    return type_id(service) + _U64.pack(stamp) + u32(handle) + u32(status) + b"\0" + NULL + b"\0\0\0" + parameters


def fault(handle: int, status: int, stamp: int) -> bytes:
    return response(opcua.SERVICE_FAULT, handle, status, stamp)
