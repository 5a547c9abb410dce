"""The most recent raw frames of a live source, in bounded memory: what evidence is cut from."""

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from collectors.capture.packets import DTYPES, PacketBatch
from collectors.capture.replay import packets_of, to_pcap

_ROW_OCTETS = 48  # of the index, per packet


class RecentFrames:
    """`keep` runs in the thread that hears, `excerpt` in the one that answers."""

    def __init__(self, limit_octets: int) -> None:
        self._limit = limit_octets
        self._batches: deque[PacketBatch] = deque()
        self._octets = 0
        self._lock = threading.Lock()

    def keep(self, batch: PacketBatch) -> None:
        """Copies; lets go of the oldest batches when there is too much."""
        if not len(batch):
            return
        start, end = int(batch.off.min()), int((batch.off + batch.cap).max())
        columns: dict[str, Any] = {name: getattr(batch, name).copy() for name in DTYPES}
        columns["off"] -= start
        kept = PacketBatch(octets=batch.octets[start:end].copy(), **columns)
        with self._lock:
            self._batches.append(kept)
            self._octets += _size(kept)
            while self._octets > self._limit and len(self._batches) > 1:
                self._octets -= _size(self._batches.popleft())

    def excerpt(self, frames: Sequence[int]) -> bytes | None:
        """A pcap of those of the frames that are still here, in order; None when none is."""
        wanted = np.unique(np.array(list(frames), np.int64))
        with self._lock:
            batches = list(self._batches)
        packets: list[tuple[int, int, bytes]] = []
        link = -1
        for batch in batches:
            if not len(wanted) or wanted[-1] < batch.frame[0] or wanted[0] > batch.frame[-1]:
                continue
            for row in np.flatnonzero(np.isin(batch.frame, wanted)):
                link = int(batch.link[row]) if link < 0 else link
                if batch.link[row] == link:
                    packets += [with_tag(packet, int(batch.vlan[row])) for packet in packets_of(batch, [int(row)])]
        return to_pcap(packets, link) if packets else None


def with_tag(packet: tuple[int, int, bytes], vlan: int) -> tuple[int, int, bytes]:
    """Put the VLAN tag back that the kernel took off, where it stood: behind the two addresses."""
    time, wire, octets = packet
    if not vlan or len(octets) < 12:
        return packet
    return time, wire + 4, octets[:12] + vlan.to_bytes(4, "big") + octets[12:]


def _size(batch: PacketBatch) -> int:
    return len(batch.octets) + _ROW_OCTETS * len(batch)
