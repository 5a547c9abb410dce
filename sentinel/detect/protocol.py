"""Protocol: malformed messages and storms of exceptions.  Needs no baseline; one quiets what is usual here.

Rates are counted over the last ten seconds of packet time.  What the sensor itself missed (truncation, gaps) is no misbehaviour of
anybody.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from sentinel.detect.evidence import asset, counted, counted_detection, frames_of, listed, protocol_words
from sentinel.detect.usual import Usual
from sentinel.detect.watched import watched
from sentinel.model.columns import Array, distinct, grouped, remembered
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import Flows, Messages
from sentinel.model.protocol import Defect, MessageKind
from sentinel.model.time import NS_PER_S, Instant
from sentinel.model.window import Window
from sentinel.ports import Spec, Stability

HORIZON_NS = 10 * NS_PER_S
MIN_EXCEPTIONS = 10  # in ten seconds, and more than half of the answers
MAX_WATCHED = 4096  # pairs under watch; the one longest unheard is forgotten
# what the sensor missed, what joins in the middle of a conversation, what `lower` judges, and fragments, which busy UDP services make
_NO_MISBEHAVIOUR = frozenset({"NONE", "TRUNCATED", "STREAM_GAP", "UNSOLICITED", "CONTRADICTING_COPY", "FRAGMENT"})
_SENSORS_OWN = tuple(defect for defect in Defect if defect.name in _NO_MISBEHAVIOUR)
_DEFECT_WORDS: dict[int, str] = {
    Defect.BAD_LENGTH: "length fields that contradict the data",
    Defect.BAD_PROTOCOL_ID: "a protocol identifier other than 0",
    Defect.BAD_COUNT: "counts outside the protocol's limits",
    Defect.UNKNOWN_FUNCTION: "function codes that the protocol does not know",
    Defect.GARBAGE: "octets that fit no frame",
    Defect.BAD_VALUE: "field values that the protocol forbids",
    Defect.BAD_TEXT: "texts whose octets are not of their encoding",
    Defect.BAD_CHECK: "check sums that do not fit",
}
_FELLS = (Defect.BAD_TEXT,)  # what nobody sends by mistake often, and decoders have fallen over


_Answers = partial(deque[tuple[int, int, int]], maxlen=16)


class ProtocolChecks:
    spec: ClassVar[Spec] = Spec(
        name="protocol",
        summary="malformed messages and packets, storms of exceptions",
        stability=Stability.STABLE,
        attack=("T0814", "T0861", "T0888"),
    )

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, str], deque[tuple[int, int, int]]] = OrderedDict()  # (time, answers, exceptions) of each pair
        self._usual = Usual()

    def learn(self, window: Window) -> None:
        self._usual.learn(self._find(window))

    def activate(self) -> None:
        self._answers.clear()

    def score(self, window: Window) -> Sequence[Detection]:
        return self._usual.without(self._find(window))

    def _find(self, window: Window) -> list[Detection]:
        return [
            *self._malformed(window.messages),
            *self._malformed_below(window.flows),
            *self._exceptions(window.messages, window.end),
        ]

    # -- malformed --

    def _malformed(self, messages: Messages) -> list[Detection]:
        rows = np.flatnonzero(~np.isin(messages.defect, _SENSORS_OWN))
        requests = messages.kind == MessageKind.REQUEST
        senders, receivers = (
            np.where(requests, a, b)[rows] for a, b in ((messages.client, messages.server), (messages.server, messages.client))
        )
        first, which = distinct(senders, receivers, messages.defect[rows], messages.protocol[rows])
        found = []
        for at, group in zip(first.tolist(), grouped(which), strict=True):
            members = rows[group]
            sender, receiver = messages.name_of(int(senders[at])), messages.name_of(int(receivers[at]))
            spoken = protocol_words(int(messages.protocol[members[0]]))
            what = _DEFECT_WORDS.get(int(messages.defect[members[0]]), "a defect")
            found.append(
                counted_detection(
                    self.spec.name,
                    title=f"{sender} sends malformed {spoken} to {receiver}: {what}",
                    seen=Instant(int(messages.time[members[0]])),
                    frames=frames_of(messages.frame[members]),
                    source=asset(sender),
                    target=asset(receiver),
                    cause=f"protocol:{sender}",
                    feature=f"malformed {spoken}: {what}",
                    expected=f"{spoken} as its standard defines it",
                    score=float(len(members)),
                    threshold=0.0,
                    why=f"{counted(len(members), f'{spoken} message')} from {sender} to {receiver} with {what}.",
                    techniques=("T0814",) if len(members) > MIN_EXCEPTIONS or messages.defect[members[0]] in _FELLS else (),
                    severity=Severity.MEDIUM if len(members) > 2 else Severity.LOW,
                    confidence=0.5,
                )
            )
        return found

    def _malformed_below(self, flows: Flows) -> list[Detection]:
        rows = np.flatnonzero(~np.isin(flows.defect, _SENSORS_OWN))
        first, which = distinct(flows.source[rows], flows.target[rows], flows.defect[rows])
        found = []
        for at, group in zip(first.tolist(), grouped(which), strict=True):
            members = rows[group]
            sender, receiver = flows.name_of(int(flows.source[rows[at]])), flows.name_of(int(flows.target[rows[at]]))
            what = _DEFECT_WORDS.get(int(flows.defect[members[0]]), "a defect")
            found.append(
                counted_detection(
                    self.spec.name,
                    title=f"{sender} sends malformed packets to {receiver}: {what}",
                    seen=Instant(int(flows.time[members[0]])),
                    frames=frames_of(flows.frame[members]),
                    source=asset(sender),
                    target=asset(receiver),
                    cause=f"protocol:{sender}",
                    feature=f"malformed packets: {what}",
                    expected="well-formed packets",
                    score=float(len(members)),
                    threshold=0.0,
                    why=f"Packets from {sender} to {receiver} have {what} below the application protocol.",
                    severity=Severity.LOW,
                    confidence=0.3,
                )
            )
        return found

    # -- storms --

    def _exceptions(self, messages: Messages, now: int) -> list[Detection]:
        found = []
        for pair, answered, refused in _answers(messages):
            recent = watched(self._answers, pair, _Answers, MAX_WATCHED)
            recent.append((now, answered, len(refused)))
            if not len(refused):
                continue
            answers = sum(count for time, count, _ in recent if time > now - HORIZON_NS)
            exceptions = sum(count for time, _, count in recent if time > now - HORIZON_NS)
            if exceptions < MIN_EXCEPTIONS or 2 * exceptions <= answers:
                continue
            codes = listed(str(code) for code in np.unique(messages.exception[refused]))
            found.append(
                counted_detection(
                    self.spec.name,
                    title=f"{pair[1]} refuses most of what {pair[0]} asks: somebody tries out what it answers to",
                    seen=Instant(int(messages.time[refused[0]])),
                    frames=frames_of(messages.frame[refused]),
                    source=asset(pair[0]),
                    target=asset(pair[1]),
                    cause=f"protocol:{pair[0]}",
                    feature="exceptions",
                    expected=f"at most {MIN_EXCEPTIONS} exceptions in 10 s, or at most half of the answers",
                    score=float(exceptions),
                    threshold=float(MIN_EXCEPTIONS),
                    why=f"{exceptions} of {answers} answers of {pair[1]} to {pair[0]} within 10 s are exceptions (codes {codes}).",
                    techniques=("T0861", "T0888"),
                    severity=Severity.MEDIUM,
                    confidence=0.7,
                )
            )
        return found

    def state(self) -> Mapping[str, Any]:
        return self._usual.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self._usual.restore(state)
        self.activate()


@remembered
def _answers(messages: Messages) -> list[tuple[tuple[str, str], int, Array]]:
    """Of each (client, server): how many answers, and the rows of those that are exceptions."""
    rows = np.flatnonzero(messages.kind != MessageKind.REQUEST)
    first, which = distinct(messages.client[rows], messages.server[rows])
    refused = messages.kind[rows] == MessageKind.EXCEPTION
    groups = grouped(np.where(refused, which, -1))
    none = rows[:0]
    return [
        (
            (messages.name_of(int(messages.client[rows[at]])) or "?", messages.name_of(int(messages.server[rows[at]])) or "?"),
            count,
            rows[groups[place]] if place < len(groups) else none,
        )
        for place, (at, count) in enumerate(zip(first.tolist(), np.bincount(which).tolist(), strict=True))
    ]
