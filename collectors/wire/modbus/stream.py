"""One direction of a Modbus/TCP connection: octets as they were heard in, one row per protocol data unit out.

The MBAP header (Messaging on TCP/IP V1.0b, 3.1.3) is the only thing that separates frames.  Its length field is held against the length
that the unit's own fields ask for; where the two differ the shorter one is taken, and the next frame begins there or where the longer one
ends, whichever shows a header (a server that reads fields and one that reads lengths part here).
Octets that fit no frame are one row per run, GARBAGE, with the first eight as evidence; the next frame that fits in every field ends it.

The caller fills ``source`` (time, frame, names) before each call and has room for ROWS_PER_FEED rows and POOL_PER_FEED octets.
Stream 2 f is the client's direction of connection f, 2 f + 1 the server's.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

import numpy as np

from collectors.compiled import kernel, move
from collectors.wire.loads import byte, little32
from collectors.wire.loads import word16 as word
from collectors.wire.modbus.layout import (
    CARRY_OCTETS,
    FOREIGN,
    GARBAGE_OCTETS,
    HUNTING,
    JOIN_TRIES,
    MAX_LENGTH_FIELD,
    OWNER_OCTETS,
    SYNCED,
    UNDECIDED,
)
from collectors.wire.modbus.pdu import MORE, SILENT, is_convincing, own_length, second_length
from collectors.wire.modbus.rows import add_message, add_piece
from sentinel.model.modbus import MAX_PDU_OCTETS
from sentinel.model.protocol import Defect, MessageKind, Protocol

Table = Any  # a numpy record array of `layout`, or octets

_REQUEST, _RESPONSE = int(MessageKind.REQUEST), int(MessageKind.RESPONSE)
_MODBUS = int(Protocol.MODBUS)
_NONE = int(Defect.NONE)
_TRUNCATED = int(Defect.TRUNCATED)
_GARBAGE = int(Defect.GARBAGE)
_BAD_LENGTH = int(Defect.BAD_LENGTH)
_BAD_PROTOCOL_ID = int(Defect.BAD_PROTOCOL_ID)
_STREAM_GAP, _CONTRADICTING_COPY = int(Defect.STREAM_GAP), int(Defect.CONTRADICTING_COPY)
_MAX_LENGTH_BY_STANDARD = MAX_PDU_OCTETS + 1

NOTHING_SEEN, IS_MODBUS, SIDES_SWAPPED = 0, 1, 2


@kernel
def open_stream(streams: Table, x: int, is_modbus: bool, joined: bool) -> None:
    """Begin a direction: at its first octet, or ``joined`` in its middle.  ``is_modbus``: known by its port or by the caller."""
    s = streams[x]
    s.carried = 0
    s.skip = 0
    s.optional = 0
    s.requests = 0
    s.mode = SYNCED if is_modbus else UNDECIDED
    s.tries = 0
    s.doubt = 1 if joined else 0
    s.blemish = 0
    s.joined = 1 if joined else 0


@kernel(inline=True)
def add_frame(
    streams: Table,
    pending: Table,
    rows: Table,
    pool: Table,
    tally: Table,
    source: Table,
    x: int,
    octets: Table,
    at: int,
    size: int,
    defect: int,
    is_copy: bool,
) -> None:
    """One row for the unit of ``size`` octets behind the header that begins ``at``."""
    transaction, unit = word(octets, at), byte(octets, at + 6)
    add_message(
        streams, pending, rows, pool, tally, source, x, x % 2 == 0, _MODBUS, transaction, unit, octets, at + 7, size, defect, is_copy
    )


@kernel
def lose(streams: Table, carry: Table, pending: Table, rows: Table, pool: Table, tally: Table, source: Table, x: int, missing: int) -> None:
    """So many octets of this direction were not heard (-1: unknown how many, or the stream has ended)."""
    s = streams[x]
    if s.mode == FOREIGN:
        return
    held = s.carried
    s.carried = 0
    is_aligned = False
    if s.mode == SYNCED and held > s.optional:
        is_request = x % 2 == 0
        octets = carry[s.carry - 1]
        if held < 8:
            add_piece(rows, pool, tally, source, _MODBUS, octets, 0, held, is_request, _TRUNCATED)
        else:
            add_frame(streams, pending, rows, pool, tally, source, x, octets, 0, held - 7, _TRUNCATED, False)
            whole = 6 + word(octets, 4)
            if word(octets, 2) == 0 and 2 <= whole - 6 <= MAX_LENGTH_FIELD and 0 < missing <= whole - held:
                s.skip = whole - held - missing
                is_aligned = True
    elif s.skip > 0 and 0 < missing <= s.skip:
        s.skip -= missing
        is_aligned = True
    s.optional = 0
    if not is_aligned:
        s.skip = 0
        s.blemish = _STREAM_GAP
        s.doubt = 1
        s.joined = 1
        if s.mode == HUNTING:
            s.mode = SYNCED


@kernel
def carry_row(streams: Table, carry: Table, tally: Table, x: int) -> int:
    """Where the beginning of a frame of stream x may wait: the row that it had, or the one that was given away longest ago."""
    s = streams[x]
    row = int(np.int64(s.carry)) - 1
    if row >= 0 and little32(carry[row], CARRY_OCTETS) == x + 1:
        return row
    row = tally[0].carry_at
    tally[0].carry_at = (row + 1) % len(carry)
    owner = little32(carry[row], CARRY_OCTETS) - 1
    if owner >= 0 and streams[owner].carried > 0:
        other = streams[owner]
        tally[0].skipped += other.carried
        other.carried = 0
        other.optional = 0
        other.blemish = _STREAM_GAP
        other.doubt = 1
        other.joined = 1
    for place in range(OWNER_OCTETS):
        carry[row, CARRY_OCTETS + place] = ((x + 1) >> (8 * place)) & 0xFF
    s.carry = row + 1
    return row


@kernel
def weigh_candidate(octets: Table, at: int, size: int, is_request: bool) -> int:
    """Does a convincing frame begin here?  1 yes, 0 no, -1 cannot say with ``size`` octets."""
    if size < 8:
        return -1
    length = word(octets, at + 4)
    if word(octets, at + 2) != 0 or not 2 <= length <= _MAX_LENGTH_BY_STANDARD:
        return 0
    return is_convincing(octets, at + 7, size - 7, length - 1, is_request)


@kernel
def exchange(streams: Table, source: Table, x: int) -> None:
    """Stream x turns out to be the other side's: what is known of the two changes places."""
    mine, other, heard = streams[x], streams[x ^ 1], source[0]
    mine.joined, other.joined = other.joined, mine.joined
    mine.blemish, other.blemish = other.blemish, mine.blemish
    mine.doubt, other.doubt = other.doubt, mine.doubt
    mine.mode = UNDECIDED
    other.mode = UNDECIDED
    mine.carried = 0
    other.carried = 0
    heard.client, heard.server = heard.server, heard.client
    heard.port = heard.client_port


@kernel(inline=True)
def feed(
    streams: Table,
    carry: Table,
    pending: Table,
    scratch: Table,
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
) -> int:
    """Take ``octets[start:end]``, before which ``missing`` and behind which ``cut`` octets were not heard.

    NOTHING_SEEN, IS_MODBUS, or SIDES_SWAPPED: it is Modbus, and the side that was taken for the client's is the server's; the streams were
    exchanged, and the caller exchanges its idea of them.  ``is_copy``: the same place of the stream was heard before with other content;
    its frames become rows, but change nothing.
    """
    s = streams[x]
    if s.mode == FOREIGN or (is_copy and s.mode == UNDECIDED):
        return NOTHING_SEEN
    is_request = x % 2 == 0
    seen = NOTHING_SEEN
    if missing != 0 and not is_copy:
        lose(streams, carry, pending, rows, pool, tally, source, x, missing)
    buffer, p, stop = octets, start, end
    mode = s.mode
    if is_copy:
        mode = SYNCED
        if s.carried > 0:
            s.blemish = _CONTRADICTING_COPY
    else:
        if s.carried > 0 and s.blemish == _CONTRADICTING_COPY and weigh_candidate(octets, p, stop - p, is_request) > 0:
            lose(streams, carry, pending, rows, pool, tally, source, x, -1)  # its beginning was forged: it would swallow what follows
        if s.skip > 0:
            passed = min(s.skip, stop - p)
            p += passed
            s.skip -= passed
        if s.carried > 0 and p < stop:
            held = s.carried
            move(scratch, 0, carry[s.carry - 1], 0, held)
            move(scratch, held, octets, p, stop - p)
            buffer, p, stop = scratch, 0, held + stop - p
            s.carried = 0
    while p < stop:
        n = stop - p
        if n < 8:
            break
        if mode != SYNCED:
            fits = weigh_candidate(buffer, p, n, is_request)
            if fits < 0:
                break
            if fits == 0 and mode == UNDECIDED and streams[x ^ 1].requests == 0 and weigh_candidate(buffer, p, n, not is_request) > 0:
                exchange(streams, source, x)
                x ^= 1
                s = streams[x]
                is_request = not is_request
                seen = SIDES_SWAPPED
                fits = 1
            if fits == 0:
                if mode == HUNTING:
                    p += 1
                    tally[0].skipped += 1
                    continue
                s.tries += 1
                p = stop
                if s.joined == 0 or s.tries >= JOIN_TRIES:
                    mode = FOREIGN
                break
            mode = SYNCED
            other = streams[x ^ 1]
            if other.mode in (UNDECIDED, FOREIGN):
                other.mode = SYNCED
                other.carried = 0
        if s.optional > 0 and not is_copy:
            if word(buffer, p + 2) != 0 or not 2 <= word(buffer, p + 4) <= _MAX_LENGTH_BY_STANDARD:
                if n < s.optional:
                    break
                p += s.optional
                s.doubt = 1
            s.optional = 0
            continue
        length = word(buffer, p + 4)
        own = own_length(buffer, p + 7, n - 7, is_request)
        take, defect, doubt, optional = -1, _NONE, 0, 0
        if word(buffer, p + 2) == 0:
            if 2 <= length <= MAX_LENGTH_FIELD:
                take = length - 1
                if length > _MAX_LENGTH_BY_STANDARD:
                    defect = _BAD_LENGTH
                if own == MORE:
                    if n < 7 + take:
                        break
                    defect = _BAD_LENGTH
                elif own not in (SILENT, take) and second_length(buffer, p + 7, is_request) != take:
                    optional = abs(own - take)
                    take = min(own, take)
                    defect = _BAD_LENGTH
            else:
                if own == MORE:
                    break
                take = own if 1 <= own <= MAX_PDU_OCTETS else 1
                defect = _BAD_LENGTH
                doubt = 1
        elif 2 <= length <= MAX_LENGTH_FIELD:
            if own == MORE and n < 6 + length:
                break
            if own == length - 1:
                take = own
                defect = _BAD_PROTOCOL_ID
        if take < 0:
            if is_copy:
                break
            if s.doubt == 0:
                add_piece(rows, pool, tally, source, _MODBUS, buffer, p, GARBAGE_OCTETS, is_request, _GARBAGE)
            s.doubt = 1
            mode = HUNTING
            p += 1
            tally[0].skipped += 1
            continue
        if n < 7 + take:
            break
        add_frame(streams, pending, rows, pool, tally, source, x, buffer, p, take, defect, is_copy)
        seen = max(seen, IS_MODBUS)
        p += 7 + take
        if not is_copy:
            s.doubt = doubt
            s.optional = optional if optional <= MAX_LENGTH_FIELD else 0
    if not is_copy:
        s.mode = mode
        rest = min(stop - p, CARRY_OCTETS) if mode != FOREIGN else 0
        if rest > 0:
            move(carry[carry_row(streams, carry, tally, x)], 0, buffer, p, rest)
            s.carried = rest
        if cut > 0:
            lose(streams, carry, pending, rows, pool, tally, source, x, cut)
    return seen
