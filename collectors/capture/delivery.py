"""From a TCP stream to its application: octets in order to the wire kernels, with where and when they were heard.

Also how a stream begins, for the application; how it ends is told in `ending`.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

import numpy as np

from collectors.capture.flows import name
from collectors.capture.opcua_places import read_opcua, take_place
from collectors.capture.streams import remember, stream_of
from collectors.compiled import kernel
from collectors.wire.modbus import rtu
from collectors.wire.modbus.layout import SYNCED
from collectors.wire.modbus.stream import NOTHING_SEEN, SIDES_SWAPPED, feed, lose, open_stream, weigh_candidate
from collectors.wire.recognise import PROBE_OCTETS, PROBES, is_opcua, recognise_tcp
from collectors.wire.serial import fits_rtu, is_rtu_frame
from sentinel.model.protocol import Protocol

Table = Any

_MODBUS, _OPCUA, _UNKNOWN = int(Protocol.MODBUS), int(Protocol.OPCUA), int(Protocol.UNKNOWN)
_RTU = int(Protocol.MODBUS_RTU_TCP)
_MODBUS_PORT = 502
_SEQUENCE_MASK = (1 << 32) - 1


@kernel
def name_both(t: Any, flow: Table) -> None:
    """The client's and the server's address, in this batch's name table."""
    if flow.client == 0:
        client_hi, client_lo, server_hi, server_lo = flow.a_hi, flow.a_lo, flow.b_hi, flow.b_lo
    else:
        client_hi, client_lo, server_hi, server_lo = flow.b_hi, flow.b_lo, flow.a_hi, flow.a_lo
    flow.client_code = name(t.state, t.names, t.name_buckets, flow.family, client_hi, client_lo)
    flow.server_code = name(t.state, t.names, t.name_buckets, flow.family, server_hi, server_lo)


@kernel(inline=True)
def say_source(t: Any, f: int, time: int, frame: int, source_mac: Any, target_mac: Any, row: int) -> None:
    """Tell the application's kernels whose octets follow; ``row``: the open flow row with these hardware addresses, -1 = not known."""
    flow, s, source = t.flows[f], t.state[0], t.source[0]
    is_a_server = flow.client != 0
    source.port = flow.a_port if is_a_server else flow.b_port
    source.client_port = flow.b_port if is_a_server else flow.a_port
    if flow.names_of != s.batch:
        name_both(t, flow)
        flow.names_of = s.batch
    source.time = time
    source.frame = frame
    source.flow = flow.number
    source.client = flow.client_code
    source.server = flow.server_code
    if row >= 0 and t.flow_rows[row].names_of == s.batch:
        source.source_mac = t.flow_rows[row].source_mac_code
        source.target_mac = t.flow_rows[row].target_mac_code
        return
    source.source_mac = name(t.state, t.names, t.name_buckets, 1, np.uint64(0), source_mac)
    source.target_mac = name(t.state, t.names, t.name_buckets, 1, np.uint64(0), target_mac)
    if row >= 0:
        t.flow_rows[row].source_mac_code = source.source_mac
        t.flow_rows[row].target_mac_code = source.target_mac
        t.flow_rows[row].names_of = s.batch


@kernel(inline=True)
def is_modbus_port(flow: Table) -> bool:
    """On its registered port everything is taken for Modbus, and what does not fit is garbage."""
    return _MODBUS_PORT in (flow.a_port, flow.b_port)


@kernel(inline=True)
def read_modbus(t: Any, x: int, octets: Table, start: int, end: int, missing: int, lost: int, is_copy: bool) -> int:
    """As `feed`, of the application's stream x."""
    return feed(
        t.streams,
        t.carry,
        t.pending,
        t.scratch,
        t.messages,
        t.message_pool,
        t.tally,
        t.source,
        x,
        octets,
        start,
        end,
        missing,
        lost,
        is_copy,
    )


@kernel
def read_rtu(t: Any, x: int, octets: Table, start: int, end: int, missing: int, lost: int, is_copy: bool) -> None:
    rtu.feed(
        t.streams,
        t.carry,
        t.pending,
        t.scratch,
        t.messages,
        t.message_pool,
        t.tally,
        t.source,
        x,
        octets,
        start,
        end,
        missing,
        lost,
        is_copy,
    )


@kernel
def lose_modbus(t: Any, x: int) -> None:
    """The application's stream x has ended."""
    lose(t.streams, t.carry, t.pending, t.messages, t.message_pool, t.tally, t.source, x, -1)


@kernel
def read_anew(t: Any, f: int, protocol: int, joined: bool) -> None:
    """From here on both directions are read as ``protocol``, one of the two framings of Modbus."""
    t.flows[f].protocol = protocol
    for x in range(2 * f, 2 * f + 2):
        t.tally[0].skipped += t.streams[x].carried
        open_stream(t.streams, x, True, joined)


@kernel
def begin_rtu(t: Any, f: int, y: int, octets: Table, start: int, end: int) -> None:
    """A serial frame was heard; it is believed where it is no Modbus/TCP one, and on that one's port only between frames."""
    flow, size = t.flows[f], end - start
    x = stream_of(flow, f, y)
    is_waiting = t.streams[x].carried > 0 or t.streams[x ^ 1].carried > 0
    if (is_modbus_port(flow) and is_waiting) or weigh_candidate(octets, start, size, x % 2 == 0) > 0:
        return
    joined = flow.probes > 1 or t.streams[x].joined == 1
    if not fits_rtu(octets, start, size, x % 2 == 0):  # a device may open the connection to its client
        flow.client ^= 1
        flow.names_of = -1
    read_anew(t, f, _RTU, joined)


@kernel
def leave_rtu(t: Any, f: int, y: int, octets: Table, start: int, end: int) -> None:
    """A Modbus/TCP frame after serial ones is believed: else one serial frame, which a server may pass over, would hide what follows."""
    x = stream_of(t.flows[f], f, y)
    if weigh_candidate(octets, start, end - start, x % 2 == 0) > 0 and not is_rtu_frame(octets, start, end - start):
        read_anew(t, f, _MODBUS, True)


def deliver(
    t: Any,
    f: int,
    y: int,
    octets: Table,
    start: int,
    end: int,
    missing: int,
    lost: int,
    is_copy: bool,
    time: int,
    frame: int,
    source_mac: Any,
    target_mac: Any,
    row: int,
) -> None:
    """The next octets of side y: into its history, and to the application; ``missing`` before and ``lost`` behind them were not heard."""
    flow, side = t.flows[f], t.sides[y]
    if missing != 0:
        t.state[0].gaps += 1
        side.past = 0
    if not is_copy:
        remember(t.state, t.history, t.history_owners, side, y, octets, start, end - start)
        if lost > 0:
            side.past = 0
        side.next = (side.next + end - start + lost) & _SEQUENCE_MASK
        if flow.protocol == _UNKNOWN and end - start >= PROBE_OCTETS:
            if flow.probes < PROBES:
                flow.probes += 1
                named = _UNKNOWN
                if not is_modbus_port(flow):
                    named = recognise_tcp(octets, start, end - start, flow.b_port if flow.client == 0 else flow.a_port)
                elif is_rtu_frame(octets, start, end - start):
                    named = _RTU
                if named == _RTU:
                    begin_rtu(t, f, y, octets, start, end)
                else:
                    flow.protocol = named
            elif not is_modbus_port(flow) and is_opcua(octets, start, end - start):
                # heard from the middle of a long message on: its octets are too many to chance upon
                flow.protocol = _OPCUA
        elif flow.protocol == _RTU:
            leave_rtu(t, f, y, octets, start, end)
    if flow.protocol == _OPCUA and flow.opcua <= 0:
        take_place(t, f)
    if flow.protocol not in (_UNKNOWN, _MODBUS, _RTU) and flow.opcua <= 0:
        return
    side.opened = 1
    say_source(t, f, time, frame, source_mac, target_mac, row)
    if flow.opcua > 0:
        read_opcua(t, f, y, octets, start, end, missing, lost, is_copy)
        return
    x = stream_of(flow, f, y)
    if flow.protocol == _RTU:
        read_rtu(t, x, octets, start, end, missing, lost, is_copy)
        return
    seen = read_modbus(t, x, octets, start, end, missing, lost, is_copy)
    if seen != NOTHING_SEEN:
        flow.protocol = _MODBUS
    if seen == SIDES_SWAPPED:
        flow.client ^= 1
        flow.names_of = -1


deliver_inline = kernel(inline=True)(deliver)  # for the loop over packets
deliver_rest = kernel(deliver)  # for what still waits when a conversation ends


@kernel
def deliver_datagram(
    t: Any, f: int, y: int, octets: Table, start: int, end: int, cut: int, time: int, frame: int, source_mac: Any, target_mac: Any, row: int
) -> None:
    """A datagram of Modbus over UDP: what it begins ends with it, and nothing before it is missed."""
    flow = t.flows[f]
    x = stream_of(flow, f, y)
    if flow.protocol == _UNKNOWN:
        if weigh_candidate(octets, start, end - start, x % 2 == 0) <= 0:
            if weigh_candidate(octets, start, end - start, x % 2 != 0) <= 0:
                return
            flow.client ^= 1
            flow.names_of = -1
            x ^= 1
        flow.protocol = _MODBUS
        open_stream(t.streams, x, True, False)
        open_stream(t.streams, x ^ 1, True, True)  # what it answers may never have been heard
    say_source(t, f, time, frame, source_mac, target_mac, row)
    read_modbus(t, x, octets, start, end, 0, cut, False)
    s = t.streams[x]
    if s.carried > 0:
        lose_modbus(t, x)
    s.mode = SYNCED
    s.skip = s.optional = s.doubt = s.blemish = 0


@kernel
def begin_stream(t: Any, f: int, x: int, seq: int, joined: bool) -> None:
    flow, side = t.flows[f], t.sides[x]
    is_modbus = flow.protocol in (_MODBUS, _RTU) or is_modbus_port(flow)
    side.synced = 1
    side.next = seq
    side.past = 0
    y = stream_of(flow, f, x)
    open_stream(t.streams, y, is_modbus, joined)
    if not t.sides[x ^ 1].synced:  # what this side answers to may never be heard
        open_stream(t.streams, y ^ 1, is_modbus, True)
