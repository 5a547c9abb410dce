"""Bodies of OPC UA messages made by hand (OPC 10000-6, 5.2), whole messages and conversations of them."""

import struct
from collections.abc import Sequence

from collectors.wire.opcua.decoder import ConnectionDecoder
from collectors.wire.opcua.details import BodyReader
from sentinel.model.ids import AssetId
from sentinel.model.observation import Details, Messages
from sentinel.model.opcua import SERVICES
from tests.unit.collectors.wire.streams import segment
from tests.unit.collectors.wire.test_opcua import HANDSHAKE, message, text

MS = 1_000_000
EPOCH_TICKS = 11_644_473_600 * 10_000_000


def node(said: str | int, space: int = 2) -> bytes:
    if isinstance(said, int):
        return struct.pack("<BBH", 1, space, said)
    return struct.pack("<BH", 3, space) + text(said.encode())


def extension(kind: int = 0, body: bytes | None = None) -> bytes:
    head = struct.pack("<BBH", 1, 0, kind) if kind else bytes(2)
    return head + (b"\0" if body is None else b"\1" + text(body))


def asking() -> bytes:
    """A request header."""
    return bytes(2) + struct.pack("<qII", EPOCH_TICKS, 1, 0) + text(None) + struct.pack("<I", 1000) + extension()


def answering(status: int = 0) -> bytes:
    """A response header."""
    return struct.pack("<qII", EPOCH_TICKS, 1, status) + b"\0" + many([]) + extension()


def many(parts: Sequence[bytes]) -> bytes:
    return struct.pack("<i", len(parts)) + b"".join(parts)


def number(value: float) -> bytes:
    return b"\x0b" + struct.pack("<d", value)


def data_value(variant: bytes, status: int | None = None, ticks: int | None = None) -> bytes:
    mask = 1 | (2 if status is not None else 0) | (4 if ticks is not None else 0)
    tail = b"" if status is None else struct.pack("<I", status)
    return bytes([mask]) + variant + tail + (b"" if ticks is None else struct.pack("<q", ticks))


def reading(place: bytes, attribute: int = 13) -> bytes:
    """A ReadValueId."""
    return place + struct.pack("<I", attribute) + text(None) + struct.pack("<H", 0) + text(None)


def read(*places: bytes) -> bytes:
    return asking() + struct.pack("<dI", 0.0, 2) + many([reading(place) for place in places])


def values(*told: bytes) -> bytes:
    return answering() + many(told) + many([])


def write(*pairs: tuple[bytes, bytes]) -> bytes:
    return asking() + many([place + struct.pack("<I", 13) + text(None) + data_value(variant) for place, variant in pairs])


def results(*statuses: int) -> bytes:
    return answering() + many([struct.pack("<I", status) for status in statuses]) + many([])


def call(place: bytes, method: bytes, *arguments: bytes) -> bytes:
    return asking() + many([place + method + many(arguments)])


def monitor(subscription: int, *items: tuple[int, bytes]) -> bytes:
    created = [
        reading(place) + struct.pack("<IId", 2, handle, 100.0) + extension() + struct.pack("<I?", 1, True) for handle, place in items
    ]
    return asking() + struct.pack("<II", subscription, 2) + many(created)


def published(subscription: int, *changes: tuple[int, bytes]) -> bytes:
    change = many([struct.pack("<I", handle) + told for handle, told in changes]) + many([])
    notification = struct.pack("<Iq", 1, EPOCH_TICKS) + many([extension(811, change)])
    return answering() + struct.pack("<I", subscription) + many([]) + b"\0" + notification + many([]) + many([])


def activate(user: str, password: bytes, algorithm: bytes | None = None) -> bytes:
    token = text(b"policy") + text(user.encode()) + text(password) + text(algorithm)
    return asking() + text(None) * 2 + many([]) + many([text(b"en")]) + extension(324, token) + text(None) * 2


class Conversation:
    """Requests and responses after a handshake without security, or ``opened`` by other chunks and then each with ``signature`` octets;
    every message a millisecond after the last."""

    def __init__(self, opened: Sequence[tuple[bool, bytes]] = HANDSHAKE, signature: bytes = b"", flow: int = 0) -> None:
        self.parts: list[tuple[bool, bytes]] = list(opened)
        self._signature, self._flow = signature, flow
        self._numbers = [1, 1]
        self._request = 1

    def ask(self, service: str, body: bytes, final: bytes = b"F", *, same: bool = False) -> "Conversation":
        self._request += not same
        return self._say(True, SERVICES[service][0], body, final)

    def answer(self, service: str, body: bytes, final: bytes = b"F") -> "Conversation":
        return self._say(False, SERVICES[service][1], body, final)

    def more(self, from_client: bool, body: bytes, final: bytes = b"F") -> "Conversation":
        """A further chunk, which names no service."""
        return self._say(from_client, 0, body, final)

    def _say(self, from_client: bool, service: int, body: bytes, final: bytes) -> "Conversation":
        self._numbers[from_client] += 1
        self.parts.append(
            (from_client, message(service, self._numbers[from_client], self._request, final=final, rest=body + self._signature))
        )
        return self

    def messages(self, client: str = "10.0.0.1") -> Messages:
        decoder = ConnectionDecoder()
        segments = [segment(octets, from_client, time=at * MS, flow=self._flow) for at, (from_client, octets) in enumerate(self.parts)]
        return decoder.decode([one._replace(client=AssetId(client)) for one in segments])

    def heard(self) -> tuple[Messages, Details]:
        messages = self.messages()
        return messages, BodyReader(7).read(messages)
