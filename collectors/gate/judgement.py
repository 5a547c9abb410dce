"""What the gate makes of one request, and of a byte stream of requests.  Sans-io.

In: octets of an MBAP stream (Messaging on TCP/IP V1.0b, clause 3.1.3).  Out: whole ADUs, and for each what shall become of it.
Framing that cannot be trusted (protocol identifier not 0, a length outside 2 to 254) ends the connection: there is no way back into step.
A well-framed request that contradicts its own function (clause 6) is answered by the gate with the exception that the standard gives and
never reaches the server.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from sentinel.model.modbus import ILLEGAL_DATA_VALUE, ILLEGAL_FUNCTION, MAX_PDU_OCTETS, WRITES, is_read, is_sound_write
from sentinel.model.protocol import Defect
from sentinel.model.tags import OnDeadline, Table, Tag, TagMap

LENGTH_END = 6  # octets up to and including the length field; the length counts what follows
_MAX_LENGTH = 1 + MAX_PDU_OCTETS
_BIT_READS, _REGISTER_READS = frozenset({1, 2}), frozenset({3, 4})
_MAX_READ_BITS, _MAX_READ_REGISTERS = 2000, 125  # clauses 6.1 and 6.3


class BrokenFramingError(ValueError):
    def __init__(self, defect: Defect, problem: str) -> None:
        super().__init__(problem)
        self.defect = defect


def adu_octets(stream: bytes | bytearray, at: int) -> int:
    """Length of the ADU that begins at an offset; 0 = its header is not complete.  Raises BrokenFramingError as early as it shows."""
    have = len(stream) - at
    if (have > 2 and stream[at + 2]) or (have > 3 and stream[at + 3]):
        raise BrokenFramingError(Defect.BAD_PROTOCOL_ID, "the protocol identifier is not 0")
    if have < LENGTH_END:
        if have > 4 and stream[at + 4]:
            raise BrokenFramingError(Defect.BAD_LENGTH, "the length field is above 254")
        return 0
    length = stream[at + 4] << 8 | stream[at + 5]
    if not 2 <= length <= _MAX_LENGTH:
        raise BrokenFramingError(Defect.BAD_LENGTH, f"the length field is {length}, not 2 to {_MAX_LENGTH}")
    return LENGTH_END + length


class Course(Enum):
    PASS = auto()
    SAFETY = auto()  # a write of nothing but safety-instrumented points: passes, but is recorded
    HOLD = auto()
    REFUSE = auto()  # malformed: answered by the gate


@dataclass(frozen=True, slots=True)
class Decision:
    course: Course
    exception: int = 0  # the exception code of a refusal


PASS, SAFETY, HOLD = Decision(Course.PASS), Decision(Course.SAFETY), Decision(Course.HOLD)


def decide(tag_map: TagMap, unit: int, pdu: bytes) -> Decision:
    function = pdu[0]
    if not 1 <= function <= 0x7F:  # clause 4.1: 0 is no code, 128 to 255 are for exception responses
        return Decision(Course.REFUSE, ILLEGAL_FUNCTION)
    if is_read(function, pdu[1] if len(pdu) > 1 else -1):
        return PASS if _is_sound_read(function, pdu) else Decision(Course.REFUSE, ILLEGAL_DATA_VALUE)
    if function in WRITES and not _is_sound_write(function, pdu):
        return Decision(Course.REFUSE, ILLEGAL_DATA_VALUE)
    return SAFETY if _is_all_safety(touched(tag_map, unit, pdu)) else HOLD


def _is_all_safety(tags: Iterator[Tag | None]) -> bool:
    """False where points have no name; looks no further than the first that is none."""
    first = next(tags, None)
    return first is not None and first.safety and all(tag is not None and tag.safety for tag in tags)


def _is_sound_read(function: int, pdu: bytes) -> bool:
    if function in _BIT_READS or function in _REGISTER_READS:
        limit = _MAX_READ_BITS if function in _BIT_READS else _MAX_READ_REGISTERS
        return len(pdu) == 5 and 1 <= (pdu[3] << 8 | pdu[4]) <= limit
    if function == 20:
        return len(pdu) >= 9 and pdu[1] == len(pdu) - 2 and pdu[1] % 7 == 0
    if function == 24:
        return len(pdu) == 3
    if function == 43:
        return len(pdu) == 4
    return len(pdu) == 1  # 7, 11, 12, 17


def _is_sound_write(function: int, pdu: bytes) -> bool:
    if function == 21:
        return len(pdu) >= 10 and pdu[1] == len(pdu) - 2
    if function == 22:
        return len(pdu) == 7
    if function == 23 and not (len(pdu) > 10 and 1 <= (pdu[3] << 8 | pdu[4]) <= _MAX_READ_REGISTERS):
        return False
    return is_sound_write(pdu)


def touched(tag_map: TagMap, unit: int, pdu: bytes) -> Iterator[Tag | None]:
    """The tag of each coil or register that a sound write would set, None for a point that no tag names; none where points have no name."""
    function = pdu[0]
    if function not in WRITES or function == 21:
        return
    start = 5 if function == 23 else 1
    address = int.from_bytes(pdu[start : start + 2], "big")
    count = 1 if function in (5, 6, 22) else int.from_bytes(pdu[start + 2 : start + 4], "big")
    table = Table.COIL if function in (5, 15) else Table.HOLDING
    yield from (tag_map.by_point.get((unit, table, at)) for at in range(address, address + count))


def at_deadline(tag_map: TagMap, unit: int, pdu: bytes, unknown: OnDeadline) -> OnDeadline:
    """What the plant file declares for a write without a verdict: one tag that does not say forward is enough."""
    choices = {tag.on_deadline if tag else unknown for tag in touched(tag_map, unit, pdu)} or {unknown}
    return OnDeadline.FORWARD if choices == {OnDeadline.FORWARD} else OnDeadline.REFUSE


def exception_adu(request: bytes, code: int) -> bytes:
    """The exception response (clause 7) to a request ADU: its transaction and unit, its function with the top bit set."""
    return request[:4] + b"\x00\x03" + bytes((request[6], request[7] | 0x80, code))


class Boundary:
    """Follows the server's octets only so far as to know where one ADU ends, so that an answer of our own never lands inside another.

    The server is believed in whatever it says of its lengths; ``lost`` when it says what cannot be.  ``owed``: requests that it was asked
    and has not answered; whoever asks counts them up.
    """

    __slots__ = ("_header", "_left", "lost", "owed")

    def __init__(self) -> None:
        self._left = 0
        self._header = b""
        self.lost = False
        self.owed = 0

    @property
    def is_between(self) -> bool:
        return not self._left and not self._header and not self.lost

    def follow(self, octets: bytes) -> None:
        size = len(octets)
        if not (self._left or self._header) and size >= LENGTH_END and (octets[4] << 8 | octets[5]) == size - LENGTH_END:
            self._paid()
            return  # one whole ADU: the usual case
        at = 0
        while at < size and not self.lost:
            if self._left:
                step = min(self._left, size - at)
                self._left -= step
                at += step
                if not self._left:
                    self._paid()
                continue
            need = LENGTH_END - len(self._header)
            self._header += octets[at : at + need]
            at += need
            if len(self._header) == LENGTH_END:
                self._left = self._header[4] << 8 | self._header[5]
                self._header = b""
                self.lost = self._left == 0

    def _paid(self) -> None:
        if self.owed:  # else: nobody asked
            self.owed -= 1
