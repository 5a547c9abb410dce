"""``sentinel bench traffic``: a capture of made-up plant traffic, for measuring; the same options give the same octets.

Many clients poll many servers over connections that open, ask and close.  In every period each connection has one *exchange*: a read, a
write, a refusal, two requests at once, a message cut into two segments, a segment sent again.  Frames are whole and right: lengths,
sequence numbers, acknowledgements, checksums, padding to the 60 octets of Ethernet.  ``mixed`` adds OPC UA (channels without security, on
which nodes are read) and conversations that no decoder here understands.  Written period by period: memory does not grow with the packets.
"""

import argparse
import struct
import sys
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentinel.model.time import NS_PER_MS, NS_PER_S

Array = NDArray[Any]

START_NS = 1_700_000_000 * NS_PER_S
_PCAP_NS_HEADER = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262_144, 1)
_RECORD, _ETHERNET, _IP, _TCP = 0, 16, 30, 50  # where the layers of a record begin
_BODY = 70
_LEAST_FRAME = 60  # IEEE 802.3, 3.2.8, without the check sequence
_FIN, _SYN, _PUSH, _ACK = 1, 2, 8, 16
_MODBUS, _OPCUA, _OTHER = 0, 1, 2
_PORTS = np.array([502, 4840, 443])
_WIDTHS = {"modbus": 64, "mixed": 512}  # of the longest body
_SHARES = {"modbus": (1.0, 0.0, 0.0), "mixed": (0.5, 0.4, 0.1)}  # of connections, by protocol
_URI = b"http://opcfoundation.org/UA/SecurityPolicy#None"
_POLICY = np.frombuffer(struct.pack("<i", len(_URI)) + _URI + struct.pack("<ii", -1, -1), np.uint8)
_REQUEST_HEADER = struct.pack("<HqIIiIHB", 0, 0, 1, 0, -1, 4000, 0, 0)  # OPC 10000-4, 7.33
_RESPONSE_HEADER = struct.pack("<qIIBiHB", 0, 1, 0, 0, 0, 0, 0)  # 7.34
_OPEN_REQUEST = _REQUEST_HEADER + struct.pack("<IIIiI", 0, 0, 1, -1, 3_600_000)  # no security mode, no nonce, an hour
_OPEN_RESPONSE = _RESPONSE_HEADER + struct.pack("<IIIqIi", 0, 1, 1, 0, 3_600_000, -1)
_READ_REQUEST = _REQUEST_HEADER + struct.pack("<dI", 0.0, 0)  # and the nodes; in an answer the values follow the header at once
_NODE = struct.pack("<BBHIiHi", 1, 2, 0, 13, -1, 0, -1)  # of a number in namespace 2: its value, all of it
_VALUE = struct.pack("<BBdq", 5, 11, 1.0, 133_000_000_000_000_000)  # a double and its source's time
_OPEN_AT = 12 + len(_POLICY) + 12  # behind a channel's number, its policy, two numbers and the type
_BODY_AT = 28  # behind the message's headers and its type
_CLIENTS_PER_SERVER = 4
_MAX_CONNECTIONS = 100_000  # a period of them is held in memory, about half a kilooctet a packet
_REGISTERS = (1, 1, 2, 2, 2, 4, 10, 20)  # that a poll asks for

_CLIENT, _SERVER = 0, 1
_NONE, _REQUEST, _RESPONSE = 0, 1, 2
_WHOLE, _HEAD, _TAIL, _AGAIN = 0, 1, 2, 3  # the part of a body that a packet carries; AGAIN = all of it a second time

Step = tuple[int, int, int, int]  # side, TCP flags, body, part
_DATA = _PUSH | _ACK
_ASK, _ANSWER = (_CLIENT, _DATA, _REQUEST, _WHOLE), (_SERVER, _DATA, _RESPONSE, _WHOLE)
_CLIENT_ACK = (_CLIENT, _ACK, _NONE, _WHOLE)
_OPEN, _CLOSE, _POLL, _QUICK, _WRITE, _REFUSED, _CUT_ANSWER, _CUT_REQUEST, _REPEATED, _PIPELINED = range(10)
SCRIPTS: dict[int, tuple[Step, ...]] = {
    _OPEN: ((_CLIENT, _SYN, _NONE, _WHOLE), (_SERVER, _SYN | _ACK, _NONE, _WHOLE), _CLIENT_ACK, _ASK, _ANSWER, _CLIENT_ACK),
    _CLOSE: ((_CLIENT, _FIN | _ACK, _NONE, _WHOLE), (_SERVER, _FIN | _ACK, _NONE, _WHOLE), _CLIENT_ACK),
    _POLL: (_ASK, _ANSWER, _CLIENT_ACK),
    _QUICK: (_ASK, _ANSWER),
    _WRITE: (_ASK, _ANSWER, _CLIENT_ACK),
    _REFUSED: (_ASK, _ANSWER, _CLIENT_ACK),
    _CUT_ANSWER: (_ASK, (_SERVER, _ACK, _RESPONSE, _HEAD), (_SERVER, _DATA, _RESPONSE, _TAIL), _CLIENT_ACK),
    _CUT_REQUEST: ((_CLIENT, _ACK, _REQUEST, _HEAD), (_CLIENT, _DATA, _REQUEST, _TAIL), _ANSWER, _CLIENT_ACK),
    _REPEATED: (_ASK, _ANSWER, (_SERVER, _DATA, _RESPONSE, _AGAIN), _CLIENT_ACK),
    _PIPELINED: (_ASK, _ANSWER, _CLIENT_ACK),
}
_CHANCES = {
    _CLOSE: 0.01,
    _POLL: 0.60,
    _QUICK: 0.22,
    _WRITE: 0.08,
    _REFUSED: 0.02,
    _CUT_ANSWER: 0.02,
    _CUT_REQUEST: 0.01,
    _REPEATED: 0.01,
    _PIPELINED: 0.03,
}
_STEPS = max(len(script) for script in SCRIPTS.values())
_LENGTHS = np.array([len(SCRIPTS[k]) for k in sorted(SCRIPTS)])
_TABLE = np.zeros((len(SCRIPTS), _STEPS, 4), np.int64)
for _kind, _script in SCRIPTS.items():
    _TABLE[_kind, : len(_script)] = _script


class Options(NamedTuple):
    packets: int
    mix: str = "modbus"
    seed: int = 0
    connections: int = 250
    period_ms: int = 10


def put(octets: Array, at: int, values: Array, size: int) -> None:
    """A big-endian column into the records."""
    for i in range(size):
        octets[:, at + i] = (values >> (8 * (size - 1 - i))) & 0xFF


def put_little(octets: Array, at: int, values: Array, size: int) -> None:
    for i in range(size):
        octets[:, at + i] = (values >> (8 * i)) & 0xFF


def folded(sums: Array) -> Array:
    """The Internet checksum of sums of 16-bit words (RFC 1071)."""
    for _ in range(2):
        sums = (sums & 0xFFFF) + (sums >> 16)
    checks: Array = ~sums & 0xFFFF
    return checks


class Plant:
    """The connections, and what each of them says next: arrays with an entry per connection, those of two rows per side."""

    def __init__(self, options: Options) -> None:
        count = options.connections
        self.chance = np.random.Generator(np.random.PCG64(options.seed))
        self.width = _WIDTHS[options.mix]
        which = np.arange(count)
        server = which // _CLIENTS_PER_SERVER
        self.protocol = self.chance.choice(3, count, p=_SHARES[options.mix])
        self.address = np.stack([(10 << 24) + (1 << 16) + 1 + which % max(1, count // 8), (10 << 24) + (2 << 16) + 1 + server])
        self.port = np.stack([20000 + which * 7 % 40000, _PORTS[self.protocol]])
        self.seq = self.chance.integers(0, 1 << 32, (2, count))
        self.exchange = np.zeros(count, np.int64)  # since the connection opened; 0 = it is not open
        self.number = self.chance.integers(0, 1 << 16, count)  # of the last transaction
        self.unit = 1 + which % 4
        self.first_register = self.chance.integers(0, 1000, count)
        self.registers = self.chance.choice(_REGISTERS, count)
        self.packets = 0  # written so far

    def choose(self) -> Array:
        kinds = self.chance.choice(list(_CHANCES), len(self.exchange), p=list(_CHANCES.values()))
        return np.where(self.exchange == 0, _OPEN, kinds)

    def say(self, kinds: Array) -> tuple[Array, Array, Array, Array]:
        """(requests, their lengths, responses, their lengths), one row per connection."""
        count = len(kinds)
        bodies = [self.chance.integers(0, 256, (count, self.width), dtype=np.uint8) for _ in range(2)]
        sizes = [np.zeros(count, np.int64), np.zeros(count, np.int64)]
        for protocol, fill in ((_MODBUS, self._modbus), (_OPCUA, self._opcua), (_OTHER, self._other)):
            rows = np.flatnonzero(self.protocol == protocol)
            if len(rows):
                fill(rows, kinds[rows], bodies, sizes)
        return bodies[0], sizes[0], bodies[1], sizes[1]

    def _modbus(self, rows: Array, kinds: Array, bodies: list[Array], sizes: list[Array]) -> None:
        asked, answer = (body[rows] for body in bodies)
        self.number[rows] = (self.number[rows] + 1) & 0xFFFF
        quantity, address = self.registers[rows], self.first_register[rows]
        is_write = kinds == _WRITE
        for body in (asked, answer):
            put(body, 0, self.number[rows], 2)
            put(body, 2, np.zeros(len(rows), np.int64), 2)
            body[:, 6] = self.unit[rows]
        put(asked, 4, np.full(len(rows), 6), 2)
        asked[:, 7] = np.where(is_write, 6, 3)
        put(asked, 8, address, 2)
        put(asked, 10, np.where(is_write, self.chance.integers(0, 1 << 16, len(rows)), quantity), 2)
        put(answer, 4, 3 + 2 * quantity, 2)
        answer[:, 7], answer[:, 8] = 3, 2 * quantity
        answer[is_write] = asked[is_write]
        refused = kinds == _REFUSED
        put(answer, 4, np.where(refused, 3, np.where(is_write, 6, 3 + 2 * quantity)), 2)
        answer[refused, 7], answer[refused, 8] = 0x83, 2
        ask_octets = np.full(len(rows), 12)
        answer_octets = np.where(refused, 9, np.where(is_write, 12, 9 + 2 * quantity))
        twice = np.flatnonzero((kinds == _PIPELINED) & (answer_octets * 2 <= self.width))
        for body, octets in ((asked, ask_octets), (answer, answer_octets)):
            for size in np.unique(octets[twice]):
                these = twice[octets[twice] == size]
                second = body[these, :size]
                put(second, 0, self.number[rows[these]] + 1 & 0xFFFF, 2)
                body[these, size : 2 * size] = second
            octets[twice] *= 2
        self.number[rows[twice]] = (self.number[rows[twice]] + 1) & 0xFFFF
        bodies[0][rows], bodies[1][rows], sizes[0][rows], sizes[1][rows] = asked, answer, ask_octets, answer_octets

    def _opcua(self, rows: Array, kinds: Array, bodies: list[Array], sizes: list[Array]) -> None:
        count, exchange = len(rows), self.exchange[rows]
        stage = np.minimum(exchange, 2)
        nodes, stages = self.registers[rows], [stage == 0, stage == 1]
        asked, told = _BODY_AT + len(_READ_REQUEST) + 4 + len(_NODE) * nodes, _BODY_AT + len(_RESPONSE_HEADER) + 8 + len(_VALUE) * nodes
        ask_octets = np.select(stages, [64, _OPEN_AT + len(_OPEN_REQUEST)], asked)
        answer_octets = np.select(stages, [28, _OPEN_AT + len(_OPEN_RESPONSE)], told)
        names = np.array([list(b"HELF"), list(b"OPNF"), list(b"MSGF")], np.uint8)
        opening = stage == 1
        for side, octets, first in ((0, ask_octets, names), (1, answer_octets, np.array([list(b"ACKF"), *names[1:].tolist()], np.uint8))):
            body = bodies[side][rows]
            body[:, :4] = first[stage]
            put_little(body, 4, octets, 4)
            put_little(body, 8, np.where(exchange == 0, 0, 1 + rows), 4)  # protocol version, or secure channel
            put_little(body, 12, np.ones(count, np.int64), 4)
            put_little(body, 16, exchange, 4)
            put_little(body, 20, exchange, 4)
            put_little(body, 24, np.full(count, 0x0277_0001 if side == 0 else 0x027A_0001), 4)  # read request 631, response 634
            body[opening, 12 : 12 + len(_POLICY)] = _POLICY  # with neither certificate nor thumbprint
            at = 12 + len(_POLICY)
            for number in (exchange, exchange, np.full(count, 0x01BE_0001 if side == 0 else 0x01C1_0001)):  # open secure channel 446, 449
                opened = body[opening]
                put_little(opened, at, number[opening], 4)
                body[opening] = opened
                at += 4
            said = np.frombuffer(_OPEN_REQUEST if side == 0 else _OPEN_RESPONSE, np.uint8)
            body[opening, _OPEN_AT : _OPEN_AT + len(said)] = said
            self._nodes(body, np.flatnonzero(stage == 2), rows, side)
            bodies[side][rows], sizes[side][rows] = body, octets

    def _nodes(self, body: Array, reading: Array, rows: Array, side: int) -> None:
        """The nodes that a read asks for, or their values, one after the other from the first on."""
        before, each = ((_READ_REQUEST, _NODE), (_RESPONSE_HEADER, _VALUE))[side]
        most = max(_REGISTERS)
        texts = np.tile(np.frombuffer(before + bytes(4) + each * most + bytes(4), np.uint8), (len(reading), 1))
        begin = len(before) + 4
        count, first = self.registers[rows[reading]], self.first_register[rows[reading]]
        put_little(texts, len(before), count, 4)
        for which in range(most):
            at = begin + which * len(each)
            if side == 0:
                put_little(texts, at + 2, first + which, 2)
            else:
                texts[:, at + 2 : at + 8] = self.chance.integers(0, 256, (len(reading), 6), dtype=np.uint8)
        if side == 1:  # no diagnostics
            ends = begin + count * len(each)
            for i in range(4):
                texts[np.arange(len(reading)), ends + i] = 0
        body[reading, _BODY_AT : _BODY_AT + texts.shape[1]] = texts

    def _other(self, rows: Array, kinds: Array, bodies: list[Array], sizes: list[Array]) -> None:
        for side in (0, 1):
            octets = 60 + 20 * self.registers[rows]
            body = bodies[side][rows]
            body[:, :3] = (0x17, 3, 3)  # a TLS record of application data
            put(body, 3, octets - 5, 2)
            bodies[side][rows], sizes[side][rows] = body, octets

    def period(self, start_ns: int, period_ns: int) -> bytes:
        """One exchange of every connection, as records of a pcap file in order of time."""
        kinds = self.choose()
        opening = kinds == _OPEN
        self.port[0, opening] = 20000 + (self.port[0, opening] + 13) % 40000
        self.seq[:, opening] = self.chance.integers(0, 1 << 32, (2, int(opening.sum())))
        requests, request_octets, responses, response_octets = self.say(kinds)
        steps = _LENGTHS[kinds]
        of = np.repeat(np.arange(len(kinds)), steps)
        begins = np.cumsum(steps) - steps
        step = np.arange(len(of)) - begins[of]
        side, flags, body, part = _TABLE[kinds[of], step].T
        whole = np.where(body == _REQUEST, request_octets[of], np.where(body == _RESPONSE, response_octets[of], 0))
        cut = whole // 2
        first = np.where(part == _TAIL, cut, 0)
        size = np.where(part == _HEAD, cut, whole - first)
        moved = size + ((flags & (_SYN | _FIN)) != 0)
        behind = [self._behind(np.where(side == each, np.where(part == _AGAIN, 0, moved), 0), begins[of]) for each in (0, 1)]
        before = np.where(side == _CLIENT, behind[0], behind[1]) - np.where(part == _AGAIN, whole, 0)
        other = np.where(side == _CLIENT, behind[1], behind[0])
        seq = self.seq[side, of] + before
        ack = np.where(flags & _ACK, self.seq[1 - side, of] + other, 0)
        gap = self.chance.integers(period_ns // 100, period_ns // 40, len(kinds))
        at = start_ns + self.chance.integers(0, period_ns * 4 // 5, len(kinds))[of] + step * gap[of]
        records = np.zeros((len(of), _BODY + self.width), np.uint8)
        asks, answers = np.flatnonzero(body == _REQUEST), np.flatnonzero(body == _RESPONSE)
        for rows, texts in ((asks, requests), (answers, responses)):
            records[rows, _BODY:] = texts[of[rows]]
        tails = np.flatnonzero(part == _TAIL)
        shifted = np.minimum(np.arange(self.width) + first[tails][:, None], self.width - 1)
        records[tails, _BODY:] = np.take_along_axis(records[tails, _BODY:], shifted, axis=1)
        records[:, _BODY:][np.arange(self.width) >= size[:, None]] = 0
        self._head(records, of, side, flags, seq & 0xFFFF_FFFF, ack & 0xFFFF_FFFF, size, at)
        for each in (0, 1):
            np.add.at(self.seq[each], of[side == each], np.where(part == _AGAIN, 0, moved)[side == each])
        self.seq &= 0xFFFF_FFFF
        self.exchange = np.where(kinds == _CLOSE, 0, self.exchange + 1)
        order = np.argsort(at, kind="stable")
        kept = np.arange(records.shape[1]) < (_ETHERNET + np.maximum(_LEAST_FRAME, size + _BODY - _ETHERNET))[:, None]
        octets: bytes = records[order][kept[order]].tobytes()
        self.packets += len(of)
        return octets

    @staticmethod
    def _behind(moved: Array, begins: Array) -> Array:
        """How far a side had moved before each packet, within its exchange."""
        before: Array = np.cumsum(moved) - moved
        return before - before[begins]

    def _head(self, records: Array, of: Array, side: Array, flags: Array, seq: Array, ack: Array, size: Array, at: Array) -> None:
        source, target = self.address[side, of], self.address[1 - side, of]
        frame = np.maximum(_LEAST_FRAME, size + _BODY - _ETHERNET)
        put_little(records, _RECORD, at // NS_PER_S, 4)
        put_little(records, _RECORD + 4, at % NS_PER_S, 4)
        put_little(records, _RECORD + 8, frame, 4)
        put_little(records, _RECORD + 12, frame, 4)
        put(records, _ETHERNET, (0x0200 << 32) + target, 6)
        put(records, _ETHERNET + 6, (0x0200 << 32) + source, 6)
        records[:, _ETHERNET + 12 : _ETHERNET + 14] = (8, 0)
        records[:, _IP] = 0x45
        put(records, _IP + 2, 40 + size, 2)
        put(records, _IP + 4, self.packets + np.arange(len(of)) & 0xFFFF, 2)  # what is sent again has one of its own
        records[:, _IP + 6], records[:, _IP + 8], records[:, _IP + 9] = 0x40, 64, 6  # not to be fragmented; TCP
        put(records, _IP + 12, source, 4)
        put(records, _IP + 16, target, 4)
        put(records, _IP + 10, folded(records[:, _IP:_TCP].view(">u2").sum(axis=1, dtype=np.int64)), 2)
        put(records, _TCP, self.port[side, of], 2)
        put(records, _TCP + 2, self.port[1 - side, of], 2)
        put(records, _TCP + 4, seq, 4)
        put(records, _TCP + 8, ack, 4)
        records[:, _TCP + 12], records[:, _TCP + 13], records[:, _TCP + 14] = 0x50, flags, 0x20
        pseudo = records[:, _IP + 12 : _TCP].view(">u2").sum(axis=1, dtype=np.int64) + 6 + 20 + size
        put(records, _TCP + 16, folded(pseudo + records[:, _TCP:].view(">u2").sum(axis=1, dtype=np.int64)), 2)


def write_traffic(out: BinaryIO, options: Options) -> int:
    """At least ``options.packets`` packets (the last period is written whole); how many."""
    out.write(_PCAP_NS_HEADER)
    plant, now = Plant(options), START_NS
    while plant.packets < options.packets:
        out.write(plant.period(now, options.period_ms * NS_PER_MS))
        now += options.period_ms * NS_PER_MS
    return plant.packets


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="sentinel bench traffic", description="write a capture of made-up plant traffic, for measuring")
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, required=True, help="the pcap file")
    parser.add_argument("--mix", choices=_WIDTHS, default="modbus")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--connections", type=int, default=250, help="at once")
    parser.add_argument("--period-ms", type=int, default=10, help="in which each connection has one exchange")
    given = parser.parse_args(arguments)
    if min(given.packets, given.connections, given.period_ms) < 1 or given.connections > _MAX_CONNECTIONS:
        parser.error(f"packets, connections and period must be at least 1, connections at most {_MAX_CONNECTIONS}")
    with given.out.open("wb") as out:
        written = write_traffic(out, Options(given.packets, given.mix, given.seed, given.connections, given.period_ms))
    sys.stdout.write(f"{given.out}: {written} packets, {given.out.stat().st_size} octets\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
