"""IP datagrams put together from their fragments (RFC 791, 3.2; RFC 8200, 4.5): heads of a batch in, whole datagrams among them out.

Octets of the part that came first win.  A part that repeats them with others marks its flow row with `Defect.CONTRADICTING_COPY`; one that
reaches beyond a datagram, or beyond the end that was told before, is refused with `Defect.BAD_LENGTH`.  The part that completes a datagram
becomes it: its row is the datagram's, under its own frame and time.  The other parts stay rows with `Defect.FRAGMENT`.
Extension headers before an IPv6 fragment header are not kept.  An ordinary packet is never looked at here.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from collectors.capture.decode import decode
from collectors.capture.packets import RAW, PacketBatch
from collectors.capture.tables import FAMILY_IP4, HEAD
from collectors.compiled import Words
from sentinel.model.observation import U1
from sentinel.model.protocol import Defect
from sentinel.model.time import NS_PER_S

Records = Any

MAX_DATAGRAMS = 64  # that wait for their parts at once; beyond them the oldest is given up
MAX_PARTS = 256  # of one datagram; a whole one in parts of 256 octets
MAX_OCTETS = 65_535  # of one datagram with its header (RFC 791, 3.1)
MAX_A_SECOND = 5_000  # of packet time: a tenth of a core; a flood of more is a flood of rows that say FRAGMENT, and blinds nobody
WAIT_NS = 30 * NS_PER_S  # for the rest of a datagram, from its first part on; what Linux waits (ipfrag_time)
_IP4_HEADER_OCTETS, _IP6_HEADER_OCTETS, _FRAGMENT_HEADER_OCTETS = 20, 40, 8

Key = tuple[int, int, int, int, int, int, int]


@dataclass(slots=True)
class Datagram:
    """What is known of one: ``spans`` are the octets that were heard, sorted, apart from each other."""

    begun: int
    total: int = -1  # octets without a header; -1 = its last part was not heard
    parts: int = 0
    octets: bytearray = field(default_factory=bytearray)
    spans: list[tuple[int, int]] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        return self.spans == [(0, self.total)]

    def add(self, start: int, part: bytes, is_last: bool) -> Defect:
        """`FRAGMENT` for a part that fits; else what is wrong with it."""
        end = start + len(part)
        heard = self.spans[-1][1] if self.spans else 0
        if is_last and (self.total not in (-1, end) or heard > end):
            return Defect.BAD_LENGTH
        if not is_last and 0 <= self.total < end:
            return Defect.BAD_LENGTH
        self.parts += 1
        if is_last:
            self.total = end
        if len(self.octets) < end:
            self.octets.extend(bytes(end - len(self.octets)))
        defect, at, apart = Defect.FRAGMENT, start, []
        low, high = start, end
        for a, b in self.spans:
            if b < start or a > end:
                apart.append((a, b))
                continue
            low, high = min(low, a), max(high, b)
            first, last = max(a, start), min(b, end)
            if first < last and self.octets[first:last] != part[first - start : last - start]:
                defect = Defect.CONTRADICTING_COPY
            if at < first:
                self.octets[at:first] = part[at - start : first - start]
            at = max(at, last)
        if at < end:
            self.octets[at:end] = part[at - start :]
        self.spans = sorted([*apart, (low, high)])
        return defect


class Reassembler:
    """At most MAX_DATAGRAMS of MAX_OCTETS wait, 4 MiB; every part and datagram that is given up is counted."""

    def __init__(self, keys: Any) -> None:
        self._keys = Words(keys)
        self._open: OrderedDict[Key, Datagram] = OrderedDict()  # by the time of their first part
        self._second = self._taken = 0
        self.counts = dict.fromkeys(
            ("datagrams_joined", "datagrams_unfinished", "fragments_refused", "fragments_contradicting", "fragments_passed_over"), 0
        )

    def join(self, heads: Records, batch: PacketBatch, first: int, count: int) -> U1:
        """Take the fragments among ``heads[:count]``, the packets ``first`` on; the octets in which their offsets lie now."""
        joined: list[tuple[int, bytes]] = []
        for row in np.flatnonzero(heads["defect"][:count] == Defect.FRAGMENT).tolist():
            if self._is_flooded(int(batch.time[first + row])):
                self.counts["fragments_passed_over"] += 1
                continue
            datagram = self._take(heads[row], batch, first + row)
            if datagram:
                joined.append((row, datagram))
        if not joined:
            return batch.octets
        low = int(batch.off[first : first + count].min())
        high = int((batch.off[first : first + count] + batch.cap[first : first + count]).max())
        whole = PacketBatch.of([datagram for _, datagram in joined], [0] * len(joined), link=RAW)
        decoded: Records = np.zeros(len(joined), HEAD)
        decode(Words(decoded), Words(whole.columns), 0, len(joined), self._keys)
        decoded["payload"] += high - low
        heads["payload"][:count] -= low
        rows = [row for row, _ in joined]
        decoded["defect"] = np.where(heads["defect"][rows] == Defect.CONTRADICTING_COPY, Defect.CONTRADICTING_COPY, decoded["defect"])
        for name in ("source_mac", "target_mac", "likeness"):  # a copy of the part that completed it is one of it
            decoded[name] = heads[name][rows]
        heads[rows] = decoded
        return np.concatenate([batch.octets[low:high], whole.octets])

    def _is_flooded(self, time: int) -> bool:
        if time // NS_PER_S != self._second:
            self._second, self._taken = time // NS_PER_S, 0
        self._taken += 1
        return self._taken > MAX_A_SECOND

    def close(self) -> None:
        """The source has ended: nothing is completed any more."""
        self.counts["datagrams_unfinished"] += len(self._open)
        self._open.clear()

    def _take(self, head: Records, batch: PacketBatch, row: int) -> bytes:
        """The datagram that this part completes, with a header; else nothing."""
        octets, at, end = batch.octets, int(head["payload"]), int(batch.off[row] + batch.cap[row])
        size, time = int(head["payload_wire"]), int(batch.time[row])
        if head["family"] == FAMILY_IP4:
            name, place = octets[at + 4 : at + 6], int(octets[at + 6]) << 8 | int(octets[at + 7])
            start, is_last = (place & 0x1FFF) * 8, not place & 0x2000
            body, header = at + int(octets[at] & 15) * 4, _IP4_HEADER_OCTETS
        else:
            name, place = octets[at + 4 : at + 8], int(octets[at + 2]) << 8 | int(octets[at + 3])
            start, is_last = place & 0xFFF8, not place & 1
            body, header, size = at + _FRAGMENT_HEADER_OCTETS, 0, size - _FRAGMENT_HEADER_OCTETS
        if size <= 0 or (size % 8 and not is_last) or start + size > MAX_OCTETS - header:
            return self._refuse(head, Defect.BAD_LENGTH)
        if body + size > end:
            return self._refuse(head, Defect.TRUNCATED)
        self._expire(time)
        protocol = int(head["proto"]) if head["family"] == FAMILY_IP4 else -1  # RFC 791 names it in the key, RFC 8200 does not
        ends = [int(head[name]) for name in ("source_hi", "source_lo", "target_hi", "target_lo")]
        key = (int(head["family"]), ends[0], ends[1], ends[2], ends[3], int.from_bytes(name.tobytes(), "big"), protocol)
        datagram = self._open.get(key)
        if datagram is None:
            if len(self._open) == MAX_DATAGRAMS:
                self._open.popitem(last=False)
                self.counts["datagrams_unfinished"] += 1
            datagram = self._open[key] = Datagram(time)
        if datagram.parts == MAX_PARTS:
            return self._refuse(head, Defect.FRAGMENT)
        defect = datagram.add(start, octets[body : body + size].tobytes(), is_last)
        head["defect"] = defect
        if defect == Defect.BAD_LENGTH:
            return self._refuse(head, defect)
        self.counts["fragments_contradicting"] += defect == Defect.CONTRADICTING_COPY
        if not datagram.is_whole:
            return b""
        del self._open[key]
        self.counts["datagrams_joined"] += 1
        return _header(head, len(datagram.octets)) + bytes(datagram.octets)

    def _refuse(self, head: Records, defect: Defect) -> bytes:
        head["defect"] = defect
        self.counts["fragments_refused"] += 1
        return b""

    def _expire(self, now: int) -> None:
        while self._open:
            key, oldest = next(iter(self._open.items()))
            if now - oldest.begun <= WAIT_NS:
                return
            del self._open[key]
            self.counts["datagrams_unfinished"] += 1


def _header(head: Records, size: int) -> bytes:
    """The shortest header that tells of the datagram what `decode` reads."""
    hi, lo, to_hi, to_lo = (int(head[name]) for name in ("source_hi", "source_lo", "target_hi", "target_lo"))
    protocol = int(head["proto"]) & 0xFF
    if head["family"] == FAMILY_IP4:
        start = bytes([0x45, 0]) + (_IP4_HEADER_OCTETS + size).to_bytes(2, "big") + bytes(5) + bytes([protocol, 0, 0])
        return start + lo.to_bytes(4, "big") + to_lo.to_bytes(4, "big")
    start = bytes([0x60, 0, 0, 0]) + size.to_bytes(2, "big") + bytes([protocol, 64])
    return start + (hi << 64 | lo).to_bytes(16, "big") + (to_hi << 64 | to_lo).to_bytes(16, "big")
