"""One TCP segment of a known conversation: handshake, acknowledgement, octets, end (RFC 9293, 3.10.7).

What anybody can forge does not end what a sensor hears.  A SYN within a conversation that goes on begins another one once it is answered,
or octets follow it (RFC 5961, 4); a RST or FIN counts at the octet that is expected (RFC 5961, 3), and octets behind it are heard all the
same.
What was begun and not finished is reported when the conversation is forgotten.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

import numpy as np

from collectors.capture.delivery import begin_stream, deliver_inline, deliver_rest
from collectors.capture.ending import end_flow, take_block
from collectors.capture.eviction import stand_in_line
from collectors.capture.flows import begin_flow, release_held
from collectors.capture.streams import contradicts, distance, hold, leave_hole, may_pass_hole, octets_before_hole
from collectors.capture.tables import HELD_OCTETS, WINDOW_OCTETS
from collectors.compiled import kernel, natural
from sentinel.model.protocol import Defect

Table = Any

_STREAM_GAP, _CONTRADICTING_COPY = int(Defect.STREAM_GAP), int(Defect.CONTRADICTING_COPY)
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_SEQUENCE_MASK = (1 << 32) - 1
GOES_ON, BEGINS, DOUBTED = 0, 1, 2


@kernel
def weigh_opening(t: Any, f: int, x: int, head: Table) -> int:
    """What a SYN means on ports that are known, or a segment behind one that was DOUBTED: which is no octet of the conversation yet."""
    flow, side, other = t.flows[f], t.sides[x], t.sides[x ^ 1]
    if head.flags & _SYN == 0:
        is_behind = head.payload_wire > 0 and head.seq == side.anew and head.seq != side.next
        return BEGINS if is_behind else GOES_ON
    behind = (head.seq + 1) & _SEQUENCE_MASK
    if side.synced == 0 or (side.next == behind and (side.isn < 0 or side.isn == head.seq)):  # the first, or once more
        return GOES_ON
    is_answer = head.flags & _ACK and other.has_anew and head.ack == other.anew
    if flow.closed or is_answer or not other.synced:  # nobody is heard whom it could cut off
        return BEGINS
    side.anew, side.has_anew = behind, 1
    t.state[0].openings_doubted += 1
    return DOUBTED


@kernel
def begin_anew(t: Any, f: int, source_side: int, head: Table, time: int) -> None:
    """The same ports again are another connection; where it was doubted before, its first octet is known."""
    opener = natural(2 * f + (source_side ^ 1 if head.flags & _SYN else source_side))
    first, is_known = int(np.int64(t.sides[opener].anew)), t.sides[opener].has_anew != 0
    end_flow(t, f, time)
    begin_flow(t.state, t.flows[f], t.sides, f, source_side, head)
    stand_in_line(t, f)
    if is_known:
        begin_stream(t, f, opener, first, False)
        t.sides[opener].isn = (first - 1) & _SEQUENCE_MASK


@kernel(inline=True)
def acknowledge(head: Table, other: Table) -> None:
    """What the sender says it has heard of the ``other`` side."""
    if head.flags & _ACK and (not other.synced or distance(head.ack, other.next) < WINDOW_OCTETS):  # else it is no receiver's
        is_news = (other.has_acked == 0) | (distance(head.ack, int(np.int64(other.acked))) > 0)
        other.acked = head.ack if is_news else other.acked
        other.has_acked = 1


@kernel
def end_side(t: Any, f: int, x: int, head: Table, frame: int) -> None:
    """A FIN or RST.  A sender whose FIN was heard has its RST behind it."""
    flow, side, other, is_true = t.flows[f], t.sides[x], t.sides[x ^ 1], True
    if side.synced:
        ahead = distance((head.seq + head.payload_wire) & _SEQUENCE_MASK, side.next)
        is_true = 0 <= ahead <= side.fin if head.flags & _RST else 0 <= ahead < WINDOW_OCTETS
    if not is_true:
        t.state[0].endings_doubted += 1
        return
    if head.flags & _FIN:
        side.fin = 1
    if head.flags & _RST or (side.fin and other.fin):
        flow.closed = 1
        flow.ended = frame
        stand_in_line(t, f)


@kernel(inline=True)
def take_segment(t: Any, f: int, source_side: int, head: Table, row: int, octets: Table, time: int, frame: int) -> None:
    """The segment in ``head``, whose packet counts in the open flow row ``row``; -1 = there is none."""
    s, flow = t.state[0], t.flows[f]
    x = natural(2 * f + source_side)
    side, other = t.sides[x], t.sides[natural(x ^ 1)]
    seq, at, size = head.seq, head.payload, int(head.payload_cap)
    cut = head.payload_wire - size
    defect = 0
    is_quiet = head.flags & (_FIN | _SYN | _RST) == 0 and side.held == 0 and other.held == 0
    if is_quiet and (head.payload_wire == 0 or (side.synced and seq == side.next)):  # as nearly every segment
        acknowledge(head, other)
        if head.payload_wire != 0:
            flow.closed = 0
            deliver_inline(t, f, x, octets, at, at + size, 0, cut, False, time, frame, head.source_mac, head.target_mac, row)
        return
    if head.flags & _SYN:
        if side.isn < 0 and not side.synced:
            begin_stream(t, f, x, (seq + 1) & _SEQUENCE_MASK, False)
            side.isn = seq
        elif side.isn < 0 and side.next == ((seq + 1) & _SEQUENCE_MASK):
            side.isn = seq
        seq = (seq + 1) & _SEQUENCE_MASK
    acknowledge(head, other)
    is_direct = False
    first = 0 if side.held != 0 or other.held != 0 else 2  # mostly nothing waits
    for step in range(first, 3):
        y = x ^ 1 if step == 0 else x
        receiving = t.sides[y]
        missing = 0
        if step == 2:
            if head.payload_wire == 0:
                continue
            if not side.synced:
                begin_stream(t, f, x, seq, True)
            ahead = distance(seq, side.next)
            before = octets_before_hole(side, seq, head.payload_wire)
            if before >= 0:
                passed = min(before, size)
                at += passed
                size -= passed
                cut = head.payload_wire - before - size
                seq = side.next = int(np.int64(side.left))
                side.has_left = 0
                missing, ahead = -1, 0
            elif ahead > WINDOW_OCTETS or ahead < -WINDOW_OCTETS:
                release_held(t.state, t.held, side)
                leave_hole(side)
                side.next = seq
                missing, ahead = -1, 0
            if ahead < 0:
                back = -ahead
                if head.payload_wire == 1 and back == 1:  # a keep-alive probe repeats one octet, of any value (RFC 9293, 3.8.4)
                    continue
                s.retransmissions += 1
                if size > 0 and contradicts(t.state, t.history, t.history_owners, side, y, octets, at, size, back):
                    s.contradictions += 1
                    defect = _CONTRADICTING_COPY
                    heard_before = at + min(back, size)
                    deliver_rest(t, f, y, octets, at, heard_before, 0, 0, True, time, frame, head.source_mac, head.target_mac, row)
                if back >= head.payload_wire:
                    continue
                skipped = min(back, size)
                at += skipped
                size -= skipped
                cut = head.payload_wire - back - size
                seq = side.next
                ahead = 0
            if ahead > 0 or side.held != 0:
                if size > 0 and hold(t.state, t.held, t.held_octets, side, octets, at, size, cut, seq, time, frame, head):
                    s.contradictions += 1
                    defect = _CONTRADICTING_COPY
            else:
                is_direct = True
        while True:
            if is_direct:
                buffer, start, end, lost = octets, at, at + size, cut
                heard, heard_frame = time, frame
                source_mac, target_mac, heard_row = head.source_mac, head.target_mac, row
                block = 0
            else:
                block = receiving.held
                if block == 0:
                    break
                b = t.held[block - 1]
                hole = distance(b.seq, receiving.next)
                if hole > 0:
                    if not may_pass_hole(t.state, t.held, receiving, time):
                        break
                    missing = hole
                    leave_hole(receiving)
                    receiving.next = b.seq
                buffer = t.held_octets
                start = (block - 1) * HELD_OCTETS
                end, lost = start + int(b.size), int(b.cut)
                heard, heard_frame = max(b.time, s.slot), b.frame
                source_mac, target_mac, heard_row = b.source_mac, b.target_mac, -1
            if missing != 0 and defect == 0:
                defect = _STREAM_GAP
            deliver_rest(t, f, y, buffer, start, end, missing, lost, False, heard, heard_frame, source_mac, target_mac, heard_row)
            missing = 0
            if is_direct:
                is_direct = False
            else:
                take_block(t, receiving)
    if defect != 0 and row >= 0 and t.flow_rows[row].defect == 0:
        t.flow_rows[row].defect = defect
    if head.flags & (_FIN | _RST):
        end_side(t, f, x, head, frame)
