"""TCP streams as the sensor hears them (RFC 9293, 3.4 and 3.10): what waits, what is old, what contradicts.

First copy wins: octets that were heard are never replaced.  A later copy of the same sequence numbers with other content is counted and
marked.  A hole is given up when the receiver acknowledges past it, when too much waits behind it, or, where the receiver is not heard,
after HOLD_NS.  Who forges octets that lie far ahead can have it given up before its time: what comes to fill it after all is taken, and the
stream goes on from there.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from typing import Any

import numpy as np

from collectors.capture.tables import HELD_OCTETS, HELD_PER_STREAM, HISTORIES, HISTORY_OCTETS, HOLD_NS
from collectors.compiled import kernel, move, natural

Table = Any

_HALF, _WHOLE = 1 << 31, 1 << 32


@kernel(inline=True)
def distance(seq: int, origin: int) -> int:
    """How far ``seq`` lies behind ``origin`` in the sequence space, -2**31 to 2**31 - 1."""
    return ((seq - origin + _HALF) & (_WHOLE - 1)) - _HALF


@kernel(inline=True)
def stream_of(flow: Table, f: int, x: int) -> int:
    """The application's stream number of side x: the client's direction is the even one."""
    return natural(2 * f + ((x & 1) ^ int(np.int64(flow.client))))


@kernel(inline=True)
def remember(state: Table, history: Table, owners: Table, side: Table, x: int, octets: Table, at: int, size: int) -> None:
    """Keep the last HISTORY_OCTETS of what was delivered on side x."""
    row = int(np.int64(side.history)) - 1
    if row < 0 or owners[natural(row)] != x + 1:
        row = state[0].history_at
        state[0].history_at = (row + 1) & (HISTORIES - 1)
        owners[row] = x + 1
        side.history = row + 1
        side.past = 0
    kept = min(size, HISTORY_OCTETS)
    written = int(np.int64(side.written))
    first = (written + size - kept) & (HISTORY_OCTETS - 1)
    start = at + size - kept
    until_wrap = min(kept, HISTORY_OCTETS - first)
    past = history[natural(row)]
    move(past, first, octets, start, until_wrap)
    if kept > until_wrap:
        move(past, 0, octets, start + until_wrap, kept - until_wrap)
    side.written = written + size
    side.past += size


@kernel
def contradicts(state: Table, history: Table, owners: Table, side: Table, x: int, octets: Table, at: int, size: int, back: int) -> bool:
    """Do ``size`` octets that begin ``back`` octets before the next expected one differ from what was delivered there?"""
    row = max(0, side.history - 1)
    known = min(side.past, HISTORY_OCTETS) if owners[row] == x + 1 else 0
    skip = max(0, back - known)
    length = min(size, back)
    if skip > 0:
        state[0].octets_unchecked += min(skip, length)
    past = history[row]
    first = int(np.int64(side.written)) - back
    for i in range(skip, length):  # noqa: SIM110  a generator cannot be compiled
        if past[(first + i) & (HISTORY_OCTETS - 1)] != octets[at + i]:
            return True
    return False


@kernel
def leave_hole(side: Table) -> None:
    """The hole before what comes next is given up.  One that its receiver has not passed is remembered before a later one."""
    if side.has_left == 0 or (side.has_acked != 0 and distance(int(np.int64(side.acked)), int(np.int64(side.left))) > 0):
        side.left = side.next
        side.has_left = 1


@kernel
def octets_before_hole(side: Table, seq: int, size: int) -> int:
    """How many of ``size`` octets from ``seq`` on lie before the hole that was given up, which the rest of them fill; -1 = none fill it."""
    before = distance(int(np.int64(side.left)), seq)
    return before if side.has_left != 0 and 0 <= before < size and seq != side.next else -1


@kernel
def hold_piece(
    state: Table,
    held: Table,
    held_octets: Table,
    side: Table,
    before: int,
    octets: Table,
    at: int,
    size: int,
    cut: int,
    seq: int,
    time: int,
    frame: int,
    head: Table,
) -> int:
    """Put a piece that overlaps nothing behind block ``before`` (0 = first).  Its block + 1, or 0 when there is no room."""
    block = state[0].free_held
    if block == 0 or side.held_count >= HELD_PER_STREAM:
        state[0].held_refused += 1
        return 0
    b = held[block - 1]
    state[0].free_held = b.next
    start = (block - 1) * HELD_OCTETS
    move(held_octets, start, octets, at, size)
    b.seq = seq
    b.time = time
    b.frame = frame
    b.source_mac = head.source_mac
    b.target_mac = head.target_mac
    b.size = size
    b.cut = cut
    if before == 0:
        b.next = side.held
        side.held = block
    else:
        b.next = held[before - 1].next
        held[before - 1].next = block
    side.held_count += 1
    return block


@kernel
def hold(
    state: Table,
    held: Table,
    held_octets: Table,
    side: Table,
    octets: Table,
    at: int,
    size: int,
    cut: int,
    seq: int,
    time: int,
    frame: int,
    head: Table,
) -> bool:
    """Let a segment wait, without the octets that wait already.  True = it contradicts them."""
    contradicting = False
    before, block = 0, side.held
    position, end = seq, seq + size  # not wrapped: compared by distance only
    while position < end:
        gap = end - position
        if block != 0:
            gap = min(gap, max(0, distance(held[block - 1].seq, position & (_WHOLE - 1))))
        if gap > 0:
            piece = min(gap, HELD_OCTETS)
            is_last = position + piece == end
            placed = hold_piece(
                state,
                held,
                held_octets,
                side,
                before,
                octets,
                at + position - seq,
                piece,
                cut if is_last else 0,
                position & (_WHOLE - 1),
                time,
                frame,
                head,
            )
            if placed == 0:
                break
            before = placed
            position += piece
            continue
        b = held[block - 1]
        inside = distance(position & (_WHOLE - 1), b.seq)
        if inside < b.size:
            length = min(end - position, b.size - inside)
            start = (block - 1) * HELD_OCTETS + inside
            for i in range(length):
                if held_octets[start + i] != octets[at + position - seq + i]:
                    contradicting = True
                    break
            position += length
        before, block = block, b.next
    return contradicting


@kernel
def may_pass_hole(state: Table, held: Table, side: Table, now: int) -> bool:
    """Is the hole before the first waiting block given up?"""
    b = held[side.held - 1]
    if side.has_acked and distance(int(np.int64(side.acked)), b.seq) >= 0:
        return True
    if side.held_count >= HELD_PER_STREAM or state[0].free_held == 0:
        return True
    return not side.has_acked and now - b.time > HOLD_NS
