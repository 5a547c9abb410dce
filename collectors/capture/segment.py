"""One TCP segment of a known conversation: handshake, acknowledgement, octets, end (RFC 9293, 3.10.7)."""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

from collectors.capture.delivery import begin_stream, close_side, deliver_inline, deliver_rest, take_block
from collectors.capture.flows import release_held
from collectors.capture.streams import contradicts, distance, hold, may_pass_hole
from collectors.capture.tables import HELD_OCTETS, WINDOW_OCTETS
from collectors.compiled import kernel, natural
from sentinel.model.protocol import Defect

Table = Any

_STREAM_GAP, _CONTRADICTING_COPY = int(Defect.STREAM_GAP), int(Defect.CONTRADICTING_COPY)
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_SEQUENCE_MASK = (1 << 32) - 1


@kernel(inline=True)
def acknowledge(head: Table, other: Table) -> None:
    """What the sender says it has heard of the ``other`` side."""
    if head.flags & _ACK and (not other.synced or distance(head.ack, other.next) < WINDOW_OCTETS):  # else it is no receiver's
        is_news = (other.has_acked == 0) | (distance(head.ack, other.acked) > 0)
        other.acked = head.ack if is_news else other.acked
        other.has_acked = 1


@kernel(inline=True)
def take_segment(t: Any, f: int, source_side: int, head: Table, row: int, octets: Table, time: int, frame: int) -> None:
    """One TCP segment: handshake, acknowledgement, octets, end."""
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
    is_copy, is_direct = False, False
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
            if ahead > WINDOW_OCTETS or ahead < -WINDOW_OCTETS:
                release_held(t.state, t.held, side)
                missing = -1
                side.next = seq
                ahead = 0
            if ahead < 0:
                back = -ahead
                if head.payload_wire == 1 and back == 1:  # a keep-alive probe repeats one octet, of any value (RFC 9293, 3.8.4)
                    continue
                s.retransmissions += 1
                if size > 0 and contradicts(t.state, t.history, t.history_owners, side, y, octets, at, size, back):
                    s.contradictions += 1
                    defect = _CONTRADICTING_COPY
                    is_copy = back >= head.payload_wire
                if back >= head.payload_wire:
                    if not is_copy:
                        continue
                else:
                    skipped = min(back, size)
                    at += skipped
                    size -= skipped
                    cut = head.payload_wire - back - size
                    seq = side.next
                    ahead = 0
            if ahead > 0 or (side.held != 0 and not is_copy):
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
                    receiving.next = b.seq
                buffer = t.held_octets
                start = (block - 1) * HELD_OCTETS
                end, lost = start + int(b.size), int(b.cut)
                heard, heard_frame = max(b.time, s.slot), b.frame
                source_mac, target_mac, heard_row = b.source_mac, b.target_mac, -1
            if missing != 0 and defect == 0:
                defect = _STREAM_GAP
            deliver_rest(t, f, y, buffer, start, end, missing, lost, is_copy, heard, heard_frame, source_mac, target_mac, heard_row)
            missing = 0
            if is_direct:
                is_direct = False
                if is_copy:
                    break
            else:
                take_block(t, receiving)
    if defect != 0 and row >= 0 and t.flow_rows[row].defect == 0:
        t.flow_rows[row].defect = defect
    if head.flags & _FIN:
        side.fin = 1
        close_side(t, f, x, time, frame, head.source_mac, head.target_mac)
    if head.flags & _RST or (side.fin and other.fin):
        flow.closed = 1
        if head.flags & _RST:
            close_side(t, f, x, time, frame, head.source_mac, head.target_mac)
            close_side(t, f, x ^ 1, time, frame, head.source_mac, head.target_mac)
