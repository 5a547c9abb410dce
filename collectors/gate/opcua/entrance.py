"""How a client comes to its secure channel, and to each new token of it: Hello, OpenSecureChannel (OPC 10000-6, 6.7 and 7.1).

In: whole chunks of the client; what the gate learns of the server meanwhile.  Out: the gate's own answers, and the channel.  The server is
asked first: the gate opens nothing that it could not pass on.
"""

import asyncio
import os
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING

from collectors.certificates import Own
from collectors.gate.opcua import opening, rewriting
from collectors.gate.opcua.channel import CLOSE, Channel, Sequence, Token
from collectors.gate.opcua.keeper import Keeper
from collectors.gate.opcua.opening import ISSUE, RENEW, CertificateError, Envelope, Peer
from collectors.gate.opcua.policies import NONCE_OCTETS, Keys, Mode
from collectors.gate.opcua.rewriting import Face
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
    read_hello,
)

if TYPE_CHECKING:
    from collectors.gate.opcua.relay import ClientSide

NONCE_INVALID = 0x80240000  # OPC 10000-6, A.2
_GRACE = 1.25  # a token is taken for so much longer than its life (OPC 10000-4, 5.5.2.1)
_SHORTEST_LIFETIME_MS = 1000
_HELLO, _OPENING = frozenset({b"HELF"}), frozenset({b"OPNF", b"CLOF"})
_STANDING = frozenset({b"MSGF", b"MSGC", b"MSGA", b"OPNF", b"CLOF"})


class State(Enum):
    NEW = auto()  # nothing was said
    CONNECTING = auto()  # Hello came; the server's answer is awaited
    AGREED = auto()
    OPENING = auto()  # OpenSecureChannel came; the server's answer is awaited
    OPEN = auto()
    ENDED = auto()


class Entrance:
    """``tell`` sends octets to the client.  ``splitter`` cuts what the client sends: it takes at each time only what may come then."""

    def __init__(self, gate: Keeper, client: "ClientSide", tell: Callable[[bytes], None]) -> None:
        self._gate, self._client, self._tell = gate, client, tell
        self.splitter = Splitter(_HELLO)
        self.state = State.NEW
        self.face: Face | None = None
        self.channel: Channel | None = None
        self._announced = Agreed(0, 0, 0, 0)
        self._sequence = Sequence()
        self._asked: tuple[int, opening.Request, Envelope] | None = None
        self._tokens = 0
        self._expiry: asyncio.TimerHandle | None = None

    @property
    def sender(self) -> Peer | None:
        """Whom the client's certificate names; None without security."""
        return self._asked[2].sender if self._asked is not None else None

    def take(self, chunk: bytes) -> None:
        """Anything but the messages of a channel that stands.  Raises ChannelError."""
        kind = chunk[:3]
        if kind == b"OPN" and self.state in (State.AGREED, State.OPEN):
            self._open(chunk)
        elif self.state is State.NEW:
            self._greet(chunk)
        elif kind == CLOSE and self.state is State.AGREED:
            self._client.close()
        else:
            raise ChannelError(INTERNAL_ERROR, f"{kind.decode()} while the gate waits for the server")

    def end(self) -> None:
        self.state = State.ENDED
        if self._expiry is not None:
            self._expiry.cancel()

    # --- Hello ---

    def _greet(self, chunk: bytes) -> None:
        self._announced, url = read_hello(chunk)
        self.state = State.CONNECTING
        self.splitter.types = _OPENING
        self.face = self._gate.face(rewriting.authority(url))
        largest = self._gate.answer_octets
        takes = min(self._announced.message or largest, largest)
        announces = Agreed(LARGEST_BUFFER, LARGEST_BUFFER, takes, self._gate.chunks)
        self._gate.reach(self._client, self.face.inward(url) or b"", announces)

    def agreed(self, said: Agreed) -> None:
        """The server has acknowledged."""
        if self.state is not State.CONNECTING:
            return
        largest = self._gate.message_octets
        receives, sends = min(self._announced.sends, LARGEST_BUFFER), min(self._announced.receives, LARGEST_BUFFER)
        self.splitter.limit = receives
        self.state = State.AGREED
        self._tell(acknowledge(Agreed(receives, sends, min(said.message or largest, largest), self._gate.chunks)))

    # --- OpenSecureChannel ---

    def _known(self, chunk: bytes, own: Own) -> tuple[Envelope, tuple[int, int, bytes]]:
        """Of somebody whom the gate trusts and who has the key to what he shows; whoever else tries is told of.  Raises ChannelError."""
        try:
            envelope = opening.read_envelope(chunk)
        except CertificateError as problem:
            self._gate.turn_away(self._client, problem.subject, str(problem))
            raise
        sender = envelope.sender
        if sender is not None and (reason := self._gate.why_not(sender)):
            self._gate.turn_away(self._client, sender.subject, reason)
            raise ChannelError(SECURITY_CHECKS_FAILED, reason)
        try:
            return envelope, opening.unwrap(chunk, envelope, own)
        except ChannelError as problem:
            if sender is not None:
                self._gate.turn_away(self._client, sender.subject, f"who shows that certificate sends what cannot be opened: {problem}")
            raise

    def _open(self, chunk: bytes) -> None:
        assert self.face is not None
        envelope, (sequence, request, body) = self._known(chunk, self.face.own)
        self._sequence.check(sequence)
        asked = opening.read_request(body)
        if (envelope.policy is None) is not (asked.mode is Mode.NONE):
            raise ChannelError(MODE_REJECTED, f"mode {asked.mode.name} under policy {envelope.policy.uri if envelope.policy else 'None'}")
        if envelope.policy is not None and len(asked.nonce) != NONCE_OCTETS:
            raise ChannelError(NONCE_INVALID, f"a nonce of {len(asked.nonce)} octets")
        before = self._asked
        if asked.kind == (RENEW if before is None else ISSUE):
            raise ChannelError(SECURITY_CHECKS_FAILED, "a channel is issued once, and renewed after")
        self._asked = request, asked, envelope
        if before is None:
            self.state = State.OPENING
            self._gate.secure(self._client, envelope, asked.mode)
            return
        _, first, old = before
        same = (envelope.policy, asked.mode) == (old.policy, first.mode)
        if not same or (old.sender and envelope.sender and old.sender.der != envelope.sender.der):
            raise ChannelError(SECURITY_CHECKS_FAILED, "a channel is renewed as it was opened")
        self._issue()

    def wanted(self) -> tuple[Envelope, Mode] | None:
        """What the channel to the server has to be opened with; None when nobody waits for it any more."""
        return (self._asked[2], self._asked[1].mode) if self.state is State.OPENING and self._asked is not None else None

    def opened(self) -> None:
        """The server's channel stands."""
        if self.state is not State.OPENING or self._asked is None:
            return
        _, asked, envelope = self._asked
        self.channel = channel = Channel(self._gate.next_channel(), envelope.policy, asked.mode, self._sequence, serves=True)
        channel.limit, channel.chunks = self._gate.message_octets, self._gate.chunks
        channel.sends = min(self._announced.receives, LARGEST_BUFFER)
        channel.takes, channel.takes_chunks = self._announced.message, self._announced.chunks
        self.splitter.types = _STANDING
        self.state = State.OPEN
        self._issue()

    def _issue(self) -> None:
        """A token, and the answer that tells it."""
        assert self._asked is not None and self.channel is not None and self.face is not None  # noqa: PT018
        request, asked, envelope = self._asked
        nonce = os.urandom(NONCE_OCTETS) if envelope.policy else b""
        keys = (Keys(envelope.policy, asked.nonce, nonce), Keys(envelope.policy, nonce, asked.nonce)) if envelope.policy else (None, None)
        self._tokens += 1
        lifetime_ms = min(max(asked.lifetime_ms or self._gate.lifetime_ms, _SHORTEST_LIFETIME_MS), self._gate.lifetime_ms)
        body = opening.answer(asked, self.channel.number, self._tokens, lifetime_ms, nonce, self._gate.stamp())
        number = self._sequence.next()
        self._tell(opening.wrap(self.channel.number, number, request, body, envelope.policy, self.face.own, envelope.sender))
        self.channel.renew(Token(self._tokens, *keys))
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = asyncio.get_running_loop().call_later(lifetime_ms / 1000 * _GRACE, self._expire)

    def _expire(self) -> None:
        self._client.fail(TOKEN_UNKNOWN, "its channel was not renewed in time")
