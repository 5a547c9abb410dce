"""Attacks of our own making that have the shape of published ones: as frames on paper, beside half a minute of ordinary life, and as what a
client on a real network asks (`tests.e2e.programs.attacker`).

In: what one client says, request by request.  Out: a capture file, which goes through the real decoder.  What the sensor sees of an attack
(services, sizes, numbers, times) is there; what would break into a server is not.
"""

import random
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from collectors.capture.packets import ETHERNET
from collectors.capture.replay import to_pcap
from sentinel.model.opcua import SERVICES
from tests.unit.collectors.capture.frames import MS, START, Talk, adu, read, registers, write
from tests.unit.collectors.wire.certificates import issued
from tests.unit.collectors.wire.opcua_bodies import data_value, many, node, number, reading
from tests.unit.collectors.wire.test_opcua import SECURED, acknowledge, chunk, hello, named, opened, text

PLC, HMI, STRANGER = "10.0.0.2", "10.0.0.1", "10.0.0.66"
LEARNT_S = 30.0
UA_PORT = 4840
BEHIND_TIME = 10  # octets of a request header: a token of two, and the time
_EPOCH_TICKS = 116_444_736_000_000_000
Packet = tuple[int, bytes]  # time in ns, octets


def timed(talk: Talk, begin_s: float, step_ms: float = 1.0) -> list[Packet]:
    """The packets that a conversation has gathered, so far apart; it begins empty again."""
    packets = [(START + round(begin_s * 1e9 + i * step_ms * MS), octets) for i, octets in enumerate(talk.packets)]
    talk.packets.clear()
    return packets


def ordinary(seconds: float) -> list[Packet]:
    """An HMI polls and now and then sets a point by Modbus, and reads and is told of changes by OPC UA."""
    modbus, ua = Talk(client=HMI), UaTalk(HMI, 41000)
    packets = timed(modbus, 0.1) + timed(ua.talk, 0.3)
    ua.session(0.3)
    packets += timed(ua.talk, 0.35)
    for tick in range(int(seconds) - 1):
        modbus.ask(read(tick, address=0, count=4))
        modbus.answer(registers(tick, (1, 2, 3, 4)))
        if tick % 5 == 0:
            modbus.ask(write(1000 + tick, 7, 50 + tick % 3))
            modbus.answer(write(1000 + tick, 7, 50 + tick % 3))
        packets += timed(modbus, 1.0 + tick)
        ua.ask("Read", 1.2 + tick)
        ua.ask("Publish", 1.2 + tick)
        packets += timed(ua.talk, 1.2 + tick)
    return packets


def capture(path: Path, packets: Sequence[Packet]) -> Path:
    ordered = sorted(packets, key=lambda packet: packet[0])
    path.write_bytes(to_pcap([(time, len(octets), octets) for time, octets in ordered], ETHERNET))
    return path


class Asking(Protocol):
    """An OPC UA client in a session."""

    def ask(
        self,
        service: str,
        at_s: float,
        body: bytes = ...,
        *,
        answered: bool = ...,
        parts: int = ...,
        ends: bool = ...,
        off_s: float = ...,
    ) -> None:
        """``body``: from the request's handle on (OPC 10000-4, 7.33), by default one that asks for nothing; sent in so many ``parts``, the
        last of which may not be the message's end; ``off_s``: how far the client's clock goes before its own."""


class UaTalk:
    """An OPC UA conversation in clear: hello and channel are there at once; requests are answered unless they are left."""

    def __init__(self, client: str, cport: int, *, isn: int = 1000) -> None:
        self.talk = Talk(client=client, server=PLC, cport=cport, sport=UA_PORT, isn=isn)
        self.sequence = self.answers = 1
        self.talk.ask(hello())
        self.talk.answer(acknowledge())
        self.talk.ask(opened(SERVICES["OpenSecureChannel"][0]))
        self.talk.answer(opened(SERVICES["OpenSecureChannel"][1]))

    def session(self, at_s: float) -> None:
        self.ask("CreateSession", at_s)
        self.ask("ActivateSession", at_s)

    def ask(
        self,
        service: str,
        at_s: float,
        body: bytes = bytes(40),
        *,
        answered: bool = True,
        parts: int = 1,
        ends: bool = True,
        off_s: float = 0,
    ) -> None:
        request, response = SERVICES[service]
        number = self.sequence + 1
        whole = named(request) + b"\x00\x00" + struct.pack("<q", _ticks(at_s + off_s)) + body
        size = -(-len(whole) // parts)
        for part in range(parts):
            self.sequence += 1
            final = b"F" if ends and part == parts - 1 else b"C"
            head = struct.pack("<IIII", 7, 9, self.sequence, number)
            self._send(chunk(b"MSG", head + whole[part * size : (part + 1) * size], final))
        if answered and ends:
            self.answers += 1
            self.talk.answer(chunk(b"MSG", struct.pack("<IIII", 7, 9, self.answers, number) + named(response) + bytes(24)))

    def _send(self, octets: bytes) -> None:
        for start in range(0, len(octets), 1400):
            self.talk.ask(octets[start : start + 1400])


def _ticks(at_s: float) -> int:
    return (START + round(at_s * 1e9)) // 100 + _EPOCH_TICKS


# -- the abilities of MITRE's Caldera for OT, Modbus plugin --


class Ability(NamedTuple):
    pdus: tuple[tuple[bytes, bytes], ...]  # asked and answered
    technique: str  # of the plugin's published ability list
    wait_s: float = 0.01  # between two of them

    def packets(self) -> list[Packet]:
        talk, packets = Talk(client=STRANGER, cport=50000), []
        packets += timed(talk, LEARNT_S + 2)
        for place, (question, reply) in enumerate(self.pdus):
            talk.ask(adu(place, question))
            talk.answer(adu(place, reply))
            packets += timed(talk, LEARNT_S + 2.1 + place * self.wait_s)
        talk.finish()
        return packets + timed(talk, LEARNT_S + 2.2 + len(self.pdus) * self.wait_s)


def _fuzz(function: int, values: tuple[int, ...]) -> Ability:
    """Random values to random points of a range, a second apart, as the plugin's own example does."""
    chance = random.Random(7)
    writes = [struct.pack(">BHH", function, chance.randrange(1, 11), chance.choice(values)) for _ in range(12)]
    return Ability(tuple((pdu, pdu) for pdu in writes), "T0806", 1.0)


def _bits(function: int) -> Ability:
    return Ability(((struct.pack(">BHH", function, 1, 8), bytes([function, 1, 0x55])),), "T0861")


def _words(function: int) -> Ability:
    return Ability(((struct.pack(">BHH", function, 3, 2), struct.pack(">BBHH", function, 4, 10, 20)),), "T0861")


_ONE_COIL, _ONE_REGISTER = struct.pack(">BHH", 5, 0, 0xFF00), struct.pack(">BHH", 6, 10, 5000)

CALDERA_MODBUS: dict[str, Ability] = {
    "read coils": _bits(1),
    "read discrete inputs": _bits(2),
    "read holding registers": _words(3),
    "read input registers": _words(4),
    "write single coil": Ability(((_ONE_COIL, _ONE_COIL),), "T0836"),
    "write single register": Ability(((_ONE_REGISTER, _ONE_REGISTER),), "T0836"),
    "write multiple coils": Ability(((struct.pack(">BHHBB", 15, 0, 5, 1, 0x1F), struct.pack(">BHH", 15, 0, 5)),), "T0806"),
    "write multiple registers": Ability(
        ((struct.pack(">BHHB5H", 16, 10, 5, 10, 33, 33, 33, 33, 33), struct.pack(">BHH", 16, 10, 5)),), "T0806"
    ),
    "fuzz coils": _fuzz(5, (0, 0xFF00)),
    "fuzz registers": _fuzz(6, tuple(range(100))),
    "read device information": Ability(((b"\x2b\x0e\x01\x00", b"\x2b\x0e\x01\x01\x00\x00\x01\x00\x04Acme"),), "T0888"),
}


# -- published classes of attacks on OPC UA servers --

HEAD = struct.pack("<II", 1, 0) + text(None) + struct.pack("<I", 60_000) + bytes(3)  # a request header behind its time
_TARGET = struct.pack("<I", 13) + text(None)  # the value of a node, the whole of it


def _chunks(ua: Asking) -> None:
    ua.ask("Write", LEARNT_S + 2, bytes(60_000), parts=400, ends=False)


def _starve(ua: Asking) -> None:
    for _ in range(200):
        ua.ask("Write", LEARNT_S + 2, HEAD + many([node("SLOW") + _TARGET + data_value(number(1.0))]), answered=False)


def _refresh(ua: Asking) -> None:
    for _ in range(300):
        ua.ask("Call", LEARNT_S + 2, bytes(30))


def _leave(ua: Asking) -> None:
    for _ in range(20):
        ua.ask("Call", LEARNT_S + 2, HEAD + many([node("Plant") + node("linger") + many([])]), answered=False)
    ua.ask("CloseSession", LEARNT_S + 2)


def _paths(ua: Asking) -> None:
    ua.ask("TranslateBrowsePathsToNodeIds", LEARNT_S + 2, bytes(200_000), parts=4)


def _nest(ua: Asking) -> None:
    deep = b"\x98\x01\x00\x00\x00" * 3000
    ua.ask("Write", LEARNT_S + 2, HEAD + many([node("SP") + _TARGET + data_value(deep + number(1.0))]), parts=2, answered=False)


def _late(ua: Asking) -> None:
    ua.ask("Read", LEARNT_S + 2)
    ua.ask("CloseSession", LEARNT_S + 2, off_s=-86_400.0)


def _churn(ua: Asking) -> None:
    for _ in range(12):
        ua.ask("AddNodes", LEARNT_S + 2)
        ua.ask("Browse", LEARNT_S + 2, HEAD + bytes(22))  # of no view, nothing
        ua.ask("DeleteNodes", LEARNT_S + 2)


def _no_utf8(ua: Asking) -> None:
    """A node that is named by octets which no decoder of UTF-8 may take: an overlong form, a surrogate, a lead without a tail."""
    place = struct.pack("<BH", 3, 2) + text(b"Demo\xc0\xaf\xed\xa0\x80\xf0")
    ua.ask("Read", LEARNT_S + 2, HEAD + struct.pack("<dI", 0.0, 2) + many([reading(place)]), answered=False)


def issuers_turn() -> bytes:
    """An OpenSecureChannel in which the chain of each certificate leads to the other one."""
    chain = issued("first", by="second") + issued("second", by="first")
    return opened(SERVICES["OpenSecureChannel"][0], SECURED, certificate=chain)


class Class(NamedTuple):
    """``act``: within one session; else so many ``channels`` are opened, and asked for these ``services`` each."""

    feature: str  # that names it
    technique: str
    act: Callable[[Asking], None] | None = None
    channels: int = 0
    services: tuple[tuple[str, bytes], ...] = ()

    def packets(self, client: str) -> list[Packet]:
        if self.act is not None:
            ua = UaTalk(client, 52000)
            ua.session(LEARNT_S + 2)
            self.act(ua)
            return timed(ua.talk, LEARNT_S + 2)
        if not self.channels:
            return _with_a_certificate(client)
        packets: list[Packet] = []
        for place in range(self.channels):
            ua = UaTalk(client, 53000 + place)
            for service, body in self.services:
                ua.ask(service, LEARNT_S + 2, body)
            packets += timed(ua.talk, LEARNT_S + 2 + place * 0.02, 0.5)
        return packets


def _with_a_certificate(client: str) -> list[Packet]:
    talk, whole = Talk(client=client, server=PLC, cport=52000, sport=UA_PORT), issuers_turn()
    talk.ask(hello())
    talk.answer(acknowledge())
    for start in range(0, len(whole), 1400):
        talk.ask(whole[start : start + 1400])
    return timed(talk, LEARNT_S + 2)


_CREATE, _ACTIVATE = ("CreateSession", bytes(40)), ("ActivateSession", bytes(40))
_SUBSCRIBE = ("CreateSubscription", HEAD + struct.pack("<dIII?B", 1000.0, 100, 10, 0, True, 0))
_MONITOR = ("CreateMonitoredItems", HEAD + struct.pack("<II", 1, 2) + many([]))
OPCUA: dict[str, Class] = {
    "chunk flood": Class("chunk flood", "T0814", _chunks),
    "channel flood": Class("channel flood", "T0814", channels=80),
    "session flood": Class("session flood", "T0814", channels=80, services=(_CREATE,)),
    "subscription flood": Class("subscription flood", "T0814", channels=20, services=(_CREATE, _ACTIVATE, *[_SUBSCRIBE, _MONITOR] * 9)),
    "thread pool starvation": Class("unanswered requests", "T0814", _starve),
    "condition refresh flood": Class("method call flood", "T0814", _refresh),
    "calls left behind": Class("session closed under calls", "T0814", _leave),
    "browse path flood": Class("browse path flood", "T0814", _paths),
    "nested variant": Class("nested variants", "T0814", _nest),
    "stale timestamp": Class("stale timestamp", "T0888", _late),
    "address space churn": Class("address space churn", "T0814", _churn),
    "certificate loop": Class("certificate loop", "T0814"),
    "malformed utf-8": Class("malformed OPC UA: texts whose octets are not of their encoding", "T0814", _no_utf8),
}


def busy_client(client: str) -> list[Packet]:
    """How a real client begins, which is no attack: a session, many reads, some subscriptions, a few paths, calls that are answered."""
    ua = UaTalk(client, 52000)
    ua.session(LEARNT_S + 2)
    for _ in range(10):
        ua.ask("CreateSubscription", LEARNT_S + 2)
        ua.ask("CreateMonitoredItems", LEARNT_S + 2, bytes(4000), parts=2)
        ua.ask("TranslateBrowsePathsToNodeIds", LEARNT_S + 2, bytes(2000))
        ua.ask("Call", LEARNT_S + 2)
    for _ in range(500):
        ua.ask("Read", LEARNT_S + 2, bytes(300))
    ua.ask("CloseSession", LEARNT_S + 2, off_s=1.0)
    return timed(ua.talk, LEARNT_S + 2)
