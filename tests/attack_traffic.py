"""Attacks on paper: frames of our own making that have the shape of published attacks, beside half a minute of ordinary life.

In: what one client says, packet by packet.  Out: a capture file, which goes through the real decoder.  Bodies carry no working payload:
what the sensor sees of the attack (services, sizes, numbers, times) is there, what would harm a server is not.
"""

import random
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from collectors.capture.packets import ETHERNET
from collectors.capture.replay import to_pcap
from sentinel.model.opcua import SERVICES
from tests.unit.collectors.capture.frames import MS, START, Talk, adu, read, registers, write
from tests.unit.collectors.wire.certificates import issued
from tests.unit.collectors.wire.opcua_bodies import asking, many, reading
from tests.unit.collectors.wire.test_opcua import SECURED, acknowledge, chunk, hello, named, opened, text

PLC, HMI, STRANGER = "10.0.0.2", "10.0.0.1", "10.0.0.66"
LEARNT_S = 30.0
UA_PORT = 4840
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
        whole: bytes = b"",
    ) -> None:
        """``off_s``: the client's clock minus the capture's; ``whole``: the request from its type on, else one is made of ``body``."""
        request, response = SERVICES[service]
        number = self.sequence + 1
        whole = whole or named(request) + b"\x00\x00" + struct.pack("<q", _ticks(at_s + off_s)) + body
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


def _asking(pdus: Sequence[tuple[bytes, bytes]], wait_s: float = 0.0) -> list[Packet]:
    talk, packets = Talk(client=STRANGER, cport=50000), []
    packets += timed(talk, LEARNT_S + 2)
    for number, (question, reply) in enumerate(pdus):
        talk.ask(adu(number, question))
        talk.answer(adu(number, reply))
        packets += timed(talk, LEARNT_S + 2.1 + number * max(wait_s, 0.01))
    talk.finish()
    return packets + timed(talk, LEARNT_S + 2.2 + len(pdus) * max(wait_s, 0.01))


def _fuzz(function: int, values: tuple[int, ...]) -> list[Packet]:
    """Random values to random points of a range, a second apart, as the plugin's own example does."""
    chance = random.Random(7)
    writes = [struct.pack(">BHH", function, chance.randrange(1, 11), chance.choice(values)) for _ in range(12)]
    return _asking([(pdu, pdu) for pdu in writes], wait_s=1.0)


def _bits(function: int) -> list[Packet]:
    return _asking([(struct.pack(">BHH", function, 1, 8), bytes([function, 1, 0x55]))])


def _words(function: int) -> list[Packet]:
    return _asking([(struct.pack(">BHH", function, 3, 2), struct.pack(">BBHH", function, 4, 10, 20))])


_ONE_COIL, _ONE_REGISTER = struct.pack(">BHH", 5, 0, 0xFF00), struct.pack(">BHH", 6, 10, 5000)

# name: (packets, technique of the plugin's published ability list)
CALDERA_MODBUS: dict[str, tuple[Callable[[], list[Packet]], str]] = {
    "read coils": (lambda: _bits(1), "T0861"),
    "read discrete inputs": (lambda: _bits(2), "T0861"),
    "read holding registers": (lambda: _words(3), "T0861"),
    "read input registers": (lambda: _words(4), "T0861"),
    "write single coil": (lambda: _asking([(_ONE_COIL, _ONE_COIL)]), "T0836"),
    "write single register": (lambda: _asking([(_ONE_REGISTER, _ONE_REGISTER)]), "T0836"),
    "write multiple coils": (
        lambda: _asking([(struct.pack(">BHHBB", 15, 0, 5, 1, 0x1F), struct.pack(">BHH", 15, 0, 5))]),
        "T0806",
    ),
    "write multiple registers": (
        lambda: _asking([(struct.pack(">BHHB5H", 16, 10, 5, 10, 33, 33, 33, 33, 33), struct.pack(">BHH", 16, 10, 5))]),
        "T0806",
    ),
    "fuzz coils": (lambda: _fuzz(5, (0, 0xFF00)), "T0806"),
    "fuzz registers": (lambda: _fuzz(6, tuple(range(100))), "T0806"),
    "read device information": (lambda: _asking([(b"\x2b\x0e\x01\x00", b"\x2b\x0e\x01\x01\x00\x00\x01\x00\x04Acme")]), "T0888"),
}


# -- published classes of attacks on OPC UA servers --


def _in_session(act: Callable[[UaTalk], None], client: str, step_ms: float = 1.0) -> list[Packet]:
    ua = UaTalk(client, 52000)
    ua.session(LEARNT_S + 2)
    act(ua)
    return timed(ua.talk, LEARNT_S + 2, step_ms)


def _many_talks(count: int, client: str, *services: str) -> list[Packet]:
    packets: list[Packet] = []
    for number in range(count):
        ua = UaTalk(client, 53000 + number)
        for service in services:
            ua.ask(service, LEARNT_S + 2)
        packets += timed(ua.talk, LEARNT_S + 2 + number * 0.02, 0.5)
    return packets


def _chunks(ua: UaTalk) -> None:
    ua.ask("Write", LEARNT_S + 2, bytes(60_000), parts=400, ends=False)


def _starve(ua: UaTalk) -> None:
    for _ in range(200):
        ua.ask("Write", LEARNT_S + 2, b"", answered=False)


def _refresh(ua: UaTalk) -> None:
    for _ in range(300):
        ua.ask("Call", LEARNT_S + 2, bytes(30))


def _leave(ua: UaTalk) -> None:
    for _ in range(20):
        ua.ask("Call", LEARNT_S + 2, bytes(6000), answered=False)
    ua.ask("CloseSession", LEARNT_S + 2)


def _paths(ua: UaTalk) -> None:
    ua.ask("TranslateBrowsePathsToNodeIds", LEARNT_S + 2, bytes(200_000), parts=4)


def _nest(ua: UaTalk) -> None:
    ua.ask("Write", LEARNT_S + 2, bytes(30) + b"\x98\x01\x00\x00\x00" * 3000, parts=2)


def _late(ua: UaTalk) -> None:
    ua.ask("Read", LEARNT_S + 2)
    ua.ask("CloseSession", LEARNT_S + 2, off_s=-86_400.0)


def _churn(ua: UaTalk) -> None:
    for _ in range(12):
        ua.ask("AddNodes", LEARNT_S + 2)
        ua.ask("Browse", LEARNT_S + 2)
        ua.ask("DeleteNodes", LEARNT_S + 2)


def _issuers_turn(client: str) -> list[Packet]:
    """The chain of each certificate leads to the other one."""
    talk = Talk(client=client, server=PLC, cport=52000, sport=UA_PORT)
    talk.ask(hello())
    talk.answer(acknowledge())
    chain = issued("first", by="second") + issued("second", by="first")
    whole = opened(SERVICES["OpenSecureChannel"][0], SECURED, certificate=chain)
    for start in range(0, len(whole), 1400):
        talk.ask(whole[start : start + 1400])
    return timed(talk, LEARNT_S + 2)


def _no_utf8(ua: UaTalk) -> None:
    """A node that is named by octets which no decoder of UTF-8 may take: an overlong form, a surrogate, a lead without a tail."""
    place = struct.pack("<BH", 3, 2) + text(b"Demo\xc0\xaf\xed\xa0\x80\xf0")
    ua.ask("Read", LEARNT_S + 2, whole=named(SERVICES["Read"][0]) + asking() + struct.pack("<dI", 0.0, 2) + many([reading(place)]))


# class: (packets by a client, feature that names it, technique)
OPCUA: dict[str, tuple[Callable[[str], list[Packet]], str, str]] = {
    "chunk flood": (lambda client: _in_session(_chunks, client), "chunk flood", "T0814"),
    "channel flood": (lambda client: _many_talks(80, client), "channel flood", "T0814"),
    "session flood": (lambda client: _many_talks(80, client, "CreateSession"), "session flood", "T0814"),
    "subscription flood": (
        lambda client: _many_talks(20, client, "CreateSession", "ActivateSession", *["CreateSubscription", "CreateMonitoredItems"] * 9),
        "subscription flood",
        "T0814",
    ),
    "thread pool starvation": (lambda client: _in_session(_starve, client), "unanswered requests", "T0814"),
    "condition refresh flood": (lambda client: _in_session(_refresh, client), "method call flood", "T0814"),
    "calls left behind": (lambda client: _in_session(_leave, client), "session closed under calls", "T0814"),
    "browse path flood": (lambda client: _in_session(_paths, client), "browse path flood", "T0814"),
    "nested variant": (lambda client: _in_session(_nest, client), "nested variants", "T0814"),
    "stale timestamp": (lambda client: _in_session(_late, client), "stale timestamp", "T0888"),
    "address space churn": (lambda client: _in_session(_churn, client), "address space churn", "T0814"),
    "certificate loop": (_issuers_turn, "certificate loop", "T0814"),
    "malformed utf-8": (
        lambda client: _in_session(_no_utf8, client),
        "malformed OPC UA: texts whose octets are not of their encoding",
        "T0814",
    ),
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
