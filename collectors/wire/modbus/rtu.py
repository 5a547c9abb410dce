"""One direction of a connection that carries Modbus RTU frames in TCP, as serial gateways do: octets in, one row per frame out.

A frame is a unit's number, a protocol data unit and a CRC (Modbus over Serial Line V1.02, 2.5.1); nothing says where it begins.  It is as
long as the unit's own fields ask for, or, where a function has no such fields, as short as its CRC fits.  Octets that fit no frame are one
row per run, BAD_CHECK where only the CRC was wrong, else GARBAGE, with the first eight as evidence; nothing is read out of them.  The next
frame that fits in every field and in its CRC ends the run.  A serial line knows no transactions: a unit is asked one thing at a time, its
response answers the newest request, and what it was asked before is forgotten.

The caller keeps to the rules of `collectors.wire.modbus.stream`, has seen a whole frame (`collectors.wire.serial`) before the first call,
and has opened the streams as Modbus.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

from collectors.compiled import kernel, move
from collectors.wire.loads import byte
from collectors.wire.modbus.layout import FREE, GARBAGE_OCTETS, HUNTING, OPEN, PENDING_PER_FLOW, SYNCED
from collectors.wire.modbus.pdu import MORE, SILENT, is_convincing, is_public, own_length
from collectors.wire.modbus.rows import add_message, add_piece
from collectors.wire.modbus.stream import carry_row
from collectors.wire.serial import MOST_RTU, MOST_UNIT, has_crc, octets_to_crc
from sentinel.model.protocol import Defect, Protocol

Table = Any  # a numpy record array of `layout`, or octets

_RTU = int(Protocol.MODBUS_RTU_TCP)
_NONE, _TRUNCATED, _GARBAGE = int(Defect.NONE), int(Defect.TRUNCATED), int(Defect.GARBAGE)
_BAD_CHECK, _STREAM_GAP = int(Defect.BAD_CHECK), int(Defect.STREAM_GAP)

_AROUND = 3  # octets of a frame that are not its unit's: the number, the CRC
_ENCAPSULATED, _DIAGNOSTICS, _DIAGNOSTICS_OCTETS, _IDENTIFICATION = 43, 8, 5, 14
MISFIT = -1  # no frame begins here


@kernel
def frame_octets(octets: Table, at: int, size: int, is_request: bool) -> int:
    """Octets of the frame that begins here; MORE = cannot say with ``size``; MISFIT; -n = one of n octets, but for its CRC."""
    if size < 2:
        return MORE
    function = byte(octets, at + 1)
    if byte(octets, at) > MOST_UNIT or function & 0x7F == 0 or (is_request and function >= 0x80):
        return MISFIT
    own = own_length(octets, at + 1, size - 1, is_request)
    if own == MORE:
        return MORE
    if own == SILENT:
        whole = octets_to_crc(octets, at, min(size, MOST_RTU))
        if whole > 0:
            return whole
        return MORE if size < MOST_RTU else MISFIT
    whole = own + _AROUND
    if whole > MOST_RTU:
        return MISFIT
    if size < whole:
        return MORE
    return whole if has_crc(octets, at, whole) else -whole


@kernel
def found_octets(octets: Table, at: int, size: int, is_request: bool) -> int:
    """As `frame_octets`, where a frame is looked for among other octets: one that convinces in every field, or MISFIT."""
    if size < 2:
        return MORE
    function = byte(octets, at + 1)
    if byte(octets, at) > MOST_UNIT or not is_public(function & 0x7F):
        return MISFIT
    own = _DIAGNOSTICS_OCTETS if function == _DIAGNOSTICS else own_length(octets, at + 1, size - 1, is_request)
    if own == MORE:
        return MORE
    if own > 0:
        whole = own + _AROUND
        if whole > MOST_RTU or is_convincing(octets, at + 1, size - 1, own, is_request) == 0:
            return MISFIT
        if size < whole:
            return MORE
        return whole if has_crc(octets, at, whole) else MISFIT
    if function != _ENCAPSULATED or (size > 2 and byte(octets, at + 2) != _IDENTIFICATION):
        return MISFIT
    whole = frame_octets(octets, at, size, is_request)
    return whole if whole >= 0 else MISFIT


@kernel
def forget_waiting(pending: Table, tally: Table, f: int, unit: int, requests: int) -> None:
    """This unit is asked anew; so many requests took a place on this connection."""
    for i in range(min(requests, PENDING_PER_FLOW)):
        waiting = pending[i, f]
        if waiting.state == OPEN and waiting.transaction == unit:
            waiting.state = FREE
            tally[0].forgotten += 1


@kernel
def scan(
    streams: Table,
    pending: Table,
    rows: Table,
    pool: Table,
    tally: Table,
    source: Table,
    x: int,
    octets: Table,
    p: int,
    stop: int,
    is_last: bool,
    is_copy: bool,
) -> int:
    """Rows for the frames in ``octets[p:stop]``.  Where the octets begin that wait for more; with ``is_last`` none do."""
    s = streams[x]
    is_request = x % 2 == 0
    while p < stop:
        n = stop - p
        is_hunting = s.mode == HUNTING and not is_copy
        size = found_octets(octets, p, n, is_request) if is_hunting else frame_octets(octets, p, n, is_request)
        if size == MORE and not is_last:
            break
        if size > 0:
            unit = byte(octets, p)
            if is_request and not is_copy:
                forget_waiting(pending, tally, x // 2, unit, s.requests)
            pdu, pdu_octets = p + 1, size - _AROUND
            add_message(streams, pending, rows, pool, tally, source, x, is_request, _RTU, -1, unit, octets, pdu, pdu_octets, _NONE, is_copy)
            p += size
            if not is_copy:
                s.mode = SYNCED
                s.doubt = 0
            continue
        if is_copy:
            break
        if s.doubt == 0:
            evidence, defect = GARBAGE_OCTETS, _GARBAGE
            if size == MORE:
                defect = _TRUNCATED
            elif size < MISFIT:
                evidence, defect = min(GARBAGE_OCTETS, -size), _BAD_CHECK
            if n < evidence:
                if not is_last:
                    break
                evidence = n
            add_piece(rows, pool, tally, source, _RTU, octets, p, evidence, is_request, defect)
        s.doubt = 1
        s.mode = HUNTING
        p += 1
        tally[0].skipped += 1
    return p


@kernel
def lose(streams: Table, carry: Table, pending: Table, rows: Table, pool: Table, tally: Table, source: Table, x: int) -> None:
    """Octets of this direction were not heard, or it has ended: what waited is all there is, and the next frame has to be found."""
    s = streams[x]
    held = s.carried
    s.carried = 0
    scan(streams, pending, rows, pool, tally, source, x, carry[max(0, s.carry - 1)], 0, held, True, False)
    s.mode = HUNTING
    s.doubt = 1
    s.blemish = _STREAM_GAP
    s.joined = 1


@kernel
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
) -> None:
    """Take ``octets[start:end]``; ``missing``, ``cut`` and ``is_copy`` as for Modbus/TCP."""
    if is_copy:
        scan(streams, pending, rows, pool, tally, source, x, octets, start, end, False, True)
        return
    s = streams[x]
    if missing != 0:
        lose(streams, carry, pending, rows, pool, tally, source, x)
    if start < end:
        buffer, p, stop = octets, start, end
        held = s.carried
        if held > 0:
            move(scratch, 0, carry[s.carry - 1], 0, held)
            move(scratch, held, octets, start, end - start)
            buffer, p, stop = scratch, 0, held + end - start
        p = scan(streams, pending, rows, pool, tally, source, x, buffer, p, stop, False, False)
        s.carried = stop - p  # less than the longest frame
        if p < stop:
            move(carry[carry_row(streams, carry, tally, x)], 0, buffer, p, stop - p)
    if cut > 0:
        lose(streams, carry, pending, rows, pool, tally, source, x)
