"""Rows of `Messages` from units that were found, and the pairing of responses with requests.

The caller fills ``source`` (time, frame, names) and has room in ``rows`` and ``pool``; ``tally`` says how far they are written.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

import numpy as np

from collectors.compiled import kernel, move, natural
from collectors.wire.loads import byte
from collectors.wire.loads import word16 as word
from collectors.wire.modbus.layout import ANSWERED, OPEN, PENDING_PER_FLOW
from collectors.wire.modbus.pdu import parse_request, parse_response
from sentinel.model.protocol import Defect, MessageKind

Table = Any  # a numpy record array of `layout`, or octets

_REQUEST, _RESPONSE, _EXCEPTION = int(MessageKind.REQUEST), int(MessageKind.RESPONSE), int(MessageKind.EXCEPTION)
_NONE = int(Defect.NONE)
_BAD_VALUE = int(Defect.BAD_VALUE)
_STREAM_GAP = int(Defect.STREAM_GAP)
_UNSOLICITED = int(Defect.UNSOLICITED)
_CONTRADICTING_COPY = int(Defect.CONTRADICTING_COPY)
_LAST_PLACE = PENDING_PER_FLOW - 1  # a power of two less one


@kernel(inline=True)
def copy_out(pool: Table, tally: Table, octets: Table, at: int, size: int) -> int:
    start = tally[0].pool
    move(pool, start, octets, at, size)
    tally[0].pool = start + size
    return start


@kernel(inline=True)
def begin_row(rows: Table, tally: Table, source: Table, protocol: int) -> Any:
    """The index of a row with everything that does not depend on the octets; the caller writes all the others."""
    at = np.uint64(tally[0].rows)
    tally[0].rows += 1
    out, heard = rows[0], source[0]
    out.time[at] = heard.time
    out.frame[at] = heard.frame
    out.flow[at] = heard.flow
    out.client[at] = heard.client
    out.server[at] = heard.server
    out.source_mac[at] = heard.source_mac
    out.target_mac[at] = heard.target_mac
    out.port[at] = heard.port
    out.protocol[at] = protocol
    return at


@kernel(inline=True)
def leave_open(rows: Table, at: Any) -> None:
    """Nothing is known of what the octets would tell."""
    out = rows[0]
    out.transaction[at] = -1
    out.unit[at] = -1
    out.function[at] = -1
    out.subfunction[at] = -1
    out.address[at] = -1
    out.quantity[at] = -1
    out.exception[at] = 0
    out.latency[at] = -1
    out.value_octets[at] = 0


@kernel
def add_piece(
    rows: Table, pool: Table, tally: Table, source: Table, protocol: int, octets: Table, at: int, size: int, is_request: bool, defect: int
) -> None:
    """A row for octets that are no unit: the beginning of one that was cut, or what fits no frame."""
    out, row = rows[0], begin_row(rows, tally, source, protocol)
    start = copy_out(pool, tally, octets, at, size)
    leave_open(rows, row)
    out.kind[row] = _REQUEST if is_request else _RESPONSE
    out.pdu_start[row] = start
    out.pdu_octets[row] = size
    out.value_start[row] = start
    out.defect[row] = defect


@kernel(inline=True)
def find_request(pending: Table, streams: Table, f: int, transaction: int, function: int, answered_too: bool) -> int:
    """The newest request of that number and function that waits; -1 = none."""
    newest = streams[2 * f].requests
    for back in range(1, PENDING_PER_FLOW + 1):
        if back > newest:
            break
        i = (newest - back) & _LAST_PLACE
        known = pending[i, f]
        if (
            (known.state == OPEN or (answered_too and known.state == ANSWERED))
            and known.transaction == transaction
            and known.function == function
        ):
            return i
    return -1


@kernel(inline=True)
def add_message(
    streams: Table,
    pending: Table,
    rows: Table,
    pool: Table,
    tally: Table,
    source: Table,
    x: int,
    is_request: bool,
    protocol: int,
    transaction: int,
    unit: int,
    octets: Table,
    pdu: int,
    size: int,
    defect: int,
    is_copy: bool,
) -> None:
    """One row for the unit of ``size`` octets that begins at ``pdu``; pairs it unless it ``is_copy`` of what was heard before.

    ``transaction`` is -1 where the framing has none: then requests are told apart by whom they ask.
    """
    out, row = rows[0], begin_row(rows, tally, source, protocol)
    f = natural(x >> 1)
    s, client_side = streams[natural(x)], streams[natural(2 * f)]
    start = copy_out(pool, tally, octets, pdu, size)
    key = transaction if transaction >= 0 else unit
    said = _NONE
    kind = _REQUEST if is_request else _RESPONSE
    function, sub, address, quantity, exception, latency, value, value_octets = -1, -1, -1, -1, 0, -1, 0, 0
    if size > 0:
        first = byte(octets, pdu)
        function = first if is_request else first & 0x7F
        if is_request:
            sub, address, quantity, value, value_octets, said = parse_request(octets, pdu, size)
            if not is_copy:
                if s.requests == 0 or pending[(s.requests - 1) & _LAST_PLACE, f].state != ANSWERED:
                    s.requests += 1
                asked = pending[(s.requests - 1) & _LAST_PLACE, f]
                if s.requests > PENDING_PER_FLOW and asked.state == OPEN:  # before, the place is another connection's that is over
                    tally[0].forgotten += 1
                asked.state = OPEN
                asked.time = source[0].time
                asked.transaction = key
                asked.function = first & 0x7F
                asked.subfunction = sub
                asked.address = address
                asked.quantity = quantity
                asked.value = word(octets, pdu + 3) if first in (5, 6) and size >= 5 else -1
                if first == 23 and size >= 5:
                    asked.address = word(octets, pdu + 1)
                    asked.quantity = word(octets, pdu + 3)
        else:
            i = find_request(pending, streams, f, key, function, is_copy)
            expected = -1
            if i >= 0:
                asked = pending[i, f]
                address, quantity, expected, sub = int(asked.address), int(asked.quantity), int(asked.value), int(asked.subfunction)
                latency = max(0, source[0].time - asked.time)
                if not is_copy:
                    asked.state = ANSWERED
                    client_side.joined = 0
            elif client_side.joined:
                said = _STREAM_GAP
            else:
                said = _UNSOLICITED
            if first >= 0x80:
                kind = _EXCEPTION
                if size >= 2:
                    exception = byte(octets, pdu + 1)
                    if not 1 <= exception <= 11:
                        said = _BAD_VALUE
            else:
                own_sub, address, quantity, value, value_octets, wrong = parse_response(octets, pdu, size, address, quantity, expected)
                if own_sub >= 0:
                    sub = own_sub
                if wrong != _NONE:
                    said = wrong
    if is_copy:
        said = _CONTRADICTING_COPY
    elif defect != _NONE:
        said = defect
    elif said == _NONE:
        said = int(s.blemish)
    out.kind[row] = kind
    out.transaction[row] = transaction
    out.unit[row] = unit
    out.function[row] = function
    out.subfunction[row] = sub
    out.address[row] = address
    out.quantity[row] = quantity
    out.exception[row] = exception
    out.latency[row] = latency
    out.pdu_start[row] = start
    out.pdu_octets[row] = size
    out.value_start[row] = start + value
    out.value_octets[row] = value_octets
    out.defect[row] = said
    if not is_copy:
        s.blemish = 0
