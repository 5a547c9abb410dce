"""One client's connection and its own connection to the server: two protocols that hand octets to each other.

In: octets from both sides.  Out: the same octets, unchanged and in order, but for requests that were refused.
A read that comes whole and alone takes the shortest way: one receive, one look, one send.  Everything else goes through `_advance`, which
stops at a held write and goes on when it is settled.  Memory per connection is bounded: while octets wait, the sender is not read from.
Answers of the gate's own keep the order of the requests, as a server's would: clients that number all requests alike tell them by nothing
else.  What stood behind a held write goes on one request at a time, each when the one before is answered: sent together it would meet
servers that answer only the first request of a segment.  Octets are stamped when they arrive, so that a write that stood behind others is
known to be old when its turn comes.
"""

import asyncio
import socket
import struct
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

from collectors.gate.arrivals import Arrivals
from collectors.gate.inline import Held
from collectors.gate.judgement import Boundary, BrokenFramingError, Decision, adu_octets, exception_adu
from sentinel.model.ids import AssetId

RECEIVE_OCTETS = 8192
CLOSE_S = 5.0
OWED_S = 0.25  # of silence, for answers that the server owes: slow controllers take 0.1 s, clients wait at least 0.5 s
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing resets
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))  # a peer that is gone is noticed in a minute


@dataclass(slots=True, eq=False, kw_only=True)
class HeldWrite(Held):
    adu: bytes


class Keeper(Protocol):
    """What a connection asks of the gate that it belongs to."""

    waiting_octets: int
    refusal: int  # the exception code
    accepted: int

    def admit(self, client: "ClientSide", peer: str) -> bool: ...

    def left(self, client: "ClientSide", *, reset: bool) -> None: ...

    def tap(self, flow: int, from_client: bool, octets: bytes) -> None: ...

    def decide(self, client: "ClientSide", adu: bytes, arrived_s: float) -> "Decision | HeldWrite": ...

    def abandon(self, held: HeldWrite, reason: str) -> None: ...

    def broken(self, client: "ClientSide", problem: str) -> None: ...


class ClientSide(asyncio.BufferedProtocol):
    """``address`` is the client's, ``flow`` the number of the connection."""

    def __init__(self, gate: Keeper, flow: int) -> None:
        self._gate = gate
        self.flow = flow
        self.address = AssetId("")
        self._buffer = memoryview(bytearray(RECEIVE_OCTETS))
        self._pending = bytearray()
        self._held: HeldWrite | None = None
        self._answers: deque[bytes] = deque()
        self._arrivals = Arrivals()
        self._backlog = False  # what is pending stood behind something
        self._resumed = 0
        self._progress: tuple[int, int] | None = None  # at the last inspection, if something waited for the client then
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._transport: asyncio.Transport | None = None
        self.server: ServerSide | None = None
        self._read_at_once = False  # nothing waits: a whole read may go the short way
        self._reading = True
        self._writable = True
        self._ended = False  # the client has sent its last octet
        self._server_told = False

    # --- the client's octets ---

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        prepare(transport)
        peer = transport.get_extra_info("peername")
        if peer is None or not self._gate.admit(self, peer[0]):  # None: it is gone already
            self.reset()

    def called(self) -> tuple[str, int]:
        """The address that the client connected to; behind a redirection it is not where the gate listens."""
        name: tuple[str, int] = self._transport.get_extra_info("sockname")[:2] if self._transport is not None else ("", 0)
        return name

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        octets = self._buffer[:size].tobytes()
        gate = self._gate
        # One whole request of functions 1 to 4 for 1 to 125 items, which is nearly all that is ever sent, needs no further look.
        if (
            self._read_at_once
            and size == 12
            and octets[2:6] == b"\0\0\0\6"
            and 1 <= octets[7] <= 4
            and octets[10] == 0
            and 0 < octets[11] < 126
        ):
            self.server.ask(octets)  # type: ignore[union-attr]
            gate.accepted += 1
            gate.tap(self.flow, True, octets)
            return
        gate.tap(self.flow, True, octets)
        self._pending += octets
        self._arrivals.came(size, asyncio.get_running_loop().time())
        self._advance()

    def eof_received(self) -> bool:
        self._ended = True
        self._advance()
        return True  # half-closed: the client may still wait for answers

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._read_at_once = False
        for timer in self._timers.values():
            timer.cancel()  # it would keep the connection in memory
        if self._held is not None:
            held, self._held = self._held, None
            self._gate.abandon(held, "the client vanished while its write was held")
        if self.server is not None:
            self.server.close()
        self._gate.left(self, reset=error is not None)

    # --- the server's side ---

    def connected(self, server: "ServerSide") -> None:
        self.server = server
        if self._transport is None:
            server.close()
            return
        self._advance()

    def answered(self, octets: bytes) -> None:
        """From the server, untouched."""
        transport = self._transport
        if transport is not None:
            transport.write(octets)
            self._gate.tap(self.flow, False, octets)
            if timer := self._timers.pop("owed", None):
                timer.cancel()
            if self._answers:
                self._say()
                self._advance()
            elif self._pending:
                self._advance()

    def server_lost(self) -> None:
        self.server = None
        self._read_at_once = False
        if self._held is not None:
            held, self._held = self._held, None
            self._gate.abandon(held, "the server's connection was lost while the write was held")
        self.close()

    # --- held writes ---

    def can_forward(self, held: HeldWrite) -> bool:
        """Not when either side is gone, or going."""
        return self._held is held and self._is_standing()

    def settle(self, held: HeldWrite, forward: bool) -> None:
        """The gate has decided."""
        if self._held is not held:
            return
        self._held = None
        if not self._is_standing():
            return
        if forward:
            self._forward(held.adu)
        else:
            self._answer(exception_adu(held.adu, self._gate.refusal))
        self._advance()

    def _advance(self) -> None:
        """Takes whole requests off what is pending, in order, as far as nothing is in their way."""
        pending, at = self._pending, 0
        try:
            while self._is_free() and (size := adu_octets(pending, at)) and len(pending) - at >= size:
                adu = bytes(pending[at : at + size])
                at += size
                decision = self._gate.decide(self, adu, self._arrivals.take(size))
                if not isinstance(decision, Decision):
                    self._held = decision
                elif decision.exception:
                    self._answer(exception_adu(adu, decision.exception))
                else:
                    self._forward(adu)
        except BrokenFramingError as error:
            pending.clear()
            self._gate.broken(self, str(error))
            self.close()
            return
        del pending[:at]
        self._backlog = bool(pending) and (self._backlog or not self._is_free())
        if self._is_next_too_early():
            self._wait_for_owed()
        is_free = self._is_free()
        self._read_at_once = is_free and not pending
        if self._ended and is_free and not self._server_told and self.server is not None:
            self._server_told = True  # what is left can never become whole
            self.server.end()
        self.regulate()

    def _is_standing(self) -> bool:
        return (
            self.server is not None
            and not self.server.transport.is_closing()
            and self._transport is not None
            and not self._transport.is_closing()
        )

    def _is_free(self) -> bool:
        return self._held is None and not self._answers and self._writable and self._is_standing() and not self._is_next_too_early()

    def _is_next_too_early(self) -> bool:
        boundary = self.server.boundary if self._backlog and self.server else None
        return boundary is not None and boundary.owed > 0 and not boundary.lost

    def _forward(self, adu: bytes) -> None:
        assert self.server is not None
        self.server.ask(adu)
        self._gate.accepted += 1

    def _answer(self, adu: bytes) -> None:
        self._answers.append(adu)
        self._say()

    def _say(self, *, insist: bool = False) -> None:
        """Sends our own answers when the server has given those that it owes, or has been silent for OWED_S; never in the middle of one."""
        boundary = self.server.boundary if self.server else None
        if boundary is None or boundary.lost or (insist and not boundary.is_between):
            self._answers.clear()
            self.close()  # no place in the stream is safe: a closed connection is the clear answer that is left
            return
        if insist:
            boundary.owed = 0  # it stays silent, as servers do for units that are not theirs
        while self._answers and boundary.is_between and not boundary.owed and self._transport is not None:
            adu = self._answers.popleft()
            self._transport.write(adu)
            self._gate.tap(self.flow, False, adu)
        if self._answers:
            self._wait_for_owed()

    def _wait_for_owed(self) -> None:
        if "owed" not in self._timers:
            self._timers["owed"] = asyncio.get_running_loop().call_later(OWED_S, self._insist)

    def _insist(self) -> None:
        del self._timers["owed"]
        if self._answers:
            self._say(insist=True)
        elif self._is_next_too_early() and self.server is not None and self.server.boundary.is_between:
            self.server.boundary.owed = 0
        self._advance()

    # --- flow control and ends ---

    def regulate(self) -> None:
        """Reads from the client only while there is room for what it sends."""
        room = len(self._pending) < self._gate.waiting_octets and (self.server is None or self.server.writable)
        if self._transport is None or room == self._reading:
            return
        self._reading = room
        if room:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        self._writable = False
        self._read_at_once = False
        if self.server is not None:
            self.server.transport.pause_reading()

    def resume_writing(self) -> None:
        self._writable = True
        self._resumed += 1
        if self.server is not None:
            self.server.transport.resume_reading()
        self._advance()

    def close(self) -> None:
        """What was written is still sent; a client that does not take it is cut when the gate's patience ends."""
        self._read_at_once = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
            self._timers["close"] = asyncio.get_running_loop().call_later(CLOSE_S, self.reset)

    def reset(self) -> None:
        if self._transport is not None:
            reset(self._transport)

    def inspect(self) -> str | None:
        """What nothing has come of since the last inspection: a request begun, answers not taken, an end that the server does not share."""
        waits = "its answers are not taken" if not self._writable else ""
        waits = waits or ("a request is begun and never ended" if self._pending and self._is_free() else "")
        waits = waits or ("it has ended and the server has not" if self._server_told else "")
        before, self._progress = self._progress, (self._arrivals.taken, self._resumed) if waits else None
        return waits if waits and before == self._progress else None

    def expel(self, reason: str) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            self._gate.abandon(held, reason)
        self.reset()


class ServerSide(asyncio.BufferedProtocol):
    def __init__(self, client: ClientSide) -> None:
        self._client = client
        self._buffer = memoryview(bytearray(RECEIVE_OCTETS))
        self.boundary = Boundary()
        self.transport: Any = None  # asyncio.Transport once connected
        self.writable = True

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        prepare(transport)
        self._client.connected(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        octets = self._buffer[:size].tobytes()
        self.boundary.follow(octets)
        self._client.answered(octets)

    def ask(self, adu: bytes) -> None:
        self.boundary.owed += 1
        self.transport.write(adu)

    def connection_lost(self, error: Exception | None) -> None:
        self._client.server_lost()

    def pause_writing(self) -> None:
        self.writable = False
        self._client.regulate()

    def resume_writing(self) -> None:
        self.writable = True
        self._client.regulate()

    def end(self) -> None:
        if not self.transport.is_closing():
            self.transport.write_eof()

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()


def prepare(transport: asyncio.Transport) -> None:
    """No delay for small frames; a peer that silently went away is noticed."""
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, seconds in _KEEPALIVE:
        connection.setsockopt(socket.IPPROTO_TCP, option, seconds)


def reset(transport: asyncio.Transport) -> None:
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
