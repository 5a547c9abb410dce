"""Packets made by hand: layers, and a TCP conversation that can be cut, repeated and relayed."""

import struct
from collections.abc import Iterable
from ipaddress import ip_address
from itertools import pairwise

from collectors.capture.packets import ETHERNET, PacketBatch
from collectors.capture.sensor import Sensor
from sentinel.model.observation import Flows, Heard, Messages

START = 1_700_000_000_000_000_000
MS = 1_000_000
CLIENT, SERVER, ATTACKER = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:66"
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def ethernet(payload: bytes, kind: int = 0x0800, source: str = CLIENT, target: str = SERVER, tags: Iterable[tuple[int, int]] = ()) -> bytes:
    stack = b"".join(struct.pack(">HH", tpid, tci) for tpid, tci in tags)
    return mac(target) + mac(source) + stack + struct.pack(">H", kind) + payload


def ip4(
    payload: bytes, source: str, target: str, protocol: int = 6, *, options: bytes = b"", flags: int = 0, total: int | None = None
) -> bytes:
    size = 20 + len(options)
    length = size + len(payload) if total is None else total
    header = struct.pack(">BBHHHBBH", 0x40 | size // 4, 0, length, 1, flags, 64, protocol, 0)
    return header + ip_address(source).packed + ip_address(target).packed + options + payload


def ip6(payload: bytes, source: str, target: str, protocol: int = 6) -> bytes:
    return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + ip_address(source).packed + ip_address(target).packed + payload


def tcp(payload: bytes, sport: int, dport: int, seq: int, ack: int, flags: int, options: bytes = b"") -> bytes:
    offset = (20 + len(options)) // 4 << 4
    return struct.pack(">HHIIBBHHH", sport, dport, seq % 2**32, ack % 2**32, offset, flags, 1024, 0, 0) + options + payload


def udp(payload: bytes, sport: int, dport: int) -> bytes:
    return struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload


def arp(operation: int, sender_mac: str, sender: str, target: str, *, ether_source: str | None = None) -> bytes:
    body = (
        struct.pack(">HHBBH", 1, 0x0800, 6, 4, operation)
        + mac(sender_mac)
        + ip_address(sender).packed
        + bytes(6)
        + ip_address(target).packed
    )
    return ethernet(body + bytes(18), 0x0806, source=ether_source or sender_mac, target="ff:ff:ff:ff:ff:ff")


class Talk:
    """One TCP connection; every step appends a packet, a millisecond after the one before."""

    def __init__(
        self, *, client: str = "10.0.0.1", server: str = "10.0.0.2", cport: int = 40000, sport: int = 502, isn: int = 1000, syn: bool = True
    ) -> None:
        self.ends = ((client, cport, CLIENT), (server, sport, SERVER))
        self.seqs = [isn, isn + 5000]
        self.packets: list[bytes] = []
        if syn:
            self.raw(0, b"", SYN, ack=0)
            self.seqs[0] += 1
            self.raw(1, b"", SYN | ACK)
            self.seqs[1] += 1
            self.raw(0, b"", ACK)

    def frame(self, side: int, payload: bytes, flags: int, *, seq: int, ack: int, macs: tuple[str, str] | None = None) -> bytes:
        (address, port, own), (peer, peer_port, other) = self.ends[side], self.ends[1 - side]
        source, target = macs or (own, other)
        segment = tcp(payload, port, peer_port, seq, ack, flags)
        if ":" in address:
            return ethernet(ip6(segment, address, peer), 0x86DD, source, target)
        return ethernet(ip4(segment, address, peer), source=source, target=target)

    def raw(
        self,
        side: int,
        payload: bytes,
        flags: int = PSH | ACK,
        *,
        shift: int = 0,
        ack: int | None = None,
        macs: tuple[str, str] | None = None,
    ) -> None:
        """A packet at the side's sequence number plus ``shift``, without moving it."""
        acknowledged = self.seqs[1 - side] if ack is None else ack
        self.packets.append(self.frame(side, payload, flags, seq=self.seqs[side] + shift, ack=acknowledged, macs=macs))

    def send(self, side: int, payload: bytes) -> None:
        self.raw(side, payload)
        self.seqs[side] += len(payload)

    def ask(self, payload: bytes) -> None:
        self.send(0, payload)

    def answer(self, payload: bytes) -> None:
        self.send(1, payload)

    def finish(self) -> None:
        for side in (0, 1):
            self.raw(side, b"", FIN | ACK)
            self.seqs[side] += 1

    def batch(self) -> PacketBatch:
        return batch_of(self.packets)


def batch_of(packets: list[bytes], *, step: int = MS, link: int = ETHERNET, start: int = START) -> PacketBatch:
    return PacketBatch.of(packets, [start + i * step for i in range(len(packets))], link=link)


def adu(transaction: int, pdu: bytes, unit: int = 1, protocol: int = 0, length: int | None = None) -> bytes:
    return struct.pack(">HHHB", transaction, protocol, len(pdu) + 1 if length is None else length, unit) + pdu


def read(transaction: int, address: int = 0, count: int = 2, function: int = 3, unit: int = 1) -> bytes:
    return adu(transaction, struct.pack(">BHH", function, address, count), unit)


def registers(transaction: int, values: tuple[int, ...] = (1, 2), function: int = 3, unit: int = 1) -> bytes:
    return adu(transaction, struct.pack(f">BB{len(values)}H", function, 2 * len(values), *values), unit)


def write(transaction: int, address: int, value: int, unit: int = 1) -> bytes:
    return adu(transaction, struct.pack(">BHH", 6, address, value), unit)


def hear(batch: PacketBatch, cuts: Iterable[int] = (), sensor: Sensor | None = None) -> tuple[Messages, Flows, Sensor]:
    """Everything that a sensor makes of the packets, cut into batches at ``cuts``, and closed."""
    sensor = sensor or Sensor("test", seed=7)
    edges = [0, *sorted(cuts), len(batch)]
    heard: list[Heard] = [sensor.feed(batch.slice(a, b)) for a, b in pairwise(edges)]
    heard.append(sensor.close())
    return Messages.concat([h.messages for h in heard]), Flows.concat([h.flows for h in heard]), sensor


def rows_of(columns: Messages | Flows) -> list[dict[str, object]]:
    """Rows as dictionaries, names spelt out and pool slices as octets: equal rows are equal whatever pool they lay in."""
    rows = []
    for i in range(len(columns)):
        row: dict[str, object] = {}
        for name in columns.dtypes():
            value = int(getattr(columns, name)[i])
            if name in columns.coded_fields():
                row[name] = columns.name_of(value)
            elif not name.endswith("_start"):
                row[name] = value
        if isinstance(columns, Messages):
            row["pdu"], row["value"] = columns.pdu(i), columns.value(i)
        rows.append(row)
    return rows
