"""The places of conversations in OPC UA: fewer than there are conversations, taken when one is recognised, given back when it ends.

When none is free, a conversation that is silent loses its place, is counted, and is read anew when it goes on.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

import numpy as np

from collectors.capture.flows import idle_limit_s
from collectors.capture.streams import stream_of
from collectors.capture.tables import EVICTION_SAMPLE
from collectors.compiled import kernel
from collectors.wire.opcua import stream as opcua
from collectors.wire.recognise import PROBES
from sentinel.model.observation import SLOT_NS

Table = Any

_DISPLACED = -1  # of a conversation in OPC UA: another one took its place


@kernel
def give_place(t: Any, f: int) -> None:
    flow = t.flows[f]
    if flow.opcua > 0:
        place = int(flow.opcua) - 1
        for side in range(2):
            opcua.give_long(t.opcua_streams, t.opcua_long_owners, 2 * place + side)
        t.opcua_owners[place] = 0
    flow.opcua = 0


@kernel
def displace(t: Any) -> int:
    """A place taken from a conversation that has been silent for longest, of a few; one that nobody answered goes long before others."""
    start, places = t.state[0].displaced_at, len(t.opcua_owners)
    t.state[0].displaced_at = (start + EVICTION_SAMPLE) % places
    best, best_due = -1, 0
    for k in range(EVICTION_SAMPLE):
        flow = t.flows[t.opcua_owners[(start + k) % places] - 1]
        due = flow.last + idle_limit_s(flow) * SLOT_NS
        if best < 0 or due < best_due:
            best, best_due = (start + k) % places, due
    f = t.opcua_owners[best] - 1
    give_place(t, f)
    t.flows[f].opcua = _DISPLACED
    t.state[0].opcua_displaced += 1
    return best


@kernel
def take_place(t: Any, f: int) -> None:
    """A place in the OPC UA tables; each direction begins there as it was begun for any application."""
    flow = t.flows[f]
    place = -1
    for free in range(len(t.opcua_owners)):
        if t.opcua_owners[free] == 0:
            place = free
            break
    if place < 0:
        place = displace(t)
    was_displaced = flow.opcua == _DISPLACED
    t.opcua_owners[place] = f + 1
    flow.opcua = place + 1
    for side in range(2):
        joined = was_displaced or t.streams[2 * f + side].joined == 1 or flow.probes >= PROBES
        opcua.open_stream(t.opcua_streams, t.opcua_pending, 2 * place + side, joined)


@kernel
def opcua_stream_of(flow: Table, f: int, x: int) -> int:
    return 2 * (int(np.int64(flow.opcua)) - 1) + (stream_of(flow, f, x) & 1)


@kernel
def read_opcua(t: Any, f: int, y: int, octets: Table, start: int, end: int, missing: int, lost: int, is_copy: bool) -> None:
    flow = t.flows[f]
    is_turned = opcua.feed(
        t.opcua_streams,
        t.opcua_carry,
        t.opcua_long,
        t.opcua_long_owners,
        t.opcua_pending,
        t.messages,
        t.message_pool,
        t.tally,
        t.source,
        opcua_stream_of(flow, f, y),
        octets,
        start,
        end,
        missing,
        lost,
        is_copy,
    )
    if is_turned:
        flow.client ^= 1
        flow.names_of = -1


@kernel
def lose_opcua(t: Any, f: int, x: int) -> None:
    """Side x has ended."""
    opcua.lose(
        t.opcua_streams,
        t.opcua_carry,
        t.opcua_long,
        t.opcua_long_owners,
        t.opcua_pending,
        t.messages,
        t.message_pool,
        t.tally,
        t.source,
        opcua_stream_of(t.flows[f], f, x),
        -1,
    )
