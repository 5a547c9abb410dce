"""The gate's own connection and secure channel to the server, one for each client's.

In: octets from the server.  Out: whole messages to whoever asked.  The channel is renewed when three quarters of its token's life are over
(OPC 10000-4, 5.5.2.1).
"""

import asyncio
import os
from typing import Any, Protocol

from collectors.certificates import Own
from collectors.gate.opcua import opening
from collectors.gate.opcua.channel import CLOSE, Channel, Message, Sequence, Token
from collectors.gate.opcua.opening import ISSUE, RENEW, Peer
from collectors.gate.opcua.policies import NONCE_OCTETS, Keys, Mode, Policy
from collectors.gate.opcua.transport import (
    INTERNAL_ERROR,
    LARGEST_BUFFER,
    NOT_CONNECTED,
    SECURITY_CHECKS_FAILED,
    Agreed,
    ChannelError,
    Splitter,
    hello,
    read_acknowledge,
    read_error,
)
from collectors.gate.relay import prepare

RECEIVE_OCTETS = 16384
_RENEW_AFTER = 0.75
_BEFORE = frozenset({b"ACKF", b"ERRF"})
_AFTER = frozenset({b"MSGF", b"MSGC", b"MSGA", b"OPNF", b"ERRF"})


class Asker(Protocol):
    """Who the connection is for."""

    def reached(self, server: "ServerSide") -> None: ...

    def agreed(self, acknowledge: Agreed) -> None: ...

    def opened(self) -> None: ...

    def answered(self, message: Message) -> None: ...

    def server_lost(self, status: int, reason: str) -> None: ...

    def regulate(self) -> None: ...


class ServerSide(asyncio.BufferedProtocol):
    """``announces``: what the gate says of its own buffers and of the messages that it takes."""

    def __init__(self, asker: Asker, own: Own, url: bytes, announces: Agreed, lifetime_ms: int, stamp: Any) -> None:
        self._asker, self._own, self._url, self._announces = asker, own, url, announces
        self._lifetime_ms, self._stamp = lifetime_ms, stamp
        self._buffer = memoryview(bytearray(RECEIVE_OCTETS))
        self._splitter = Splitter(_BEFORE)
        self._sequence = Sequence()
        self._number = self._requests = 0
        self._nonce = b""
        self._renewal: asyncio.TimerHandle | None = None
        self._acknowledged: Agreed | None = None
        self._lost = False
        self.policy: Policy | None = None
        self.mode = Mode.NONE
        self.peer: Peer | None = None
        self.channel: Channel | None = None
        self.transport: Any = None  # asyncio.Transport once connected
        self.writable = True

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        prepare(transport)
        transport.write(hello(self._announces, self._url))
        self._asker.reached(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, size: int) -> None:
        try:
            for chunk in self._splitter.feed(self._buffer[:size].tobytes()):
                if self._lost:
                    return
                self._take(chunk)
        except ChannelError as error:
            self._lose(NOT_CONNECTED, f"the server: {error}")

    def open(self, policy: Policy | None, mode: Mode, peer: Peer | None) -> None:
        self.policy, self.mode, self.peer = policy, mode, peer
        self._open(ISSUE)

    def send(self, request: int, body: bytes, kind: bytes = b"MSG", *, aborted: bool = False) -> None:
        """Raises ChannelError when the server does not take messages of that size."""
        assert self.channel is not None
        self.transport.write(self.channel.seal(request, body, kind, aborted=aborted))

    def end(self, request: int, body: bytes) -> None:
        if self.channel is not None and not self.transport.is_closing():
            self.send(request, body, CLOSE)
        self.close()

    def close(self) -> None:
        self._lost = True
        if self._renewal is not None:
            self._renewal.cancel()
        if self.transport is not None:
            self.transport.close()

    @property
    def is_standing(self) -> bool:
        return self.transport is not None and not self.transport.is_closing() and not self._lost

    def connection_lost(self, error: Exception | None) -> None:
        self._lose(NOT_CONNECTED, "the server has closed the connection")

    def pause_writing(self) -> None:
        self.writable = False
        self._asker.regulate()

    def resume_writing(self) -> None:
        self.writable = True
        self._asker.regulate()

    def _take(self, chunk: bytes) -> None:
        kind = chunk[:4]
        if kind == b"ERRF":
            status, reason = read_error(chunk)
            self._lose(status, f"the server ends the connection with {status:#010x} {reason[:200]}".rstrip())
        elif kind == b"ACKF":
            self._acknowledged = read_acknowledge(chunk)
            self._splitter.types, self._splitter.limit = _AFTER, LARGEST_BUFFER
            self._asker.agreed(self._acknowledged)
        elif kind == b"OPNF":
            self._opened(chunk)
        elif self.channel is not None:
            message, _ = self.channel.open(chunk)
            if message is not None:
                self._asker.answered(message)
        else:
            raise ChannelError(INTERNAL_ERROR, "a message before there is a channel")

    def _open(self, kind: int) -> None:
        self._nonce = os.urandom(NONCE_OCTETS) if self.policy else b""
        self._requests += 1
        body = opening.request(kind, self.mode, self._nonce, self._lifetime_ms, self._stamp())
        sequence = self._sequence.next()
        # Numbers from the top: those of the client's requests pass unchanged, and begin at the bottom.
        request = (1 << 32) - self._requests
        self.transport.write(opening.wrap(self._number, sequence, request, body, self.policy, self._own, self.peer))

    def _opened(self, chunk: bytes) -> None:
        envelope = opening.read_envelope(chunk)
        if envelope.policy is not self.policy or (self.peer and envelope.sender and envelope.sender.der != self.peer.der):
            raise ChannelError(SECURITY_CHECKS_FAILED, "the channel is opened under another policy or certificate")
        sequence, _, body = opening.unwrap(chunk, envelope, self._own)
        self._sequence.check(sequence)
        said = opening.read_response(body)
        if self.policy is not None and len(said.nonce) != NONCE_OCTETS:
            raise ChannelError(SECURITY_CHECKS_FAILED, f"a nonce of {len(said.nonce)} octets")
        is_first = self.channel is None
        if self.channel is None:
            assert self._acknowledged is not None
            self._number = said.number
            self.channel = Channel(said.number, self.policy, self.mode, self._sequence, serves=False)
            self.channel.limit, self.channel.chunks = self._announces.message or self.channel.limit, self._announces.chunks
            self.channel.sends = min(self._acknowledged.receives, LARGEST_BUFFER)
            self.channel.takes, self.channel.takes_chunks = self._acknowledged.message, self._acknowledged.chunks
        mine = Keys(self.policy, said.nonce, self._nonce) if self.policy else None
        theirs = Keys(self.policy, self._nonce, said.nonce) if self.policy else None
        self.channel.renew(Token(said.token, mine, theirs))
        after_s = max(1.0, said.lifetime_ms / 1000 * _RENEW_AFTER)
        self._renewal = asyncio.get_running_loop().call_later(after_s, self._renew)
        if is_first:
            self._asker.opened()

    def _renew(self) -> None:
        if self.is_standing:
            self._open(RENEW)

    def _lose(self, status: int, reason: str) -> None:
        if not self._lost:
            self.close()
            self._asker.server_lost(status, reason)
