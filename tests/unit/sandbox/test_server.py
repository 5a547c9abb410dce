"""A court in session, talked to over its socket: garbage, strangers, and who comes first."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.client import CourtClient
from sandbox.protocol import MAX_REQUEST_OCTETS, Request, completes, problem_of, verdict_of
from sandbox.replay import Replay
from sentinel.clock import SystemClock
from sentinel.model.codec import from_json, to_json
from sentinel.model.command import Origin
from sentinel.model.framing import Frame, FrameKind, FrameReader
from sentinel.model.ids import Digest
from sentinel.model.verdict import Intent, Judgement
from sentinel.twin.snapshot import Snapshot
from tests.unit.sandbox.conftest import NOW, START_S, CourtProcess, command

Connect = Callable[[Path], Awaitable[CourtClient]]


class Link:
    """A bare connection that can say anything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._frames = FrameReader()
        self._waiting: list[Frame] = []
        self.begun: list[int] = []  # sequences

    async def say(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def hear(self) -> Frame | None:
        """The next answer; None when the court has closed the connection."""
        async with asyncio.timeout(START_S):
            while not self._waiting:
                octets = await self.reader.read(65536)
                if not octets:
                    return None
                said = self._frames.feed(octets)
                self.begun += [frame.sequence for frame in said if frame.kind is FrameKind.BEGUN]
                self._waiting += [frame for frame in said if frame.kind not in (FrameKind.HELLO, FrameKind.BEGUN)]
        return self._waiting.pop(0)


@asynccontextmanager
async def linked(court: CourtProcess, connect: Connect) -> AsyncIterator[Link]:
    await connect(court.socket)  # waits until the court is there
    link = Link(*await asyncio.open_unix_connection(court.socket))
    yield link
    link.writer.close()


def judging(snapshot: Snapshot, sequence: int, *, urgent: bool = False, writes: dict[str, float] | None = None) -> Frame:
    asked = command(writes or {"LIC101.SP": 1.25}, origin=Origin.GATE, name=f"c-{sequence}")
    return Frame(
        FrameKind.JUDGE, sequence, to_json(Request(command=asked, snapshot=snapshot.fingerprint(), urgent=urgent, patience_s=30.0))
    )


def sending(snapshot: Snapshot, sequence: int = 0) -> bytes:
    return Frame(FrameKind.SNAPSHOT, sequence, snapshot.to_octets()).encode()


async def failed(link: Link, sequence: int) -> str:
    frame = await link.hear()
    assert frame is not None
    assert (frame.kind, frame.sequence) == (FrameKind.FAILURE, sequence)
    return problem_of(frame)


async def test_the_verdict_carries_the_question_s_sequence(
    court: CourtProcess, connect: Connect, snapshot: Snapshot, replay: Replay
) -> None:
    async with linked(court, connect) as link:
        await link.say(sending(snapshot) + judging(snapshot, 41, writes={"LIC101.SP": 1.9}).encode())
        frame = await link.hear()
        assert frame is not None
        assert frame.sequence == 41
        request = Request(command=command({"LIC101.SP": 1.9}, name="c-41"), snapshot=snapshot.fingerprint())
        verdict = verdict_of(frame, request, replay.model.digest)
        assert verdict.judgement is Judgement.UNSAFE
        assert verdict.took_ms > 0.0


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        (b"GET / HTTP/1.1\r\nHost: court\r\n\r\n", "not a frame header"),
        (b"SN\x01\xee" + bytes(12), "unknown frame kind"),
        (b"SN\x01\x32" + bytes(8) + (MAX_REQUEST_OCTETS + 1).to_bytes(4, "big"), "at most"),
    ],
)
async def test_who_does_not_speak_the_protocol_is_told_so_and_closed(
    court: CourtProcess, connect: Connect, octets: bytes, says: str
) -> None:
    async with linked(court, connect) as link:
        await link.say(octets)
        assert says in await failed(link, 0)
        assert await link.hear() is None
    assert court.process.poll() is None


@pytest.mark.parametrize("kind", [FrameKind.SNAPSHOT, FrameKind.JUDGE])
@pytest.mark.parametrize("payload", [b"", b"{}", b"[" * 5000, b"TWINSNP1\xff\xff\xff\xff", b'{"command": 3}', bytes(range(256))])
async def test_a_payload_that_is_none_gets_a_failure_and_the_connection_goes_on(
    court: CourtProcess, connect: Connect, snapshot: Snapshot, kind: FrameKind, payload: bytes
) -> None:
    async with linked(court, connect) as link:
        await link.say(Frame(kind, 5, payload).encode())
        assert await failed(link, 5)
        await link.say(sending(snapshot) + judging(snapshot, 6).encode())
        frame = await link.hear()
        assert frame is not None
        assert (frame.kind, frame.sequence) == (FrameKind.VERDICT, 6)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(soup=st.binary(min_size=1, max_size=2000))
def test_no_soup_ends_the_court(court: CourtProcess, soup: bytes) -> None:
    async def pour() -> None:
        async with asyncio.timeout(START_S):
            client = CourtClient(court.socket, SystemClock())
            running = asyncio.create_task(client.run())
            await client.connected.wait()
            running.cancel()
            _, writer = await asyncio.open_unix_connection(court.socket)
            writer.write(soup)
            writer.close()

    asyncio.run(pour())
    assert court.process.poll() is None


async def test_frames_of_other_rooms_are_not_taken(court: CourtProcess, connect: Connect) -> None:
    async with linked(court, connect) as link:
        await link.say(Frame(FrameKind.QUARANTINE, 3, b"{}").encode())
        assert await failed(link, 3) == "the court does not take QUARANTINE frames"


async def test_a_snapshot_that_is_not_here_and_one_of_another_plant(court: CourtProcess, connect: Connect, snapshot: Snapshot) -> None:
    async with linked(court, connect) as link:
        elsewhere = replace(snapshot, states=snapshot.states * 1.001)
        await link.say(judging(elsewhere, 1).encode())
        assert "not here" in await failed(link, 1)
        await link.say(sending(replace(snapshot, digest=Digest("0" * 64)), 2))
        assert "a snapshot of model 0000" in await failed(link, 2)
        await link.say(sending(replace(snapshot, inputs=snapshot.inputs[:-1]), 3))
        assert "a snapshot of shape" in await failed(link, 3)


async def test_a_held_command_comes_first(court: CourtProcess, connect: Connect, snapshot: Snapshot) -> None:
    async with linked(court, connect) as link:
        await link.say(sending(snapshot) + judging(snapshot, 1).encode())
        await link.hear()
        patient = b"".join(judging(snapshot, sequence).encode() for sequence in range(2, 22))
        await link.say(patient + judging(snapshot, 99, urgent=True).encode())
        order = [frame.sequence for frame in [await link.hear() for _ in range(21)] if frame]
        assert order == [99, *range(2, 22)]
        assert link.begun == [1, *order], "each is announced before it is heard"


async def test_a_held_command_hears_its_judgement_first_and_the_next_one_does_not_wait_for_the_rest(
    court: CourtProcess, connect: Connect, snapshot: Snapshot
) -> None:
    async with linked(court, connect) as link:
        held = [judging(snapshot, sequence, urgent=True, writes={"LIC101.SP": 1.9}) for sequence in (1, 2)]
        await link.say(sending(snapshot) + b"".join(frame.encode() for frame in held))
        heard = []
        for _ in range(4):
            frame = await link.hear()
            assert frame is not None
            request = from_json(Request, held[frame.sequence - 1].payload)
            heard.append((frame.sequence, verdict_of(frame, request, snapshot.digest)))
    assert [(sequence, verdict.complete) for sequence, verdict in heard] == [(1, False), (2, False), (1, True), (2, True)]
    (_, first), _, (_, whole), _ = heard
    assert completes(first, whole)
    assert (first.judgement, first.intent, first.nearest_safe) == (Judgement.UNSAFE, Intent.UNKNOWN, ())
    assert whole.nearest_safe
    assert any("writing the previous values back" in line for line in whole.evidence)
    assert whole.took_ms > first.took_ms


async def test_a_full_queue_refuses_at_once(court: CourtProcess, connect: Connect, snapshot: Snapshot) -> None:
    async with linked(court, connect) as link:
        await link.say(sending(snapshot))
        await link.say(b"".join(judging(snapshot, sequence).encode() for sequence in range(1, 601)))
        frames = [await link.hear() for _ in range(600)]
        refused = [frame for frame in frames if frame and frame.kind is FrameKind.FAILURE]
        assert refused
        assert all("wait already" in problem_of(frame) for frame in refused)
        assert len({frame.sequence for frame in frames if frame}) == 600


async def test_many_clients_are_served_and_too_many_are_told(court: CourtProcess, connect: Connect, snapshot: Snapshot) -> None:
    links = [Link(*await asyncio.open_unix_connection(court.socket)) for _ in range(20)]
    turned_away = 0
    for link in links:
        try:
            await link.say(sending(snapshot) + judging(snapshot, 1).encode())
            frame = await link.hear()
        except ConnectionError:
            frame = None
        turned_away += frame is None or frame.kind is FrameKind.FAILURE
    for link in links:
        link.writer.close()
    assert 4 <= turned_away < 20


async def test_the_same_question_gives_the_same_verdict(court: CourtProcess, connect: Connect, snapshot: Snapshot) -> None:
    first, second = await connect(court.socket), await connect(court.socket)
    first.keep(snapshot)
    second.keep(snapshot)
    verdicts = [await client.judge(command({"LIC101.SP": 1.9}, origin=Origin.API)) for client in (first, second)]
    plain = [replace(verdict, judged=NOW, took_ms=0.0) for verdict in verdicts]
    assert plain[0] == plain[1]
