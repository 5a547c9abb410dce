"""One client's connection: the gate is the server that it speaks to, and passes on what it asks.

In: octets from the client, whole messages from the server.  Out: the same messages, service by service, their bodies unchanged but for
the few that `collectors.gate.opcua.anew` makes anew.  A request that is held waits by itself: what the client sends meanwhile
passes, and answers may overtake it, as the protocol allows.  Request ids pass as they are, for each client has a channel of its own to
the server; sequence numbers, tokens and channel ids belong to one channel and are made on each side.
"""

import asyncio
import struct
from typing import Any

from collectors.gate.opcua.anew import ACTIVATE, MADE_ANEW, Anew
from collectors.gate.opcua.binary import DecodingError, fault, request_header, response_handle, service_of
from collectors.gate.opcua.channel import CLOSE, MESSAGE, Message
from collectors.gate.opcua.entrance import Entrance, State
from collectors.gate.opcua.judgement import PASSING, Judged, refusal
from collectors.gate.opcua.keeper import HeldRequest, Keeper
from collectors.gate.opcua.opening import Peer
from collectors.gate.opcua.rewriting import RefusedError
from collectors.gate.opcua.server_side import RECEIVE_OCTETS, ServerSide
from collectors.gate.opcua.transport import SECURITY_CHECKS_FAILED, Agreed, ChannelError, error
from collectors.gate.records import LIMIT_OCTETS
from collectors.gate.relay import CLOSE_S, prepare, reset
from sentinel.model.ids import AssetId

RESPONSE_TOO_LARGE = 0x80B90000  # OPC 10000-6, A.2
_STRAIGHT = PASSING - MADE_ANEW
_HEAD = struct.Struct("<4sIIIII")


class ClientSide(asyncio.BufferedProtocol):
    """``address`` is the client's, ``flow`` the number of the connection."""

    def __init__(self, gate: Keeper, flow: int) -> None:
        self._gate = gate
        self.flow = flow
        self.address = AssetId("")
        self.held: set[HeldRequest] = set()
        self._buffer = memoryview(bytearray(RECEIVE_OCTETS))
        self._entrance = Entrance(gate, self, self._write)
        self._anew = Anew(gate, self)
        self._transport: asyncio.Transport | None = None
        self._server: ServerSide | None = None
        self._closing: asyncio.TimerHandle | None = None
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
            for chunk in self._entrance.splitter.feed(self._buffer[:size].tobytes()):
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
        channel = self._entrance.channel
        if channel is None or self._state is not State.OPEN or chunk[:3] == b"OPN":
            self._tap(True, chunk)
            self._entrance.take(chunk)
            return
        message, _ = channel.open(chunk)
        if channel.policy is None:
            self._tap(True, chunk)
        if message is not None:
            self._asked(message)

    @property
    def _state(self) -> State:
        return self._entrance.state

    # --- the way to a channel ---

    def reached(self, server: ServerSide) -> None:
        self._server = server
        if self._state is State.ENDED:
            server.close()

    def agreed(self, acknowledge: Agreed) -> None:
        self._entrance.agreed(acknowledge)

    def server_known(self, peer: Peer | None) -> None:
        """``peer``: the server that the channel is opened to; None without security."""
        wanted = self._entrance.wanted()
        if wanted is not None and self._server is not None and self._server.is_standing:
            envelope, mode = wanted
            self._server.open(envelope.policy, mode, peer)

    def opened(self) -> None:
        self._entrance.opened()

    # --- requests ---

    def _asked(self, message: Message) -> None:
        channel = self._entrance.channel
        assert self._server is not None and channel is not None  # noqa: PT018
        kind, request, body, aborted = message
        service = service_of(body)
        if channel.policy is not None:
            self._hear(True, kind, request, body[: request_header(body).end] if service == ACTIVATE else body)  # it may name a password
        if kind == CLOSE:
            self._server.end(request, body)
            self._end("the client closed its channel while its write was held")
            self.close()
        elif aborted:
            return  # the client has thought better of it; nothing of it was passed on
        elif service in _STRAIGHT:
            self._forward(request, body)
        elif service in MADE_ANEW:
            self._make_anew(request, body)
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

    def _make_anew(self, request: int, body: bytes) -> None:
        handle, face = request_header(body).handle, self._entrance.face
        assert face is not None and self._server is not None  # noqa: PT018
        try:
            asked = self._anew.ask(request, body, face, self._server, self._entrance.sender)
        except RefusedError as refused:
            self._gate.broken_request(self, str(refused))
            self._say(request, fault(handle, refused.status, self._gate.stamp()))
        else:
            self._forward(request, asked)

    # --- the server's side ---

    def answered(self, message: Message) -> None:
        """From the server; unchanged, but for those few."""
        self._owed -= 1
        _, request, body, aborted = message
        if self._anew.is_awaited(request) and not aborted:
            assert self._entrance.face is not None and self._server is not None  # noqa: PT018
            body = self._anew.answer(request, body, self._entrance.face, self._server)
        self._say(request, body, aborted=aborted)
        self._end_if_done()

    def server_lost(self, status: int, reason: str) -> None:
        self._server = None
        self.fail(status, reason)

    def _say(self, request: int, body: bytes, *, aborted: bool = False) -> None:
        channel = self._entrance.channel
        if self._transport is None or channel is None or self._state is not State.OPEN:
            return
        try:
            octets = channel.seal(request, body, aborted=aborted)
        except ChannelError:
            body = fault(response_handle(body), RESPONSE_TOO_LARGE, self._gate.stamp())
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
        channel = self._entrance.channel
        begun = not self._entrance.splitter.is_empty or (channel is not None and channel.is_begun)
        waits = waits or ("a message is begun and never ended" if begun else "")
        waits = waits or ("it has ended and still waits" if self._half_closed else "")
        now = self._state, self._chunks if self._state is State.OPEN else 0, self._resumed
        before, self._progress = self._progress, now if waits else None
        return waits if waits and before is not None and (before == now or self._state is not State.OPEN) else None

    def _end(self, reason: str) -> None:
        """Nothing passes any more."""
        self._entrance.end()
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
        channel = self._entrance.channel
        if self._gate.is_observed and channel is not None:
            self._heard[from_client] += 1
            head = _HEAD.pack(kind + b"F", _HEAD.size + len(body), channel.number, 0, self._heard[from_client], request)
            self._tap(from_client, head + body)
