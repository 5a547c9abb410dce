"""The bodies of services that name nodes: rows of `USE`, one for each node that a message reads, writes, calls, publishes, browses, adds or
deletes, and one for each text in which a server says what it is.  OPC 10000-4, clause 5, for the parameters; OPC 10000-6, 5.2.6 for how
they are encoded.

A read's values come with its response, which names no nodes: the request's are remembered.  A published value bears the handle that its
monitored item was created with.  `read_bodies` takes rows of `Messages` and stops before its output could overflow.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

import numpy as np

from collectors.compiled import kernel
from collectors.wire.loads import byte, little16, little32
from collectors.wire.opcua.body import (
    BOOLEAN,
    CUT,
    DATA_VALUE,
    DEEP,
    DIAGNOSTIC,
    DOUBLE,
    EXTENSION,
    FIXED,
    FORBIDDEN,
    MASK_SOURCE,
    MASK_STATUS,
    MASK_VALUE,
    NO_TEXT,
    STATUS,
    STRING,
    VARIANT,
    after,
    after_extension,
    after_node,
    after_request_header,
    after_response_header,
    after_string,
    after_text,
    after_values,
    count_at,
    little64,
    number_bits,
    service_octets,
    trailer_octets,
)
from collectors.wire.opcua.chunk import ABORTED, CONTINUED, signature_octets, type_of
from collectors.wire.opcua.nodes import (
    NONE,
    PART_OCTETS,
    add_asked,
    add_part,
    begin_ask,
    begin_part,
    find_ask,
    find_part,
    node_asked,
    node_of_item,
    remember_item,
    remember_node,
    remember_signature,
    signature_of,
)
from sentinel.model.opcua import MAX_MESSAGE_OCTETS, SERVICES, MessageType
from sentinel.model.protocol import Defect, MessageKind, Topic

Table = Any  # a numpy record array, or octets

USE = np.dtype(
    [
        ("message", "i8"),  # its row
        ("node", "i8"),  # its row in `Memory.nodes`; NONE = not told
        ("made", "i8"),  # so that a row which holds another node by now is noticed
        ("bits", "i8"),  # the number, as `number_bits` gives it
        ("stamped", "i8"),  # the source's time, 100 ns since 1601; 0 = not told
        ("status", "i8"),  # StatusCode; -1 = not told
        ("topic", "u1"),
        ("type", "u1"),  # built-in type of a scalar number; 0 = no number
    ],
    align=True,
)
USES = 8_192
MOST_USES = PART_OCTETS  # of one message: each takes an octet at least
ROOM = USES + MOST_USES

_REQUEST = int(MessageKind.REQUEST)
_OPEN = int(MessageType.OPEN)
_NO_DEFECT, _STREAM_GAP = int(Defect.NONE), int(Defect.STREAM_GAP)
_BAD_LENGTH, _BAD_VALUE, _BAD_TEXT = int(Defect.BAD_LENGTH), int(Defect.BAD_VALUE), int(Defect.BAD_TEXT)
_READ, _PUBLISHED, _WRITTEN = int(Topic.VALUE_READ), int(Topic.VALUE_PUBLISHED), int(Topic.VALUE_WRITTEN)
_RESULT, _CALLED, _CALL_RESULT = int(Topic.WRITE_RESULT), int(Topic.METHOD_CALLED), int(Topic.CALL_RESULT)
_BROWSED, _MONITORED = int(Topic.NODE_BROWSED), int(Topic.NODE_MONITORED)
_ADDED, _DELETED = int(Topic.NODE_ADDED), int(Topic.NODE_DELETED)
_HISTORY_READ, _HISTORY_UPDATED = int(Topic.HISTORY_READ), int(Topic.HISTORY_UPDATED)
_VENDOR, _PRODUCT, _FIRMWARE, _BUILD = int(Topic.VENDOR), int(Topic.PRODUCT), int(Topic.FIRMWARE), int(Topic.BUILD)
TEXTS = (Topic.VENDOR, Topic.PRODUCT, Topic.FIRMWARE, Topic.BUILD)  # a use of these names a text, not a node

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
_VALUE = 13  # attribute id (OPC 10000-6, A.1)
_SERVER_STATUS, _BUILD_INFO, _BUILD_NUMBER = 2256, 2260, 2265  # between the last two: product uri, vendor, product, version
_DATA_CHANGE = 811  # DataChangeNotification, binary
_BODY = 16 + 8  # message header, channel, token, sequence header


@kernel
def add_use(m: Any, uses: Table, said: int, message: int, topic: int, node: int) -> int:
    """``said`` uses are there already."""
    use = uses[said]
    use.message = message
    use.topic = topic
    use.node = node
    use.made = m.nodes[node].made if node >= 0 else 0
    use.bits = 0
    use.stamped = 0
    use.type = 0
    use.status = -1
    return said + 1


@kernel
def take_number(use: Table, octets: Table, at: int, end: int) -> None:
    """The number of the variant that begins here; an array or a text has none."""
    if at + 1 <= end:
        kind = byte(octets, at)
        if (BOOLEAN <= kind <= DOUBLE or kind == STATUS) and after(at + 1, FIXED[kind], end) >= 0:
            use.type = kind
            use.bits = number_bits(octets, at + 1, kind)


@kernel
def take_data_value(use: Table, octets: Table, at: int, end: int, stack: Table) -> int:
    """Number, status and time of a DataValue; the place behind it (OPC 10000-6, 5.2.2.17)."""
    behind = after_values(octets, at, end, DATA_VALUE, 1, stack)
    if behind < 0:
        return behind
    mask = byte(octets, at)
    if mask & MASK_VALUE:
        take_number(use, octets, at + 1, behind)
    p = behind - trailer_octets(mask)
    use.status = 0
    if mask & MASK_STATUS:
        use.status = little32(octets, p)
        p += 4
    if mask & MASK_SOURCE:
        use.stamped = little64(octets, p)
    return behind


@kernel
def after_read_value(octets: Table, at: int, end: int) -> int:
    """Behind the attribute of a ReadValueId: index range and data encoding."""
    return after_text(octets, after(after_text(octets, at, end), 2, end), end)


@kernel
def read_asked(m: Any, uses: Table, said: int, octets: Table, at: int, end: int, flow: int, request: int) -> tuple[int, int]:
    at = after(at, 12, end)
    count = count_at(octets, at, end)
    ask = begin_ask(m, flow, request)
    at = at + 4 if count >= 0 else count
    for _ in range(max(0, count)):
        behind = after(after_node(octets, at, end), 4, end)
        if behind < 0:
            return said, behind
        node = remember_node(m, octets, at, behind - 4) if little32(octets, behind - 4) == _VALUE else NONE
        add_asked(m, ask, node)
        at = after_read_value(octets, behind, end)
        if at < 0:
            return said, at
    return said, at


@kernel
def read_told(m: Any, uses: Table, said: int, octets: Table, at: int, end: int, message: int, flow: int, request: int) -> tuple[int, int]:
    count = count_at(octets, at, end)
    ask = find_ask(m, flow, request)
    at = at + 4 if count >= 0 else count
    for which in range(max(0, count)):
        node = node_asked(m, ask, which) if ask >= 0 else NONE
        add_use(m, uses, said, message, _READ, node)
        start = at
        at = take_data_value(uses[said], octets, start, end, m.stack)
        if at < 0:
            return said, at
        if uses[said].type and node >= 0:
            said += 1
        elif node >= 0 and build_node(m, node):
            said = build_told(m, uses, said, octets, start, at, message, build_node(m, node))
        elif uses[said].type and ask < 0:
            m.state[0].values_unnamed += 1
    if ask >= 0:
        m.asked[ask].count = 0
    return said, after_list(octets, at, end, DIAGNOSTIC, m.stack)


@kernel
def build_node(m: Any, node: int) -> int:
    """Which of the nodes that say what a server is (OPC 10000-6, annex A); 0 = none."""
    size, number = m.nodes[node].size, 0
    if size == 4 and byte(m.node_octets[node], 0) == 1 and byte(m.node_octets[node], 1) == 0:
        number = little16(m.node_octets[node], 2)
    elif size == 7 and byte(m.node_octets[node], 0) == 2 and little16(m.node_octets[node], 1) == 0:
        number = little32(m.node_octets[node], 3)
    return number if number == _SERVER_STATUS or _BUILD_INFO <= number <= _BUILD_NUMBER else 0


@kernel
def build_told(m: Any, uses: Table, said: int, octets: Table, at: int, end: int, message: int, which: int) -> int:
    """The texts of a DataValue that says what a server is: one of them, its BuildInfo, or the status that holds it (OPC 10000-5, 12.10)."""
    if not byte(octets, at) & MASK_VALUE:
        return said
    kind, at = byte(octets, at + 1), at + 2
    if kind == STRING and which > _BUILD_INFO:
        return add_text(m, uses, said, octets, at, end, message, which - _BUILD_INFO)
    if kind != EXTENSION or which not in (_SERVER_STATUS, _BUILD_INFO):
        return said
    form = after_node(octets, at, end)
    if form < 0 or form >= end or byte(octets, form) != 1:
        return said
    at = after(form + 5, 20 if which == _SERVER_STATUS else 0, end)  # start, current time, state
    for place in range(1, 6):
        behind = after_text(octets, at, end)
        if behind < 0:
            break
        said = add_text(m, uses, said, octets, at, behind, message, place)
        at = behind
    return said


@kernel
def add_text(m: Any, uses: Table, said: int, octets: Table, at: int, end: int, message: int, place: int) -> int:
    """A text stands among the node ids, as it is encoded; ``place`` counts the fields of a BuildInfo."""
    behind = after_text(octets, at, end)
    if place == 1 or behind <= at + 4:  # where its product lives on the web; nothing
        return said
    topic = _VENDOR if place == 2 else _PRODUCT if place == 3 else _FIRMWARE if place == 4 else _BUILD
    node = remember_node(m, octets, at, behind)
    return add_use(m, uses, said, message, topic, node) if node >= 0 else said


@kernel
def after_list(octets: Table, at: int, end: int, kind: int, stack: Table) -> int:
    count = count_at(octets, at, end)
    return after_values(octets, at + 4, end, kind, count, stack) if count >= 0 else count


@kernel
def write_asked(m: Any, uses: Table, said: int, octets: Table, at: int, end: int, message: int, flow: int, request: int) -> tuple[int, int]:
    count = count_at(octets, at, end)
    ask = begin_ask(m, flow, request)
    at = at + 4 if count >= 0 else count
    for _ in range(max(0, count)):
        behind = after(after_node(octets, at, end), 4, end)
        if behind < 0:
            return said, behind
        node, attribute = remember_node(m, octets, at, behind - 4), little32(octets, behind - 4)
        add_asked(m, ask, node)
        at = after_text(octets, behind, end)
        part = at > behind + 4  # an index range: an element of it, not the value
        add_use(m, uses, said, message, _WRITTEN, node)
        at = take_data_value(uses[said], octets, at, end, m.stack) if at >= 0 else at
        if at < 0:
            return said, at
        if attribute != _VALUE or part:
            uses[said].type = 0
        said += 1
    return said, at


@kernel
def results_told(
    m: Any, uses: Table, said: int, octets: Table, at: int, end: int, message: int, flow: int, request: int
) -> tuple[int, int]:
    """The status of each write of a request."""
    count = count_at(octets, at, end)
    ask = find_ask(m, flow, request)
    at = at + 4 if count >= 0 else count
    for which in range(max(0, count)):
        if at + 4 > end:
            return said, CUT
        said = add_use(m, uses, said, message, _RESULT, node_asked(m, ask, which) if ask >= 0 else NONE)
        uses[said - 1].status = little32(octets, at)
        at += 4
    if ask >= 0:
        m.asked[ask].count = 0
    return said, after_list(octets, at, end, DIAGNOSTIC, m.stack)


@kernel
def call_asked(m: Any, uses: Table, said: int, octets: Table, at: int, end: int, message: int, flow: int, request: int) -> tuple[int, int]:
    """The method is the node, its first argument the number."""
    count = count_at(octets, at, end)
    ask = begin_ask(m, flow, request)
    at = at + 4 if count >= 0 else count
    for _ in range(max(0, count)):
        method = after_node(octets, at, end)
        behind = after_node(octets, method, end)
        if behind < 0:
            return said, behind
        node = remember_node(m, octets, method, behind)
        add_asked(m, ask, node)
        add_use(m, uses, said, message, _CALLED, node)
        at = after_list(octets, behind, end, VARIANT, m.stack)
        if at < 0:
            return said, at
        if count_at(octets, behind, end) > 0:
            take_number(uses[said], octets, behind + 4, at)
        said += 1
    return said, at


@kernel
def calls_told(m: Any, uses: Table, said: int, octets: Table, at: int, end: int, message: int, flow: int, request: int) -> tuple[int, int]:
    count = count_at(octets, at, end)
    ask = find_ask(m, flow, request)
    at = at + 4 if count >= 0 else count
    for which in range(max(0, count)):
        status = after(at, 4, end)
        behind = after_list(octets, status, end, STATUS, m.stack)
        behind = after_list(octets, after_list(octets, behind, end, DIAGNOSTIC, m.stack), end, VARIANT, m.stack)
        if behind < 0:
            return said, behind
        said = add_use(m, uses, said, message, _CALL_RESULT, node_asked(m, ask, which) if ask >= 0 else NONE)
        uses[said - 1].status = little32(octets, at)
        at = behind
    if ask >= 0:
        m.asked[ask].count = 0
    return said, after_list(octets, at, end, DIAGNOSTIC, m.stack)


@kernel
def items_asked(m: Any, uses: Table, said: int, octets: Table, at: int, end: int, message: int, flow: int, conduit: int) -> tuple[int, int]:
    """From now on each client handle of the subscription stands for its node."""
    subscription = little32(octets, at) if at >= 0 and at + 8 <= end else 0
    at = after(at, 8, end)
    count = count_at(octets, at, end)
    at = at + 4 if count >= 0 else count
    for _ in range(max(0, count)):
        behind = after(after_node(octets, at, end), 4, end)
        parameters = after(after_read_value(octets, behind, end), 4, end)
        filter_ = after(parameters, 12, end)
        if filter_ < 0:
            return said, filter_
        node = remember_node(m, octets, at, behind - 4)
        is_value = little32(octets, behind - 4) == _VALUE
        remember_item(m, conduit, flow, subscription, little32(octets, parameters), node if is_value else NONE)
        if node >= 0:
            said = add_use(m, uses, said, message, _MONITORED, node)
        at = after(after_extension(octets, filter_, end), 5, end)
        if at < 0:
            return said, at
    return said, at


@kernel
def publish_told(
    m: Any, uses: Table, said: int, octets: Table, at: int, end: int, message: int, flow: int, conduit: int
) -> tuple[int, int]:
    subscription = little32(octets, at) if at >= 0 and at + 4 <= end else 0
    at = after(at, 4, end)
    count = count_at(octets, at, end)
    at = after(after(at + 4, 4 * count, end) if count >= 0 else count, 1 + 12, end)
    notifications = count_at(octets, at, end)
    at = at + 4 if notifications >= 0 else notifications
    for _ in range(max(0, notifications)):
        form = after_node(octets, at, end)
        behind = after_extension(octets, at, end)
        if behind < 0:
            return said, behind
        is_change = byte(octets, at) == 1 and byte(octets, at + 1) == 0 and little16(octets, at + 2) == _DATA_CHANGE
        if is_change and byte(octets, form) == 1:
            said, place = items_told(m, uses, said, octets, form + 5, behind, message, flow, conduit, subscription)
            if place < 0:
                return said, place
        at = behind
    return said, after_list(octets, after_list(octets, at, end, STATUS, m.stack), end, DIAGNOSTIC, m.stack)


@kernel
def items_told(
    m: Any, uses: Table, said: int, octets: Table, at: int, end: int, message: int, flow: int, conduit: int, subscription: int
) -> tuple[int, int]:
    """MonitoredItemNotifications (OPC 10000-4, 7.25.2)."""
    count = count_at(octets, at, end)
    at = at + 4 if count >= 0 else count
    for _ in range(max(0, count)):
        if at + 4 > end:
            return said, CUT
        node = node_of_item(m, conduit, flow, subscription, little32(octets, at))
        add_use(m, uses, said, message, _PUBLISHED, node)
        at = take_data_value(uses[said], octets, at + 4, end, m.stack)
        if at < 0:
            return said, at
        if uses[said].type and node >= 0:
            said += 1
        elif uses[said].type:
            m.state[0].values_unnamed += 1
    return said, at


@kernel
def nodes_asked(m: Any, uses: Table, said: int, octets: Table, at: int, end: int, message: int, service: int) -> tuple[int, int]:
    """Browse, AddNodes, DeleteNodes, HistoryRead, HistoryUpdate: the nodes that they name."""
    topic = _BROWSED
    if service == _BROWSE_ASKED:
        at = after(after_node(octets, at, end), 8 + 4 + 4, end)
    elif service == _HISTORY_ASKED:
        topic = _HISTORY_READ
        at = after(after_extension(octets, at, end), 4 + 1, end)
    count = count_at(octets, at, end)
    at = at + 4 if count >= 0 else count
    for _ in range(max(0, count)):
        start = at
        if service == _UPDATE_ASKED:  # an ExtensionObject whose body begins with the node, whatever it updates
            topic = _HISTORY_UPDATED
            at = after_extension(octets, start, end)
            form = after_node(octets, start, end)
            if at < 0:
                return said, at
            start = form + 5
            behind = after_node(octets, start, at) if byte(octets, form) == 1 else start
            if behind < 0:
                return said, behind
        elif service == _ADD_ASKED:
            topic = _ADDED
            start = after_node(octets, after_node(octets, start, end), end)
            behind = after_node(octets, start, end)
            at = after(after_text(octets, after(behind, 2, end), end), 4, end)
            at = after_node(octets, after_extension(octets, at, end), end)
        else:
            behind = after_node(octets, start, end)
            if service == _DELETE_ASKED:
                topic = _DELETED
                at = after(behind, 1, end)
            elif service == _BROWSE_ASKED:
                at = after(after_node(octets, after(behind, 4, end), end), 1 + 8, end)
            else:
                at = after_string(octets, after_text(octets, after(after_text(octets, behind, end), 2, end), end), end)
        if at < 0:
            return said, at
        if behind > start:
            said = add_use(m, uses, said, message, topic, remember_node(m, octets, start, behind))
    return said, at


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
    return nodes_asked(m, uses, said, octets, at, end, message, service)


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
