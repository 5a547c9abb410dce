"""Blindness: a conduit that was read while the baseline was learnt, and is not readable any more.

Somebody began to encrypt it, or speaks something else on it, or sends what makes the decoder lose its way: whichever it is, rules and
envelopes see nothing there from now on, and the analyst must know.  Counted since the last second in which it was readable, in messages
that could not be read, or in payload without any message; a conduit that was never read is no news.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from sentinel.detect.evidence import asset
from sentinel.model.columns import distinct, remembered
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import Messages
from sentinel.model.protocol import FlowKind
from sentinel.model.time import Instant
from sentinel.model.unread import is_unread
from sentinel.model.window import Window
from sentinel.ports import Spec

MAX_CONDUITS = 65_536  # learnt; the one longest unheard is forgotten
MAX_DARK = 4096  # under watch at once; the one longest unheard is forgotten
MIN_READ = 10  # messages, while learning
MAX_UNREAD_SHARE = 0.1  # of a conduit that counts as readable
MIN_DARK_MESSAGES = 5
MIN_DARK_PACKETS, MIN_DARK_OCTETS = 6, 200  # with payload, without a message

Join = tuple[str, str, int]  # client, server, the server's port


class Blindness:
    spec: ClassVar[Spec] = Spec(name="blindness", summary="conduits that were readable and are encrypted or undecodable now")

    def __init__(self) -> None:
        self._learnt: OrderedDict[Join, tuple[int, int]] = OrderedDict()  # messages read, messages unread
        self._readable: frozenset[Join] = frozenset()
        self._dark: OrderedDict[Join, tuple[int, int, int]] = OrderedDict()  # messages unread; packets, octets of payload

    def learn(self, window: Window) -> None:
        for join, (read, unread, _) in _messages(window.messages).items():
            before = self._learnt.pop(join, (0, 0))
            self._learnt[join] = before[0] + read, before[1] + unread
            if len(self._learnt) > MAX_CONDUITS:
                self._learnt.popitem(last=False)

    def activate(self) -> None:
        fit = (join for join, (read, unread) in self._learnt.items() if read >= MIN_READ and unread <= MAX_UNREAD_SHARE * (read + unread))
        self._readable |= frozenset(fit)
        self._learnt.clear()

    def score(self, window: Window) -> Sequence[Detection]:
        if not self._readable:
            return ()
        heard, carried = _messages(window.messages), _payload(window)
        found = []
        for join in sorted((heard.keys() | carried.keys()) & self._readable):
            read, unread, frame = heard.get(join, (0, 0, 0))
            packets, octets, first = carried.get(join, (0, 0, 0))
            if read > unread:
                self._dark.pop(join, None)
                continue
            before = self._dark.pop(join, (0, 0, 0))
            dark = before[0] + unread, before[1] + packets, before[2] + octets
            self._dark[join] = dark
            if len(self._dark) > MAX_DARK:
                self._dark.popitem(last=False)
            if dark[0] >= MIN_DARK_MESSAGES or (dark[1] >= MIN_DARK_PACKETS and dark[2] >= MIN_DARK_OCTETS):
                found.append(self._detection(join, window.start, frame or first, dark))
        return found

    def _detection(self, join: Join, seen: Instant, frame: int, dark: tuple[int, int, int]) -> Detection:
        client, server, port = join
        messages, packets, octets = dark
        observed = f"{messages} unreadable messages" if messages else f"{octets} octets of payload in {packets} packets, no message"
        return Detection(
            detector=self.spec.name,
            title=f"Blind spot: what {client} and {server} say on port {port} cannot be read any more",
            seen=seen,
            frame=frame,
            frames=(frame,) if frame else (),
            source=asset(client),
            target=asset(server),
            cause=f"blind:{client} {server} {port}",
            feature="unreadable messages" if messages else "payload without messages",
            observed=observed,
            expected="messages that are read, as while the baseline was learnt",
            score=float(messages or packets),
            threshold=float(MIN_DARK_MESSAGES if messages else MIN_DARK_PACKETS),
            why=f"{observed} between {client} and {server} on port {port} since its last readable second; "
            "it is encrypted, another protocol, or damaged.  No rule or limit sees into it.",
            severity=Severity.MEDIUM,
            confidence=0.7,
        )

    def state(self) -> Mapping[str, Any]:
        return {"readable": sorted(map(list, self._readable))}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._readable = frozenset((str(client), str(server), int(port)) for client, server, port in state["readable"])


@remembered
def _messages(m: Messages) -> dict[Join, tuple[int, int, int]]:
    """Of each conduit: messages read, messages unread, the first unread one's frame."""
    first, which = distinct(m.client, m.server, m.port)
    unread = is_unread(m)
    totals, dark = np.bincount(which, minlength=len(first)), np.bincount(which, unread, len(first)).astype(np.int64)
    frames = np.zeros(len(first), np.int64)
    last_to_first = np.flatnonzero(unread)[::-1]
    frames[which[last_to_first]] = m.frame[last_to_first]
    clients, servers, ports = m.client[first].tolist(), m.server[first].tolist(), m.port[first].tolist()
    joins = ((m.name_of(client) or "", m.name_of(server) or "", port) for client, server, port in zip(clients, servers, ports, strict=True))
    return dict(zip(joins, zip((totals - dark).tolist(), dark.tolist(), frames.tolist(), strict=True), strict=True))


def _payload(window: Window) -> dict[Join, tuple[int, int, int]]:
    """Of each TCP conduit: packets, octets of payload, the first frame with some."""
    f = window.flows
    rows = np.flatnonzero((f.kind == FlowKind.TCP) & (f.octets > 0))
    is_client = f.from_client[rows] == 1
    clients, servers = np.where(is_client, f.source[rows], f.target[rows]), np.where(is_client, f.target[rows], f.source[rows])
    first, which = distinct(clients, servers, f.port[rows])
    packets, octets = (np.bincount(which, column[rows], len(first)).astype(np.int64) for column in (f.packets, f.octets))
    ends = zip(clients[first].tolist(), servers[first].tolist(), f.port[rows[first]].tolist(), strict=True)
    joins = ((f.name_of(client) or "", f.name_of(server) or "", port) for client, server, port in ends)
    return dict(zip(joins, zip(packets.tolist(), octets.tolist(), f.frame[rows[first]].tolist(), strict=True), strict=True))
