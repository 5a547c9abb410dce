"""The bodies of services that name nodes: rows of `uses.USE`, one for each node that a message reads, writes, calls, publishes, browses,
adds or deletes, and one for each text in which a server says what it is.  A module for each service set; OPC 10000-4, clause 5, for the
parameters, OPC 10000-6, 5.2.6 for how they are encoded.  `read_bodies` takes rows of `Messages` and stops before its output could overflow.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

import numpy as np

from collectors.compiled import kernel
from collectors.wire.loads import byte, little32
from collectors.wire.opcua.attribute import history_asked, read_asked, read_told, results_told, update_asked, write_asked
from collectors.wire.opcua.body import DEEP, FORBIDDEN, NO_TEXT, after_request_header, after_response_header, service_octets
from collectors.wire.opcua.chunk import ABORTED, CONTINUED, signature_octets, type_of
from collectors.wire.opcua.method import call_asked, calls_told
from collectors.wire.opcua.nodes import add_part, begin_part, find_part, remember_signature, signature_of
from collectors.wire.opcua.subscription import items_asked, publish_told
from collectors.wire.opcua.uses import USES
from collectors.wire.opcua.view import adding_asked, browse_asked, deleting_asked
from sentinel.model.opcua import MAX_MESSAGE_OCTETS, SERVICES, MessageType
from sentinel.model.protocol import Defect, MessageKind

Table = Any  # a numpy record array, or octets

_REQUEST = int(MessageKind.REQUEST)
_OPEN = int(MessageType.OPEN)
_NO_DEFECT, _STREAM_GAP = int(Defect.NONE), int(Defect.STREAM_GAP)
_BAD_LENGTH, _BAD_VALUE, _BAD_TEXT = int(Defect.BAD_LENGTH), int(Defect.BAD_VALUE), int(Defect.BAD_TEXT)

_READ_ASKED, _READ_TOLD = SERVICES["Read"]
_WRITE_ASKED, _WRITE_TOLD = SERVICES["Write"]
_CALL_ASKED, _CALL_TOLD = SERVICES["Call"]
_BROWSE_ASKED = SERVICES["Browse"][0]
_ITEMS_ASKED = SERVICES["CreateMonitoredItems"][0]
_PUBLISH_TOLD = SERVICES["Publish"][1]
_ADD_ASKED, _DELETE_ASKED = SERVICES["AddNodes"][0], SERVICES["DeleteNodes"][0]
_HISTORY_ASKED, _UPDATE_ASKED = SERVICES["HistoryRead"][0], SERVICES["HistoryUpdate"][0]
READABLE = (
    _READ_ASKED, _READ_TOLD, _WRITE_ASKED, _WRITE_TOLD, _CALL_ASKED, _CALL_TOLD, _BROWSE_ASKED, _ITEMS_ASKED, _PUBLISH_TOLD, _ADD_ASKED,
    _DELETE_ASKED, _HISTORY_ASKED, _UPDATE_ASKED,
)  # fmt: skip
_READABLE = np.array(READABLE)
_BODY = 16 + 8  # message header, channel, token, sequence header


@kernel
def read_body(
    m: Any, uses: Table, said: int, octets: Table, at: int, end: int, message: int, service: int, flow: int, conduit: int, request: int
) -> tuple[int, int]:
    """(uses that are there, where the body ends or what is wrong with it) of the body in ``octets[at:end]``, its type first."""
    at = service_octets(octets, at, end)
    is_answer = service in (_READ_TOLD, _WRITE_TOLD, _CALL_TOLD, _PUBLISH_TOLD)
    at = after_response_header(octets, at, end, m.stack) if is_answer else after_request_header(octets, at, end)
    if at < 0:
        return said, at
    if service == _READ_ASKED:
        return read_asked(m, uses, said, octets, at, end, flow, request)
    if service == _READ_TOLD:
        return read_told(m, uses, said, octets, at, end, message, flow, request)
    if service == _WRITE_ASKED:
        return write_asked(m, uses, said, octets, at, end, message, flow, request)
    if service == _WRITE_TOLD:
        return results_told(m, uses, said, octets, at, end, message, flow, request)
    if service == _CALL_ASKED:
        return call_asked(m, uses, said, octets, at, end, message, flow, request)
    if service == _CALL_TOLD:
        return calls_told(m, uses, said, octets, at, end, message, flow, request)
    if service == _ITEMS_ASKED:
        return items_asked(m, uses, said, octets, at, end, message, flow, conduit)
    if service == _PUBLISH_TOLD:
        return publish_told(m, uses, said, octets, at, end, message, flow, conduit)
    if service == _BROWSE_ASKED:
        return browse_asked(m, uses, said, octets, at, end, message)
    if service == _ADD_ASKED:
        return adding_asked(m, uses, said, octets, at, end, message)
    if service == _DELETE_ASKED:
        return deleting_asked(m, uses, said, octets, at, end, message)
    if service == _HISTORY_ASKED:
        return history_asked(m, uses, said, octets, at, end, message)
    return update_asked(m, uses, said, octets, at, end, message)


@kernel
def defect_of(place: int, is_cut: bool) -> int:
    """Of a body that was read up to ``place``.  What we have cut is no defect of the sender's; octets behind the end are a signature."""
    if place in (DEEP, FORBIDDEN):
        return _BAD_VALUE
    if place == NO_TEXT:
        return _BAD_TEXT
    return _BAD_LENGTH if place < 0 and not is_cut else _NO_DEFECT


@kernel
def is_readable(service: int) -> bool:
    for known in _READABLE:  # noqa: SIM110  a generator cannot be compiled
        if known == service:
            return True
    return False


@kernel
def read_bodies(
    m: Any,
    uses: Table,
    rows: Table,
    first: int,
    pool: Table,
    starts: Table,
    sizes: Table,
    functions: Table,
    kinds: Table,
    flows: Table,
    requests: Table,
    defects: Table,
    conduits: Table,
) -> tuple[int, int]:
    """(which of ``rows`` comes next, uses that were written).  Marks in ``defects`` what a whole body has wrong.

    ``conduits``: which client and server each of ``rows`` is between, whatever the connection.
    """
    said, which = 0, first
    while which < len(rows) and said <= USES:
        row, conduit = rows[which], conduits[which]
        which += 1
        at, kept, service = starts[row], sizes[row], int(functions[row])
        if kept < _BODY or defects[row] not in (_NO_DEFECT, _STREAM_GAP):
            continue
        size, final = little32(pool, at + 4), byte(pool, at + 3)
        if size < kept or size > MAX_MESSAGE_OCTETS:
            continue
        flow, request, from_client = int(flows[row]), int(requests[row]), 1 if kinds[row] == _REQUEST else 0
        if type_of(pool, at) == _OPEN:
            remember_signature(m, flow, signature_octets(pool, at, kept))
            continue
        part = find_part(m, flow, request, from_client)
        if service < 0 or not is_readable(service):  # the last chunk of a message that its sender gives up bears no service
            if final == ABORTED and part >= 0:
                m.parts[part].used = 0
            continue
        is_cut, end = size > kept, max(at + _BODY, at + min(kept, size - signature_of(m, flow)))
        if final == CONTINUED or part >= 0:
            if part < 0:
                part = begin_part(m, flow, request, from_client)
            add_part(m, part, pool, at + _BODY, end)
            if is_cut:
                m.parts[part].is_cut = 1
            if final == CONTINUED:
                continue
            end, is_cut = m.parts[part].size, m.parts[part].is_cut == 1
            said, place = read_body(m, uses, said, m.part_octets[part], 0, end, row, service, flow, conduit, request)
            m.parts[part].used = 0
        else:
            said, place = read_body(m, uses, said, pool, at + _BODY, end, row, service, flow, conduit, request)
        if is_cut:
            m.state[0].bodies_cut += 1
        wrong = defect_of(place, is_cut or part >= 0)  # where the channel was opened before we heard, signatures lie between the chunks
        if wrong != _NO_DEFECT:
            defects[row] = wrong
    return which, said
