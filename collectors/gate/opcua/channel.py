"""One side of a secure channel after it was opened: messages to chunks and back (OPC 10000-6, 6.7).  Sans-io.

Under a policy every chunk is signed, and in mode SignAndEncrypt encrypted; a chunk that is not what its token's keys make of it ends the
channel.  Tokens overlap: the gate as a server goes on with the old one until its client uses the new one, and as a client takes answers
under the old one until the server does (6.7.4).
"""

import hmac
import struct
from dataclasses import dataclass
from typing import NamedTuple

from collectors.gate.opcua.policies import BLOCK_OCTETS, MAC_OCTETS, Keys, Mode, Policy
from collectors.gate.opcua.transport import (
    CHANNEL_ID_INVALID,
    INTERNAL_ERROR,
    MESSAGE_TOO_LARGE,
    SECURITY_CHECKS_FAILED,
    SEQUENCE_INVALID,
    TOKEN_UNKNOWN,
    ChannelError,
)

MESSAGE, CLOSE = b"MSG", b"CLO"
FINAL, CONTINUED, ABORTED = b"F", b"C", b"A"
CLEAR_OCTETS = 16  # type, size, channel id, token id
_SEQUENCE_OCTETS = 8
_LAST_SEQUENCE = (1 << 32) - 1024  # from here on a sender may begin anew, below 1024 (6.7.2.4)
_HEAD = struct.Struct("<4sIIIII")
_CLEAR = struct.Struct("<4sIII")
_PAIR = struct.Struct("<II")


class Message(NamedTuple):
    kind: bytes
    request: int
    body: bytes
    aborted: bool = False  # the body is an error and a reason (6.7.3)


@dataclass(slots=True)
class Token:
    number: int
    mine: Keys | None  # None: policy None
    theirs: Keys | None


class Sequence:
    """The numbers of one channel's chunks in both directions, the opening ones among them."""

    __slots__ = ("_sent", "last")

    def __init__(self) -> None:
        self._sent = 0
        self.last = -1  # received; -1 = none

    def next(self) -> int:
        self._sent = self._sent + 1 if self._sent < _LAST_SEQUENCE else 1
        return self._sent

    def check(self, number: int) -> None:
        last = self.last
        if last >= 0 and number != last + 1 and not (last >= _LAST_SEQUENCE and number < 1024):
            raise ChannelError(SEQUENCE_INVALID, f"sequence number {number} follows {last}")
        self.last = number


class Channel:
    """``limit`` and ``chunks``: of a message's octets and chunks as they are received; ``sends``: octets of a chunk that the other side
    takes; ``takes`` and ``takes_chunks``: octets and chunks of a message that it does, 0 = any."""

    def __init__(self, number: int, policy: Policy | None, mode: Mode, sequence: Sequence, *, serves: bool) -> None:
        self.number, self.policy, self.mode, self.sequence = number, policy, mode, sequence
        self._serves = serves
        self._tokens: dict[int, Token] = {}
        self._sending: Token | None = None
        self._newest = -1
        self._parts: list[bytes] = []
        self._octets = 0
        self._request = -1
        self.limit, self.chunks = 1 << 22, 1024
        self.sends, self.takes, self.takes_chunks = 8192, 0, 0

    @property
    def is_begun(self) -> bool:
        """A message of which not all chunks have come."""
        return bool(self._parts)

    def renew(self, token: Token) -> None:
        """A further token; two are valid at once, and one that would be the third displaces the oldest."""
        self._tokens[token.number] = token
        self._newest = token.number
        while len(self._tokens) > 2:
            del self._tokens[min(self._tokens)]
        if self._sending is None or not self._serves or self._sending.number not in self._tokens:
            self._sending = token

    def seal(self, request: int, body: bytes, kind: bytes = MESSAGE, *, aborted: bool = False) -> bytes:
        """The chunks of one message.  Raises ChannelError when it is larger than the other side takes."""
        token = self._sending
        assert token is not None
        if token.mine is None and len(body) <= self.sends - _HEAD.size and not aborted:  # the usual case
            return _HEAD.pack(kind + b"F", _HEAD.size + len(body), self.number, token.number, self.sequence.next(), request) + body
        step = self._room()
        count = -(-len(body) // step) or 1
        if (self.takes and len(body) > self.takes) or (self.takes_chunks and count > self.takes_chunks):
            raise ChannelError(MESSAGE_TOO_LARGE, f"a message of {len(body)} octets is larger than the other side takes")
        parts = []
        for at in range(0, len(body), step) if body else (0,):
            last = ABORTED if aborted else FINAL
            parts.append(self._chunk(token, kind + (last if at + step >= len(body) else CONTINUED), request, body[at : at + step]))
        return b"".join(parts)

    def open(self, chunk: bytes) -> tuple[Message | None, bytes]:
        """(the message that this chunk completes, the chunk as it would be without security).  Raises ChannelError."""
        if len(chunk) < _HEAD.size:
            raise ChannelError(INTERNAL_ERROR, f"a chunk of {len(chunk)} octets")
        kind, _, number, token_id = _CLEAR.unpack_from(chunk)
        if number != self.number:
            raise ChannelError(CHANNEL_ID_INVALID, f"channel {number} on the connection of channel {self.number}")
        token = self._tokens.get(token_id)
        if token is None:
            raise ChannelError(TOKEN_UNKNOWN, f"token {token_id} is not one of this channel")
        plain = chunk if token.theirs is None else self._unseal(token.theirs, chunk)
        sequence, request = _PAIR.unpack_from(plain, CLEAR_OCTETS)
        self.sequence.check(sequence)
        if token_id == self._newest and len(self._tokens) > 1:
            self._tokens = {token_id: token}
            self._sending = token
        body = plain[_HEAD.size :]
        if kind[3:] == FINAL and not self._parts:
            if len(body) > self.limit:
                raise ChannelError(MESSAGE_TOO_LARGE, f"a message of more than {self.limit} octets")
            return Message(kind[:3], request, body), plain
        return self._assemble(kind, request, body), plain

    def _assemble(self, kind: bytes, request: int, body: bytes) -> Message | None:
        if self._parts and request != self._request:
            raise ChannelError(INTERNAL_ERROR, f"a chunk of request {request} among those of {self._request}")
        if kind[3:] == ABORTED:
            self._forget()
            return Message(kind[:3], request, body, aborted=True)
        self._request = request
        self._parts.append(body)
        self._octets += len(body)
        if self._octets > self.limit or len(self._parts) > self.chunks:
            raise ChannelError(MESSAGE_TOO_LARGE, f"a message of more than {self.limit} octets or {self.chunks} chunks")
        if kind[3:] == CONTINUED:
            return None
        whole = b"".join(self._parts)
        self._forget()
        return Message(kind[:3], request, whole)

    def _forget(self) -> None:
        self._parts, self._octets, self._request = [], 0, -1

    def _room(self) -> int:
        """Octets of a body that fit into a chunk."""
        if self.policy is None:
            return self.sends - _HEAD.size
        if self.mode is Mode.SIGN:
            return self.sends - _HEAD.size - MAC_OCTETS
        sealed = (self.sends - CLEAR_OCTETS) // BLOCK_OCTETS * BLOCK_OCTETS
        return sealed - _SEQUENCE_OCTETS - MAC_OCTETS - 1

    def _chunk(self, token: Token, kind: bytes, request: int, body: bytes) -> bytes:
        inner = _PAIR.pack(self.sequence.next(), request) + body
        if token.mine is None:
            return _CLEAR.pack(kind, CLEAR_OCTETS + len(inner), self.number, token.number) + inner
        encrypts = self.mode is Mode.SIGN_AND_ENCRYPT
        if encrypts:
            padding = -(len(inner) + 1 + MAC_OCTETS) % BLOCK_OCTETS
            inner += bytes((padding,)) * (padding + 1)
        head = _CLEAR.pack(kind, CLEAR_OCTETS + len(inner) + MAC_OCTETS, self.number, token.number)
        sealed = inner + token.mine.mac(head + inner)
        return head + (token.mine.encrypt(sealed) if encrypts else sealed)

    def _unseal(self, keys: Keys, chunk: bytes) -> bytes:
        """The chunk without padding and signature, its size as it would be without them."""
        sealed = chunk[CLEAR_OCTETS:]
        encrypted = self.mode is Mode.SIGN_AND_ENCRYPT
        if encrypted:
            if len(sealed) % BLOCK_OCTETS:
                raise ChannelError(SECURITY_CHECKS_FAILED, "an encrypted chunk is not made of blocks")
            sealed = keys.decrypt(sealed)
        if len(sealed) < _SEQUENCE_OCTETS + MAC_OCTETS:
            raise ChannelError(SECURITY_CHECKS_FAILED, "a chunk is too short for its signature")
        inner, mac = sealed[:-MAC_OCTETS], sealed[-MAC_OCTETS:]
        if not hmac.compare_digest(keys.mac(chunk[:CLEAR_OCTETS] + inner), mac):
            raise ChannelError(SECURITY_CHECKS_FAILED, "a chunk is not signed with the channel's key")
        if encrypted:
            padding = inner[-1]
            if padding + 1 > len(inner) - _SEQUENCE_OCTETS or inner[-padding - 1 :] != bytes((padding,)) * (padding + 1):
                raise ChannelError(SECURITY_CHECKS_FAILED, "a chunk is not padded as it must be")
            inner = inner[: -padding - 1]
        kind, _, number, token = _CLEAR.unpack_from(chunk)
        return _CLEAR.pack(kind, CLEAR_OCTETS + len(inner), number, token) + inner
