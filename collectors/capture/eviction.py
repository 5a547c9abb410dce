"""Which conversation is forgotten for a new one when the table is full.

In a line stand those that may go, in the order in which they began or ended: whoever is not answered, speaks nothing that is known, or is
closed.  Whoever was heard since it took its place goes to the end of the line once more (the second chance of the clock algorithm, Corbato,
1968); who has begun to speak meanwhile, leaves it.  So a flood of beginnings pushes out the beginnings of others and itself, and no
conversation that goes on.  Each place in the line is paid for by a packet: a flood costs a constant per packet, however full the table is.
Only when all speak, the one of a few that is due first has to go.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

from collectors.capture.flows import idle_limit_s
from collectors.capture.tables import EVICTION_SAMPLE, MAX_FLOWS
from collectors.compiled import kernel
from sentinel.model.observation import SLOT_NS
from sentinel.model.protocol import Protocol

Table = Any

_UNKNOWN = int(Protocol.UNKNOWN)


@kernel(inline=True)
def stand_in_line(t: Any, f: int) -> None:
    """Conversation ``f`` has begun or ended.  One that stands there already keeps its place."""
    flow, s = t.flows[f], t.state[0]
    if flow.in_line == 0:
        if s.line_last > 0:
            t.flows[s.line_last - 1].line_next = f + 1
        else:
            s.line_first = f + 1
        s.line_last = f + 1
        flow.line_next = 0
        flow.in_line = 1
        flow.lined = flow.last


@kernel(inline=True)
def is_kept(flow: Table) -> bool:
    """A conversation in which something is said and answered."""
    return flow.answered != 0 and flow.protocol != _UNKNOWN and flow.closed == 0


@kernel
def choose_victim(t: Any) -> int:
    s = t.state[0]
    while s.line_first > 0:
        f = int(s.line_first) - 1
        flow = t.flows[f]
        flow.in_line = 0
        s.line_first = flow.line_next
        if s.line_first == 0:
            s.line_last = 0
        if flow.used == 0 or is_kept(flow):
            continue
        if flow.last <= flow.lined:
            return f
        stand_in_line(t, f)
    return choose_due(t)


@kernel
def choose_due(t: Any) -> int:
    start = t.state[0].eviction_at
    t.state[0].eviction_at = (start + EVICTION_SAMPLE) % MAX_FLOWS
    best, best_due = -1, 0
    for k in range(EVICTION_SAMPLE):
        f = (start + k) % MAX_FLOWS
        due = t.flows[f].last + idle_limit_s(t.flows[f]) * SLOT_NS
        if best < 0 or due < best_due:
            best, best_due = f, due
    return best
