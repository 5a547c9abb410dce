"""What is remembered between messages: node ids, the client handles that stand for them, what a request asked for, how long signatures are.

Four tables of sets: a key's hash names a set of `WAYS` rows, and the row that was longest of no use gives way to a new one, counted.
A node's row is referred to together with its ``made`` number, so that a row which holds another node by now is never taken for the old
one.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any, NamedTuple

import numpy as np

from collectors.compiled import kernel
from collectors.wire.loads import byte
from collectors.wire.opcua.body import STACK

Table = Any  # a numpy record array, or octets

WAYS = 8
NODE_SETS, NODE_OCTETS = 512, 128  # 4,096 node ids; a longer one is not remembered
ITEM_SETS = 2048  # 16,384 monitored items
ASK_SETS = 128  # 1,024 requests whose answer has no node ids of its own
ASKED_NODES = 1 << 13  # that they ask for, in a ring
CHANNEL_SETS = 64  # 512 secured channels whose signatures' length is known
PARTS, PART_OCTETS = 16, 1 << 14  # messages in several chunks that are put together at once
NONE = -1

NODE = np.dtype([("made", "i8"), ("used", "i8"), ("size", "i4")], align=True)
ITEM = np.dtype(
    [
        ("conduit", "i8"),
        ("flow", "i8"),
        ("used", "i8"),
        ("made", "i8"),
        ("subscription", "u4"),
        ("handle", "u4"),
        ("node", "i4"),
    ],
    align=True,
)
ASKED = np.dtype([("flow", "i8"), ("used", "i8"), ("request", "i8"), ("first", "i8"), ("count", "i8")], align=True)
REFERENCE = np.dtype([("made", "i8"), ("node", "i4")], align=True)  # node NONE = what was asked for has no name or is no value
PART = np.dtype([("flow", "i8"), ("request", "i8"), ("used", "i8"), ("size", "i8"), ("from_client", "u1"), ("is_cut", "u1")], align=True)
COUNTERS = (
    "nodes_forgotten",
    "nodes_refused",  # longer than NODE_OCTETS
    "items_forgotten",
    "asked_forgotten",
    "parts_forgotten",  # messages in several chunks whose place was taken before they ended
    "values_unnamed",  # that were heard without what they are values of
    "bodies_cut",  # of which more was sent than is kept
)
CHANNEL = np.dtype([("flow", "i8"), ("used", "i8"), ("signature", "i8")], align=True)
STATE = np.dtype([("clock", "i8"), ("made", "i8"), ("asked", "i8"), ("seed", "u8"), *((name, "i8") for name in COUNTERS)], align=True)


class Memory(NamedTuple):
    state: Table
    nodes: Table
    node_octets: Table
    items: Table
    asked: Table
    asked_nodes: Table
    channels: Table
    parts: Table
    part_octets: Table
    stack: Table


def make_memory(seed: int) -> Memory:
    """Zeroed memory is mapped, not touched."""
    state = np.zeros(1, STATE)
    state["seed"] = seed
    return Memory(
        state=state,
        nodes=np.zeros(WAYS * NODE_SETS, NODE),
        node_octets=np.zeros((WAYS * NODE_SETS, NODE_OCTETS), np.uint8),
        items=np.zeros(WAYS * ITEM_SETS, ITEM),
        asked=np.zeros(WAYS * ASK_SETS, ASKED),
        asked_nodes=np.zeros(ASKED_NODES, REFERENCE),
        channels=np.zeros(WAYS * CHANNEL_SETS, CHANNEL),
        parts=np.zeros(PARTS, PART),
        part_octets=np.zeros((PARTS, PART_OCTETS), np.uint8),
        stack=np.zeros(STACK, np.int64),
    )


@kernel
def mixed(hash_: Any, number: int) -> Any:
    """One step of a keyed hash: xor, multiply, fold."""
    hash_ = (hash_ ^ np.uint64(number)) * np.uint64(0x9E3779B97F4A7C15)
    return hash_ ^ (hash_ >> np.uint64(29))


@kernel
def tick(m: Any) -> int:
    m.state[0].clock += 1
    return m.state[0].clock


@kernel
def remember_node(m: Any, octets: Table, at: int, end: int) -> int:
    """The row of the node id in ``octets[at:end]``; NONE = it is too long."""
    size = end - at
    if size > NODE_OCTETS:
        m.state[0].nodes_refused += 1
        return NONE
    hash_ = m.state[0].seed
    for i in range(at, end):
        hash_ = mixed(hash_, byte(octets, i))
    first = WAYS * int(np.int64(hash_ % np.uint64(NODE_SETS)))
    oldest = first
    for row in range(first, first + WAYS):
        known = m.nodes[row]
        if known.size == size:
            same = True
            for i in range(size):
                if byte(m.node_octets[row], i) != byte(octets, at + i):
                    same = False
                    break
            if same:
                known.used = tick(m)
                return row
        if known.used < m.nodes[oldest].used:
            oldest = row
    known = m.nodes[oldest]
    if known.size:
        m.state[0].nodes_forgotten += 1
    m.state[0].made += 1
    known.made = m.state[0].made
    known.size = size
    known.used = tick(m)
    for i in range(size):
        m.node_octets[oldest, i] = octets[np.uint64(at + i)]
    return oldest


@kernel
def item_set(m: Any, conduit: int, subscription: int, handle: int) -> int:
    hash_ = mixed(mixed(mixed(m.state[0].seed, conduit), subscription), handle)
    return WAYS * int(np.int64(hash_ % np.uint64(ITEM_SETS)))


@kernel
def is_item(item: Table, conduit: int, subscription: int, handle: int) -> bool:
    return item.used != 0 and item.conduit == conduit and item.subscription == subscription and item.handle == handle


@kernel
def remember_item(m: Any, conduit: int, flow: int, subscription: int, handle: int, node: int) -> None:
    """From now on ``handle`` stands for the node; NONE = it is known to stand for none."""
    first = item_set(m, conduit, subscription, handle)
    chosen = first
    for row in range(first, first + WAYS):
        item = m.items[row]
        if is_item(item, conduit, subscription, handle) and item.flow == flow:
            chosen = row
            break
        if item.used < m.items[chosen].used:
            chosen = row
    item = m.items[chosen]
    if item.used and not (is_item(item, conduit, subscription, handle) and item.flow == flow):
        m.state[0].items_forgotten += 1
    item.conduit, item.flow, item.used = conduit, flow, tick(m)
    item.subscription, item.handle = subscription, handle
    item.node = node
    item.made = m.nodes[node].made if node >= 0 else 0


@kernel
def named_by(m: Any, item: Table) -> int:
    return item.node if item.node >= 0 and m.nodes[item.node].made == item.made else NONE


@kernel
def node_of_item(m: Any, conduit: int, flow: int, subscription: int, handle: int) -> int:
    """What this connection made the handle stand for; else what earlier ones of the same client and server did, where they agree: a
    subscription outlives its connection (OPC 10000-4, 5.14.1.1), and nobody's word on another's subscription is taken."""
    first = item_set(m, conduit, subscription, handle)
    found, count = NONE, 0
    for row in range(first, first + WAYS):
        item = m.items[row]
        if not is_item(item, conduit, subscription, handle):
            continue
        node = named_by(m, item)
        if item.flow == flow:
            found, count = node, 1
            break
        if count == 0 or node != found:
            count += 1
        found = node
    if count != 1:
        return NONE
    for row in range(first, first + WAYS):
        item = m.items[row]
        if is_item(item, conduit, subscription, handle) and named_by(m, item) == found:
            item.used = tick(m)
    if found >= 0:
        m.nodes[found].used = m.state[0].clock
    return found


@kernel
def channel_set(m: Any, flow: int) -> int:
    return WAYS * int(np.int64(mixed(m.state[0].seed, flow) % np.uint64(CHANNEL_SETS)))


@kernel
def remember_signature(m: Any, flow: int, signature: int) -> None:
    """So many octets end each chunk of this connection's channel, which was secured just now."""
    first = channel_set(m, flow)
    chosen = first
    for row in range(first, first + WAYS):
        if m.channels[row].used and m.channels[row].flow == flow:
            chosen = row
            break
        if m.channels[row].used < m.channels[chosen].used:
            chosen = row
    channel = m.channels[chosen]
    channel.flow, channel.used, channel.signature = flow, tick(m), signature


@kernel
def signature_of(m: Any, flow: int) -> int:
    """0 where nothing is known: no signature, or the channel was opened before we heard."""
    first = channel_set(m, flow)
    for row in range(first, first + WAYS):
        if m.channels[row].used and m.channels[row].flow == flow:
            m.channels[row].used = tick(m)
            return m.channels[row].signature
    return 0


@kernel
def ask_set(m: Any, flow: int, request: int) -> int:
    return WAYS * int(np.int64(mixed(mixed(m.state[0].seed, flow), request) % np.uint64(ASK_SETS)))


@kernel
def begin_ask(m: Any, flow: int, request: int) -> int:
    """The row of a request whose node ids follow by `add_asked`."""
    first = ask_set(m, flow, request)
    chosen = first
    for row in range(first, first + WAYS):
        if m.asked[row].used and m.asked[row].flow == flow and m.asked[row].request == request:
            chosen = row
            break
        if m.asked[row].used < m.asked[chosen].used:
            chosen = row
    ask = m.asked[chosen]
    if ask.used and ask.count and not (ask.flow == flow and ask.request == request):
        m.state[0].asked_forgotten += 1
    ask.flow, ask.request, ask.used = flow, request, tick(m)
    ask.first, ask.count = m.state[0].asked, 0
    return chosen


@kernel
def add_asked(m: Any, row: int, node: int) -> None:
    reference = m.asked_nodes[m.state[0].asked % ASKED_NODES]
    reference.node = node
    reference.made = m.nodes[node].made if node >= 0 else 0
    m.state[0].asked += 1
    m.asked[row].count += 1


@kernel
def find_ask(m: Any, flow: int, request: int) -> int:
    first = ask_set(m, flow, request)
    for row in range(first, first + WAYS):
        ask = m.asked[row]
        if ask.used and ask.flow == flow and ask.request == request:
            return row
    return NONE


@kernel
def node_asked(m: Any, row: int, which: int) -> int:
    """The node that was asked for as the so-manieth."""
    ask = m.asked[row]
    if which >= ask.count or ask.first + which < m.state[0].asked - ASKED_NODES:
        return NONE
    reference = m.asked_nodes[(ask.first + which) % ASKED_NODES]
    known = reference.node >= 0 and m.nodes[reference.node].made == reference.made
    return reference.node if known else NONE


@kernel
def find_part(m: Any, flow: int, request: int, from_client: int) -> int:
    for row in range(PARTS):
        part = m.parts[row]
        if part.used and part.flow == flow and part.request == request and part.from_client == from_client:
            return row
    return NONE


@kernel
def begin_part(m: Any, flow: int, request: int, from_client: int) -> int:
    chosen = find_part(m, flow, request, from_client)
    if chosen == NONE:
        chosen = 0
        for row in range(PARTS):
            if m.parts[row].used < m.parts[chosen].used:
                chosen = row
        if m.parts[chosen].used:
            m.state[0].parts_forgotten += 1
    part = m.parts[chosen]
    part.flow, part.request, part.from_client, part.used = flow, request, from_client, tick(m)
    part.size = part.is_cut = 0
    return chosen


@kernel
def add_part(m: Any, row: int, octets: Table, at: int, end: int) -> None:
    """What does not fit any more is left out, and the message is known to be cut."""
    part = m.parts[row]
    taken = min(end - at, PART_OCTETS - part.size)
    for i in range(taken):
        m.part_octets[row, part.size + i] = octets[np.uint64(at + i)]
    part.size += taken
    if taken < end - at:
        part.is_cut = 1
