"""Packets in which devices tell what they are: found among a batch's headers, read into rows of `Details`.

At most `MAX_PER_SECOND` of packet time are read, so that a flood of them costs nothing; what is passed over is counted.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

from collections.abc import Callable
from typing import Any

import numpy as np

from collectors.capture.tables import BATCH_PACKETS
from collectors.compiled import kernel
from collectors.wire.announced import announced, may_announce
from sentinel.model.observation import SLOT_NS, Details
from sentinel.model.protocol import FlowKind

MAX_PER_SECOND = 64
_TCP, _UDP = int(FlowKind.TCP), int(FlowKind.UDP)

Spell = Callable[[int, int, int], str]  # family, high and low word of an address


@kernel
def find(heads: Any, octets: Any, count: int, places: Any) -> int:
    """How many of ``heads[:count]`` may be announcements; ``places`` says which."""
    found = 0
    for i in range(count):
        head = heads[i]
        if head.kind in (_TCP, _UDP) and may_announce(octets, head.payload, head.payload_cap, head.source_port):
            places[found] = i
            found += 1
    return found


class Announcements:
    def __init__(self, spell: Spell) -> None:
        self._spell = spell
        self._places = np.zeros(BATCH_PACKETS, np.int64)
        self._second = 0
        self._read = 0
        self.passed_over = 0

    def places(self, heads: Any, octets: Any, times: Any, count: int) -> list[int]:
        """Which of ``heads[:count]``, whose packets have ``times``, are to be read."""
        found = find(heads, octets, count, self._places)
        chosen = list[int]()
        for place in self._places[:found].tolist():
            second = int(times[place]) // SLOT_NS
            if second > self._second:
                self._second, self._read = second, 0
            if self._read < MAX_PER_SECOND:
                chosen.append(place)
            self._read += 1
        self.passed_over += found - len(chosen)
        return chosen

    def read(self, head: Any, octets: Any, time: int, frame: int) -> Details:
        start = int(head["payload"])
        protocol, told = announced(octets[start : start + int(head["payload_cap"])].tobytes(), int(head["source_port"]))
        if not told:
            return Details.empty()
        family = int(head["family"])
        server = self._spell(family, int(head["source_hi"]), int(head["source_lo"]))
        client = self._spell(family, int(head["target_hi"]), int(head["target_lo"]))
        size = len(told)
        return Details.of(
            names=(server, client, *(one.text for one in told)),
            time=[time] * size,
            frame=[frame] * size,
            flow=[-1] * size,
            transaction=[-1] * size,
            server=[0] * size,
            client=[1] * size,
            port=[int(head["source_port"])] * size,
            protocol=[int(protocol)] * size,
            function=[-1] * size,
            topic=[int(one.topic) for one in told],
            text=list(range(2, 2 + size)),
            number=[np.nan] * size,
            status=[-1] * size,
            stamped=[-1] * size,
        )
