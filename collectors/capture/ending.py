"""How a conversation ends, or is forgotten: what waits is delivered, what was begun is reported as cut."""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

from collectors.capture.delivery import deliver_rest, lose_modbus, say_source
from collectors.capture.opcua_places import give_place, lose_opcua, opcua_stream_of
from collectors.capture.streams import distance, stream_of
from collectors.capture.tables import HELD_OCTETS, NO_MAC
from collectors.compiled import kernel
from collectors.wire.modbus import rtu
from sentinel.model.protocol import Protocol

Table = Any

_RTU = int(Protocol.MODBUS_RTU_TCP)


@kernel
def take_block(t: Any, side: Table) -> None:
    """The first waiting block was delivered."""
    block = side.held
    side.held = t.held[block - 1].next
    side.held_count -= 1
    t.held[block - 1].next = t.state[0].free_held
    t.state[0].free_held = block


@kernel
def close_side(t: Any, f: int, x: int, time: int) -> None:
    """Nothing more is expected from this side: what was begun is reported as cut.  Mostly nothing was, and nobody has to be named."""
    flow = t.flows[f]
    t.sides[x].opened = 0
    if flow.opcua > 0:
        if t.opcua_streams[opcua_stream_of(flow, f, x)].carried > 0:
            say_source(t, f, time, flow.ended, NO_MAC, NO_MAC, -1)
            lose_opcua(t, f, x)
        return
    y = stream_of(flow, f, x)
    if t.streams[y].carried == 0:
        return
    say_source(t, f, time, flow.ended, NO_MAC, NO_MAC, -1)
    if flow.protocol == _RTU:
        rtu.lose(t.streams, t.carry, t.pending, t.messages, t.message_pool, t.tally, t.source, y)
    else:
        lose_modbus(t, y)


@kernel
def end_flow(t: Any, f: int, time: int) -> None:
    """The conversation is over or forgotten: what waits is delivered, what was begun is reported as cut."""
    for x in range(2 * f, 2 * f + 2):
        side = t.sides[x]
        while side.held != 0:
            block = side.held
            b = t.held[block - 1]
            missing = distance(b.seq, side.next)
            side.next = b.seq
            start = (block - 1) * HELD_OCTETS
            heard, cut = max(b.time, t.state[0].slot), int(b.cut)
            deliver_rest(t, f, x, t.held_octets, start, start + b.size, missing, cut, False, heard, b.frame, b.source_mac, b.target_mac, -1)
            take_block(t, side)
        if side.opened:
            close_side(t, f, x, time)
    give_place(t, f)
