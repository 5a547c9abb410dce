"""OpenSecureChannel: the asymmetric chunk that carries it, and its request and response (OPC 10000-6, 6.7.2.3 and 6.7.4).  Sans-io.

It always fits into one chunk.  Under a policy it is signed with the sender's key and encrypted with the receiver's.
"""

import hashlib
import struct
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from collectors.certificates import Own
from collectors.gate.opcua.binary import (
    NULL,
    DecodingError,
    Reader,
    request_header,
    response,
    response_header,
    service_of,
    string,
    type_id,
    u32,
)
from collectors.gate.opcua.policies import NONE, POLICIES, Mode, Policy, decrypt, encrypt, plain_block
from collectors.gate.opcua.transport import INTERNAL_ERROR, POLICY_REJECTED, SECURITY_CHECKS_FAILED, ChannelError
from sentinel.model.opcua import SERVICE_FAULT, SERVICES

ISSUE, RENEW = 0, 1
REQUEST, RESPONSE = SERVICES["OpenSecureChannel"]
_PAIR = struct.Struct("<II")
_WIDE_KEY_OCTETS = 256  # above it the size of the padding takes two octets
_SMALLEST_KEY, _LARGEST_KEY = 2048, 4096  # bits, of all three policies


class CertificateError(ChannelError):
    """What was shown for a certificate is none that could be used.  ``subject``: by its own word, where it can be read."""

    def __init__(self, problem: str, subject: str = "") -> None:
        super().__init__(SECURITY_CHECKS_FAILED, problem)
        self.subject = subject


@dataclass(frozen=True, slots=True)
class Peer:
    """The other side, by the certificate that it showed."""

    der: bytes
    certificate: x509.Certificate
    key: RSAPublicKey

    @property
    def thumbprint(self) -> bytes:
        return hashlib.sha1(self.der, usedforsecurity=False).digest()

    @property
    def subject(self) -> str:
        return self.certificate.subject.rfc4514_string()


def peer_of(octets: bytes) -> Peer:
    """Of a certificate, which its issuers' may follow (OPC 10000-6, 6.2.6).  Raises CertificateError."""
    size = 4 + int.from_bytes(octets[2:4], "big") if octets[:2] == b"\x30\x82" else len(octets)
    if not octets:
        raise CertificateError("it shows no certificate, and asks for a channel that needs one")
    try:
        certificate = x509.load_der_x509_certificate(octets[:size])
        subject, key = certificate.subject.rfc4514_string(), certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"its certificate cannot be read: {error}") from error
    if not isinstance(key, RSAPublicKey) or not _SMALLEST_KEY <= key.key_size <= _LARGEST_KEY:
        raise CertificateError(f"its key is not RSA of {_SMALLEST_KEY} to {_LARGEST_KEY} bits", subject)
    return Peer(octets[:size], certificate, key)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The clear part of an opening chunk, and where the rest begins."""

    number: int  # of the channel
    policy: Policy | None
    sender: Peer | None
    thumbprint: bytes | None
    end: int


def read_envelope(chunk: bytes) -> Envelope:
    """Raises ChannelError."""
    try:
        reader = Reader(chunk, 8)
        number, uri = reader.u32(), (reader.string() or b"").decode(errors="replace")
        sender, thumbprint = reader.string(), reader.string()
    except DecodingError as error:
        raise ChannelError(INTERNAL_ERROR, f"OpenSecureChannel: {error}") from error
    if uri == NONE:
        return Envelope(number, None, None, None, reader.at)
    policy = POLICIES.get(uri)
    if policy is None:
        raise ChannelError(POLICY_REJECTED, f"the security policy {uri[:200]!r} is not spoken here")
    return Envelope(number, policy, peer_of(sender or b""), thumbprint, reader.at)


def unwrap(chunk: bytes, envelope: Envelope, own: Own) -> tuple[int, int, bytes]:
    """(sequence number, request id, body).  Raises ChannelError."""
    inner = chunk[envelope.end :]
    if envelope.policy is not None and envelope.sender is not None:
        if envelope.thumbprint != own.thumbprint:
            raise ChannelError(SECURITY_CHECKS_FAILED, "it is meant for another certificate")
        inner = decrypt(own.key, envelope.policy.encryption, inner)
        size = envelope.sender.key.key_size // 8
        inner, signature = inner[:-size], inner[-size:]
        envelope.policy.verify(envelope.sender.key, chunk[: envelope.end] + inner, signature)
        wide = own.key.key_size // 8 > _WIDE_KEY_OCTETS
        if len(inner) < 2:
            raise ChannelError(SECURITY_CHECKS_FAILED, "it is empty")
        padding = (inner[-1] << 8 | inner[-2]) + 2 if wide else inner[-1] + 1
        inner = inner[: max(0, len(inner) - padding)]
    if len(inner) < _PAIR.size:
        raise ChannelError(INTERNAL_ERROR, "OpenSecureChannel is too short")
    sequence, request = _PAIR.unpack_from(inner)
    return sequence, request, inner[_PAIR.size :]


def wrap(number: int, sequence: int, request: int, body: bytes, policy: Policy | None, own: Own, peer: Peer | None) -> bytes:
    inner = _PAIR.pack(sequence, request) + body
    if policy is None or peer is None:
        head = u32(number) + string(NONE.encode()) + NULL + NULL
        return b"OPNF" + u32(8 + len(head) + len(inner)) + head + inner
    head = u32(number) + string(policy.uri.encode()) + string(own.der) + string(peer.thumbprint)
    block, key_octets, wide = plain_block(peer.key, policy.encryption), peer.key.key_size // 8, peer.key.key_size // 8 > _WIDE_KEY_OCTETS
    size = len(inner) + 1 + wide + own.key.key_size // 8
    padding = -size % block
    inner += bytes((padding & 0xFF,)) * (padding + 1) + (bytes((padding >> 8,)) if wide else b"")
    clear = b"OPNF" + u32(8 + len(head) + (size + padding) // block * key_octets) + head
    signature = policy.sign(own.key, clear + inner)
    return clear + encrypt(peer.key, policy.encryption, inner + signature)


@dataclass(frozen=True, slots=True)
class Request:
    handle: int
    kind: int
    mode: Mode
    nonce: bytes
    lifetime_ms: int


def read_request(body: bytes) -> Request:
    """Raises ChannelError."""
    try:
        header = request_header(body)
        if header.service != REQUEST:
            raise ChannelError(INTERNAL_ERROR, f"service {header.service} in an opening chunk")
        reader = Reader(body, header.end)
        reader.u32()
        kind, mode, nonce, lifetime_ms = reader.u32(), reader.u32(), reader.string(), reader.u32()
    except DecodingError as error:
        raise ChannelError(INTERNAL_ERROR, f"OpenSecureChannel: {error}") from error
    if kind not in (ISSUE, RENEW) or mode not in tuple(Mode):
        raise ChannelError(SECURITY_CHECKS_FAILED, f"request type {kind} and mode {mode}")
    return Request(header.handle, kind, Mode(mode), nonce or b"", lifetime_ms)


def request(kind: int, mode: Mode, nonce: bytes, lifetime_ms: int, stamp: int) -> bytes:
    header = b"\0\0" + struct.pack("<Q", stamp) + u32(1) + u32(0) + NULL + u32(0) + b"\0\0\0"
    return type_id(REQUEST) + header + u32(0) + u32(kind) + u32(mode) + string(nonce or None) + u32(lifetime_ms)


@dataclass(frozen=True, slots=True)
class Response:
    number: int
    token: int
    lifetime_ms: int
    nonce: bytes


def read_response(body: bytes) -> Response:
    """Raises ChannelError, with the server's own status where it refuses."""
    try:
        result, end = response_header(body)
        if service_of(body) == SERVICE_FAULT or result >> 30:
            raise ChannelError(result or INTERNAL_ERROR, f"the server refuses the channel with {result:#010x}")
        reader = Reader(body, end)
        reader.u32()
        number, token = reader.u32(), reader.u32()
        reader.u64()
        return Response(number, token, reader.u32(), reader.string() or b"")
    except DecodingError as error:
        raise ChannelError(INTERNAL_ERROR, f"OpenSecureChannel: {error}") from error


def answer(asked: Request, number: int, token: int, lifetime_ms: int, nonce: bytes, stamp: int) -> bytes:
    parameters = u32(0) + u32(number) + u32(token) + struct.pack("<Q", stamp) + u32(lifetime_ms) + string(nonce or None)
    return response(RESPONSE, asked.handle, 0, stamp, parameters)
