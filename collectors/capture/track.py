"""The one loop over packets: conversation, flow row, TCP stream, application.  Rows depend on the packets alone, never on their batches.

`track` stops early, and says how many packets it took, when an output buffer might not hold what one more packet can complete; the caller
hands over what is there and calls again.  Time is the packets' own; a packet older than the open slot counts at that slot's start.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

import numpy as np

from collectors.capture.copies import FIRST, SAME_PATH, place_of, weigh_copy
from collectors.capture.decode import is_redundant
from collectors.capture.delivery import deliver_datagram
from collectors.capture.ending import end_flow
from collectors.capture.eviction import choose_victim, stand_in_line
from collectors.capture.flows import (
    begin_flow,
    begin_flow_row,
    find_flow,
    find_flow_row,
    idle_limit_s,
    insert_hash,
    is_flow,
    put_on_wheel,
    remove_hash,
)
from collectors.capture.segment import BEGINS, DOUBTED, GOES_ON, begin_anew, take_segment, weigh_opening
from collectors.capture.tables import (
    BUCKET_AHEAD,
    BUCKETS,
    CLOSED_ROWS,
    END,
    FLOW_AHEAD,
    FLOW_ROWS,
    HISTORY_OCTETS,
    MAX_FLOWS,
    MESSAGE_POOL,
    NAMES,
    NAMES_PER_PACKET,
    NEVER,
    POOL_PER_PACKET,
    ROW_AHEAD,
    ROWS_PER_PACKET,
    TICK,
    UNREADABLE,
    WHEEL_SECONDS,
    WHEEL_STEP_S,
)
from collectors.compiled import kernel, natural, prefetch
from collectors.wire.modbus.layout import CACHE_LINE_OCTETS, MESSAGE_ROWS
from collectors.wire.recognise import PROBES, recognise_ethernet, recognise_udp
from sentinel.model.observation import SLOT_NS
from sentinel.model.protocol import Defect, FlowKind, Protocol

Table = Any

_TCP, _UDP, _OTHER_ETHERNET = int(FlowKind.TCP), int(FlowKind.UDP), int(FlowKind.OTHER_ETHERNET)
_ARP_REQUEST, _ARP_REPLY = int(FlowKind.ARP_REQUEST), int(FlowKind.ARP_REPLY)
_UNKNOWN, _MODBUS = int(Protocol.UNKNOWN), int(Protocol.MODBUS)
_FRAGMENT = int(Defect.FRAGMENT)
_SYN = 2
_BUCKET_MASK = np.uint64(BUCKETS - 1)


@kernel(inline=True)
def has_room(t: Any) -> bool:
    tally, s = t.tally[0], t.state[0]
    return (
        tally.rows + ROWS_PER_PACKET <= MESSAGE_ROWS
        and tally.pool + POOL_PER_PACKET <= MESSAGE_POOL
        and s.names + NAMES_PER_PACKET <= NAMES
        and s.closed_rows <= CLOSED_ROWS
        and (s.rows < FLOW_ROWS - 1 or s.closed_rows == 0)
    )


@kernel
def next_idle(state: Table, flows: Table, wheel: Table) -> int:
    """The next conversation that was idle for too long, taken off the wheel; -1 when there is none (any more) in this second."""
    s = state[0]
    now_s = s.slot // SLOT_NS
    if s.swept == NEVER:
        s.swept = now_s
    while True:
        while s.sweeping != 0:
            f = int(s.sweeping) - 1
            flow = flows[f]
            s.sweeping = flow.wheel_next
            if flow.last + idle_limit_s(flow) * SLOT_NS < s.slot:
                return f
            put_on_wheel(flows, wheel, f, now_s)
        if s.swept >= now_s:
            return -1
        s.sweep_steps += 1
        if s.sweep_steps > WHEEL_STEP_S:  # nothing stands on the wheel beyond it
            s.swept = now_s
            s.sweep_steps = 0
            return -1
        s.swept += 1
        if s.swept >= now_s:
            s.sweep_steps = 0
        at = s.swept % WHEEL_SECONDS
        s.sweeping = wheel[at]
        wheel[at] = 0


@kernel(inline=True)
def enter_slot(state: Table, time: int) -> None:
    s = state[0]
    if time >= s.slot + SLOT_NS:
        s.slot = time // SLOT_NS * SLOT_NS
        s.closed_rows = s.rows
        s.is_swept = 0


@kernel
def place_flow(
    t: Any, f: int, h: Any, a_hi: Any, a_lo: Any, a_port: int, b_hi: Any, b_lo: Any, b_port: int, source_side: int, head: Table, time: int
) -> None:
    """Begin a conversation at index f, under its key."""
    flow = t.flows[f]
    flow.a_hi, flow.a_lo, flow.a_port = a_hi, a_lo, a_port
    flow.b_hi, flow.b_lo, flow.b_port = b_hi, b_lo, b_port
    flow.hash = h
    flow.kind = head.kind
    flow.proto = head.proto
    flow.family = head.family
    flow.used = 1
    flow.last = time
    begin_flow(t.state, flow, t.sides, f, source_side, head)
    insert_hash(t.flows, t.buckets, f)
    stand_in_line(t, f)


@kernel(inline=True)
def look_ahead(t: Any, heads: Table, i: int, end: int) -> None:
    """Conversations lie anywhere in memory: ask for those of packets to come, so that none is waited for.  A wrong guess costs nothing."""
    if i + BUCKET_AHEAD < end:
        prefetch(t.buckets, np.int64(heads[natural(i + BUCKET_AHEAD)].hash & _BUCKET_MASK), 0)
    if i + FLOW_AHEAD < end:
        head = heads[natural(i + FLOW_AHEAD)]
        head.flow = t.buckets[head.hash & _BUCKET_MASK]
        if head.flow > 0:
            f = natural(int(head.flow) - 1)
            prefetch(t.flows, f, 0)
            prefetch(t.flows, f, CACHE_LINE_OCTETS)
            prefetch(t.sides, 2 * f, 0)
            prefetch(t.sides, 2 * f + 1, 0)
            prefetch(t.streams, 2 * f, 0)
            prefetch(t.pending, f, 0)
    if i + ROW_AHEAD < end:
        head = heads[natural(i + ROW_AHEAD)]
        prefetch(t.recent, place_of(head), 0)
        if head.flow > 0:
            side = t.sides[natural(2 * (int(head.flow) - 1) + head.side)]
            prefetch(t.flow_rows, max(0, side.row - t.state[0].row_base), 0)
            past = max(0, int(np.int64(side.history)) - 1)
            prefetch(t.history_owners, past, 0)
            prefetch(t.history, past * HISTORY_OCTETS + (side.written & (HISTORY_OCTETS - 1)), 0)


@kernel
def track(t: Any, heads: Table, octets: Table, packets: Any, first: int, begin: int, end: int) -> int:
    """Take ``heads[begin:end]``, whose payloads lie in ``octets``: packets from ``first + begin`` on.  The place up to which it came."""
    s = t.state[0]
    for i in range(begin, end):
        if not has_room(t):
            return i
        look_ahead(t, heads, i, end)
        head = heads[natural(i)]
        at = natural(first + i)
        time, frame = packets.time[at], packets.frame[at]
        if head.kind != END or s.slot == NEVER:
            enter_slot(t.state, time)
        is_roomy = True
        while not s.is_swept:
            is_roomy = has_room(t)
            if not is_roomy:
                break
            idle = next_idle(t.state, t.flows, t.wheel)
            if idle < 0:
                s.is_swept = 1
                break
            end_flow(t, idle, s.slot)
            remove_hash(t.flows, t.buckets, idle)
            t.flows[idle].used = 0
            t.free[s.free_flows] = idle
            s.free_flows += 1
        if not is_roomy:
            return i
        if head.kind == TICK:
            continue
        if head.kind == END:
            while s.ending < MAX_FLOWS:
                if not has_room(t):
                    return i
                if t.flows[s.ending].used:
                    end_flow(t, s.ending, max(s.last, s.slot))
                s.ending += 1
            s.closed_rows = s.rows
            continue
        if time < s.last:
            s.clock_steps_back += 1
            time = max(time, s.slot)
        s.last = max(s.last, time)
        if head.kind == UNREADABLE:
            s.unreadable += 1
            continue
        s.packets += 1
        if head.defect == _FRAGMENT:
            s.fragments += 1
        copy = weigh_copy(t.recent, head, time)
        if copy == SAME_PATH:
            if is_redundant(packets.octets, packets.off[at], packets.off[at] + packets.cap[at], packets.link[at]):
                s.duplicates_redundant += 1
            else:
                s.duplicates += 1
            continue
        if copy != FIRST:
            s.duplicates_relayed += 1
        if head.kind in (_ARP_REQUEST, _ARP_REPLY):
            if copy != FIRST:
                continue
            row = begin_flow_row(t.state, t.flow_rows, t.flows[0], head, 0, time, frame)
            if row >= 0:
                t.flow_rows[row].packets = 1
            continue
        source_side = int(head.side)
        if source_side == 0:
            a_hi, a_lo, a_port = head.source_hi, head.source_lo, head.source_port
            b_hi, b_lo, b_port = head.target_hi, head.target_lo, head.target_port
        else:
            b_hi, b_lo, b_port = head.source_hi, head.source_lo, head.source_port
            a_hi, a_lo, a_port = head.target_hi, head.target_lo, head.target_port
        h = head.hash
        f = int(head.flow) - 1
        if f < 0 or not t.flows[f].used or not is_flow(t.flows[f], h, a_hi, a_lo, a_port, b_hi, b_lo, b_port, head):
            f = find_flow(t.flows, t.buckets, h, a_hi, a_lo, a_port, b_hi, b_lo, b_port, head)
        if f < 0:
            is_evicting = s.free_flows == 0
            if is_evicting:
                f = choose_victim(t)
                s.flows_evicted += 1
                end_flow(t, f, time)
                remove_hash(t.flows, t.buckets, f)  # it keeps its place on the wheel
            else:
                s.free_flows -= 1
                f = int(t.free[s.free_flows])
            place_flow(t, f, h, a_hi, a_lo, a_port, b_hi, b_lo, b_port, source_side, head, time)
            if not is_evicting:
                put_on_wheel(t.flows, t.wheel, f, s.slot // SLOT_NS)
        f = natural(f)
        flow = t.flows[f]
        x = natural(2 * f + source_side)
        opening = GOES_ON
        if head.kind == _TCP and (head.flags & _SYN or t.sides[x].has_anew) and copy == FIRST:
            opening = weigh_opening(t, f, x, head)
            if opening == BEGINS:
                begin_anew(t, f, source_side, head, time)
        flow.last = max(flow.last, time)
        flow.answered |= source_side ^ flow.client  # no branch: who sends next cannot be guessed
        row = find_flow_row(t.state, t.flow_rows, flow, t.sides[x], head, source_side, time, frame)
        if row >= 0:
            r = t.flow_rows[natural(row)]
            r.last = max(r.last, time)
            r.packets += 1
            r.octets += head.payload_wire
            r.tcp_flags |= head.flags
            if r.defect == 0 or (r.defect == _FRAGMENT and head.defect != 0):  # a fragment is no misbehaviour and must not hide one
                r.defect = head.defect
        if copy != FIRST or opening == DOUBTED:
            continue
        if head.kind == _TCP:
            take_segment(t, f, source_side, head, row, octets, time, frame)
        elif flow.protocol == _UNKNOWN and flow.probes < PROBES:
            flow.probes += 1
            if head.kind == _UDP and head.payload_cap > 0:
                server_port = flow.b_port if flow.client == 0 else flow.a_port
                flow.protocol = recognise_udp(octets, head.payload, head.payload_cap, server_port)
            elif head.kind == _OTHER_ETHERNET:
                flow.protocol = recognise_ethernet(head.proto)
        if head.kind == _UDP and head.payload_cap > 0 and flow.protocol in (_UNKNOWN, _MODBUS) and flow.probes < PROBES:
            cut = head.payload_wire - head.payload_cap
            behind = head.payload + head.payload_cap
            deliver_datagram(t, f, x, octets, head.payload, behind, cut, time, frame, head.source_mac, head.target_mac, row)
            if flow.protocol == _MODBUS:
                flow.probes = 0
        if row >= 0:
            t.flow_rows[row].protocol = flow.protocol
    return end
