"""A channel is what one client asks of one unit of one server; a symbol is what it asks: a function and its addresses, a service and its
node.

In: a window.  Out: its requests by channel and symbol, in order, and where the sensor missed octets.  What nobody can read has no order;
how channels and sessions of OPC UA begin and end is the server's to enforce; a copy that contradicts the original is `lower`'s.
"""

from typing import NamedTuple

import numpy as np

from sentinel.detect.evidence import operation_words
from sentinel.detect.novelty import Request, requests
from sentinel.model.columns import Array, distinct
from sentinel.model.observation import Details, Messages
from sentinel.model.opcua import SERVICES
from sentinel.model.protocol import Defect, FlowKind, Protocol, Topic
from sentinel.model.window import Window

_SESSIONS = ("FindServers", "GetEndpoints", "OpenSecureChannel", "CloseSecureChannel", "CreateSession", "ActivateSession", "CloseSession")
_OF_SESSIONS = [SERVICES[name][0] for name in _SESSIONS]
_CHUNK_TYPE_AT, _CONTINUED = 3, ord("C")  # OPC 10000-6, 6.7.2.2
_SUBJECTS = (Topic.VALUE_WRITTEN, Topic.METHOD_CALLED)  # of OPC UA requests whose node makes them what they are


class Channel(NamedTuple):
    client: str
    server: str
    port: int
    protocol: int
    unit: int


class Symbol(NamedTuple):
    """``low``, ``high``: addresses, -1 where there are none; ``subject``: the first node of a write or a call."""

    function: int
    subfunction: int
    low: int
    high: int
    subject: str

    def words(self, protocol: int) -> str:
        where = "" if self.low < 0 else f" at {self.low}" + (f" to {self.high}" if self.high > self.low else "")
        return operation_words(protocol, self.function, self.subfunction) + where + (f" of {self.subject}" if self.subject else "")


def heard(window: Window) -> tuple[list[tuple[Channel, Symbol]], Array, Array]:
    """Distinct requests, the rows of all that have a place in an order, and for each of these the index of its request."""
    messages = window.messages
    keys, rows, which = requests(messages)
    kept = messages.defect[rows] != Defect.CONTRADICTING_COPY
    opcua = messages.protocol[rows] == Protocol.OPCUA
    subjects = np.full(len(rows), -1)
    if opcua.any():
        functions = messages.function[rows]
        kept &= ~opcua | ((functions >= 0) & ~np.isin(functions, _OF_SESSIONS) & ~_goes_on(messages, rows))
        subjects[opcua] = _subjects(messages, rows[opcua], window.details)
    rows, which, subjects = rows[kept], which[kept], subjects[kept]
    if (subjects >= 0).any() or not kept.all():
        first, narrowed = distinct(which, subjects)
        asked, named = which[first].tolist(), subjects[first].tolist()
        which = narrowed
    else:
        asked, named = list(range(len(keys))), [-1] * len(keys)
    return [_of(keys[key], window.details.names[node] if node >= 0 else "") for key, node in zip(asked, named, strict=True)], rows, which


def _of(request: Request, subject: str) -> tuple[Channel, Symbol]:
    (client, server, protocol, unit, function, subfunction), span, _, port = request
    low, high = span or (-1, -1)
    return Channel(client, server, port, protocol, unit), Symbol(function, subfunction, low, high, subject)


def _goes_on(messages: Messages, rows: Array) -> Array:
    """Of each OPC UA chunk: is it not the last of its message?"""
    long_enough = messages.pdu_octets[rows] > _CHUNK_TYPE_AT
    goes_on = np.zeros(len(rows), bool)
    goes_on[long_enough] = messages.pool[messages.pdu_start[rows[long_enough]] + _CHUNK_TYPE_AT] == _CONTINUED
    return goes_on


def _subjects(messages: Messages, rows: Array, details: Details) -> Array:
    """Of each OPC UA request the first node that it writes or calls, as a code of the details' names; -1 = none."""
    told = np.flatnonzero(np.isin(details.topic, _SUBJECTS) & (details.subject >= 0))
    found = np.full(len(rows), -1)
    if not len(told):
        return found
    joined = [
        np.concatenate((getattr(details, name)[told], getattr(messages, name)[rows]))
        for name in ("flow", "transaction", "function", "time")
    ]
    first, which = distinct(*joined)
    asked = which[len(told) :]
    is_told = first[asked] < len(told)
    found[is_told] = details.subject[told[first[asked[is_told]]]]
    return found


def holes(window: Window) -> set[tuple[str, str, int]]:
    """Client, server and port of each connection of which octets were missed."""
    flows = window.flows
    rows = np.flatnonzero((flows.kind == FlowKind.TCP) & (flows.defect == Defect.STREAM_GAP) & (flows.source >= 0) & (flows.target >= 0))
    first, _ = distinct(flows.source[rows], flows.target[rows], flows.port[rows], flows.from_client[rows])
    found = set()
    for row in rows[first].tolist():
        ends = flows.names[flows.source[row]], flows.names[flows.target[row]]
        found.add((*(ends if flows.from_client[row] else ends[::-1]), int(flows.port[row])))
    return found
