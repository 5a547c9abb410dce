"""The ring of recent packets on disk: bounded, whole after a restart, and what is cut from it is read by the field's own tools."""

import dataclasses
import os
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collectors.capture import recent as module
from collectors.capture.files import CaptureFile
from collectors.capture.packets import ETHERNET, PacketBatch
from collectors.capture.pcapng import Packet, to_pcapng
from collectors.capture.recent import RecentFrames
from collectors.capture.replay import excerpt, packets_of
from sentinel.clock import ManualClock
from sentinel.errors import ConfigError
from tests.data import data_file
from tests.unit.collectors.capture.frames import MS, START, Talk, batch_of, read, registers

ALWAYS = 2**63 - 1
HOUR_S = 3600.0

Open = Callable[..., RecentFrames]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def opened(tmp_path: Path, clock: ManualClock) -> Iterator[Open]:
    """A ring in one and the same directory, as often as it is asked for."""
    rings: list[RecentFrames] = []

    def ring(limit_octets: int = 1 << 20, limit_s: float = HOUR_S, directory: Path = tmp_path / "recent") -> RecentFrames:
        rings.append(RecentFrames(directory, [("plant", ETHERNET)], clock, limit_octets=limit_octets, limit_s=limit_s))
        return rings[-1]

    yield ring
    for each in rings:
        each.close()


def numbered(batch: PacketBatch, first: int) -> PacketBatch:
    return dataclasses.replace(batch, frame=np.arange(first, first + len(batch), dtype=np.int64))


def kept(ring: RecentFrames, *frames: int, since: int = 0, until: int = ALWAYS) -> list[int]:
    return [packet.frame for packet in ring.excerpt(frames, since, until)]


def on_disk(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


def test_frames_come_back_as_they_were(opened: Open) -> None:
    packets = [bytes([size % 251]) * size for size in range(14, 200)]
    ring = opened()
    for first, end in pairwise((0, 1, 50, 186)):
        ring.keep(numbered(batch_of(packets[first:end], start=START + first * MS), first + 1))
    found = ring.excerpt(range(186, 0, -1), 0, ALWAYS)
    assert [packet.octets for packet in found] == packets
    assert [(packet.frame, packet.time, packet.wire) for packet in found] == [(i + 1, START + i * MS, 14 + i) for i in range(186)]
    assert {packet.interface for packet in found} == {("plant", ETHERNET)}
    assert kept(ring) == kept(ring, 0, 187) == []


def test_the_tag_that_the_kernel_took_off_stands_where_it_stood(opened: Open) -> None:
    ring, batch = opened(), batch_of([b"\x01" * 12 + b"\x08\x00rest", b"short"])
    batch.vlan[:] = 0x81000005
    ring.keep(batch)
    tagged, short = ring.excerpt([1, 2], 0, ALWAYS)
    assert (tagged.octets, tagged.wire) == (b"\x01" * 12 + b"\x81\x00\x00\x05\x08\x00rest", 22)
    assert short.octets == b"short"


def test_what_was_cut_at_the_snap_length_says_so(opened: Open) -> None:
    ring, batch = opened(), batch_of([b"x" * 60])
    batch.wire[:] = 1514
    ring.keep(batch)
    assert [(packet.wire, len(packet.octets)) for packet in ring.excerpt([1], 0, ALWAYS)] == [(1514, 60)]


def test_bounded_by_size(opened: Open, tmp_path: Path) -> None:
    ring = opened(limit_octets=1 << 18)
    for at in range(40):
        ring.keep(numbered(batch_of([bytes(1400)] * 10, start=START + at), 10 * at + 1))
        assert kept(ring, 10 * at + 1) == [10 * at + 1]
        assert on_disk(tmp_path / "recent") <= (1 << 18) + (1 << 15)
    assert kept(ring, 1) == []
    assert len(kept(ring, *range(1, 401))) > 150


def test_bounded_by_age_also_in_silence(opened: Open, clock: ManualClock, tmp_path: Path) -> None:
    ring = opened(limit_s=HOUR_S)
    ring.keep(batch_of([b"old"]))
    assert kept(ring, 1) == [1]
    clock.advance(HOUR_S / 2)
    ring.keep(numbered(batch_of([b"new"]), 2))
    assert kept(ring, 1, 2) == [1, 2]
    clock.advance(HOUR_S / 2 + 1)
    ring.keep(numbered(batch_of([b"newest"]), 3))
    assert kept(ring, 1, 2, 3) == [2, 3]
    clock.advance(2 * HOUR_S)
    assert kept(ring, 3) == []
    assert on_disk(tmp_path / "recent") == 0


def test_a_restart_goes_on_where_it_ended(opened: Open, tmp_path: Path) -> None:
    ring = opened()
    ring.keep(batch_of([b"one", b"two"]))
    ring.close()
    torn = next((tmp_path / "recent").iterdir())
    torn.write_bytes(torn.read_bytes()[:-5])  # a power cut within the second packet
    again = opened()
    assert again.last_frame == 1
    again.keep(numbered(batch_of([b"new two"]), 2))
    assert [packet.octets for packet in again.excerpt([1, 2], 0, ALWAYS)] == [b"one", b"new two"]


def test_a_number_alone_does_not_name_a_frame(opened: Open) -> None:
    ring = opened()
    ring.keep(batch_of([b"a", b"b", b"c"], start=START, step=MS))
    assert kept(ring, 1, 2, 3, since=START + 1, until=START + MS) == [2]


def test_a_disk_that_is_too_slow_costs_counted_frames(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAITING_OCTETS", 1000)
    ring = opened()
    ring.keep(batch_of([bytes(1400)]))
    assert (ring.skipped, kept(ring, 1)) == (1, [])
    ring.keep(numbered(batch_of([bytes(60)]), 2))
    assert (ring.skipped, kept(ring, 2)) == (1, [2])


def test_a_disk_that_refuses_costs_counted_frames(opened: Open, tmp_path: Path) -> None:
    ring = opened()
    (tmp_path / "recent").rmdir()
    ring.keep(batch_of([bytes(60)] * 3))
    assert kept(ring, 1) == []
    assert ring.skipped == 3
    (tmp_path / "recent").mkdir()
    ring.keep(numbered(batch_of([bytes(60)]), 4))
    assert kept(ring, 4) == [4]


def test_an_excerpt_is_bounded(opened: Open) -> None:
    ring = opened(limit_octets=1 << 26)
    for at in range(4):
        ring.keep(numbered(batch_of([bytes(60_000)] * 50), 50 * at + 1))
        kept(ring)  # so that nothing waits
    found = ring.excerpt(range(1, 201), 0, ALWAYS)
    assert sum(len(packet.octets) for packet in found) <= module.MAX_EXCERPT_OCTETS
    assert [packet.frame for packet in found] == list(range(1, 140))


def test_a_directory_that_cannot_be_used_is_refused(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="recent"):
        opened(directory=tmp_path / "file" / "recent")


def conversation() -> list[Packet]:
    talk = Talk()
    talk.ask(read(7))
    talk.answer(registers(7))
    return [
        Packet(frame=10 + i, time=START + i * MS + i, wire=len(octets), interface=("plant", ETHERNET), octets=octets)
        for i, octets in enumerate(talk.packets)
    ]


def told(*command: str) -> str:
    return subprocess.run(command, capture_output=True, check=True, text=True, timeout=60, env=os.environ | {"TZ": "UTC"}).stdout


def test_tshark_reads_comments_interface_and_times(tmp_path: Path) -> None:
    path, packets = tmp_path / "f.pcapng", conversation()
    packets[3] = dataclasses.replace(packets[3], note="12 octets of a password are masked")
    path.write_bytes(to_pcapng(packets, "finding f: 5 of 5 frames, heard by capture"))
    fields = ("frame.interface_name", "frame.time_epoch", "frame.comment", "frame.protocols")
    out = told("tshark", "-r", str(path), "-T", "fields", "-E", "separator=|", *(part for name in fields for part in ("-e", name)))
    rows = [line.split("|") for line in out.splitlines()]
    assert [row[0] for row in rows] == ["plant"] * 5
    assert [row[1] for row in rows] == [f"{p.time // 10**9}.{p.time % 10**9:09d}" for p in packets]
    assert [row[2] for row in rows] == [f"frame {10 + i}" + (": " + p.note if p.note else "") for i, p in enumerate(packets)]
    assert rows[3][3].endswith("mbtcp:modbus")
    assert "finding f: 5 of 5 frames, heard by capture" in told("capinfos", "-k", str(path))


def test_tcpdump_reads_the_ring_itself(opened: Open, tmp_path: Path) -> None:
    ring, packets = opened(), conversation()
    ring.keep(PacketBatch.of([packet.octets for packet in packets], [packet.time for packet in packets]))
    ring.close()
    (path,) = (tmp_path / "recent").iterdir()
    lines = told("tcpdump", "-nn", "-tt", "--nano", "-r", str(path)).splitlines()
    assert len(lines) == 5
    assert lines[0].startswith(f"{START // 10**9}.000000000 IP 10.0.0.1.40000 > 10.0.0.2.502: Flags [S]")


@pytest.mark.data
def test_what_is_kept_of_a_real_capture_is_what_it_holds(opened: Open, tmp_path: Path) -> None:
    path = data_file("network/modbus-parsers/icsnpp_modbus_example.pcap")
    ring = opened(limit_octets=1 << 24)
    for batch in CaptureFile(path):
        ring.keep(batch)
    (tmp_path / "cut.pcap").write_bytes(excerpt(path, [3, 70]))
    cut = next(iter(CaptureFile(tmp_path / "cut.pcap")))
    expected: list[Any] = packets_of(cut, range(len(cut)))
    assert [(packet.time, packet.wire, packet.octets) for packet in ring.excerpt([3, 70], 0, ALWAYS)] == expected
    assert len(expected) == 2
