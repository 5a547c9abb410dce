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
from collectors.wire.loads import little32
from collectors.wire.opcua.chunk import (
    garbage_octets,
    is_header,
    is_request_service,
    read_service,
    type_of,
)
from collectors.wire.opcua.layout import KEPT_OCTETS, PENDING_PER_FLOW, SHORT_OCTETS, UNKNOWN
from collectors.wire.opcua.rows import add_chunk, add_row
from sentinel.model.opcua import HEADER_OCTETS, USUAL_BUFFER_OCTETS, MessageType
from sentinel.model.protocol import Defect

Table = Any  # a numpy record array of `layout`, or octets

_NONE, _TRUNCATED, _GARBAGE = int(Defect.NONE), int(Defect.TRUNCATED), int(Defect.GARBAGE)
_STREAM_GAP, _CONTRADICTING_COPY = int(Defect.STREAM_GAP), int(Defect.CONTRADICTING_COPY)
_HELLO, _REVERSE_HELLO, _MESSAGE = int(MessageType.HELLO), int(MessageType.REVERSE_HELLO), int(MessageType.MESSAGE)


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
    s.most = 0
    s.long = 0
    s.policy = UNKNOWN
    s.doubt = 1 if joined else 0
    s.blemish = 0
    s.joined = 1 if joined else 0
    if x % 2 == 0:
        for i in range(PENDING_PER_FLOW):
            pending[x // 2, i].waits = 0


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
        s.blemish = _STREAM_GAP
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
def is_doubtful(s: Table) -> bool:
    """May the chunk that waits for its rest be a lie, which would swallow what follows?  Its beginning was sent twice and differently, or
    it is longer than its receiver takes, or than real ones take where that was not heard."""
    return s.blemish == _CONTRADICTING_COPY or s.size > (s.most if s.most > 0 else USUAL_BUFFER_OCTETS)


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
    mine.most, other.most = other.most, mine.most
    mine.doubt, other.doubt = other.doubt, mine.doubt
    mine.blemish, other.blemish = other.blemish, mine.blemish
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
    s = streams[x]
    if is_copy:
        add_copies(streams, pending, rows, pool, tally, source, x, octets, start, end)
        if s.carried > 0:
            s.blemish = _CONTRADICTING_COPY
        return False
    swapped = False
    if s.carried > 0 and end - start >= HEADER_OCTETS and is_doubtful(s) and is_header(octets, start):
        missing = -1
    if missing != 0:
        lose(streams, carry, long, owners, pending, rows, pool, tally, source, x, missing)
    head = long[streams[x].long - 1] if streams[x].long > 0 else carry[x]
    passed = min(s.skip, end - start)
    s.skip -= passed
    p = start + passed
    while p < end:
        is_whole = s.size == 0 and s.carried == 0 and end - p >= HEADER_OCTETS
        if is_whole and is_header(octets, p) and little32(octets, p + 4) <= end - p:
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
