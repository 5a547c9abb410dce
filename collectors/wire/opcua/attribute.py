"""The Attribute Service Set (OPC 10000-4, 5.11): what is read, written, and asked of the past.

A read's values come with its response, which names no nodes: the request's are remembered.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

from collectors.compiled import kernel
from collectors.wire.loads import byte, little32
from collectors.wire.opcua.body import CUT, DIAGNOSTIC, after, after_extension, after_node, after_string, after_text, count_at
from collectors.wire.opcua.build import build_node, build_told
from collectors.wire.opcua.nodes import NONE, add_asked, begin_ask, find_ask, node_asked, remember_node
from collectors.wire.opcua.uses import VALUE_ATTRIBUTE, add_use, after_list, after_read_value, take_data_value
from sentinel.model.protocol import Topic

Table = Any  # a numpy record array, or octets

_READ, _WRITTEN, _RESULT = int(Topic.VALUE_READ), int(Topic.VALUE_WRITTEN), int(Topic.WRITE_RESULT)
_HISTORY_READ, _HISTORY_UPDATED = int(Topic.HISTORY_READ), int(Topic.HISTORY_UPDATED)


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
        node = remember_node(m, octets, at, behind - 4) if little32(octets, behind - 4) == VALUE_ATTRIBUTE else NONE
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
        if attribute != VALUE_ATTRIBUTE or part:
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
def history_asked(m: Any, uses: Table, said: int, octets: Table, at: int, end: int, message: int) -> tuple[int, int]:
    """HistoryRead (5.11.3): the nodes whose past is asked for."""
    at = after(after_extension(octets, at, end), 4 + 1, end)
    count = count_at(octets, at, end)
    at = at + 4 if count >= 0 else count
    for _ in range(max(0, count)):
        behind = after_node(octets, at, end)
        start, at = at, after_string(octets, after_read_value(octets, behind, end), end)
        if at < 0:
            return said, at
        said = add_use(m, uses, said, message, _HISTORY_READ, remember_node(m, octets, start, behind))
    return said, at


@kernel
def update_asked(m: Any, uses: Table, said: int, octets: Table, at: int, end: int, message: int) -> tuple[int, int]:
    """HistoryUpdate (5.11.5): ExtensionObjects whose bodies begin with the node, whatever they update."""
    count = count_at(octets, at, end)
    at = at + 4 if count >= 0 else count
    for _ in range(max(0, count)):
        form = after_node(octets, at, end)
        at = after_extension(octets, at, end)
        if at < 0:
            return said, at
        start = form + 5
        behind = after_node(octets, start, at) if byte(octets, form) == 1 else start
        if behind < 0:
            return said, behind
        if behind > start:
            said = add_use(m, uses, said, message, _HISTORY_UPDATED, remember_node(m, octets, start, behind))
    return said, at
