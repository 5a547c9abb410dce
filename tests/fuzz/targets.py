"""What is fuzzed: octets in, nothing out; an exception that a parser does not promise is a finding.

Tables are made once for each process and emptied after each input, as a sensor's are when its source has ended.
"""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.form import Table, tables  # isort: skip  before any kernel is imported
from collectors.capture import decode, ending, files, flows, fragments, index, track, tunnels
from collectors.capture import tables as layouts
from collectors.capture.packets import ETHERNET, PacketBatch
from collectors.capture.pcapng import interface, section
from collectors.capture.replay import to_pcap
from collectors.compiled import Words
from collectors.wire.modbus import decoder as modbus
from collectors.wire.opcua import details
from collectors.wire.recognise import recognise_tcp, recognise_udp
from sentinel.errors import InputError
from sentinel.model.time import NS_PER_MS
from tests.unit.collectors.capture.frames import ACK, PSH, START, adu, ethernet, ip4, read, registers, tcp, write
from tests.unit.collectors.capture.guard import seeds as proper_packets
from tests.unit.collectors.wire.test_names import IN_TCP, IN_UDP, RTU, UNITS
from tests.unit.collectors.wire.test_opcua import HANDSHAKE, message

MAX_PACKETS = 64  # of one input
_SEED = np.uint64(7)
_KEYS = flows.hash_keys(int(_SEED))


def _as_table(one: Any) -> Any:
    if hasattr(one, "_fields"):
        return tables(one)
    return Table(one) if isinstance(one, np.ndarray) and one.dtype.names else one


def _seen_as_tables(kernel: Any) -> Any:
    """For callers that hand structured arrays over."""
    return lambda *arguments: kernel(*(_as_table(each.value if isinstance(each, Words) else each) for each in arguments))


fragments.decode = _seen_as_tables(decode.decode)
for name in ("decode", "find_tunnels", "open_tunnels"):
    setattr(tunnels, name, _seen_as_tables(getattr(tunnels, name)))
details.read_bodies = _seen_as_tables(details.read_bodies)
index.walk_pcap = _seen_as_tables(index.walk_pcap)
index.walk_pcapng = _seen_as_tables(index.walk_pcapng)


class Ears:
    """decode and track over packets, in their Python form."""

    def __init__(self) -> None:
        made = layouts.make_tables(int(_SEED))
        self.state = {name: getattr(made, name).copy() for name in ("state", "tally", "free", "held")}
        self.made, self.t = made, tables(made)
        self.heads = np.zeros(MAX_PACKETS, layouts.HEAD)
        self.fragments = fragments.Reassembler(_KEYS)
        self.tunnels = tunnels.Tunnels(_KEYS, self.fragments.join)
        self.bodies = details.BodyReader(7)

    def hear(self, packets: list[bytes], link: int = ETHERNET, step: int = NS_PER_MS) -> None:
        batch = PacketBatch.of(packets, [START + i * step for i in range(len(packets))], link=link)
        heads, octets = Table(self.heads), batch.octets
        if decode.decode(heads, batch.columns, 0, len(batch), _KEYS)[0]:
            octets = self.fragments.join(self.heads, batch, 0, len(batch))
        columns, count = batch.columns, len(batch)
        if self.tunnels.find(self.heads, count):
            made, octets, rows = self.tunnels.opened(self.heads, octets, batch, 0, count)
            heads, count = Table(made), len(rows)
            columns = columns._replace(**{name: getattr(batch, name)[rows] for name in ("off", "cap", "wire", "time", "frame", "link")})
        taken = track.track(self.t, heads, octets, columns, 0, 0, count)
        assert taken == count, "a few packets fill no buffer"
        self.end()

    def end(self) -> None:
        made = self.made
        for f in np.flatnonzero(made.flows["used"]).tolist():
            ending.end_flow(self.t, f, int(made.state["last"][0]))
            flows.remove_hash(self.t.flows, self.t.buckets, f)
            made.flows["used"][f] = 0
        names = tuple(str(i) for i in range(int(made.state["names"][0])))
        self.bodies.read(modbus.columns(modbus.written(made.messages), made.message_pool, made.tally, names))
        assert not made.buckets.any(), "a conversation that ended is found no more"
        assert not made.opcua_owners.any(), "and has given its place back"
        made.wheel[:] = 0
        made.flow_rows["names_of"] = 0
        made.recent["likeness"] = 0
        names_of = int(made.state["batch"][0])
        for name, before in self.state.items():
            getattr(made, name)[:] = before
        made.state["batch"] = names_of + 1


def cut(octets: bytes) -> list[bytes]:
    """Pieces, each behind the two octets of its length."""
    pieces: list[bytes] = []
    while len(octets) > 2 and len(pieces) < MAX_PACKETS:
        size = int.from_bytes(octets[:2], "big") % 1600
        pieces.append(octets[2 : 2 + size])
        octets = octets[2 + size :]
    return pieces


def packets() -> Callable[[bytes], None]:
    ears = Ears()
    return lambda octets: ears.hear(cut(octets))


def segments(port: int) -> Callable[[bytes], None]:
    """Payloads of one connection; the first octet of each says its side, whether it is lost, sent again, or moved."""
    ears = Ears()

    def take(octets: bytes) -> None:
        numbers, frames = [1000, 5000], []
        for piece in cut(octets):
            how, payload = piece[0] if piece else 0, piece[1:]
            side = how & 1
            ends = (("10.0.0.1", 40000), ("10.0.0.2", port))
            (source, sport), (target, dport) = ends[side], ends[1 - side]
            moved = (0, 0, 0, len(payload), -1, 7, 3000, -len(payload))[how >> 1 & 7]
            segment = tcp(payload, sport, dport, numbers[side] + moved, numbers[1 - side], PSH | ACK | (how >> 6))
            if how & 0x10 == 0:
                frames.append(ethernet(ip4(segment, source, target)))
            numbers[side] += len(payload)
        ears.hear(frames)

    return take


def names() -> Callable[[bytes], None]:
    def take(octets: bytes) -> None:
        array = np.frombuffer(octets[2:], np.uint8)
        port = int.from_bytes(octets[:2], "big")
        for recognise in (recognise_tcp, recognise_udp):
            recognise(array, 0, len(array), port)

    return take


def capture_files() -> Callable[[bytes], None]:
    path = Path(tempfile.mkdtemp(prefix="sentinel-fuzz-")) / "a.pcap"

    def take(octets: bytes) -> None:
        path.write_bytes(octets)
        try:
            for batch in files.CaptureFile(path, 64):
                assert (batch.off + batch.cap <= len(batch.octets)).all()
        except InputError:
            return

    return take


def _joined(pieces: Iterable[bytes]) -> bytes:
    return b"".join(len(piece).to_bytes(2, "big") + piece for piece in pieces)


def _talk(exchanges: Iterable[tuple[int, bytes]]) -> bytes:
    return _joined(bytes([side]) + payload for side, payload in exchanges)


def _seeds(target: str) -> list[bytes]:
    """What speaks each protocol properly: a search from nothing would find little of it."""
    modbus_talk = [(0, read(1) + write(2, 5, 7)), (1, registers(1)), (0, adu(3, bytes([43, 14, 1, 0]))), (1, adu(3, bytes([0xAB, 2])))]
    rtu_talk = [(0, RTU.buildFrame(UNITS[0])), (1, RTU.buildFrame(UNITS[1])), (0, RTU.buildFrame(UNITS[2])[:-1] + b"?")]
    opcua_talk = [(0 if is_client else 1, octets) for is_client, octets in HANDSHAKE] + [(0, message(631, 3, 3)), (1, message(634, 3, 3))]
    if target == "packets":
        frames = proper_packets()
        return [_joined(frames[i : i + 8]) for i in range(0, len(frames), 8)]
    if target == "files":
        frames = proper_packets()[:6]
        plain = to_pcap([(START + i, len(frame), frame) for i, frame in enumerate(frames)], ETHERNET)
        return [plain, section() + interface("a", ETHERNET)]
    if target == "names":
        return [(51234).to_bytes(2, "big") + payload for _, payload in IN_TCP + IN_UDP]
    return [_talk(modbus_talk), _talk(rtu_talk), _talk(opcua_talk)] + [_talk([(0, payload)]) for _, payload in IN_TCP]


def lay_seeds(target: str, directory: Path) -> None:
    for i, octets in enumerate(_seeds(target)):
        (directory / f"seed{i}").write_bytes(octets)


TARGETS: dict[str, Callable[[], Callable[[bytes], None]]] = {
    "packets": packets,
    "modbus": lambda: segments(502),
    "unknown port": lambda: segments(51234),
    "opcua": lambda: segments(4840),
    "names": names,
    "files": capture_files,
}
