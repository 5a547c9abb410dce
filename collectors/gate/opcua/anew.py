"""Requests of discovery and of sessions on one connection: they name addresses and prove keys, so they and their answers are made anew.

In: a request's or an answer's body.  Out: the body that the other side gets (`collectors.gate.opcua.rewriting` makes it).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from collectors.gate.opcua import opening, rewriting
from collectors.gate.opcua.binary import DecodingError, fault, request_header, response_handle, service_of
from collectors.gate.opcua.judgement import TOO_MANY_OPERATIONS
from collectors.gate.opcua.keeper import Keeper
from collectors.gate.opcua.opening import Peer
from collectors.gate.opcua.rewriting import Creating, Face, RefusedError
from collectors.gate.opcua.server_side import ServerSide
from collectors.gate.opcua.transport import ChannelError
from sentinel.model.opcua import SERVICES

if TYPE_CHECKING:
    from collectors.gate.opcua.relay import ClientSide

_UNKNOWN_RESPONSE = 0x80090000  # OPC 10000-6, A.2
_REMEMBERED = 64  # requests at once
_GET_ENDPOINTS, _FIND_SERVERS = SERVICES["GetEndpoints"][0], SERVICES["FindServers"][0]
ACTIVATE = SERVICES["ActivateSession"][0]
_CREATE, _CLOSE = SERVICES["CreateSession"][0], SERVICES["CloseSession"][0]
MADE_ANEW = frozenset({_GET_ENDPOINTS, _FIND_SERVERS, _CREATE, ACTIVATE, _CLOSE})
_ANSWERS = dict(SERVICES.values())


@dataclass(frozen=True, slots=True)
class Waiting:
    service: int
    context: Any  # what its answer is made with


class Anew:
    def __init__(self, gate: Keeper, client: "ClientSide") -> None:
        self._gate, self._client = gate, client
        self._waiting: dict[int, Waiting] = {}  # by request id

    def is_awaited(self, request: int) -> bool:
        return request in self._waiting

    def ask(self, request: int, body: bytes, face: Face, server: ServerSide, client: Peer | None) -> bytes:
        """The request as the server gets it.  Raises RefusedError where the client gets that as an answer, ChannelError, DecodingError."""
        if len(self._waiting) >= _REMEMBERED or request in self._waiting:
            raise ChannelError(TOO_MANY_OPERATIONS, f"{len(self._waiting)} requests of discovery and sessions wait already")
        service, token = service_of(body), request_header(body).token
        context: Any = None
        if service in (_GET_ENDPOINTS, _FIND_SERVERS):
            body = rewriting.asks_endpoints(body, face)
        elif service == _CREATE:
            body, context = rewriting.creates_session(body, face, server.mode, client)
        elif service == _CLOSE:
            context = token
        else:
            context = session = self._gate.sessions.find(token)
            body = rewriting.activates_session(body, face, server.policy, client, server.peer, session, self._trusted)
        self._waiting[request] = Waiting(service, context)
        return body

    def _trusted(self, certificate: bytes) -> Peer | None:
        """Whose it is, if a password may be encrypted for it."""
        try:
            peer = opening.peer_of(certificate)
        except ChannelError:
            return None
        return peer if self._gate.why_not(peer) is None else None

    def answer(self, request: int, body: bytes, face: Face, server: ServerSide) -> bytes:
        """The answer as the client gets it: where it cannot pass, a fault."""
        waiting = self._waiting.pop(request)
        try:
            return self._made(waiting, body, face, server)
        except RefusedError as refused:
            status, problem = refused.status, str(refused)
        except DecodingError as error:
            status, problem = _UNKNOWN_RESPONSE, f"the server's answer cannot be read: {error}"
        self._gate.broken_request(self._client, problem)
        return fault(response_handle(body), status, self._gate.stamp())

    def _made(self, waiting: Waiting, body: bytes, face: Face, server: ServerSide) -> bytes:
        service, context, sessions = waiting.service, waiting.context, self._gate.sessions
        if service_of(body) != _ANSWERS[service]:
            return body  # a fault
        if service == _GET_ENDPOINTS:
            return rewriting.names_endpoints(body, face)
        if service == _FIND_SERVERS:
            return rewriting.names_servers(body, face)
        if service == _CREATE and isinstance(context, Creating):
            made = rewriting.created_session(body, face, server.policy, server.peer, context)
            if made is not None:
                body, token, session = made
                sessions.keep(token, session)
        elif service == ACTIVATE:
            rewriting.activated_session(body, context)
        else:
            sessions.forget(context)
        return body
