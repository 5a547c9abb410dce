"""The View and NodeManagement Service Sets (OPC 10000-4, 5.9 and 5.8): nodes that are browsed, added and deleted."""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

from collectors.compiled import kernel
from collectors.wire.opcua.body import after, after_extension, after_node, after_text, count_at
from collectors.wire.opcua.nodes import remember_node
from collectors.wire.opcua.uses import add_use
from sentinel.model.protocol import Topic

Table = Any  # a numpy record array, or octets

_BROWSED, _ADDED, _DELETED = int(Topic.NODE_BROWSED), int(Topic.NODE_ADDED), int(Topic.NODE_DELETED)


@kernel
def browse_asked(m: Any, uses: Table, said: int, octets: Table, at: int, end: int, message: int) -> tuple[int, int]:
    """The nodes whose references are asked for."""
    at = after(after_node(octets, at, end), 8 + 4 + 4, end)
    count = count_at(octets, at, end)
    at = at + 4 if count >= 0 else count
    for _ in range(max(0, count)):
        behind = after_node(octets, at, end)
        start, at = at, after(after_node(octets, after(behind, 4, end), end), 1 + 8, end)
        if at < 0:
            return said, at
        said = add_use(m, uses, said, message, _BROWSED, remember_node(m, octets, start, behind))
    return said, at


@kernel
def adding_asked(m: Any, uses: Table, said: int, octets: Table, at: int, end: int, message: int) -> tuple[int, int]:
    """AddNodes (5.8.2): the ids that its client asks for."""
    count = count_at(octets, at, end)
    at = at + 4 if count >= 0 else count
    for _ in range(max(0, count)):
        start = after_node(octets, after_node(octets, at, end), end)
        behind = after_node(octets, start, end)
        at = after(after_text(octets, after(behind, 2, end), end), 4, end)
        at = after_node(octets, after_extension(octets, at, end), end)
        if at < 0:
            return said, at
        said = add_use(m, uses, said, message, _ADDED, remember_node(m, octets, start, behind))
    return said, at


@kernel
def deleting_asked(m: Any, uses: Table, said: int, octets: Table, at: int, end: int, message: int) -> tuple[int, int]:
    """DeleteNodes (5.8.4)."""
    count = count_at(octets, at, end)
    at = at + 4 if count >= 0 else count
    for _ in range(max(0, count)):
        behind = after_node(octets, at, end)
        start, at = at, after(behind, 1, end)
        if at < 0:
            return said, at
        said = add_use(m, uses, said, message, _DELETED, remember_node(m, octets, start, behind))
    return said, at
