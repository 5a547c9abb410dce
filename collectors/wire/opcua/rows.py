"""Rows of `Messages` from chunks that were found, and the pairing of responses with requests (OPC 10000-6, 6.7).

What a row's columns mean is told in `stream`.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

from collectors.compiled import kernel
from collectors.wire.loads import byte, little32
from collectors.wire.modbus.rows import begin_row, copy_out, leave_open
from collectors.wire.opcua.chunk import (
    ABORTED,
    FINAL,
    is_request_service,
    is_response_service,
    read_policy,
    read_service,
    smallest,
    type_of,
)
from collectors.wire.opcua.layout import CLEAR, PENDING_PER_FLOW, UNKNOWN
from sentinel.model.opcua import LEAST_BUFFER_OCTETS, SERVICE_FAULT, MessageType
from sentinel.model.protocol import Defect, MessageKind, Protocol

Table = Any  # a numpy record array of `layout`, or octets

_OPCUA = int(Protocol.OPCUA)
_REQUEST, _RESPONSE, _EXCEPTION = int(MessageKind.REQUEST), int(MessageKind.RESPONSE), int(MessageKind.EXCEPTION)
_NONE, _BAD_LENGTH, _BAD_VALUE = int(Defect.NONE), int(Defect.BAD_LENGTH), int(Defect.BAD_VALUE)
_UNKNOWN_FUNCTION, _STREAM_GAP = int(Defect.UNKNOWN_FUNCTION), int(Defect.STREAM_GAP)
_UNSOLICITED, _CONTRADICTING_COPY = int(Defect.UNSOLICITED), int(Defect.CONTRADICTING_COPY)
_HELLO, _ACKNOWLEDGE = int(MessageType.HELLO), int(MessageType.ACKNOWLEDGE)
_ERROR, _OPEN = int(MessageType.ERROR), int(MessageType.OPEN)
_CLOSE, _MESSAGE = int(MessageType.CLOSE), int(MessageType.MESSAGE)
_LAST_SEQUENCE = (1 << 32) - 1024  # from here on a sender may begin anew, below 1024 (6.7.2.4)


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
    if kind in (_HELLO, _ACKNOWLEDGE) and said == _NONE and not is_copy and kept >= 16 and streams[x ^ 1].most == 0:
        streams[x ^ 1].most = max(LEAST_BUFFER_OCTETS, little32(octets, at + 12))  # ReceiveBufferSize, of either
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
    if said == _NONE and s.most > 0 and size > s.most:
        said = _BAD_LENGTH
    if is_copy:
        out.defect[row] = _CONTRADICTING_COPY
    elif defect != _NONE:
        out.defect[row] = defect
    elif said != _NONE:
        out.defect[row] = said
    else:
        out.defect[row] = s.blemish
    if not is_copy:
        s.blemish = 0
