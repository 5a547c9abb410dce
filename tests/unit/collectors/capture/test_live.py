"""The live road: the same rows as a replay of the same frames, drops counted, evidence cut from what is kept."""

import asyncio
import ctypes
import dataclasses
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from subprocess import run as run_command

import pytest

from collectors.capture import live
from collectors.capture.files import CaptureFile
from collectors.capture.live import CaptureConfig, Ear, merged
from collectors.capture.packets import PacketBatch
from collectors.capture.pcapng import to_pcapng
from collectors.capture.recent import RecentFrames
from collectors.capture.replay import packets_of
from collectors.capture.ring import Ring
from collectors.capture.warm import warm
from sentinel.clock import SystemClock
from sentinel.errors import ConfigError, PermanentError
from sentinel.intake import Intake
from sentinel.model.codec import from_json
from sentinel.model.exchange import ExcerptOrder
from sentinel.model.ids import FindingId
from sentinel.model.observation import Flows, Heard, Messages
from tests.unit.collectors.capture.frames import Talk, batch_of, hear, read, registers, rows_of, write

_CLONE_NEWNET = 0x40000000
ALWAYS = 2**63 - 1
_TIMES = {"time", "last", "latency", "frame"}


@pytest.fixture
def pair() -> Iterator[tuple[str, str]]:
    """A veth pair in a network namespace of this thread's own; both ends up, nothing else there, IPv6 off so that nobody else speaks."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(_CLONE_NEWNET) != 0:
            pytest.skip("network namespaces need root")
        commands = ["ip link add ear type veth peer name mouth", "ip link set ear up", "ip link set mouth up"]
        for command in ("sysctl -qw net.ipv6.conf.default.disable_ipv6=1", *commands):
            done = run_command(command.split(), capture_output=True, text=True, check=False, timeout=10)
            if done.returncode:
                pytest.skip(f"{command}: {done.stderr.strip()}")
        yield "ear", "mouth"
    finally:
        libc.setns(home, _CLONE_NEWNET)
        os.close(home)


def conversation() -> list[bytes]:
    talk = Talk()
    for i in range(50):
        talk.ask(read(i) if i % 3 else write(i, 5, i))
        talk.answer(registers(i))
        talk.raw(0, write(i, 9, 9), shift=-12, macs=("02:00:00:00:00:66", "02:00:00:00:00:02"))
    talk.finish()
    return talk.packets


def say(interface: str, packets: list[bytes]) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as mouth:
        mouth.bind((interface, 0))
        for packet in packets:
            mouth.send(packet)


def hear_until(ear: Ear, frames: int) -> list[Heard]:
    heard: list[Heard] = []
    for _ in range(200):  # each waits for at most 50 ms
        heard += ear.hear()
        if ear.frames >= frames:
            return heard
    raise AssertionError(f"{ear.frames} of {frames} frames were heard")


def without_times(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{key: value for key, value in row.items() if key not in _TIMES} for row in rows]


@pytest.mark.netns
def test_live_gives_what_replay_gives(pair: tuple[str, str], tmp_path: Path) -> None:
    packets = conversation()
    warm()
    ear = Ear(CaptureConfig(intake="", interfaces=(pair[0],), retire_ms=5, recent=str(tmp_path / "recent")), SystemClock())
    say(pair[1], packets)
    heard = [*hear_until(ear, len(packets)), ear.finish()]
    assert ear.recent is not None
    kept = kept_frames(ear.recent, len(packets))
    ear.close()
    messages, flows = Messages.concat([h.messages for h in heard]), Flows.concat([h.flows for h in heard])
    replayed, _, _ = hear(batch_of(packets))
    assert without_times(rows_of(messages)) == without_times(rows_of(replayed))
    assert [octets for _, _, octets in packets_of(kept, range(len(kept)))] == packets
    again, flows_again, _ = hear(kept)  # the same frames with the kernel's own times: every column agrees
    assert rows_of(again) == rows_of(messages)
    assert rows_of(flows_again) == rows_of(flows)
    assert ear.sensor.counts["dropped"] == 0


def kept_frames(recent: RecentFrames, frames: int) -> PacketBatch:
    path = Path(f"/proc/self/fd/{os.memfd_create('excerpt')}")
    path.write_bytes(to_pcapng(recent.excerpt(range(1, frames + 1), 0, ALWAYS), ""))
    return next(iter(CaptureFile(path)))


@pytest.mark.netns
def test_several_interfaces_are_one_source(pair: tuple[str, str]) -> None:
    warm()
    ear = Ear(CaptureConfig(intake="", interfaces=pair, retire_ms=5), SystemClock())
    packets = conversation()
    say(pair[1], packets)
    heard = [*hear_until(ear, 2 * len(packets)), ear.finish()]  # each is heard leaving and arriving
    ear.close()
    messages = Messages.concat([h.messages for h in heard])
    assert len(messages) >= 150
    assert ear.frames == 2 * len(packets)


@pytest.mark.netns
def test_workers_share_the_packets_and_each_conversation_is_in_one(pair: tuple[str, str]) -> None:
    warm()
    talks = [Talk(cport=40_000 + i) for i in range(32)]
    for i, talk in enumerate(talks):
        talk.ask(read(i))
        talk.answer(registers(i))
    ears = [Ear(CaptureConfig(intake="", interfaces=(pair[0],), fanout_group=7, retire_ms=5), SystemClock()) for _ in range(2)]
    say(pair[1], [packet for step in zip(*(talk.packets for talk in talks), strict=True) for packet in step])
    heard: list[list[Heard]] = [[], []]
    for _ in range(200):  # each waits for at most 50 ms
        for ear, said in zip(ears, heard, strict=True):
            said.extend(ear.hear())
        if sum(ear.frames for ear in ears) >= 32 * 5:
            break
    assert all(ear.frames for ear in ears)
    assert sum(ear.frames for ear in ears) == 160
    for ear, said in zip(ears, heard, strict=True):
        said.append(ear.finish())
        ear.close()
        messages = Messages.concat([h.messages for h in said])
        assert len(messages) * 5 == ear.frames * 2  # whole conversations: five packets, of them a request and its answer
        assert int((messages.latency >= 0).sum()) * 2 == len(messages) > 0


@pytest.mark.netns
def test_drops_are_counted(pair: tuple[str, str]) -> None:
    warm()
    ear = Ear(CaptureConfig(intake="", interfaces=(pair[0],), block_octets=1 << 16, blocks=2), SystemClock())
    say(pair[1], [bytes(1400)] * 400)
    ear.hear()
    ear.close()
    assert ear.sensor.counts["dropped"] > 0
    assert ear.sensor.counts["dropped"] + ear.frames == 400


@pytest.mark.netns
def test_what_cannot_be_heard_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match="'nowhere' cannot be heard: no interface with this name"):
        Ear(CaptureConfig(intake="", interfaces=(pair[0], "nowhere")), SystemClock())
    with pytest.raises(ConfigError, match="cannot be heard"):
        Ring(pair[0], 0, 4096 * 3 + 1, 2, 10)


@pytest.mark.netns
async def test_the_process_tells_the_brain_and_cuts_evidence(pair: tuple[str, str], tmp_path: Path) -> None:
    packets = conversation()
    expected, _, _ = hear(batch_of(packets))
    received: list[Heard] = []
    complete, stop, hearing = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def take(item: object) -> None:
        if isinstance(item, Heard):
            received.append(item)
            if sum(len(h.messages) for h in received) >= len(expected):
                complete.set()

    path = tmp_path / "run" / "intake.sock"
    config = CaptureConfig(name="ear", intake=str(path), interfaces=(pair[0],), retire_ms=5, recent=str(tmp_path / "recent"))
    async with Intake(path, take) as intake:
        capture = asyncio.create_task(live.run(config, stop, hearing=hearing))
        await asyncio.wait_for(hearing.wait(), 60)
        say(pair[1], packets)
        await asyncio.wait_for(complete.wait(), 10)
        await asyncio.wait_for(intake.wait_present("ear"), 10)
        octets = await intake.excerpt("ear", ExcerptOrder(finding=FindingId("f"), frames=(5, 4, 9999)))
        (tmp_path / "cut.pcapng").write_bytes(octets)
        with pytest.raises(PermanentError, match="no longer kept"):
            await intake.excerpt("ear", ExcerptOrder(finding=FindingId("f"), frames=(9999,)))
        later = ExcerptOrder(finding=FindingId("f"), frames=(0, 5))
        assert b": 1 of 2 frames and 4 before them, heard by ear" in await intake.excerpt("ear", later)
        with pytest.raises(PermanentError, match="no longer kept"):
            await intake.excerpt("ear", dataclasses.replace(later, anew=True))
        stop.set()
        await asyncio.wait_for(capture, 10)
    cut = next(iter(CaptureFile(tmp_path / "cut.pcapng")))
    assert [octets for _, _, octets in packets_of(cut, range(len(cut)))] == packets[:5], "with the handshake before them"
    messages = Messages.concat([h.messages for h in received])
    assert without_times(rows_of(messages)) == without_times(rows_of(expected))
    assert sum(int(h.flows.packets.sum()) for h in received) == len(packets)


def test_merged_batches_are_in_order_of_time() -> None:
    a, b = batch_of([b"a", b"aa"], step=20), batch_of([b"b", b"bb"], step=5)
    one = merged([a, b], 7)
    assert [octets for _, _, octets in packets_of(one, range(4))] == [b"a", b"b", b"bb", b"aa"]
    assert one.frame.tolist() == [7, 8, 9, 10]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ('{"intake": "x", "interfaces": []}', "interfaces: at least one"),
        ('{"intake": "x", "interfaces": ["a", "a"]}', "interfaces: an interface is named twice"),
        ('{"intake": "x", "interfaces": ["a"], "blocks": 1}', "blocks: 1 is not between 2 and 1024"),
        ('{"intake": "x", "interfaces": ["a"], "block_octets": 70000}', "block_octets: 70000 is no multiple of 4096"),
    ],
)
def test_a_wrong_configuration_is_refused(config: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        from_json(CaptureConfig, config)
