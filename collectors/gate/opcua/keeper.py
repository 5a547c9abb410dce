"""What a connection is to its gate, and the gate to it: requests that are held, sessions over all connections."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from collectors.gate.inline import Held
from collectors.gate.opcua.judgement import Judged
from collectors.gate.opcua.opening import Envelope, Peer
from collectors.gate.opcua.policies import Mode
from collectors.gate.opcua.rewriting import Face, Session
from collectors.gate.opcua.transport import Agreed

if TYPE_CHECKING:
    from collectors.gate.opcua.relay import ClientSide


@dataclass(slots=True, eq=False, kw_only=True)
class HeldRequest(Held):
    request: int
    body: bytes
    judged: Judged


class Sessions:
    """By authentication token, over all connections: a session may be activated again on another channel.  The oldest makes room."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: dict[bytes, Session] = {}

    def keep(self, token: bytes, session: Session) -> None:
        self._kept[token] = session
        if len(self._kept) > self._limit:
            del self._kept[next(iter(self._kept))]

    def find(self, token: bytes) -> Session | None:
        return self._kept.get(token)

    def forget(self, token: bytes) -> None:
        self._kept.pop(token, None)


class Keeper(Protocol):
    """What a connection asks of the gate that it belongs to."""

    accepted: int
    is_observed: bool
    message_octets: int
    answer_octets: int
    chunks: int
    lifetime_ms: int
    sessions: Sessions

    def admit(self, client: "ClientSide", peer: str) -> bool: ...

    def left(self, client: "ClientSide", *, reset: bool) -> None: ...

    def tap(self, flow: int, from_client: bool, octets: bytes) -> None: ...

    def face(self, called: bytes) -> Face: ...

    def reach(self, client: "ClientSide", path: bytes, announces: Agreed) -> None: ...

    def secure(self, client: "ClientSide", envelope: Envelope, mode: Mode) -> None: ...

    def why_not(self, peer: Peer) -> str | None: ...

    def turn_away(self, client: "ClientSide", subject: str, reason: str) -> None: ...

    def decide(self, client: "ClientSide", request: int, body: bytes, arrived_s: float) -> HeldRequest | Judged | None: ...

    def abandon(self, held: HeldRequest, reason: str) -> None: ...

    def broken(self, client: "ClientSide", problem: str) -> None: ...

    def broken_request(self, client: "ClientSide", problem: str) -> None: ...

    def next_channel(self) -> int: ...

    def stamp(self) -> int: ...
