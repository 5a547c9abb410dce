"""The conversations: a keyed hash table, a wheel that finds idle ones, and their rows of the open slot.

A conversation is a pair of (address, port), a kind and, where there are no ports, the IP protocol or Ethernet type.  Side 2 f is the one
with the smaller (address, port).  What happens when the table is full is told in `eviction`.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

import numpy as np

from collectors.capture.tables import (
    BUCKETS,
    FLOW_ROWS,
    HELD_BLOCKS,
    KEY_WORDS,
    MAX_MAC_PAIRS,
    MAX_SLOT_ROWS,
    NAME_BITS,
    NAME_BUCKETS,
    NAMES,
    NAMES_PER_ROW,
    NO_MAC,
    OTHER_IDLE_S,
    TCP_CLOSED_S,
    TCP_IDLE_S,
    TCP_OPENING_S,
    WHEEL_SECONDS,
    WHEEL_STEP_S,
)
from collectors.compiled import fold, kernel, natural
from collectors.wire import SERVER_PORTS
from sentinel.model.observation import SLOT_NS
from sentinel.model.protocol import FlowKind

Table = Any
Word = Any  # numpy uint64

_TCP = int(FlowKind.TCP)
_ARP_REQUEST, _ARP_REPLY = int(FlowKind.ARP_REQUEST), int(FlowKind.ARP_REPLY)
_M1, _M2, _M3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)  # splitmix64


@kernel(inline=True)
def mix(value: Word) -> Word:
    value = (value ^ (value >> np.uint64(30))) * _M2
    value = (value ^ (value >> np.uint64(27))) * _M3
    return value ^ (value >> np.uint64(31))


def hash_keys(seed: int) -> Any:
    """KEY_WORDS secret words, each on its own: splitmix64 as it was published, from a seed."""
    keys, mask = np.zeros(KEY_WORDS, np.uint64), (1 << 64) - 1
    for place in range(KEY_WORDS):
        value = (seed + (place + 1) * int(_M1)) & mask
        value = ((value ^ (value >> 30)) * int(_M2)) & mask
        value = ((value ^ (value >> 27)) * int(_M3)) & mask
        keys[place] = value ^ (value >> 31)
    return keys


@kernel(inline=True)
def hash_key(keys: Table, a_hi: Word, a_lo: Word, a_port: Word, b_hi: Word, b_lo: Word, b_port: Word, kind: int, proto: int) -> Word:
    addresses = fold(a_lo ^ keys[10], b_lo ^ keys[11]) + fold(a_hi ^ keys[12], b_hi ^ keys[13])
    rest = (a_port << np.uint64(48)) | (b_port << np.uint64(32)) | np.uint64((proto & 0xFFFF) << 8) | np.uint64(kind)
    return fold(addresses ^ keys[14], rest ^ keys[15])


@kernel(inline=True)
def is_flow(flow: Table, h: Word, a_hi: Word, a_lo: Word, a_port: int, b_hi: Word, b_lo: Word, b_port: int, head: Table) -> bool:
    return (
        flow.hash == h
        and flow.a_lo == a_lo
        and flow.b_lo == b_lo
        and flow.a_hi == a_hi
        and flow.b_hi == b_hi
        and flow.a_port == a_port
        and flow.b_port == b_port
        and flow.kind == head.kind
        and flow.proto == head.proto
        and flow.family == head.family
    )


@kernel
def find_flow(
    flows: Table, buckets: Table, h: Word, a_hi: Word, a_lo: Word, a_port: int, b_hi: Word, b_lo: Word, b_port: int, head: Table
) -> int:
    mask = BUCKETS - 1
    at = np.int64(h & np.uint64(mask))
    while buckets[at] != 0:
        f = int(buckets[at]) - 1
        if is_flow(flows[f], h, a_hi, a_lo, a_port, b_hi, b_lo, b_port, head):
            return f
        at = (at + 1) & mask
    return -1


@kernel
def insert_hash(flows: Table, buckets: Table, f: int) -> None:
    mask = BUCKETS - 1
    at = np.int64(flows[f].hash & np.uint64(mask))
    while buckets[at] != 0:
        at = (at + 1) & mask
    buckets[at] = f + 1


@kernel
def remove_hash(flows: Table, buckets: Table, f: int) -> None:
    """Backward-shift deletion: no tombstones, so probe chains never grow with churn."""
    mask = BUCKETS - 1
    at = np.int64(flows[f].hash & np.uint64(mask))
    while buckets[at] != f + 1:
        at = (at + 1) & mask
    hole = at
    while True:
        at = (at + 1) & mask
        if buckets[at] == 0:
            break
        home = np.int64(flows[buckets[at] - 1].hash & np.uint64(mask))
        if ((at - home) & mask) >= ((at - hole) & mask):
            buckets[hole] = buckets[at]
            hole = at
    buckets[hole] = 0


@kernel
def idle_limit_s(flow: Table) -> int:
    if flow.kind != _TCP:
        return OTHER_IDLE_S
    if flow.closed:
        return TCP_CLOSED_S
    return TCP_IDLE_S if flow.answered else TCP_OPENING_S


@kernel
def put_on_wheel(flows: Table, wheel: Table, f: int, now_s: int) -> None:
    flow = flows[f]
    due = flow.last // SLOT_NS + idle_limit_s(flow) + 1
    due = min(max(due, now_s + 1), now_s + WHEEL_STEP_S)
    at = due % WHEEL_SECONDS
    flow.wheel_next = wheel[at]
    wheel[at] = f + 1


@kernel
def is_server_port(port: int) -> bool:
    return port in SERVER_PORTS


@kernel
def reset_side(side: Table) -> None:
    side.next = 0
    side.acked = 0
    side.isn = -1
    side.row = -1
    side.past = 0
    side.held = 0
    side.held_count = 0
    side.synced = 0
    side.fin = 0
    side.has_acked = 0
    side.opened = 0
    side.has_left = 0
    side.has_anew = 0


@kernel
def begin_flow(state: Table, flow: Table, sides: Table, f: int, source_side: int, head: Table) -> None:
    """A new conversation on a known key.  The opener is the sender of a SYN, else the side that is no server by its port."""
    flow.number = -1
    if flow.kind == _TCP:
        flow.number = state[0].flow_number
        state[0].flow_number += 1
    flow.names_of = -1
    flow.probes = 0
    flow.protocol = 0
    flow.closed = 0
    flow.ended = 0
    flow.answered = 0
    flow.client = source_side
    if flow.kind == _TCP and head.flags & 2:
        if head.flags & 16:
            flow.client = 1 - source_side
    elif is_server_port(head.source_port) != is_server_port(head.target_port):
        if is_server_port(head.source_port):
            flow.client = 1 - source_side
    elif head.source_port < head.target_port:
        flow.client = 1 - source_side
    reset_side(sides[2 * f])
    reset_side(sides[2 * f + 1])


@kernel
def release_held(state: Table, held: Table, side: Table) -> None:
    block = side.held
    for _ in range(HELD_BLOCKS):
        if block == 0:
            break
        after = held[block - 1].next
        held[block - 1].next = state[0].free_held
        state[0].free_held = block
        block = after
    side.held = 0
    side.held_count = 0


@kernel
def begin_flow_row(state: Table, flow_rows: Table, flow: Table, head: Table, source_side: int, time: int, frame: int) -> int:
    """A row for the packet's direction and hardware addresses; -1 when the slot has no more."""
    s = state[0]
    if s.rows - s.closed_rows >= MAX_SLOT_ROWS or s.rows >= FLOW_ROWS:
        s.rows_refused += 1
        return -1
    at = s.rows
    s.rows = at + 1
    row = flow_rows[at]
    row.time = time
    row.last = time
    row.frame = frame
    row.source_hi = head.source_hi
    row.source_lo = head.source_lo
    row.target_hi = head.target_hi
    row.target_lo = head.target_lo
    row.source_mac = head.source_mac
    row.target_mac = head.target_mac
    row.packets = 0
    row.octets = 0
    row.before = -1
    row.names_of = -1
    row.kind = head.kind
    row.family = head.family
    row.tcp_flags = 0
    row.protocol = 0
    row.defect = 0
    row.port = head.proto
    row.from_client = 1
    if head.kind == _ARP_REPLY:
        row.from_client = 0
    elif head.kind != _ARP_REQUEST:
        is_client = flow.client == source_side
        row.from_client = 1 if is_client else 0
        if head.kind <= 1:
            row.port = head.target_port if is_client else head.source_port
    return at


@kernel(inline=True)
def find_flow_row(state: Table, flow_rows: Table, flow: Table, side: Table, head: Table, source_side: int, time: int, frame: int) -> int:
    """The open row of this direction with the packet's hardware addresses: its index in the buffer, made where there is none."""
    s = state[0]
    first_open = s.row_base + s.closed_rows
    newest = side.row
    ordinal = newest
    for depth in range(MAX_MAC_PAIRS):
        if ordinal < first_open:
            break
        row = flow_rows[natural(ordinal - s.row_base)]
        if row.source_mac == head.source_mac and row.target_mac == head.target_mac:
            return ordinal - s.row_base
        if depth == MAX_MAC_PAIRS - 1:
            s.mac_pairs_folded += 1
            return newest - s.row_base
        ordinal = row.before
    at = begin_flow_row(state, flow_rows, flow, head, source_side, time, frame)
    if at >= 0:
        if newest >= first_open:
            flow_rows[at].before = newest
        side.row = s.row_base + at
    return at


@kernel
def name(state: Table, names: Table, buckets: Table, family: int, hi: Word, lo: Word) -> int:
    """The code of an address in the batch's name table; -1 for an unknown hardware address or a full table."""
    if lo == NO_MAC and hi == 0 and family == 1:
        return -1
    s = state[0]
    mask = NAME_BUCKETS - 1
    at = np.int64(mix(s.seed ^ lo ^ (hi * _M1) ^ np.uint64(family)) & np.uint64(mask))
    while buckets[at] >> NAME_BITS == s.batch:
        code = buckets[at] & mask
        known = names[code]
        if known.lo == lo and known.hi == hi and known.family == family:
            return code
        at = (at + 1) & mask
    if s.names >= NAMES:
        return -1
    code = s.names
    s.names = code + 1
    buckets[at] = s.batch << NAME_BITS | code
    names[code].hi = hi
    names[code].lo = lo
    names[code].family = family
    return code


@kernel
def name_flow_rows(state: Table, flow_rows: Table, names: Table, buckets: Table, first: int, count: int) -> int:
    """How many rows from ``first`` on were named: fewer than ``count`` where the name table might not hold the next one's."""
    for i in range(first, first + count):
        if state[0].names + NAMES_PER_ROW > NAMES:
            return i - first
        row = flow_rows[i]
        row.source = name(state, names, buckets, row.family, row.source_hi, row.source_lo)
        row.target = name(state, names, buckets, row.family, row.target_hi, row.target_lo)
        row.source_mac_code = name(state, names, buckets, 1, np.uint64(0), row.source_mac)
        row.target_mac_code = name(state, names, buckets, 1, np.uint64(0), row.target_mac)
    return count


@kernel
def drop_closed_rows(state: Table, flow_rows: Table) -> None:
    """The closed rows have been handed over: the open ones move to the front."""
    s = state[0]
    done = s.closed_rows
    for i in range(done, s.rows):
        flow_rows[i - done] = flow_rows[i]
    s.rows -= done
    s.row_base += done
    s.closed_rows = 0
