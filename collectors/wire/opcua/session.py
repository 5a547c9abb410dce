"""Who talks to whom, and how well guarded: secure channels, sessions, identities, endpoints.  OPC 10000-4, 5.5 to 5.7; 10000-6, 5.2.

These messages are rare, so that a cursor over their octets does.  A password is never told: that everybody can read it is, and its octets
are blotted out of the rows' pool.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from collectors.wire.opcua.certificates import chain, is_loop, subject_of
from sentinel.model.observation import Messages
from sentinel.model.opcua import HEADER_OCTETS, SERVICES, MessageType
from sentinel.model.protocol import Defect, MessageKind, Topic

Array = Any

MAX_ROWS = 1024  # of one batch; more are left unread, and counted
MAX_TEXT = 256  # characters
MAX_ENDPOINTS = 64  # of one message
_FINAL = ord("F")
_OPEN = SERVICES["OpenSecureChannel"]
_MODES = {1: "none", 2: "sign", 3: "sign_and_encrypt"}  # MessageSecurityMode (OPC 10000-4, 7.20)
_TOKENS = {0: "anonymous", 1: "username", 2: "certificate", 3: "issued"}  # UserTokenType (7.42)
_TOKEN_TYPES = {321: "anonymous", 324: "username", 327: "certificate", 940: "issued"}  # of their binary encoding (10000-6, annex A)
_NODE_OCTETS = {0: 2, 1: 4, 2: 7, 4: 19}
_SERVER, _CLIENT = "server", "client"
_WORD, _SIZE, _OCTET = struct.Struct("<I"), struct.Struct("<i"), struct.Struct("<B")


class Fact(NamedTuple):
    topic: Topic
    subject: str = ""
    text: str = ""
    number: float = float("nan")


class CutError(ValueError):
    """The octets end before the part does, or say what the encoding forbids.  Never leaves this module."""


class Cursor:
    """``defects``: what was read past, and is wrong; shared with the cursors over parts."""

    def __init__(self, octets: memoryview, at: int = 0, defects: set[Defect] | None = None) -> None:
        self.octets, self.at = octets, at
        self.defects: set[Defect] = set() if defects is None else defects

    def skip(self, count: int) -> None:
        if count < 0 or self.at + count > len(self.octets):
            raise CutError
        self.at += count

    def number(self, form: struct.Struct = _WORD) -> int:
        start, end = self.at, self.at + form.size
        if end > len(self.octets):
            raise CutError
        self.at = end
        found: int = form.unpack_from(self.octets, start)[0]
        return found

    def span(self) -> tuple[int, int]:
        """Where a string's or byte string's octets are; a null one has none."""
        length = self.number(_SIZE)
        start = self.at
        self.skip(max(0, length))
        return start, self.at

    def raw(self) -> bytes:
        start, end = self.span()
        return bytes(self.octets[start:end])

    def text(self) -> str:
        said = self.raw()
        try:
            return said.decode()[:MAX_TEXT]
        except UnicodeDecodeError:
            self.defects.add(Defect.BAD_TEXT)
            return said[: 4 * MAX_TEXT].decode(errors="replace")[:MAX_TEXT]

    def node(self) -> int:
        """Its number, where it is one."""
        flags, start = self.number(_OCTET), self.at - 1
        form = flags & 0x3F
        if form in _NODE_OCTETS:
            self.skip(_NODE_OCTETS[form] - 1)
        elif form in (3, 5):
            self.skip(2)
            self.span()
        else:
            raise CutError
        said = bytes(self.octets[start : self.at])
        if flags & 0x80:
            self.span()
        if flags & 0x40:
            self.skip(4)
        places = {0: said[1:2], 1: said[2:4], 2: said[3:7]}
        return int.from_bytes(places[form], "little") if form in places else -1

    def extension(self) -> tuple[int, "Cursor"]:
        """(its type's number, a cursor over its body)."""
        kind, form = self.node(), self.number(_OCTET)
        start, end = self.span() if form else (self.at, self.at)
        return kind, Cursor(self.octets[:end], start, self.defects)

    def token(self) -> tuple[int, "Cursor"]:
        """An extension object whose body may be cut: what is there of it is to be read, and blotted out."""
        kind = self.node()
        self.skip(5)
        return kind, Cursor(self.octets, self.at, self.defects)

    def diagnostic(self) -> None:
        for _ in range(len(self.octets)):
            mask = self.number(_OCTET)
            self.skip(4 * (mask & 15).bit_count())
            if mask & 16:
                self.span()
            if mask & 32:
                self.skip(4)
            if not mask & 64:
                return

    def localized(self) -> str:
        mask = self.number(_OCTET)
        if mask & 1:
            self.text()
        return self.text() if mask & 2 else ""

    def times(self, limit: int | None = None) -> range:
        """As often as the array that begins here has elements."""
        count = max(0, self.number(_SIZE))
        if count > len(self.octets) - self.at:
            raise CutError
        return range(count if limit is None else min(count, limit))

    def strings(self) -> None:
        for _ in self.times():
            self.text()

    def request_header(self) -> None:
        self.node()
        self.skip(16)
        self.text()
        self.skip(4)
        self.extension()

    def response_header(self) -> None:
        self.skip(16)
        self.diagnostic()
        self.strings()
        self.extension()


def policy_name(uri: str) -> str:
    """ "Basic256Sha256" of "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256"."""
    return uri.rpartition("#")[2] or uri


def open_channel(cursor: Cursor, is_request: bool, is_readable: bool) -> Iterator[Fact]:
    """The security header is never encrypted, what follows it is, but under no policy (OPC 10000-6, 6.7.2.3)."""
    cursor.skip(12)
    policy, certificate = policy_name(cursor.text()), cursor.raw()
    cursor.span()
    mode, lifetime = "", float("nan")
    if certificate:
        yield from certified(certificate, _CLIENT if is_request else _SERVER)
    if is_readable:
        cursor.skip(8)
        cursor.node()
        if is_request:
            cursor.request_header()
            cursor.skip(8)
            mode = _MODES.get(cursor.number(), "")
            cursor.span()
        else:
            cursor.response_header()
            cursor.skip(20)
        lifetime = float(cursor.number())
    yield Fact(Topic.CHANNEL, policy, mode, lifetime)


def certified(certificates: bytes, sender: str) -> Iterator[Fact]:
    """A certificate, behind which its issuers may follow (OPC 10000-6, 6.2.6)."""
    leaf, *issuers = chain(certificates) or [certificates]
    yield Fact(Topic.CERTIFICATE, hashlib.sha256(leaf).hexdigest(), sender)
    if owner := subject_of(leaf):
        yield Fact(Topic.CERTIFICATE_NAME, sender, owner[:MAX_TEXT])
    if issuers:
        yield Fact(Topic.CERTIFICATE_CHAIN, sender, "loop" if is_loop([leaf, *issuers]) else "", 1.0 + len(issuers))


def application(cursor: Cursor, topic: Topic) -> Iterator[Fact]:
    """An ApplicationDescription (OPC 10000-4, 7.2)."""
    uri, product, name = cursor.text(), cursor.text(), cursor.localized()
    cursor.skip(4)
    for _ in range(2):
        cursor.span()
    cursor.strings()
    yield Fact(topic, uri, name)
    if product and topic is Topic.SERVER_APPLICATION:
        yield Fact(Topic.PRODUCT, "", product)


def endpoints(cursor: Cursor) -> Iterator[Fact]:
    """EndpointDescriptions (OPC 10000-4, 7.14)."""
    for _ in cursor.times(MAX_ENDPOINTS):
        url = cursor.text()
        yield from application(cursor, Topic.SERVER_APPLICATION)
        certificate = cursor.raw()
        mode, policy = _MODES.get(cursor.number(), "?"), policy_name(cursor.text())
        tokens = []
        for _ in cursor.times():
            cursor.span()
            tokens.append(_TOKENS.get(cursor.number(), "?"))
            for _ in range(3):
                cursor.span()
        cursor.span()
        cursor.skip(1)
        yield Fact(Topic.ENDPOINT, url, f"{policy}, {mode}, {' '.join(dict.fromkeys(tokens))}")
        if certificate:
            yield from certified(certificate, _SERVER)


def create_session(cursor: Cursor) -> Iterator[Fact]:
    cursor.request_header()
    yield from application(cursor, Topic.CLIENT_APPLICATION)


def session_created(cursor: Cursor) -> Iterator[Fact]:
    cursor.response_header()
    for _ in range(2):
        cursor.node()
    cursor.skip(8)
    for _ in range(2):
        cursor.span()
    yield from endpoints(cursor)


def endpoints_told(cursor: Cursor) -> Iterator[Fact]:
    cursor.response_header()
    yield from endpoints(cursor)


def servers_told(cursor: Cursor) -> Iterator[Fact]:
    cursor.response_header()
    for _ in cursor.times(MAX_ENDPOINTS):
        yield from application(cursor, Topic.SERVER_APPLICATION)


def activate_session(cursor: Cursor) -> Iterator[Fact]:
    """Signature, software certificates, locales, and the token that says who it is (OPC 10000-4, 5.6.3)."""
    cursor.request_header()
    for _ in range(2):
        cursor.span()
    for _ in range(2 * len(cursor.times())):
        cursor.span()
    cursor.strings()
    kind, token = cursor.token()
    name = _TOKEN_TYPES.get(kind, "unknown")
    if name != "username":
        yield Fact(Topic.IDENTITY, name)
        return
    token.span()
    user = token.text()
    start = token.at + 4
    length = token.number(_SIZE)
    blot(token.octets, start, start + max(0, length))
    token.skip(max(0, length))
    algorithm = token.text()
    yield Fact(Topic.IDENTITY, name, user, float(length > 0 and not algorithm))


def blot(octets: memoryview, start: int, end: int) -> None:
    end = min(end, len(octets))
    octets[start:end] = bytes(max(0, end - start))


_READERS: dict[int, Callable[[Cursor], Iterator[Fact]]] = {
    SERVICES["CreateSession"][0]: create_session,
    SERVICES["CreateSession"][1]: session_created,
    SERVICES["ActivateSession"][0]: activate_session,
    SERVICES["GetEndpoints"][1]: endpoints_told,
    SERVICES["FindServers"][1]: servers_told,
}


def is_readable(functions: Array, subfunctions: Array) -> Array:
    """Of which messages the bodies are read here."""
    return np.isin(functions, (*_OPEN, *_READERS)) | ((functions < 0) & (subfunctions == MessageType.OPEN))


def facts(octets: memoryview, function: int, is_request: bool) -> tuple[list[Fact], Defect]:
    """(what one message tells as far as it could be read, what is wrong with it); blots a password out of its octets."""
    cursor, found = Cursor(octets), list[Fact]()
    try:
        if function in _READERS:
            cursor.skip(24)
            cursor.node()
            reader = _READERS[function](cursor)
        else:
            reader = open_channel(cursor, is_request, function in _OPEN)
        for fact in reader:
            if fact not in found:
                found.append(fact)
    except CutError:
        return found, Defect.BAD_LENGTH
    return found, min(cursor.defects, default=Defect.NONE)


def details(messages: Messages, rows: Array, names: dict[str, int]) -> dict[str, Array]:
    """Columns of details, with the row of the ``message`` that each belongs to; what they name is added to ``names``.  A whole message that
    cannot be read gets a defect."""
    of, said = list[int](), list[tuple[int, int, int, float]]()
    pool, rows = memoryview(messages.pool.data), rows[:MAX_ROWS]
    columns = (getattr(messages, name)[rows].tolist() for name in ("defect", "pdu_start", "pdu_octets", "function", "kind"))
    for row, defect, start, kept, function, kind in zip(rows.tolist(), *columns, strict=True):
        if defect not in (Defect.NONE, Defect.STREAM_GAP) or kept < HEADER_OCTETS:
            continue
        octets = pool[start : start + kept]
        found, wrong = facts(octets, function, kind == MessageKind.REQUEST)
        is_whole = octets[3] == _FINAL and int.from_bytes(octets[4:8], "little") == kept
        if wrong and (is_whole or wrong is not Defect.BAD_LENGTH):
            messages.defect[row] = wrong
        for fact in found:
            of.append(row)
            codes = (names.setdefault(text, len(names)) if text else -1 for text in (fact.subject, fact.text))
            said.append((int(fact.topic), *codes, fact.number))  # type: ignore[arg-type]
    topics, subjects, texts, told = zip(*said, strict=True) if said else ((), (), (), ())
    return {
        "message": np.array(of, np.int64),
        "topic": np.array(topics, np.uint8),
        "subject": np.array(subjects, np.int32),
        "text": np.array(texts, np.int32),
        "number": np.array(told, np.float64),
        "status": np.full(len(of), -1, np.int64),
        "stamped": np.full(len(of), -1, np.int64),
    }
