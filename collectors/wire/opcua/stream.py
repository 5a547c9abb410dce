"""One direction of an OPC UA connection: octets as they were heard in, one row per message chunk out (OPC 10000-6, 6.7 and 7.1).

A row's function is the service's encoding id, its transaction the request id; of a message in several chunks every chunk bears the first
one's service.  What belongs to no service, or cannot be read because the channel is encrypted, has function -1 and its `MessageType` as
subfunction.  Messages of a secured channel may be signed only, which leaves them readable; and where no OPN was heard, nothing is known of
the channel.  In both cases only a service that the standard knows is believed, which encrypted octets name once in fifty million chunks.
Of a chunk the first KEPT_OCTETS are kept.  Octets that fit no chunk are one row per run, GARBAGE, with up to eight of them.

The caller fills ``source`` before each call and has room for the rows of `collectors.wire.modbus.layout`.  Streams are numbered as there.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

from collectors.compiled import kernel, move
from collectors.wire.loads import byte, little32
from collectors.wire.modbus.rows import begin_row, copy_out, leave_open
from collectors.wire.opcua.chunk import (
    ABORTED,
    FINAL,
    garbage_octets,
    is_header,
    is_request_service,
    is_response_service,
    read_policy,
    read_service,
    smallest,
    type_of,
)
from collectors.wire.opcua.layout import CLEAR, KEPT_OCTETS, PENDING_PER_FLOW, SHORT_OCTETS, UNKNOWN
from sentinel.model.opcua import HEADER_OCTETS, SERVICE_FAULT, MessageType
from sentinel.model.protocol import Defect, MessageKind, Protocol

Table = Any  # a numpy record array of `layout`, or octets

_OPCUA = int(Protocol.OPCUA)
_REQUEST, _RESPONSE, _EXCEPTION = int(MessageKind.REQUEST), int(MessageKind.RESPONSE), int(MessageKind.EXCEPTION)
_NONE, _TRUNCATED, _BAD_LENGTH = int(Defect.NONE), int(Defect.TRUNCATED), int(Defect.BAD_LENGTH)
_UNKNOWN_FUNCTION, _GARBAGE, _STREAM_GAP = int(Defect.UNKNOWN_FUNCTION), int(Defect.GARBAGE), int(Defect.STREAM_GAP)
_BAD_VALUE, _UNSOLICITED = int(Defect.BAD_VALUE), int(Defect.UNSOLICITED)
_CONTRADICTING_COPY = int(Defect.CONTRADICTING_COPY)
_HELLO, _ERROR, _OPEN = int(MessageType.HELLO), int(MessageType.ERROR), int(MessageType.OPEN)
_CLOSE, _MESSAGE = int(MessageType.CLOSE), int(MessageType.MESSAGE)
_REVERSE_HELLO = int(MessageType.REVERSE_HELLO)
_LAST_SEQUENCE = (1 << 32) - 1024  # from here on a sender may begin anew, below 1024 (6.7.2.4)


@kernel
def open_stream(streams: Table, pending: Table, x: int, joined: bool) -> None:
    s = streams[x]
    s.carried = 0
    s.passed = 0
    s.size = 0
    s.skip = 0
    s.sequence = -1
    s.request = -1
    s.service = -1
    s.asked = 0
    s.long = 0
    s.policy = UNKNOWN
    s.doubt = 1 if joined else 0
    s.after_gap = 0
    s.joined = 1 if joined else 0
    if x % 2 == 0:
        for i in range(PENDING_PER_FLOW):
            pending[x // 2, i].waits = 0


@kernel
def find_request(pending: Table, streams: Table, f: int, request: int) -> int:
    """The newest request of that number; -1 = none.  Not only one that still waits: an answer may come in several chunks."""
    newest = streams[2 * f].asked
    for back in range(1, min(newest, PENDING_PER_FLOW) + 1):
        i = (newest - back) % PENDING_PER_FLOW
        if pending[f, i].request == request:
            return i
    return -1


@kernel
def breaks_sequence(before: int, number: int) -> bool:
    return before >= 0 and number != before + 1 and not (before >= _LAST_SEQUENCE and number < 1024)


@kernel
def add_row(rows: Table, pool: Table, tally: Table, source: Table, x: int, octets: Table, at: int, kept: int, defect: int) -> Any:
    out, row = rows[0], begin_row(rows, tally, source, _OPCUA)
    leave_open(rows, row)
    start = copy_out(pool, tally, octets, at, kept)
    out.kind[row] = _REQUEST if x % 2 == 0 else _RESPONSE
    out.pdu_start[row] = start
    out.pdu_octets[row] = kept
    out.value_start[row] = start
    out.defect[row] = defect
    return row


@kernel
def add_chunk(
    streams: Table,
    pending: Table,
    rows: Table,
    pool: Table,
    tally: Table,
    source: Table,
    x: int,
    octets: Table,
    at: int,
    kept: int,
    size: int,
    defect: int,
    is_copy: bool,
) -> None:
    """One row for the chunk of ``size`` octets, of which ``kept`` are there; pairs it unless it ``is_copy`` of what was heard before."""
    out, row = rows[0], add_row(rows, pool, tally, source, x, octets, at, kept, _NONE)
    s, f = streams[x], x // 2
    kind, final = type_of(octets, at), byte(octets, at + 3)
    said = _BAD_LENGTH if size < smallest(kind) else _NONE
    out.subfunction[row] = kind
    if kind == _ERROR:
        out.kind[row] = _EXCEPTION
    if kind in (_OPEN, _CLOSE, _MESSAGE) and said == _NONE:
        place, policy = 16, s.policy
        if kind == _OPEN:
            policy, place = read_policy(octets, at, kept)
            if not is_copy and policy != UNKNOWN:
                s.policy = policy
                streams[x ^ 1].policy = policy
            if policy == UNKNOWN and defect == _NONE and size <= kept:
                said = _BAD_VALUE
        service = -1
        is_first = s.request < 0
        if place > 0 and place + 8 <= kept:
            number, request = little32(octets, at + place), little32(octets, at + place + 4)
            is_first = s.request != request
            if final != ABORTED:
                service = read_service(octets, at + place + 8, kept - place - 8) if is_first else s.service
            is_known = is_request_service(service) or is_response_service(service)
            if policy == CLEAR or is_known or not is_first:
                out.transaction[row] = request
                if service >= 0:
                    out.function[row] = service
                    out.subfunction[row] = -1
                if service == SERVICE_FAULT:
                    out.kind[row] = _EXCEPTION
                if policy == CLEAR and is_first and final != ABORTED and not is_known and defect == _NONE:
                    said = _UNKNOWN_FUNCTION
                if not is_copy:
                    if breaks_sequence(s.sequence, number):
                        said = _BAD_VALUE
                    s.sequence = number
                    s.request = -1 if final != 67 else request
                    s.service = -1 if final != 67 else service
                if x % 2 == 0:
                    if not is_copy and final == FINAL:
                        asked = pending[f, s.asked % PENDING_PER_FLOW]
                        if asked.waits:
                            tally[0].forgotten += 1
                        s.asked += 1
                        asked.time = source[0].time
                        asked.request = request
                        asked.waits = 1
                else:
                    i = find_request(pending, streams, f, request)
                    if i >= 0:
                        out.latency[row] = max(0, source[0].time - pending[f, i].time)
                        if not is_copy:
                            pending[f, i].waits = 0
                            streams[2 * f].joined = 0
                    elif said == _NONE:
                        said = _STREAM_GAP if streams[2 * f].joined else _UNSOLICITED
    if is_copy:
        out.defect[row] = _CONTRADICTING_COPY
    elif defect != _NONE:
        out.defect[row] = defect
    elif said != _NONE:
        out.defect[row] = said
    elif s.after_gap:
        out.defect[row] = _STREAM_GAP
    if not is_copy:
        s.after_gap = 0


@kernel
def take_long(streams: Table, carry: Table, long: Table, owners: Table, x: int) -> None:
    """Room for a chunk that comes in several segments, if there is any."""
    for row in range(len(owners)):
        if owners[row] == 0:
            owners[row] = x + 1
            streams[x].long = row + 1
            move(long[row], 0, carry[x], 0, HEADER_OCTETS)
            return


@kernel
def give_long(streams: Table, owners: Table, x: int) -> None:
    row = int(streams[x].long)
    if row > 0:
        owners[row - 1] = 0
    streams[x].long = 0


@kernel
def lose(
    streams: Table,
    carry: Table,
    long: Table,
    owners: Table,
    pending: Table,
    rows: Table,
    pool: Table,
    tally: Table,
    source: Table,
    x: int,
    missing: int,
) -> None:
    """So many octets of this direction were not heard (-1: unknown how many, or the stream has ended)."""
    s = streams[x]
    is_aligned = False
    if s.size > 0:
        left = s.size - s.passed
        head = long[streams[x].long - 1] if streams[x].long > 0 else carry[x]
        add_chunk(streams, pending, rows, pool, tally, source, x, head, 0, s.carried, s.size, _TRUNCATED, False)
        give_long(streams, owners, x)
        s.sequence = -1  # its number may be among what was not heard
        if 0 < missing <= left:
            s.skip = left - missing
            is_aligned = True
    elif s.skip > 0:
        if 0 < missing <= s.skip:
            s.skip -= missing
            is_aligned = True
    elif s.carried > 0 and not s.doubt:
        add_row(rows, pool, tally, source, x, carry[x], 0, s.carried, _TRUNCATED)
    s.carried = 0
    s.passed = 0
    s.size = 0
    if not is_aligned:
        s.skip = 0
        s.after_gap = 1
        s.doubt = 1
        s.joined = 1
        s.sequence = -1
        s.request = -1


@kernel
def add_copies(
    streams: Table, pending: Table, rows: Table, pool: Table, tally: Table, source: Table, x: int, octets: Table, start: int, end: int
) -> None:
    """Whole chunks of a segment that was heard before with other content: rows that change nothing."""
    p = start
    while end - p >= HEADER_OCTETS and is_header(octets, p):
        size = little32(octets, p + 4)
        if size > end - p:
            break
        add_chunk(streams, pending, rows, pool, tally, source, x, octets, p, min(size, KEPT_OCTETS), size, _NONE, True)
        p += size


@kernel
def is_turned(streams: Table, x: int, octets: Table, at: int, kept: int) -> bool:
    """Does this chunk show that side x is not what it was taken for?  Only a client says hello or asks; a server that opens the connection
    itself says reverse hello (7.1.3)."""
    kind = type_of(octets, at)
    if x % 2 == 0:
        return kind == _REVERSE_HELLO
    if kind == _HELLO:
        return True
    is_readable = kind == _MESSAGE and streams[x ^ 1].asked == 0 and kept >= 28
    return is_readable and is_request_service(read_service(octets, at + 24, kept - 24))


@kernel
def exchange(streams: Table, carry: Table, owners: Table, source: Table, x: int) -> None:
    """What is known of the two directions changes places."""
    mine, other, heard = streams[x], streams[x ^ 1], source[0]
    mine.carried, other.carried = other.carried, mine.carried
    mine.passed, other.passed = other.passed, mine.passed
    mine.size, other.size = other.size, mine.size
    mine.skip, other.skip = other.skip, mine.skip
    mine.sequence, other.sequence = other.sequence, mine.sequence
    mine.request, other.request = other.request, mine.request
    mine.service, other.service = other.service, mine.service
    mine.doubt, other.doubt = other.doubt, mine.doubt
    mine.after_gap, other.after_gap = other.after_gap, mine.after_gap
    mine.joined, other.joined = other.joined, mine.joined
    mine.long, other.long = other.long, mine.long
    for side in (x, x ^ 1):
        if streams[side].long > 0:
            owners[streams[side].long - 1] = side + 1
    for i in range(SHORT_OCTETS):
        carry[x, i], carry[x ^ 1, i] = carry[x ^ 1, i], carry[x, i]
    heard.client, heard.server = heard.server, heard.client
    heard.port, heard.client_port = heard.client_port, heard.port


@kernel
def feed(
    streams: Table,
    carry: Table,
    long: Table,
    owners: Table,
    pending: Table,
    rows: Table,
    pool: Table,
    tally: Table,
    source: Table,
    x: int,
    octets: Table,
    start: int,
    end: int,
    missing: int,
    cut: int,
    is_copy: bool,
) -> bool:
    """Take ``octets[start:end]``, before which ``missing`` and behind which ``cut`` octets were not heard.

    True = the side that was taken for the client's is the server's: the streams were exchanged, and the caller exchanges its idea of them.
    """
    if is_copy:
        add_copies(streams, pending, rows, pool, tally, source, x, octets, start, end)
        return False
    swapped = False
    if missing != 0:
        lose(streams, carry, long, owners, pending, rows, pool, tally, source, x, missing)
    s, head = streams[x], long[streams[x].long - 1] if streams[x].long > 0 else carry[x]
    passed = min(s.skip, end - start)
    s.skip -= passed
    p = start + passed
    while p < end:
        if s.size == 0 and s.carried == 0 and end - p >= HEADER_OCTETS and is_header(octets, p) and little32(octets, p + 4) <= end - p:
            size = little32(octets, p + 4)
            s.doubt = 0
            if is_turned(streams, x, octets, p, min(size, KEPT_OCTETS)):
                exchange(streams, carry, owners, source, x)
                swapped = not swapped
                x ^= 1
                s, head = streams[x], long[streams[x].long - 1] if streams[x].long > 0 else carry[x]
            add_chunk(streams, pending, rows, pool, tally, source, x, octets, p, min(size, KEPT_OCTETS), size, _NONE, False)
            p += size
            continue
        if s.size == 0:
            taken = min(HEADER_OCTETS - s.carried, end - p)
            move(head, s.carried, octets, p, taken)
            s.carried += taken
            p += taken
            if s.carried < HEADER_OCTETS:
                break
            if not is_header(head, 0):
                if s.doubt == 0:
                    add_row(rows, pool, tally, source, x, head, 0, garbage_octets(head, 0), _GARBAGE)
                s.doubt = 1
                s.sequence = -1
                s.request = -1
                tally[0].skipped += 1
                move(head, 0, head, 1, HEADER_OCTETS - 1)
                s.carried = HEADER_OCTETS - 1
                continue
            s.size = little32(head, 4)
            s.passed = HEADER_OCTETS
            if s.size > SHORT_OCTETS:
                take_long(streams, carry, long, owners, x)
                head = long[streams[x].long - 1] if streams[x].long > 0 else carry[x]
        taken = min(s.size - s.passed, end - p)
        kept = min(taken, (KEPT_OCTETS if s.long > 0 else SHORT_OCTETS) - s.carried)
        move(head, s.carried, octets, p, kept)
        s.carried += kept
        s.passed += taken
        p += taken
        if s.passed == s.size:
            size = s.size
            s.size = 0
            s.passed = 0
            s.doubt = 0
            if is_turned(streams, x, head, 0, s.carried):
                exchange(streams, carry, owners, source, x)
                swapped = not swapped
                x ^= 1
                s, head = streams[x], long[streams[x].long - 1] if streams[x].long > 0 else carry[x]
            add_chunk(streams, pending, rows, pool, tally, source, x, head, 0, s.carried, size, _NONE, False)
            s.carried = 0
            give_long(streams, owners, x)
            head = carry[x]
    if cut > 0:
        lose(streams, carry, long, owners, pending, rows, pool, tally, source, x, cut)
    return swapped
