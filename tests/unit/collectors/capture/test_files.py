"""Capture files of every format, whole, cut and spoilt."""

import gzip
import random
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectors.capture import files
from collectors.capture.files import CaptureFile
from collectors.capture.packets import ETHERNET, LINUX_SLL
from collectors.capture.replay import excerpt, packets_of, replay, to_pcap
from sentinel.errors import InputError
from sentinel.model.observation import Messages
from tests.unit.collectors.capture.frames import START, Talk, read, registers

PACKETS = [bytes([i]) * (20 + i) for i in range(10)]
TIMES = [START + i * 1_000_000 + i * 1000 for i in range(10)]


def pcap(order: str = "<", tick_ns: int = 1000, link: int = ETHERNET) -> bytes:
    magic = 0xA1B2C3D4 if tick_ns == 1000 else 0xA1B23C4D
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    for time, packet in zip(TIMES, PACKETS, strict=True):
        seconds, rest = divmod(time, 10**9)
        out += struct.pack(order + "IIII", seconds, rest // tick_ns, len(packet), len(packet) + 5) + packet
    return out


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", kind, 12 + len(body)) + body + struct.pack(order + "I", 12 + len(body))


def section(order: str) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str, link: int = ETHERNET, snap: int = 0, options: bytes = b"") -> bytes:
    return block(order, 1, struct.pack(order + "HHI", link, 0, snap) + options)


def enhanced(order: str, packet: bytes, ticks: int, number: int = 0) -> bytes:
    return block(
        order,
        6,
        struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(packet), len(packet)) + packet + bytes(-len(packet) % 4),
    )


def taken(path: Path, batch_packets: int = 65536) -> tuple[list[tuple[int, int, bytes]], list[int], list[str]]:
    capture = CaptureFile(path, batch_packets)
    packets: list[tuple[int, int, bytes]] = []
    frames: list[int] = []
    for batch in capture:
        packets += packets_of(batch, range(len(batch)))
        frames += batch.frame.tolist()
    return packets, frames, capture.defects


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "capture"


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("tick_ns", [1, 1000])
def test_pcap(file: Path, order: str, tick_ns: int) -> None:
    file.write_bytes(pcap(order, tick_ns))
    packets, frames, defects = taken(file)
    assert packets == [(time, len(packet) + 5, packet) for time, packet in zip(TIMES, PACKETS, strict=True)]
    assert frames == list(range(1, 11))
    assert not defects
    assert taken(file, batch_packets=3) == (packets, frames, defects)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("resolution", "ticks_of"),
    [
        (b"", lambda ns: ns // 1000),
        (b"\x09", lambda ns: ns),
        (b"\x03", lambda ns: ns // 10**6),
        (b"\x0c", lambda ns: ns * 1000 % 2**64),
        (b"\x94", lambda ns: ns * 2**20 // 10**9),
    ],
)
def test_pcapng_resolutions(file: Path, order: str, resolution: bytes, ticks_of: object) -> None:
    assert callable(ticks_of)
    options = struct.pack(order + "HH", 9, 1) + resolution + bytes(3) + bytes(4) if resolution else b""
    out = section(order) + interface(order, options=options)
    out += b"".join(enhanced(order, packet, ticks_of(time)) for time, packet in zip(TIMES, PACKETS, strict=True))
    file.write_bytes(out)
    packets, _, defects = taken(file)
    assert not defects
    assert [packet for _, _, packet in packets] == PACKETS
    step = {b"": 1000, b"\x03": 10**6, b"\x94": 1000}.get(resolution, 1)
    if resolution != b"\x0c":  # picoseconds wrap in 64 bits, as in any reader
        assert all(0 <= want - got < step for want, (got, _, _) in zip(TIMES, packets, strict=True))


def test_pcapng_sections_interfaces_offset_and_other_blocks(file: Path) -> None:
    offset = struct.pack("<HHq", 14, 8, 1000) + bytes(4)
    out = section("<") + interface("<") + block("<", 5, bytes(8)) + enhanced("<", PACKETS[1], 5)
    out += interface("<", link=LINUX_SLL, options=offset) + enhanced("<", PACKETS[2], 7, 1)
    out += section(">") + interface(">", snap=8) + block(">", 3, struct.pack(">I", 20) + PACKETS[3][:8])
    out += block(">", 2, struct.pack(">HHIIII", 0, 0, 0, 9, 4, 4) + b"abcd")
    file.write_bytes(out)
    capture = CaptureFile(file)
    rows = [(int(b.link[i]), int(b.iface[i]), int(b.time[i]), int(b.cap[i]), int(b.wire[i])) for b in capture for i in range(len(b))]
    assert rows == [
        (ETHERNET, 0, 5000, 21, 21),
        (LINUX_SLL, 1, 1000 * 10**9 + 7000, 22, 22),
        (ETHERNET, 0, 0, 8, 20),
        (ETHERNET, 0, 9000, 4, 4),
    ]
    assert not capture.defects


def zstd(octets: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as packed:
        packed.write(octets)
    return bytes(out.getvalue().to_pybytes())


def test_zstandard_in_one_frame_or_several(tmp_path: Path) -> None:
    whole, path = pcap(), tmp_path / "c.pcap.zst"
    (tmp_path / "plain.pcap").write_bytes(whole)
    for octets in (zstd(whole), zstd(whole[:100]) + zstd(whole[100:])):
        path.write_bytes(octets)
        assert taken(path) == taken(tmp_path / "plain.pcap")


def test_spoilt_zstandard_gives_what_comes_before_and_says_where(tmp_path: Path) -> None:
    path, chance = tmp_path / "c.pcap.zst", random.Random(1)
    sent = [(START + at, 1000, chance.randbytes(1000)) for at in range(1000)]
    path.write_bytes(zstd(to_pcap(sent, ETHERNET))[:-500])
    packets, _, defects = taken(path)
    assert 900 < len(packets) < 1000
    assert packets == sent[: len(packets)]
    assert "the compressed file is spoilt" in defects[0]
    path.write_bytes(b"\x28\xb5\x2f\xfdnothing")
    with pytest.raises(InputError, match="spoilt"):
        taken(path)


@pytest.mark.parametrize("batch_packets", [1, 65536])
def test_a_simple_packet_has_the_time_of_the_one_before_it_however_it_is_read(file: Path, batch_packets: int) -> None:
    simple = block("<", 3, struct.pack("<I", 20) + PACKETS[0])
    before_1970 = struct.pack("<HHq", 14, 8, -(10**6)) + bytes(4)
    out = section("<") + interface("<") + simple + enhanced("<", PACKETS[1], 7) + simple + block("<", 5, bytes(8)) + simple
    file.write_bytes(out + interface("<", options=before_1970) + enhanced("<", PACKETS[2], 5, 1))
    packets, _, defects = taken(file, batch_packets)
    assert [time for time, _, _ in packets] == [0, 7000, 7000, 7000, 0]  # no time before 1970: such a clock was never set
    assert not defects


def test_compressed(tmp_path: Path) -> None:
    expected = [(time, len(packet) + 5, packet) for time, packet in zip(TIMES, PACKETS, strict=True)]
    (tmp_path / "c.pcap.gz").write_bytes(gzip.compress(pcap()))
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.pcap", pcap())
    for name in ("c.pcap.gz", "c.zip"):
        assert taken(tmp_path / name)[0] == expected
    whole = gzip.compress(pcap())
    (tmp_path / "cut.gz").write_bytes(whole[:-12])
    packets, _, defects = taken(tmp_path / "cut.gz")
    assert packets == expected[: len(packets)]
    assert "spoilt" in defects[0]
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a", pcap())
        archive.writestr("b", pcap())
    with pytest.raises(InputError, match="holds 2 files, expected one capture"):
        taken(tmp_path / "two.zip")


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        (b"", "offset 0: the file is empty"),
        (b"hello, this is no capture", "offset 0: 68656c6c is no capture"),
        (pcap()[:10], "offset 10: expected a pcap header of 24 octets"),
        (pcap(link=147), "offset 20: link type 147 is not supported"),
        (b"\x0a\x0d\x0d\x0a" + bytes(24), "offset 8: 00000000 where a byte-order magic"),
    ],
)
def test_what_is_no_capture_is_refused_with_place_and_reason(file: Path, octets: bytes, says: str) -> None:
    file.write_bytes(octets)
    with pytest.raises(InputError, match=says) as refusal:
        list(CaptureFile(file))
    assert str(file) in str(refusal.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        list(replay(tmp_path / "nothing.pcap"))


@pytest.mark.parametrize("kept", range(25, 60, 7))
def test_a_cut_file_gives_what_is_whole_and_says_where_it_ends(file: Path, kept: int) -> None:
    file.write_bytes(pcap()[:-kept])
    packets, _, defects = taken(file)
    assert packets == [(time, len(packet) + 5, packet) for time, packet in zip(TIMES, PACKETS, strict=True)][: len(packets)]
    assert len(packets) in (8, 9)
    assert len(defects) == 1
    assert "the file ends within a packet record" in defects[0]


def test_a_length_that_cannot_be_true_ends_the_reading(file: Path) -> None:
    spoilt = bytearray(pcap())
    spoilt[24 + 16 + 20 + 8 : 24 + 16 + 20 + 12] = b"\xff\xff\xff\x7f"
    file.write_bytes(spoilt)
    packets, _, defects = taken(file)
    assert len(packets) == 1
    assert "offset 60: expected a packet record" in defects[0]


def mutations() -> Iterator[bytes]:
    yield pcap()
    yield section("<") + interface("<") + b"".join(enhanced("<", packet, 5) for packet in PACKETS)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), which=st.integers(0, 1))
def test_any_octets_give_packets_or_a_refusal(tmp_path: Path, seed: int, which: int) -> None:
    chance = random.Random(seed)
    octets = bytearray(list(mutations())[which])
    for _ in range(chance.randint(1, 12)):
        octets[chance.randrange(len(octets))] = chance.randrange(256)
    del octets[chance.randint(len(octets) // 2, len(octets)) :]
    path = tmp_path / "any"
    path.write_bytes(octets)
    try:
        packets, _, _ = taken(path)
    except InputError as refusal:
        assert "offset" in str(refusal)  # noqa: PT017  both outcomes are right
    else:
        assert sum(len(packet) for _, _, packet in packets) <= len(octets)


def test_records_across_reads(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_bytes(pcap())
    expected = taken(file)
    monkeypatch.setattr(files, "READ_OCTETS", 7)
    assert taken(file) == expected


def test_an_excerpt_has_just_these_frames(tmp_path: Path) -> None:
    source = tmp_path / "source.pcap"
    source.write_bytes(pcap(link=LINUX_SLL))
    (tmp_path / "cut.pcap").write_bytes(excerpt(source, [7, 2, 2, 99]))
    capture = CaptureFile(tmp_path / "cut.pcap")
    assert [packet for b in capture for packet in packets_of(b, range(len(b)))] == [
        (TIMES[i], len(PACKETS[i]) + 5, PACKETS[i]) for i in (1, 6)
    ]
    assert capture.link == LINUX_SLL
    assert excerpt(source, []) == to_pcap([], ETHERNET)


def test_replay_ends_with_a_closed_source(tmp_path: Path) -> None:
    talk = Talk()
    talk.ask(read(1))
    talk.answer(registers(1))
    path = tmp_path / "talk.pcap"
    path.write_bytes(to_pcap([(START + i, len(p), p) for i, p in enumerate(talk.packets)], ETHERNET)[:-3])
    defects: list[str] = []
    heard = list(replay(path, defects=defects))
    assert {h.source for h in heard} == {"talk.pcap"}
    assert len(Messages.concat([h.messages for h in heard])) == 1
    assert len(heard[-1].flows) == 2
    assert len(defects) == 1
