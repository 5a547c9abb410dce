"""What a server says it is, where somebody reads it: BuildInfo, its fields, or the status that holds it (OPC 10000-5, 12.4 and 12.10)."""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

from collectors.compiled import kernel
from collectors.wire.loads import byte, little16, little32
from collectors.wire.opcua.body import EXTENSION, MASK_VALUE, STRING, after, after_node, after_text
from collectors.wire.opcua.nodes import remember_node
from collectors.wire.opcua.uses import add_use
from sentinel.model.protocol import Topic

Table = Any  # a numpy record array, or octets

_VENDOR, _PRODUCT, _FIRMWARE, _BUILD = int(Topic.VENDOR), int(Topic.PRODUCT), int(Topic.FIRMWARE), int(Topic.BUILD)
TEXTS = (Topic.VENDOR, Topic.PRODUCT, Topic.FIRMWARE, Topic.BUILD)  # a use of these names a text, not a node
_SERVER_STATUS, _BUILD_INFO, _BUILD_NUMBER = 2256, 2260, 2265  # between the last two: product uri, vendor, product, version


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
