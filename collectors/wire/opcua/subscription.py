"""The MonitoredItem and Subscription Service Sets (OPC 10000-4, 5.13 and 5.14): a published value bears the handle that its item was
created with.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

from collectors.compiled import kernel
from collectors.wire.loads import byte, little16, little32
from collectors.wire.opcua.body import CUT, DIAGNOSTIC, STATUS, after, after_extension, after_node, count_at
from collectors.wire.opcua.nodes import NONE, node_of_item, remember_item, remember_node
from collectors.wire.opcua.uses import VALUE_ATTRIBUTE, add_use, after_list, after_read_value, take_data_value
from sentinel.model.protocol import Topic

Table = Any  # a numpy record array, or octets

_MONITORED, _PUBLISHED = int(Topic.NODE_MONITORED), int(Topic.VALUE_PUBLISHED)
_DATA_CHANGE = 811  # DataChangeNotification, binary


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
        is_value = little32(octets, behind - 4) == VALUE_ATTRIBUTE
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
