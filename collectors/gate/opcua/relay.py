"""One client's connection: the gate is the server that it speaks to, and passes on what it asks.

In: octets from the client, whole messages from the server.  Out: the same messages, service by service, their bodies unchanged but for
the few that `collectors.gate.opcua.rewriting` makes anew.  A request that is held waits by itself: what the client sends meanwhile
passes, and answers may overtake it, as the protocol allows.  Request ids pass as they are, for each client has a channel of its own to
the server; sequence numbers, tokens and channel ids belong to one channel and are made on each side.
"""

import asyncio
import os
import struct
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol

from collectors.gate.inline import Held
from collectors.gate.opcua import opening, rewriting
from collectors.gate.opcua.binary import DecodingError, fault, request_header, service_of
from collectors.gate.opcua.certificates import Own
from collectors.gate.opcua.channel import CLOSE, MESSAGE, Channel, Message, Sequence, Token
from collectors.gate.opcua.judgement import PASSING, TOO_MANY_OPERATIONS, Judged, refusal
from collectors.gate.opcua.opening import ISSUE, RENEW, CertificateError, Envelope, Peer
from collectors.gate.opcua.policies import NONCE_OCTETS, Keys, Mode
from collectors.gate.opcua.rewriting import Creating, Face, RefusedError, Session
from collectors.gate.opcua.server_side import RECEIVE_OCTETS, ServerSide
from collectors.gate.opcua.transport import (
    INTERNAL_ERROR,
    LARGEST_BUFFER,
    MODE_REJECTED,
    SECURITY_CHECKS_FAILED,
    TOKEN_UNKNOWN,
    Agreed,
    ChannelError,
    Splitter,
    acknowledge,
    error,
    read_hello,
)
from collectors.gate.records import LIMIT_OCTETS
from collectors.gate.relay import CLOSE_S, prepare, reset
from sentinel.model.ids import AssetId
from sentinel.model.opcua import SERVICES

NONCE_INVALID, RESPONSE_TOO_LARGE, UNKNOWN_RESPONSE = 0x80240000, 0x80B90000, 0x80090000  # OPC 10000-6, A.2
_REMEMBERED = 64  # requests at once whose answers are made anew
_GRACE = 1.25  # a token is taken for so much longer than its life (OPC 10000-4, 5.5.2.1)
_SHORTEST_LIFETIME_MS = 1000
_GET_ENDPOINTS, _FIND_SERVERS = SERVICES["GetEndpoints"][0], SERVICES["FindServers"][0]
_CREATE, _ACTIVATE, _CLOSE = (SERVICES[name][0] for name in ("CreateSession", "ActivateSession", "CloseSession"))
_ANEW = frozenset({_GET_ENDPOINTS, _FIND_SERVERS, _CREATE, _ACTIVATE, _CLOSE})
_STRAIGHT = PASSING - _ANEW
_ANSWERS = dict(SERVICES.values())
_HELLO, _OPENING = frozenset({b"HELF"}), frozenset({b"OPNF", b"CLOF"})
_STANDING = frozenset({b"MSGF", b"MSGC", b"MSGA", b"OPNF", b"CLOF"})
_HEAD = struct.Struct("<4sIIIII")


@dataclass(slots=True, eq=False, kw_only=True)
class HeldRequest(Held):
    request: int
    body: bytes
    judged: Judged


class Keeper(Protocol):
    """What a connection asks of the gate that it belongs to."""

    accepted: int
    is_observed: bool
    message_octets: int
    answer_octets: int
    chunks: int
    lifetime_ms: int
    sessions: "Sessions"

    def admit(self, client: "ClientSide", peer: str) -> bool: ...

    def left(self, client: "ClientSide", *, reset: bool) -> None: ...

    def tap(self, flow: int, from_client: bool, octets: bytes) -> None: ...

    def face(self, called: bytes) -> Face: ...

    def reach(self, client: "ClientSide", path: bytes, announces: Agreed) -> None: ...

    def secure(self, client: "ClientSide", envelope: Envelope, mode: Mode) -> None: ...

    def why_not(self, peer: Peer) -> str | None: ...

    def turn_away(self, client: "ClientSide", subject: str, reason: str) -> None: ...

    def decide(self, client: "ClientSide", request: int, body: bytes, arrived_s: float) -> "HeldRequest | Judged | None": ...

    def abandon(self, held: HeldRequest, reason: str) -> None: ...

    def broken(self, client: "ClientSide", problem: str) -> None: ...

    def broken_request(self, client: "ClientSide", problem: str) -> None: ...

    def next_channel(self) -> int: ...

    def stamp(self) -> int: ...


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


class State(Enum):
    NEW = auto()  # nothing was said
    CONNECTING = auto()  # Hello came; the server's answer is awaited
    AGREED = auto()
    OPENING = auto()  # OpenSecureChannel came; the server's answer is awaited
    OPEN = auto()
    ENDED = auto()


class ClientSide(asyncio.BufferedProtocol):
    """``address`` is the client's, ``flow`` the number of the connection."""

    def __init__(self, gate: Keeper, flow: int) -> None:
        self._gate = gate
        self.flow = flow
        self.address = AssetId("")
        self.held: set[HeldRequest] = set()
        self._buffer = memoryview(bytearray(RECEIVE_OCTETS))
        self._splitter = Splitter(_HELLO)
        self._state = State.NEW
        self._transport: asyncio.Transport | None = None
        self._server: ServerSide | None = None
        self._announced = Agreed(0, 0, 0, 0)
        self._face: Face | None = None
        self._sequence = Sequence()
        self._channel: Channel | None = None
        self._opening: tuple[int, opening.Request, Envelope] | None = None
        self._tokens = 0
        self._expiry: asyncio.TimerHandle | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._anew: dict[int, tuple[int, Any]] = {}  # request id: (service, what its answer is made with)
        self._owed = 0
        self._chunks = self._resumed = 0
        self._heard = [0, 0]  # sequence numbers of what is told to the observer
        self._progress: tuple[State, int, int] | None = None  # at the last inspection, if something waited for the client then
        self._reading = self._writable = True
        self._half_closed = False

    # --- the client's octets ---

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        prepare(transport)
        peer = transport.get_extra_info("peername")
        if peer is None or not self._gate.admit(self, peer[0]):  # None: it is gone already
            self.reset()

    def called(self) -> tuple[str, int]:
        name: tuple[str, int] = self._transport.get_extra_info("sockname")[:2] if self._transport is not None else ("", 0)
        return name

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        try:
            for chunk in self._splitter.feed(self._buffer[:size].tobytes()):
                if self._state is State.ENDED:
                    return
                self._chunks += 1
                self._take(chunk)
        except ChannelError as problem:
            self.fail(problem.status, str(problem))
        except DecodingError as problem:
            self.fail(problem.status, f"a request cannot be read: {problem}")

    def eof_received(self) -> bool:
        """Half-closed: the client may still wait for answers."""
        self._half_closed = True
        return self._state is State.OPEN and self._is_owed()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._end("the client vanished while its write was held")
        if self._closing is not None:
            self._closing.cancel()
        self._gate.left(self, reset=error is not None)

    def _take(self, chunk: bytes) -> None:
        kind = chunk[:3]
        if self._state is State.OPEN and kind != b"OPN":
            assert self._channel is not None
            message, _ = self._channel.open(chunk)
            if self._gate.is_observed and self._channel.policy is None:
                self._gate.tap(self.flow, True, chunk)
            if message is not None:
                self._asked(message)
        elif kind == b"OPN" and self._state in (State.AGREED, State.OPEN):
            self._tap(True, chunk)
            self._open(chunk)
        elif self._state is State.NEW:
            self._tap(True, chunk)
            self._greet(chunk)
        elif kind == CLOSE and self._state is State.AGREED:
            self.close()
        else:
            raise ChannelError(INTERNAL_ERROR, f"{kind.decode()} while the gate waits for the server")

    # --- opening ---

    def _greet(self, chunk: bytes) -> None:
        self._announced, url = read_hello(chunk)
        self._state = State.CONNECTING
        self._splitter.types = _OPENING
        self._face = self._gate.face(rewriting.authority(url))
        largest = self._gate.answer_octets
        takes = min(self._announced.message or largest, largest)
        announces = Agreed(LARGEST_BUFFER, LARGEST_BUFFER, takes, self._gate.chunks)
        self._gate.reach(self, self._face.inward(url) or b"", announces)

    def reached(self, server: ServerSide) -> None:
        self._server = server
        if self._state is State.ENDED:
            server.close()

    def agreed(self, said: Agreed) -> None:
        """The server has acknowledged."""
        if self._state is not State.CONNECTING:
            return
        largest = self._gate.message_octets
        receives, sends = min(self._announced.sends, LARGEST_BUFFER), min(self._announced.receives, LARGEST_BUFFER)
        self._splitter.limit = receives
        self._state = State.AGREED
        self._write(acknowledge(Agreed(receives, sends, min(said.message or largest, largest), self._gate.chunks)))

    def _known(self, chunk: bytes, own: Own) -> tuple[Envelope, tuple[int, int, bytes]]:
        """Of somebody whom the gate trusts and who has the key to what he shows; whoever else tries is told of.  Raises ChannelError."""
        try:
            envelope = opening.read_envelope(chunk)
        except CertificateError as problem:
            self._gate.turn_away(self, problem.subject, str(problem))
            raise
        sender = envelope.sender
        if sender is not None and (reason := self._gate.why_not(sender)):
            self._gate.turn_away(self, sender.subject, reason)
            raise ChannelError(SECURITY_CHECKS_FAILED, reason)
        try:
            return envelope, opening.unwrap(chunk, envelope, own)
        except ChannelError as problem:
            if sender is not None:
                self._gate.turn_away(self, sender.subject, f"who shows that certificate sends what cannot be opened: {problem}")
            raise

    def _open(self, chunk: bytes) -> None:
        gate = self._face
        assert gate is not None
        envelope, (sequence, request, body) = self._known(chunk, gate.own)
        self._sequence.check(sequence)
        asked = opening.read_request(body)
        if (envelope.policy is None) is not (asked.mode is Mode.NONE):
            raise ChannelError(MODE_REJECTED, f"mode {asked.mode.name} under policy {envelope.policy.uri if envelope.policy else 'None'}")
        if envelope.policy is not None and len(asked.nonce) != NONCE_OCTETS:
            raise ChannelError(NONCE_INVALID, f"a nonce of {len(asked.nonce)} octets")
        before = self._opening
        if asked.kind == (RENEW if before is None else ISSUE):
            raise ChannelError(SECURITY_CHECKS_FAILED, "a channel is issued once, and renewed after")
        self._opening = request, asked, envelope
        if before is None:
            self._state = State.OPENING
            self._gate.secure(self, envelope, asked.mode)
            return
        _, first, old = before
        same = (envelope.policy, asked.mode) == (old.policy, first.mode)
        if not same or (old.sender and envelope.sender and old.sender.der != envelope.sender.der):
            raise ChannelError(SECURITY_CHECKS_FAILED, "a channel is renewed as it was opened")
        self._issue()

    def server_known(self, peer: Peer | None) -> None:
        """``peer``: the server that the channel is opened to; None without security."""
        if self._state is State.OPENING and self._opening is not None and self._server is not None and self._server.is_standing:
            self._server.open(self._opening[2].policy, self._opening[1].mode, peer)

    def opened(self) -> None:
        """The server's channel stands."""
        if self._state is not State.OPENING or self._opening is None:
            return
        _, asked, envelope = self._opening
        self._channel = channel = Channel(self._gate.next_channel(), envelope.policy, asked.mode, self._sequence, serves=True)
        channel.limit, channel.chunks = self._gate.message_octets, self._gate.chunks
        channel.sends = min(self._announced.receives, LARGEST_BUFFER)
        channel.takes, channel.takes_chunks = self._announced.message, self._announced.chunks
        self._splitter.types = _STANDING
        self._state = State.OPEN
        self._issue()

    def _issue(self) -> None:
        """A token, and the answer that tells it."""
        assert self._opening is not None and self._channel is not None and self._face is not None  # noqa: PT018
        request, asked, envelope = self._opening
        nonce = os.urandom(NONCE_OCTETS) if envelope.policy else b""
        keys = (Keys(envelope.policy, asked.nonce, nonce), Keys(envelope.policy, nonce, asked.nonce)) if envelope.policy else (None, None)
        self._tokens += 1
        lifetime_ms = min(max(asked.lifetime_ms or self._gate.lifetime_ms, _SHORTEST_LIFETIME_MS), self._gate.lifetime_ms)
        body = opening.answer(asked, self._channel.number, self._tokens, lifetime_ms, nonce, self._gate.stamp())
        number = self._sequence.next()
        self._write(opening.wrap(self._channel.number, number, request, body, envelope.policy, self._face.own, envelope.sender))
        self._channel.renew(Token(self._tokens, *keys))
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = asyncio.get_running_loop().call_later(lifetime_ms / 1000 * _GRACE, self._expire)

    def _expire(self) -> None:
        self.fail(TOKEN_UNKNOWN, "its channel was not renewed in time")

    # --- requests ---

    def _asked(self, message: Message) -> None:
        assert self._server is not None and self._channel is not None  # noqa: PT018
        kind, request, body, aborted = message
        service = service_of(body)
        if self._channel.policy is not None:
            self._hear(True, kind, request, body[: request_header(body).end] if service == _ACTIVATE else body)  # it may name a password
        if kind == CLOSE:
            self._server.end(request, body)
            self._end("the client closed its channel while its write was held")
            self.close()
        elif aborted:
            return  # the client has thought better of it; nothing of it was passed on
        elif service in _STRAIGHT:
            self._forward(request, body)
        elif service in _ANEW:
            self._make_anew(service, request, body)
        else:
            decided = self._gate.decide(self, request, body, asyncio.get_running_loop().time())
            if decided is None:
                self._forward(request, body)
            elif isinstance(decided, Judged):
                self._say(request, refusal(decided, self._gate.stamp()))
            else:
                self.held.add(decided)

    def _forward(self, request: int, body: bytes) -> None:
        assert self._server is not None
        self._server.send(request, body)
        self._gate.accepted += 1
        self._owed += 1

    def _make_anew(self, service: int, request: int, body: bytes) -> None:
        header, face, server = request_header(body), self._face, self._server
        if len(self._anew) >= _REMEMBERED or request in self._anew:
            raise ChannelError(TOO_MANY_OPERATIONS, f"{len(self._anew)} requests of discovery and sessions wait already")
        assert face is not None and server is not None and self._opening is not None  # noqa: PT018
        client = self._opening[2].sender
        context: Any = None
        try:
            if service in (_GET_ENDPOINTS, _FIND_SERVERS):
                body = rewriting.asks_endpoints(body, face)
            elif service == _CREATE:
                body, context = rewriting.creates_session(body, face, server.mode, client)
            elif service == _CLOSE:
                context = header.token
            else:
                context = session = self._gate.sessions.find(header.token)
                body = rewriting.activates_session(body, face, server.policy, client, server.peer, session, self._trusted)
        except RefusedError as refused:
            self._gate.broken_request(self, str(refused))
            self._say(request, fault(header.handle, refused.status, self._gate.stamp()))
            return
        self._anew[request] = service, context
        self._forward(request, body)

    def _trusted(self, certificate: bytes) -> Peer | None:
        """Whose it is, if a password may be encrypted for it."""
        try:
            peer = opening.peer_of(certificate)
        except ChannelError:
            return None
        return peer if self._gate.why_not(peer) is None else None

    # --- the server's side ---

    def answered(self, message: Message) -> None:
        """From the server; unchanged, but for those few."""
        self._owed -= 1
        _, request, body, aborted = message
        if request in self._anew and not aborted:
            body = self._answer_anew(*self._anew.pop(request), body)
        self._say(request, body, aborted=aborted)
        self._end_if_done()

    def _answer_anew(self, service: int, context: Any, body: bytes) -> bytes:
        face, server, sessions = self._face, self._server, self._gate.sessions
        assert face is not None and server is not None  # noqa: PT018
        try:
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
            elif service == _ACTIVATE:
                rewriting.activated_session(body, context)
            else:
                sessions.forget(context)
        except RefusedError as refused:
            self._gate.broken_request(self, str(refused))
            return fault(_handle(body), refused.status, self._gate.stamp())
        except DecodingError as problem:
            self._gate.broken_request(self, f"the server's answer cannot be read: {problem}")
            return fault(_handle(body), UNKNOWN_RESPONSE, self._gate.stamp())
        return body

    def server_lost(self, status: int, reason: str) -> None:
        self._server = None
        self.fail(status, reason)

    def _say(self, request: int, body: bytes, *, aborted: bool = False) -> None:
        channel = self._channel
        if self._transport is None or channel is None or self._state is not State.OPEN:
            return
        try:
            octets = channel.seal(request, body, aborted=aborted)
        except ChannelError:
            body = fault(_handle(body), RESPONSE_TOO_LARGE, self._gate.stamp())
            octets = channel.seal(request, body)
        self._transport.write(octets)
        if channel.policy is None:
            self._tap(False, octets)
        else:
            self._hear(False, MESSAGE, request, body)

    # --- held writes ---

    def can_forward(self, held: HeldRequest) -> bool:
        """Not when either side is gone, or going."""
        return held in self.held and self._is_standing()

    def settle(self, held: HeldRequest, forward: bool) -> None:
        """The gate has decided."""
        if held not in self.held:
            return
        self.held.discard(held)
        if not self._is_standing():
            return
        try:
            if forward:
                self._forward(held.request, held.body)
            else:
                self._say(held.request, refusal(held.judged, self._gate.stamp()))
        except ChannelError as problem:
            self.fail(problem.status, str(problem))
        self._end_if_done()

    def _is_standing(self) -> bool:
        return (
            self._state is State.OPEN
            and self._server is not None
            and self._server.is_standing
            and self._transport is not None
            and not self._transport.is_closing()
        )

    # --- flow control and ends ---

    def regulate(self) -> None:
        """Reads from the client only while the server takes what it sends."""
        room = self._server is None or self._server.writable
        if self._transport is None or room == self._reading:
            return
        self._reading = room
        if room:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        self._writable = False
        if self._server is not None and self._server.is_standing:
            self._server.transport.pause_reading()

    def resume_writing(self) -> None:
        self._writable = True
        self._resumed += 1
        if self._server is not None and self._server.is_standing:
            self._server.transport.resume_reading()

    def fail(self, status: int, problem: str) -> None:
        """The other side is told why, and the connection ends."""
        if self._state is State.ENDED:
            return
        self._gate.broken(self, problem)
        # What an attacker could learn from stays in the log; the status alone is told (OPC 10000-6, 6.7.6).
        told = "" if status == SECURITY_CHECKS_FAILED else problem
        self._write(error(status, told))
        self._end(f"{problem}: the connection ended while the write was held")
        self.close()

    def close(self) -> None:
        """What was written is still sent; a client that does not take it is cut after a while."""
        self._end("the gate closed the connection while the write was held")
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            self._closing = asyncio.get_running_loop().call_later(CLOSE_S, self.reset)

    def reset(self) -> None:
        if self._transport is not None:
            reset(self._transport)

    def expel(self, reason: str) -> None:
        self._end(reason)
        self.reset()

    def inspect(self) -> str | None:
        """What nothing has come of since the last inspection: no channel, a chunk begun, answers not taken, an end that is not shared."""
        waits = "its answers are not taken" if not self._writable else ""
        waits = waits or ("it opened no channel" if self._state is not State.OPEN else "")
        begun = not self._splitter.is_empty or (self._channel is not None and self._channel.is_begun)
        waits = waits or ("a message is begun and never ended" if begun else "")
        waits = waits or ("it has ended and still waits" if self._half_closed else "")
        now = self._state, self._chunks if self._state is State.OPEN else 0, self._resumed
        before, self._progress = self._progress, now if waits else None
        return waits if waits and before is not None and (before == now or self._state is not State.OPEN) else None

    def _end(self, reason: str) -> None:
        """Nothing passes any more."""
        self._state = State.ENDED
        if self._expiry is not None:
            self._expiry.cancel()
        held, self.held = self.held, set()
        for one in held:
            self._gate.abandon(one, reason)
        if self._server is not None:
            self._server.close()

    def _is_owed(self) -> bool:
        return self._owed > 0 or bool(self.held)

    def _end_if_done(self) -> None:
        if self._half_closed and not self._is_owed():
            self.close()

    # --- what is observed ---

    def _write(self, octets: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(octets)
            self._tap(False, octets)

    def _tap(self, from_client: bool, octets: bytes) -> None:
        if self._gate.is_observed:
            for at in range(0, len(octets), LIMIT_OCTETS):
                self._gate.tap(self.flow, from_client, octets[at : at + LIMIT_OCTETS])

    def _hear(self, from_client: bool, kind: bytes, request: int, body: bytes) -> None:
        """A message of a secured channel as it would be without security, in one chunk."""
        if self._gate.is_observed and self._channel is not None:
            self._heard[from_client] += 1
            head = _HEAD.pack(kind + b"F", _HEAD.size + len(body), self._channel.number, 0, self._heard[from_client], request)
            self._tap(from_client, head + body)


def _handle(body: bytes) -> int:
    """The request handle of a response, as far as it can be read (OPC 10000-4, 7.34)."""
    return int.from_bytes(body[12:16], "little") if body[:2] == b"\x01\x00" else 0
