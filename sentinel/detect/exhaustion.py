"""Exhaustion: OPC UA requests that use up a server, or make it stumble; by what the messages themselves show, whoever sends them.

Counted per client and server over the last ten seconds of packet time: channels, sessions, subscriptions and monitored items that are
asked for, method calls, nodes that come and go, requests that stay without an answer.  Of a message in chunks that never ends the chunks
and octets are counted.  Three things are read from the octets that are kept of a chunk in clear: variants inside variants, the time that a
client puts on a request, and how large a request is.  A chain of certificates whose issuers lead back into it, or that is longer than any
that people make, keeps whoever follows it busy.  Limits lie well above what clients of the common stacks do and well below what the
published attacks need; what is usual for a pair while the baseline is learnt is not told.  Clauses are those of OPC 10000-4 and 10000-6.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np

from sentinel.detect.evidence import asset, counted_detection, frames_of
from sentinel.detect.usual import Once, Usual
from sentinel.detect.watched import watched
from sentinel.model.columns import Array, distinct, grouped
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import Details, Messages
from sentinel.model.opcua import SERVICES, MessageType
from sentinel.model.protocol import MessageKind, Protocol, Topic
from sentinel.model.time import NS_PER_S, Instant
from sentinel.model.window import Window
from sentinel.ports import Spec, Stability

HORIZON_NS = 10 * NS_PER_S
MAX_UNFINISHED_CHUNKS = 100  # of one message; a peer that announces 4 MiB in chunks of 64 KiB gets 64
MAX_UNFINISHED_OCTETS = 1 << 24
MAX_PATHS_OCTETS = 1 << 16  # of one TranslateBrowsePathsToNodeIds: more than a thousand paths
MAX_UNANSWERED = 60  # requests other than Publish; servers have fewer workers than that
MIN_CALLS_LEFT = 5  # running when their session is closed
MIN_TURNS = 5  # nodes added and as many deleted
MAX_NESTED = 20  # variants inside variants; a decoder need not take more than 100 (5.1.8), and people use one or two
MAX_CERTIFICATES = 10  # of a chain; people make chains of two to four
MAX_STEP_NS = 300 * NS_PER_S  # between two clocks whose difference was known
MAX_PAIRS, MAX_FLOWS = 4096, 20_000
MAX_CHAINS = 64  # of one window that are looked at
_FIRST = {name: request for name, (request, _) in SERVICES.items()}
_ADDS, _DELETES = (_FIRST["AddNodes"], _FIRST["AddReferences"]), (_FIRST["DeleteNodes"], _FIRST["DeleteReferences"])
_CLOSES = (_FIRST["CloseSession"], _FIRST["CloseSecureChannel"])
_PUBLISH = SERVICES["Publish"]
_CONTINUED = ord("C")
_NESTING = 0x98  # encoding byte of an array of variants (5.2.2.16), then its length in four octets
_NESTING_OCTETS = 5
_EPOCH_TICKS = 116_444_736_000_000_000  # 1970 in units of 100 ns since 1601 (5.2.2.5)
_HEAD_OCTETS = 24  # header, channel, token and sequence of a MSG chunk (6.7.2)
_TOKEN_OCTETS = {0: 2, 1: 4, 2: 7, 4: 19}  # node ids of fixed size (5.2.2.9)

# feature: (services, requests in ten seconds, "asks ... for ...")
FLOODS: dict[str, tuple[tuple[int, ...], int, str]] = {
    "channel flood": ((_FIRST["OpenSecureChannel"],), 30, "opens secure channels one after the other"),
    "session flood": ((_FIRST["CreateSession"],), 30, "creates sessions one after the other"),
    "subscription flood": ((_FIRST["CreateSubscription"],), 30, "creates subscriptions one after the other"),
    "monitored item flood": ((_FIRST["CreateMonitoredItems"],), 60, "asks for monitored items over and over"),
    "method call flood": ((_FIRST["Call"],), 60, "calls methods over and over, as condition refreshes do that never end"),
}
_COUNTS = (*FLOODS, "adds", "deletes", "asked", "answered", "calls", "calls answered")
_PLACE = {name: place for place, name in enumerate(_COUNTS)}


@dataclass(slots=True)
class _Pair:
    recent: deque[tuple[int, Array]] = field(default_factory=lambda: deque(maxlen=16))  # (end of the window, counts)
    skew: int | None = None  # the client's clock minus ours, ns, as its requests said so far

    def add(self, now: int, counts: Array) -> Array:
        """The sums over the horizon, this window included."""
        self.recent.append((now, counts))
        sums: Array = np.sum([each for time, each in self.recent if time > now - HORIZON_NS], axis=0)
        return sums


@dataclass(slots=True)
class _Open:
    """The message of a connection whose last chunk has not come."""

    chunks: int = 0
    octets: int = 0


class Exhaustion:
    spec: ClassVar[Spec] = Spec(
        name="exhaustion",
        summary="OPC UA requests that use up a server: floods of chunks, channels, sessions, subscriptions, calls; requests never answered",
        stability=Stability.STABLE,
        attack=("T0814", "T0888"),
    )

    def __init__(self) -> None:
        self._pairs: OrderedDict[tuple[str, str], _Pair] = OrderedDict()
        self._open: OrderedDict[tuple[str, str, int], _Open] = OrderedDict()
        self._usual, self._once = Usual(), Once()

    def learn(self, window: Window) -> None:
        self._usual.learn(self._once.of(window, self._find))

    def activate(self) -> None:
        for pair in self._pairs.values():
            pair.recent.clear()

    def score(self, window: Window) -> Sequence[Detection]:
        return self._usual.without(self._once.of(window, self._find))

    def _find(self, window: Window) -> list[Detection]:
        return [*self._in_messages(window), *self._chains(window.details)]

    def _in_messages(self, window: Window) -> list[Detection]:
        m = window.messages
        rows = np.flatnonzero((m.protocol == Protocol.OPCUA) & (m.client >= 0) & (m.server >= 0))
        if not len(rows):
            return []
        found: list[Detection] = []
        first, which = distinct(m.client[rows], m.server[rows])
        nested = _nested(m, rows)
        for at, group in zip(first.tolist(), grouped(which), strict=True):
            members = rows[group]
            names = (m.names[m.client[rows[at]]], m.names[m.server[rows[at]]])
            pair = watched(self._pairs, names, _Pair, MAX_PAIRS)
            tell = partial(self._detection, m, names)
            sums = pair.add(window.end, _counts(m, members))
            found += self._floods(m, members, sums, tell)
            found += self._left(m, members, sums, tell)
            found += self._chunks(m, members, names, tell)
            found += self._steps(m, members, pair, tell)
            deep = members[nested[group] > MAX_NESTED]
            if len(deep):
                depth = int(nested[group].max())
                found.append(
                    tell("nested variants", deep, float(depth), float(MAX_NESTED), f"sends {depth} and more variants inside each other")
                )
        return found

    # -- counts --

    def _floods(self, m: Messages, rows: Array, sums: Array, tell: Any) -> list[Detection]:
        found = []
        for feature, (services, limit, words) in FLOODS.items():
            count = float(sums[_PLACE[feature]])
            members = rows[_asks(m, rows, services)]
            if count > limit and len(members):
                found.append(tell(feature, members, count, float(limit), words))
        turns = float(min(sums[_PLACE["adds"]], sums[_PLACE["deletes"]]))
        members = rows[_asks(m, rows, _ADDS + _DELETES)]
        if turns >= MIN_TURNS and len(members):
            words = "adds nodes to the address space and deletes them by turns"
            found.append(tell("address space churn", members, turns, float(MIN_TURNS), words))
        return found

    def _left(self, m: Messages, rows: Array, sums: Array, tell: Any) -> list[Detection]:
        """Requests without an answer, where answers are heard at all."""
        if not sums[_PLACE["answered"]]:
            return []
        found = []
        waiting = float(sums[_PLACE["asked"]] - sums[_PLACE["answered"]])
        asked = rows[m.kind[rows] == MessageKind.REQUEST]
        if waiting > MAX_UNANSWERED and len(asked):
            words = "sends requests that the server cannot answer: each keeps one of its workers"
            found.append(tell("unanswered requests", asked, waiting, float(MAX_UNANSWERED), words))
        closes = rows[_asks(m, rows, _CLOSES)]
        if len(closes):
            later = rows[rows > closes[0]]
            left = float(sums[_PLACE["calls"]] - sums[_PLACE["calls answered"]])
            left -= float(_asks(m, later, (SERVICES["Call"][0],)).sum()) - float(_answers(m, later, SERVICES["Call"][1]).sum())
            if left >= MIN_CALLS_LEFT:
                words = "closes its session while the methods that it called still run"
                found.append(tell("session closed under calls", closes, left, float(MIN_CALLS_LEFT), words))
        return found

    # -- chunks --

    def _chunks(self, m: Messages, rows: Array, names: tuple[str, str], tell: Any) -> list[Detection]:
        rows = rows[(m.kind[rows] == MessageKind.REQUEST) & (m.pdu_octets[rows] >= 8)]
        found = []
        first, which = distinct(m.flow[rows])
        for at, group in zip(first.tolist(), grouped(which), strict=True):
            members = rows[group]
            starts = m.pdu_start[members]
            sizes = np.stack([m.pool[starts + 4 + i] for i in range(4)], axis=1).view("<u4")[:, 0]
            goes_on = m.pool[starts + 3] == _CONTINUED
            key = (*names, int(m.flow[rows[at]]))
            one = self._open.pop(key, _Open())
            paths = m.function[members] == _FIRST["TranslateBrowsePathsToNodeIds"]
            worst, chunks, octets, longest = 0, one.chunks, one.octets, 0
            for more, size, is_paths in zip(goes_on.tolist(), sizes.tolist(), paths.tolist(), strict=True):
                chunks, octets = chunks + 1, octets + size
                longest = max(longest, octets if is_paths else 0)
                if not more:
                    chunks = octets = 0
                worst = max(worst, chunks)
            if chunks:
                self._open[key] = _Open(chunks, octets)
                if len(self._open) > MAX_FLOWS:
                    self._open.popitem(last=False)
            if worst > MAX_UNFINISHED_CHUNKS or octets > MAX_UNFINISHED_OCTETS:
                words = f"sends a message in chunks that does not end ({octets} octets so far)"
                found.append(tell("chunk flood", members, float(worst), float(MAX_UNFINISHED_CHUNKS), words))
            if longest > MAX_PATHS_OCTETS:
                words = "asks for browse paths without end to be translated, in one request"
                found.append(tell("browse path flood", members[paths], float(longest), float(MAX_PATHS_OCTETS), words))
        return found

    # -- clocks --

    def _steps(self, m: Messages, rows: Array, pair: _Pair, tell: Any) -> list[Detection]:
        """A request to close whose time is not of the clock that the client's other requests were stamped by."""
        found = []
        for row in rows[_asks(m, rows, (_FIRST["CreateSession"], _FIRST["CloseSession"]))][:8].tolist():
            stamp = stamped(m.pdu(row))
            if stamp is None:
                continue
            skew = stamp - int(m.time[row])
            is_close = int(m.function[row]) == _FIRST["CloseSession"]
            if is_close and pair.skew is not None and abs(skew - pair.skew) > MAX_STEP_NS:
                step_s = abs(skew - pair.skew) / NS_PER_S
                words = f"closes its session with a time {step_s:.0f} s off the clock of its other requests, which makes servers talk"
                found.append(tell("stale timestamp", np.array([row]), step_s, MAX_STEP_NS / NS_PER_S, words))
            elif not is_close:
                pair.skew = skew
        return found

    # -- certificates --

    def _chains(self, details: Details) -> list[Detection]:
        rows = np.flatnonzero((details.topic == Topic.CERTIFICATE_CHAIN) & (details.client >= 0) & (details.server >= 0))
        found = []
        for row in rows[:MAX_CHAINS].tolist():
            is_loop, count = details.name_of(int(details.text[row])) == "loop", float(details.number[row])
            if details.name_of(int(details.subject[row])) != "client" or not (is_loop or count > MAX_CERTIFICATES):
                continue
            names = details.name_of(int(details.client[row])) or "?", details.name_of(int(details.server[row])) or "?"
            words = (
                "shows a certificate whose chain of issuers leads back into itself" if is_loop else "shows an endless chain of certificates"
            )
            feature = "certificate loop" if is_loop else "certificate chain"
            found.append(
                self._detection(details, names, feature, np.array([row]), count, 0.0 if is_loop else float(MAX_CERTIFICATES), words)
            )
        return found

    def _detection(
        self, m: Messages | Details, names: tuple[str, str], feature: str, rows: Array, score: float, limit: float, words: str
    ) -> Detection:
        client, server = names
        is_clock = feature == "stale timestamp"
        unit = "s" if is_clock else "octets" if feature == "browse path flood" else ""
        return counted_detection(
            self.spec.name,
            title=f"{client} {words}: OPC UA {feature} at {server}",
            seen=Instant(int(m.time[rows[0]])),
            frames=frames_of(m.frame[rows]),
            source=asset(client),
            target=asset(server),
            cause=f"actor:{client}",
            feature=feature,
            expected=f"at most {limit:g} {unit}".rstrip(),
            score=score,
            threshold=limit,
            why=f"{client} {words}; {feature} at {server}: {score:g} {unit}".rstrip() + f", expected at most {limit:g}.",
            techniques=("T0888",) if is_clock else ("T0814",),
            severity=Severity.MEDIUM if is_clock else Severity.HIGH,
            confidence=0.8,
        )

    def state(self) -> Mapping[str, Any]:
        return self._usual.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self._usual.restore(state)
        self.activate()


def _asks(m: Messages, rows: Array, services: Sequence[int]) -> Array:
    """The first chunk of each request counts; an OPN whose service is encrypted is known by its message type."""
    wanted = np.isin(m.function[rows], services)
    if _FIRST["OpenSecureChannel"] in services:
        wanted |= (m.function[rows] == -1) & (m.subfunction[rows] == MessageType.OPEN)
    mask: Array = wanted & (m.kind[rows] == MessageKind.REQUEST)
    return mask


def _answers(m: Messages, rows: Array, service: int) -> Array:
    mask: Array = (m.function[rows] == service) & (m.kind[rows] != MessageKind.REQUEST)
    return mask


def _counts(m: Messages, rows: Array) -> Array:
    """What a window adds, in the order of ``_COUNTS``.  Requests and answers count by their last chunks."""
    whole = rows[m.pdu_octets[rows] >= 8]
    whole = whole[m.pool[m.pdu_start[whole] + 3] != _CONTINUED]
    is_request = m.kind[whole] == MessageKind.REQUEST
    speaks = (m.function[whole] >= 0) & ~np.isin(m.function[whole], _PUBLISH)
    counts = [_asks(m, whole, services).sum() for services, _, _ in FLOODS.values()]
    counts += [_asks(m, whole, _ADDS).sum(), _asks(m, whole, _DELETES).sum()]
    counts += [(is_request & speaks).sum(), (~is_request & speaks).sum()]
    counts += [_asks(m, whole, (SERVICES["Call"][0],)).sum(), _answers(m, whole, SERVICES["Call"][1]).sum()]
    return np.array(counts, np.int64)


def _nested(m: Messages, rows: Array) -> Array:
    """Per row: how many variants stand directly inside each other in the octets that are kept of it."""
    depth = np.zeros(len(rows), np.int64)
    starts, sizes = m.pdu_start[rows], m.pdu_octets[rows].astype(np.int64)
    low, high = int(starts.min()), int((starts + sizes).max())
    pool = m.pool[low:high]
    heads = np.flatnonzero(pool == _NESTING)
    heads = heads[heads + _NESTING_OCTETS <= len(pool)]
    heads = heads[(pool[heads + 1] > 0) & (pool[heads + 2] == 0) & (pool[heads + 3] == 0) & (pool[heads + 4] == 0)]
    if len(heads) <= MAX_NESTED:
        return depth
    first = np.flatnonzero(np.r_[True, np.diff(heads) != _NESTING_OCTETS])
    runs = np.diff(np.r_[first, len(heads)])
    order = np.argsort(starts, kind="stable")
    for place, run in zip((heads[first] + low).tolist(), runs.tolist(), strict=True):
        at = int(np.searchsorted(starts[order], place, side="right")) - 1
        if run > MAX_NESTED and at >= 0 and place < starts[order[at]] + sizes[order[at]]:
            depth[order[at]] = max(depth[order[at]], run)
    return depth


def stamped(chunk: bytes) -> int | None:
    """The time in the header of a request in clear, ns UTC (OPC 10000-4, 7.33); None where the octets do not reach, or carry none."""
    at = _HEAD_OCTETS + 4  # behind the request's own four-octet node id
    if len(chunk) < at + 1 or chunk[_HEAD_OCTETS] != 1:
        return None
    form = chunk[at]
    if form in _TOKEN_OCTETS:
        at += _TOKEN_OCTETS[form]
    elif form in (3, 5) and len(chunk) >= at + 7:
        at += 7 + max(int.from_bytes(chunk[at + 3 : at + 7], "little", signed=True), 0)
    else:
        return None
    if len(chunk) < at + 8:
        return None
    return (int.from_bytes(chunk[at : at + 8], "little", signed=True) - _EPOCH_TICKS) * 100
