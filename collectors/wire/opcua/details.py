"""Bodies of messages in, rows of `sentinel.model.observation.Details` out; keeps what later messages need, within `nodes.Memory`.

The services that name nodes are read by kernels (`services`), the few that say who talks to whom, and how well guarded, here (`session`).
What a body has wrong is marked in its message's ``defect``.  Any batching of the same rows gives the same details.
"""

import base64
import hashlib
import uuid
from typing import Any, NamedTuple

import numpy as np

from collectors.wire.opcua import session
from collectors.wire.opcua.build import TEXTS
from collectors.wire.opcua.nodes import COUNTERS, NONE, Memory, make_memory
from collectors.wire.opcua.services import read_bodies
from collectors.wire.opcua.uses import ROOM, USE
from sentinel.model.columns import distinct
from sentinel.model.observation import Details, Messages
from sentinel.model.opcua import MessageType
from sentinel.model.protocol import Protocol
from sentinel.model.time import NS_PER_S

Array = Any

_OPCUA = int(Protocol.OPCUA)  # numpy compares with a plain number eight times as fast
_EPOCH_S = 11_644_473_600  # from 1601, where OPC UA's time begins, to 1970 (OPC 10000-6, 5.2.2.5)
_LATEST_TICKS = (_EPOCH_S + (1 << 63) // NS_PER_S) * 10_000_000  # that nanoseconds since 1970 can say
_KNOWN_CONDUITS = 4_096  # whose numbers are kept, so that each is digested once
_SIGNED = (2, 4, 6, 8)
_OF_MESSAGE = ("time", "frame", "flow", "transaction", "client", "server", "port", "protocol", "function")  # that a detail bears too


def node_text(octets: bytes) -> str:
    """A node id as the standard writes it (OPC 10000-6, 5.3.1.10), in its namespace's number."""
    form = octets[0] & 0x3F
    if form == 0:
        return f"i={octets[1]}"
    if form == 1:
        space, name = octets[1], f"i={int.from_bytes(octets[2:4], 'little')}"
    elif form == 2:
        space, name = int.from_bytes(octets[1:3], "little"), f"i={int.from_bytes(octets[3:7], 'little')}"
    else:
        space = int.from_bytes(octets[1:3], "little")
        if form == 4:
            name = f"g={uuid.UUID(bytes_le=octets[3:19])}"
        else:
            size = max(0, int.from_bytes(octets[3:7], "little", signed=True))
            said = octets[7 : 7 + size]
            name = f"s={said.decode(errors='replace')}" if form == 3 else f"b={base64.b64encode(said).decode()}"
    return f"ns={space};{name}" if space else name


def numbers(bits: Array, kinds: Array) -> Array:
    """Floats out of `body.number_bits`; kind 0 = no number."""
    found = np.where(np.isin(kinds, _SIGNED), bits.astype(np.float64), bits.view(np.uint64).astype(np.float64))
    found[kinds == 10] = bits[kinds == 10].astype(np.uint32).view(np.float32)
    found[kinds == 11] = bits[kinds == 11].view(np.float64)
    found[kinds == 0] = np.nan
    return found


def instants(ticks: Array) -> Array:
    """ns UTC of OPC UA times; -1 = none, or none that we can say."""
    known = (ticks > _EPOCH_S * 10_000_000) & (ticks < _LATEST_TICKS)
    return np.where(known, (np.where(known, ticks, 0) - _EPOCH_S * 10_000_000) * 100, -1)


class Spelt(NamedTuple):
    """What each row of the table of nodes says as text, and what the row's ``made`` was when it was decoded."""

    texts: Array
    made: Array


class BodyReader:
    """``seed`` keys the hash tables against chosen node ids; it never shows in a row.  Raises nothing on any octets."""

    def __init__(self, seed: int) -> None:
        self._memory: Memory | None = None
        self._seed = seed
        self._uses: Array = None
        self._unread = 0
        self._known_conduits: dict[tuple[str, str, int], int] = {}
        self._spelt: tuple[Spelt, ...] = ()  # as node ids, and as texts

    @property
    def counts(self) -> dict[str, int]:
        """What was forgotten, refused or could not be named, since the start."""
        state = self._memory.state[0] if self._memory is not None else dict.fromkeys(COUNTERS, 0)
        return {f"opcua_{name}": int(state[name]) for name in COUNTERS} | {"opcua_sessions_unread": self._unread}

    def read(self, messages: Messages) -> Details:
        rows = np.flatnonzero(messages.protocol == _OPCUA)
        if not len(rows):
            return Details.empty()
        functions = messages.function[rows]
        of_session = session.is_readable(functions, messages.subfunction[rows])
        opens = messages.subfunction[rows] == MessageType.OPEN
        names = {name: code for code, name in enumerate(messages.names)}
        parts = self._nodes(messages, rows[opens | (~of_session & (messages.transaction[rows] >= 0))], names)
        guards = rows[of_session]
        if len(guards):
            self._unread += max(0, len(guards) - session.MAX_ROWS)
            parts.append(session.details(messages, guards, names))
        if not parts:
            return Details.empty()
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if len(guards):
            order = np.argsort(joined["message"], kind="stable")
            joined = {name: column[order] for name, column in joined.items()}
        of = joined.pop("message")
        return Details(names=tuple(names), **{name: getattr(messages, name)[of] for name in _OF_MESSAGE}, **joined)

    def _nodes(self, m: Messages, rows: Array, names: dict[str, int]) -> list[dict[str, Array]]:
        if not len(rows):
            return []
        if self._memory is None:
            self._memory, self._uses = make_memory(self._seed), np.zeros(ROOM, USE)
            size = len(self._memory.nodes)
            self._spelt = tuple(Spelt(np.full(size, "", object), np.full(size, NONE, np.int64)) for _ in range(2))
        parts, first = [], 0
        columns = (m.pool, m.pdu_start, m.pdu_octets, m.function, m.kind, m.flow, m.transaction, m.defect, self._conduits(m, rows))
        while first < len(rows):
            first, said = read_bodies(self._memory, self._uses, rows, first, *columns)
            if said:
                parts.append(self._columns(self._uses[:said], names))
        return parts

    def _conduits(self, m: Messages, rows: Array) -> Array:
        """A number for the client and server of each row, the same in every batch."""
        clients, servers, ports = m.client[rows], m.server[rows], m.port[rows]
        first, which = distinct(clients, servers, ports)
        numbers = np.zeros(len(first), np.int64)
        names = (*m.names, "")  # -1 is nobody
        for at, (client, server, port) in enumerate(zip(*(column[first].tolist() for column in (clients, servers, ports)), strict=True)):
            ends = names[client], names[server], port
            number = self._known_conduits.get(ends)
            if number is None:
                if len(self._known_conduits) >= _KNOWN_CONDUITS:
                    self._known_conduits.clear()
                digest = hashlib.blake2b(" ".join(map(str, ends)).encode(), digest_size=8, key=self._seed.to_bytes(8, "little")).digest()
                number = self._known_conduits[ends] = int.from_bytes(digest, "little", signed=True)
            numbers[at] = number
        return numbers[which]

    def _columns(self, uses: Array, names: dict[str, int]) -> dict[str, Array]:
        assert self._memory is not None
        known = self._memory.nodes
        nodes = uses["node"]
        named = (nodes >= 0) & (known["made"][nodes] == uses["made"])  # else its row was given to another node meanwhile
        is_text = np.isin(uses["topic"], TEXTS)
        return {
            "message": uses["message"].copy(),
            "topic": uses["topic"].copy(),
            "subject": self._codes(nodes, named & ~is_text, names, False),
            "text": self._codes(nodes, named & is_text, names, True),
            "number": numbers(uses["bits"].copy(), uses["type"]),
            "status": uses["status"].copy(),
            "stamped": instants(uses["stamped"]),
        }

    def _codes(self, nodes: Array, wanted: Array, names: dict[str, int], is_text: bool) -> Array:
        """The code of what each wanted use names; new ones are added to ``names``."""
        assert self._memory is not None
        known, spelt = self._memory.nodes, self._spelt[is_text]
        present = np.zeros(len(known), bool)
        present[nodes[wanted]] = True
        places = np.flatnonzero(present)
        for node in places[spelt.made[places] != known["made"][places]].tolist():
            octets = self._memory.node_octets[node, : int(known["size"][node])].tobytes()
            spelt.texts[node] = octets[4:].decode(errors="replace") if is_text else node_text(octets)
            spelt.made[node] = known["made"][node]
        codes = np.full(len(known), NONE, np.int32)
        codes[places] = [names.setdefault(text, len(names)) for text in spelt.texts[places].tolist()]
        return np.where(wanted, codes[nodes], np.int32(NONE))
