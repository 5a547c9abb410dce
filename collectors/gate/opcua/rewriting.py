"""The few messages that name an address or prove a key, and so cannot pass as they are (OPC 10000-4, 5.5 to 5.7).  Sans-io.

Towards its clients the gate is the server: same path, its own address, certificate and application name.  Towards the server it is the
client.
Nonces and authentication tokens pass unchanged, so that what one side must sign is what the other side can check.
All raise `DecodingError` for octets that are not the message, and `RefusedError` for what the gate does not pass on.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography import x509

from collectors.certificates import Own
from collectors.gate.opcua.binary import NULL, Reader, request_header, response_header, string, u32
from collectors.gate.opcua.opening import Peer
from collectors.gate.opcua.policies import ENCRYPTIONS, NONE, POLICIES, Mode, Policy, decrypt, encrypt
from collectors.gate.opcua.transport import ChannelError

IDENTITY_TOKEN_REJECTED, IDENTITY_TOKEN_INVALID, SESSION_INVALID = 0x80210000, 0x80200000, 0x80250000  # OPC 10000-6, A.2
APPLICATION_SIGNATURE_INVALID, CERTIFICATE_UNTRUSTED, URI_INVALID = 0x80580000, 0x801A0000, 0x80170000
ANONYMOUS, USER_NAME = "i=321", "i=324"  # encoding ids of the identity tokens
_ANONYMOUS_TYPE, _USER_NAME_TYPE = 0, 1  # UserTokenType
_TRANSPORT = b"uatcp-uasc-uabinary"
_AUTHORITY = re.compile(rb"^opc\.tcp://[^/]*")


class RefusedError(Exception):
    """``status`` is the answer."""

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status = status


@dataclass(frozen=True, slots=True)
class Face:
    """How one connection's two sides are addressed: the authority ("host:port") that the client calls, and the server's."""

    own: Own
    called: bytes
    upstream: bytes

    def outward(self, url: bytes | None) -> bytes | None:
        return url and _AUTHORITY.sub(b"opc.tcp://" + self.called, url)

    def inward(self, url: bytes | None) -> bytes | None:
        return url and _AUTHORITY.sub(b"opc.tcp://" + self.upstream, url)


@dataclass(slots=True)
class Session:
    """What a later ActivateSession, perhaps on another channel, is checked against."""

    nonce: bytes  # the server's last
    server: bytes | None  # the certificate that the server named for this session
    sealed_with: dict[bytes, str] = field(default_factory=dict)  # the user tokens' policy ids: how their secrets are to be encrypted


def authority(url: bytes) -> bytes:
    found = _AUTHORITY.match(url)
    return found.group()[len(b"opc.tcp://") :] if found else b""


# --- discovery ---


def asks_endpoints(body: bytes, face: Face) -> bytes:
    """GetEndpoints and FindServers: both begin with the URL that the client used."""
    reader = Reader(body, request_header(body).end)
    at = reader.at
    url = reader.string()
    return body[:at] + string(face.inward(url)) + body[reader.at :]


def names_endpoints(body: bytes, face: Face) -> bytes:
    """GetEndpoints' response."""
    result, at = response_header(body)
    if result >> 30:
        return body
    reader = Reader(body, at)
    offered = endpoints(reader)
    return body[:at] + _array([encoded for one in offered if (encoded := one.outward(face))]) + body[reader.at :]


def names_servers(body: bytes, face: Face) -> bytes:
    """FindServers' response.  A gate stands before one server: whatever that names is reached through the gate."""
    result, at = response_header(body)
    if result >> 30:
        return body
    reader = Reader(body, at)
    found = [_application(reader, face) for _ in range(reader.count())]
    return body[:at] + _array(found) + body[reader.at :]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An EndpointDescription (OPC 10000-4, 7.14); the application is kept as it was encoded."""

    url: bytes | None
    application: bytes
    certificate: bytes | None
    mode: int
    policy: str
    tokens: tuple[tuple[bytes | None, int, bytes, bytes | None], ...]  # (policy id, type, encoded, security policy)
    transport: bytes | None
    level: int

    def outward(self, face: Face) -> bytes | None:
        """As the gate offers it; None where it does not."""
        if not (self.policy == NONE or self.policy in POLICIES) or not (self.transport or b"").endswith(_TRANSPORT):
            return None
        tokens = [encoded for _, kind, encoded, policy in self.tokens if kind in (_ANONYMOUS_TYPE, _USER_NAME_TYPE) and _is_spoken(policy)]
        application = _application(Reader(self.application), face)
        certificate = string(face.own.der if self.certificate else self.certificate)
        head = string(face.outward(self.url)) + application + certificate + u32(self.mode) + string(self.policy.encode())
        return head + _array(tokens) + string(self.transport) + bytes((self.level,))


def _is_spoken(policy: bytes | None) -> bool:
    return not policy or policy.decode(errors="replace") in (NONE, *POLICIES)


def endpoints(reader: Reader) -> list[Endpoint]:
    return [_endpoint(reader) for _ in range(reader.count())]


def _endpoint(reader: Reader) -> Endpoint:
    url, at = reader.string(), reader.at
    _application(reader, None)
    application = reader.octets[at : reader.at]
    certificate, mode, policy = reader.string(), reader.u32(), (reader.string() or b"").decode(errors="replace")
    tokens = []
    for _ in range(reader.count()):
        at = reader.at
        identity, kind = reader.string(), reader.u32()
        reader.string()
        reader.string()
        sealed = reader.string()
        tokens.append((identity, kind, reader.octets[at : reader.at], sealed))
    return Endpoint(url, application, certificate, mode, policy, tuple(tokens), reader.string(), reader.byte())


def _application(reader: Reader, face: Face | None, *, inward: bool = False) -> bytes:
    """An ApplicationDescription (OPC 10000-4, 7.2), as it is or with the gate's name and addresses in it."""
    uri, product, at = reader.string(), reader.string(), reader.at
    reader.skip_localized_text()
    reader.u32()
    middle = reader.octets[at : reader.at]
    gateway, profile = reader.string(), reader.string()
    urls = [reader.string() for _ in range(reader.count())]
    if face is not None:
        uri = face.own.uri.encode()
        urls = [] if inward else [face.outward(url) for url in urls]
    return string(uri) + string(product) + middle + string(gateway) + string(profile) + _array([string(url) for url in urls])


def _array(encoded: list[bytes]) -> bytes:
    return u32(len(encoded)) + b"".join(encoded)


# --- sessions ---


@dataclass(frozen=True, slots=True)
class Creating:
    """What the answer to a CreateSession is checked and made with."""

    client_nonce: bytes
    client_certificate: bytes


def creates_session(body: bytes, face: Face, mode: Mode, client: Peer | None) -> tuple[bytes, Creating]:
    reader = Reader(body, request_header(body).end)
    start = reader.at
    secured = mode is not Mode.NONE and client is not None
    uri = Reader(body, start).string()
    application = _application(reader, face if secured else None, inward=True)
    if secured and client is not None and not _says(client, uri):
        raise RefusedError(URI_INVALID, "the client's application URI is not its certificate's")
    server_uri, url, name, nonce, certificate = (reader.string() for _ in range(5))
    if secured and client is not None and (certificate or b"")[: len(client.der)] != client.der:
        raise RefusedError(APPLICATION_SIGNATURE_INVALID, "the session's certificate is not the channel's")
    if server_uri == face.own.uri.encode():
        server_uri = None  # it means the gate, which the server does not know
    shown = face.own.der if secured else None
    parts = application + string(server_uri) + string(face.inward(url)) + string(name) + string(nonce) + string(shown)
    return body[:start] + parts + body[reader.at :], Creating(nonce or b"", certificate or b"")


def _says(client: Peer, uri: bytes | None) -> bool:
    try:
        names = client.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return (uri or b"").decode(errors="replace") in names.get_values_for_type(x509.UniformResourceIdentifier)


def created_session(
    body: bytes, face: Face, policy: Policy | None, server: Peer | None, asked: Creating
) -> tuple[bytes, bytes, Session] | None:
    """(the response as the client gets it, the session's token, what is kept of it); None: the server made none."""
    result, at = response_header(body)
    if result >> 30:
        return None
    reader = Reader(body, at)
    reader.node()
    token_at = reader.at
    reader.node()
    token = body[token_at : reader.at]
    reader.u64()
    head = body[: reader.at]
    nonce, certificate = reader.string(), reader.string()
    offered = endpoints(reader)
    software_at = reader.at
    for _ in range(reader.count()):
        reader.string()
        reader.string()
    software = body[software_at : reader.at]
    algorithm, signature = reader.string(), reader.string()
    if policy is not None and server is not None:
        if (certificate or b"")[: len(server.der)] != server.der:
            raise RefusedError(APPLICATION_SIGNATURE_INVALID, "the session's certificate is not the server's channel's")
        try:
            policy.verify(server.key, face.own.der + asked.client_nonce, signature or b"")
        except ChannelError as error:
            raise RefusedError(APPLICATION_SIGNATURE_INVALID, f"the server's proof of its key: {error}") from error
        algorithm, signature = policy.signature, policy.sign(face.own.key, asked.client_certificate + asked.client_nonce)
    elif algorithm or signature:
        algorithm = signature = None  # under no policy it proves nothing
    mine = policy.uri if policy else NONE
    sealed_with = {
        identity or b"": (sealed or b"").decode(errors="replace") or mine
        for one in offered
        if one.policy == mine
        for identity, kind, _, sealed in one.tokens
    }
    kept = Session(nonce or b"", certificate, sealed_with)
    rest = _array([encoded for one in offered if (encoded := one.outward(face))]) + software + string(algorithm) + string(signature)
    shown = string(face.own.der if certificate else certificate)
    return head + string(nonce) + shown + rest + body[reader.at :], token, kept


def activates_session(
    body: bytes,
    face: Face,
    policy: Policy | None,
    client: Peer | None,
    server: Peer | None,
    session: Session | None,
    trusted: Callable[[bytes], Peer | None],
) -> bytes:
    """``server``: of the gate's own channel to it; ``trusted``: a certificate's holder, if secrets may be encrypted for it."""
    if session is None:
        raise RefusedError(SESSION_INVALID, "it is no session that was created through this gate")
    reader = Reader(body, request_header(body).end)
    start = reader.at
    algorithm, signature = reader.string(), reader.string()
    if policy is not None and client is not None and server is not None:
        try:
            policy.verify(client.key, face.own.der + session.nonce, signature or b"")
        except ChannelError as error:
            raise RefusedError(APPLICATION_SIGNATURE_INVALID, f"the client's proof of its key: {error}") from error
        algorithm, signature = policy.signature, policy.sign(face.own.key, server.der + session.nonce)
    else:
        algorithm = signature = None
    middle_at = reader.at
    for _ in range(reader.count()):
        reader.string()
        reader.string()
    for _ in range(reader.count()):
        reader.string()
    middle = body[middle_at : reader.at]
    token_at = reader.at
    kind, token = reader.extension_object()
    encoded = body[token_at : reader.at]
    reader.string()
    reader.string()  # a user's signature, of tokens that are refused
    if token is not None and kind == USER_NAME:
        prefix = encoded[: len(encoded) - len(token) - 4]
        encoded = prefix + string(_user_name(token, face, session, trusted))
    elif token is not None and kind != ANONYMOUS:
        raise RefusedError(
            IDENTITY_TOKEN_REJECTED, "certificates and issued tokens prove a key to one channel only: they cannot pass a gate"
        )
    return body[:start] + string(algorithm) + string(signature) + middle + encoded + NULL + NULL + body[reader.at :]


def _user_name(token: bytes, face: Face, session: Session, trusted: Callable[[bytes], Peer | None]) -> bytes:
    """A UserNameIdentityToken whose secret is encrypted for the server instead of the gate (OPC 10000-4, 7.41.2.2 and 7.41.4)."""
    reader = Reader(token)
    policy_id, user = reader.string(), reader.string()
    secret, algorithm = reader.string(), reader.string()
    if not algorithm:
        if session.sealed_with.get(policy_id or b"", NONE) != NONE:
            raise RefusedError(IDENTITY_TOKEN_INVALID, "the password is not encrypted, and its policy asks for it")
        return token
    if algorithm not in ENCRYPTIONS:
        raise RefusedError(IDENTITY_TOKEN_REJECTED, "the password is encrypted in a way that the gate does not speak")
    server = trusted(session.server or b"")
    if server is None:
        raise RefusedError(CERTIFICATE_UNTRUSTED, "a password is encrypted for nobody but a server that is trusted")
    try:
        plain = decrypt(face.own.key, algorithm, secret or b"")
    except ChannelError as error:
        raise RefusedError(IDENTITY_TOKEN_INVALID, f"the password: {error}") from error
    size = int.from_bytes(plain[:4], "little")
    if size > len(plain) - 4 or plain[4 + size - len(session.nonce) : 4 + size] != session.nonce or size < len(session.nonce):
        raise RefusedError(IDENTITY_TOKEN_INVALID, "the password is not bound to the server's nonce")
    sealed = encrypt(server.key, algorithm, plain[: 4 + size])
    return string(policy_id) + string(user) + string(sealed) + string(algorithm)


def activated_session(body: bytes, session: Session) -> None:
    """Keeps the nonce that the next activation must be bound to."""
    result, at = response_header(body)
    if not result >> 30:
        session.nonce = Reader(body, at).string() or b""
