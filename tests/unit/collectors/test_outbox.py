import asyncio
from pathlib import Path

import pytest

from collectors.outbox import Outbox
from sentinel.errors import TransientError
from sentinel.model.exchange import Polled
from sentinel.model.framing import MAX_PAYLOAD_OCTETS, Frame, FrameKind, FrameReader
from sentinel.model.observation import Readings
from sentinel.model.time import Instant

WAIT_S = 10.0


async def heard_by_a_listener(path: Path, outbox: Outbox, count: int) -> list[Frame]:
    """What the outbox sends to a brain that acknowledges nothing: the first ``count`` frames after HELLO."""
    frames: asyncio.Queue[Frame] = asyncio.Queue()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = FrameReader()
        while octets := await reader.read(65536):
            for frame in parser.feed(octets):
                frames.put_nowait(frame)
        writer.close()

    server = await asyncio.start_unix_server(serve, str(path))
    task = asyncio.create_task(outbox.run())
    try:
        got = [await asyncio.wait_for(frames.get(), WAIT_S) for _ in range(count + 1)]
    finally:
        task.cancel()
        await asyncio.wait({task})
        server.close()
        await server.wait_closed()
    assert got[0].kind is FrameKind.HELLO
    return got[1:]


async def test_a_full_outbox_drops_the_oldest_bulk_and_keeps_every_command(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "s", "gate", limit_octets=1000)
    for number in range(8):
        await outbox.send(FrameKind.READINGS, bytes([number]) * 100)
    await outbox.send(FrameKind.COMMAND, b"c" * 200)
    await outbox.send(FrameKind.OUTCOME, b"o" * 200)
    assert outbox.counters.accepted == 10
    frames = await heard_by_a_listener(tmp_path / "s", outbox, 10 - outbox.counters.dropped)
    assert [frame.kind for frame in frames[:2]] == [FrameKind.COMMAND, FrameKind.OUTCOME], "what is urgent goes first"
    kept = [frame.payload[0] for frame in frames[2:]]
    assert kept == list(range(8))[-len(kept) :]
    assert outbox.counters.dropped == 8 - len(kept) > 0


async def test_urgent_frames_alone_can_fill_it_and_then_the_sender_is_told(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "s", "gate", limit_octets=1000)
    for _ in range(3):
        await outbox.send(FrameKind.COMMAND, b"c" * 200)
    with pytest.raises(TransientError, match="full"):
        await outbox.send(FrameKind.COMMAND, b"c" * 200)
    with pytest.raises(TransientError, match="full"):
        await outbox.send(FrameKind.READINGS, b"r" * 200)
    assert (outbox.counters.accepted, outbox.counters.refused, outbox.counters.dropped) == (3, 2, 0)


async def test_what_no_frame_can_carry_is_the_callers_mistake(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "s", "gate")
    with pytest.raises(ValueError, match="smaller batches"):
        await outbox.send(FrameKind.READINGS, bytes(MAX_PAYLOAD_OCTETS + 1))
    with pytest.raises(ValueError, match="acknowledges"):
        await outbox.send(FrameKind.EXCERPT, b"")


async def test_it_connects_when_the_brain_comes_and_sends_unacknowledged_frames_to_every_new_one(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "s", "gate")
    await outbox.readings(Polled(source="poll", until=Instant(1), readings=Readings.empty()))
    await outbox.send(FrameKind.COMMAND, b"1")
    first = await heard_by_a_listener(tmp_path / "s", outbox, 2)
    (tmp_path / "s").unlink()
    await outbox.send(FrameKind.COMMAND, b"2")
    second = await heard_by_a_listener(tmp_path / "s", outbox, 3)
    assert [(frame.kind, frame.sequence) for frame in first] == [(FrameKind.COMMAND, 2), (FrameKind.READINGS, 1)]
    assert [(frame.kind, frame.sequence) for frame in second] == [(FrameKind.COMMAND, 2), (FrameKind.COMMAND, 3), (FrameKind.READINGS, 1)]
    assert not outbox.connected.is_set()


async def test_entries_longer_than_a_socket_takes_arrive_whole_and_in_order(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "s", "capture")
    sizes = (3_000_000, 10, 0, 500_000)
    payloads = [bytes([number]) * size for number, size in enumerate(sizes)]
    outbox.put(tuple((FrameKind.READINGS, payload) for payload in payloads))
    outbox.put(((FrameKind.READINGS, b"short"),))
    frames = await heard_by_a_listener(tmp_path / "s", outbox, 5)
    assert [frame.payload for frame in frames] == [*payloads, b"short"]
    assert [frame.sequence for frame in frames] == [1, 2, 3, 4, 5]
