"""Gaps: conduits of which the sensor misses octets.  They reached their receiver, which acknowledged them, or nobody sent them again: the
loss is ours, in the mirror port, the tap or the capture, and whatever was in them was heard by nobody.

Counted in seconds and directions in which a TCP stream of an industrial protocol had a hole; needs no baseline.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from sentinel.detect.evidence import asset, protocol_words
from sentinel.model.columns import distinct
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import SLOT_NS
from sentinel.model.protocol import Defect, FlowKind
from sentinel.model.window import Window
from sentinel.ports import Spec

MIN_GAPS = 5  # within `WITHIN_NS`: a twelfth of the seconds; a few happen in a burst, and stand in the conduit's figures
WITHIN_NS = 60 * SLOT_NS
MAX_CONDUITS = 4096  # under watch; the one longest unheard is forgotten

Join = tuple[str, str, int]  # client, server, the server's port


class Gaps:
    spec: ClassVar[Spec] = Spec(name="gaps", summary="conduits of which the sensor misses octets, as a mirror port does that is too small")

    def __init__(self) -> None:
        self._missed: OrderedDict[Join, deque[int]] = OrderedDict()

    def learn(self, window: Window) -> None:
        """Nothing to learn: no octet may be missed."""

    def activate(self) -> None:
        """Nothing to fix, as above."""

    def score(self, window: Window) -> Sequence[Detection]:
        f = window.flows
        rows = np.flatnonzero((f.kind == FlowKind.TCP) & (f.defect == Defect.STREAM_GAP) & (f.protocol > 0) & (f.port >= 0))
        if not len(rows):
            return ()
        is_client = f.from_client[rows] == 1
        clients, servers = np.where(is_client, f.source[rows], f.target[rows]), np.where(is_client, f.target[rows], f.source[rows])
        first, which = distinct(clients, servers, f.port[rows])
        found = []
        for index, count in enumerate(np.bincount(which).tolist()):
            row = int(rows[first[index]])
            client, server = (f.name_of(int(code)) or "" for code in (clients[first[index]], servers[first[index]]))
            join = client, server, int(f.port[row])
            missed = self._missed.pop(join, deque(maxlen=MIN_GAPS))
            missed.extend([window.start] * min(count, MIN_GAPS))
            self._missed[join] = missed
            if len(self._missed) > MAX_CONDUITS:
                self._missed.popitem(last=False)
            if len(missed) == MIN_GAPS and missed[0] > window.start - WITHIN_NS:
                found.append(self._detection(join, window, row))
        return found

    def _detection(self, join: Join, window: Window, row: int) -> Detection:
        client, server, port = join
        frame = int(window.flows.frame[row])
        spoken = protocol_words(int(window.flows.protocol[row]))
        return Detection(
            detector=self.spec.name,
            title=f"Blind spot: parts of what {client} and {server} say in {spoken} on port {port} never reach the sensor",
            seen=window.start,
            frame=frame,
            frames=(frame,) if frame else (),
            source=asset(client),
            target=asset(server),
            cause=f"gap:{client} {server} {port}",
            feature="missed octets",
            observed=f"{MIN_GAPS} or more holes in a minute",
            expected="streams without holes",
            score=float(MIN_GAPS),
            threshold=float(MIN_GAPS),
            why=f"Octets between {client} and {server} on port {port} were acknowledged, or never sent again, and the sensor did not hear"
            " them: its mirror port, tap or capture loses packets.  A command in such a hole is heard by nobody.",
            severity=Severity.LOW,
            confidence=0.9,
        )

    def state(self) -> Mapping[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Nothing to bring back, as above."""
