"""The Method Service Set (OPC 10000-4, 5.12): methods that are called, and what became of it."""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

from collectors.compiled import kernel
from collectors.wire.loads import little32
from collectors.wire.opcua.body import DIAGNOSTIC, STATUS, VARIANT, after, after_node, count_at
from collectors.wire.opcua.nodes import NONE, add_asked, begin_ask, find_ask, node_asked, remember_node
from collectors.wire.opcua.uses import add_use, after_list, take_number
from sentinel.model.protocol import Topic

Table = Any  # a numpy record array, or octets

_CALLED, _CALL_RESULT = int(Topic.METHOD_CALLED), int(Topic.CALL_RESULT)


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
