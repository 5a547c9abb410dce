"""The client always answers, and believes nothing that it has not checked."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.client import HELD_AT_ONCE, MAX_COURTS, MAX_IN_FLIGHT, CourtClient, Familiarity
from sandbox.config import Thresholds
from sandbox.judge import judge
from sandbox.protocol import HELLO, Request, answer, begun, failure, request_of
from sandbox.replay import Replay
from sentinel.clock import SystemClock
from sentinel.model.command import Command, Origin
from sentinel.model.framing import Frame, FrameKind, FrameReader
from sentinel.model.ids import CommandId, VerdictId
from sentinel.model.time import after
from sentinel.model.verdict import Intent, Judgement, Verdict
from sentinel.ports import Outcome
from sentinel.twin.snapshot import Snapshot
from tests.unit.sandbox.conftest import NOW, START_S, CourtProcess, command, end, start_court

Connect = Callable[..., Awaitable[CourtClient]]  # as `conftest.connect`
Reply = Callable[[Request, int], bytes]
LAST = b"last words"  # an impostor that is about to say this hangs up instead


@asynccontextmanager
async def impostor(
    directory: Path,
    reply: Reply,
    asked: list[Request] | None = None,
    patience_s: float = 2.0,
    familiarity: Callable[[Command], Familiarity] = lambda _: Familiarity(),
) -> AsyncIterator[CourtClient]:
    """A client whose court is somebody else, who answers each question with whatever octets he likes."""

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameReader()
        writer.write(HELLO.encode())
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing() and (octets := await reader.read(65536)):
                for frame in frames.feed(octets):
                    if frame.kind is FrameKind.JUDGE and not writer.is_closing():
                        request = request_of(frame)
                        if asked is not None:
                            asked.append(request)
                        said, last, _ = reply(request, frame.sequence).partition(LAST)
                        writer.write(said)
                        if last:
                            writer.close()
        writer.close()

    path = directory / "impostor.sock"
    server = await asyncio.start_unix_server(hear, path)
    client = CourtClient(path, SystemClock(), familiarity, held_patience_s=patience_s, patience_s=2.0)
    running = asyncio.create_task(client.run())
    async with server, asyncio.timeout(30):
        await client.connected.wait()
        yield client
        await ended(running)


async def ended(running: "asyncio.Task[None]") -> None:
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def honest(snapshot: Snapshot, replay: Replay) -> Callable[[Request], Verdict]:
    return lambda request: judge(request.command, snapshot, replay, request.context, Thresholds(), 0, NOW)


async def test_a_true_verdict_comes_through(court: CourtProcess, connect: Connect, snapshot: Snapshot) -> None:
    client = await connect(court.socket)
    client.keep(snapshot)
    verdicts = await asyncio.gather(*(client.judge(command({"LIC101.SP": value}, name=f"c-{value}")) for value in (1.25, 1.9, 1.3)))
    assert [verdict.judgement for verdict in verdicts] == [Judgement.SAFE, Judgement.UNSAFE, Judgement.SAFE]
    assert [verdict.command for verdict in verdicts] == ["c-1.25", "c-1.9", "c-1.3"]


async def test_two_sources_and_two_protocols_make_one_sequence(court: CourtProcess, connect: Connect, snapshot: Snapshot) -> None:
    """A loop taken to manual over Modbus, its coolant shut off by somebody else over OPC UA: each is harmless without the other."""
    shut = replace(command({"TIC301.OP": 0.0}, source="10.0.0.66", seen=after(NOW, 5.0)), protocol="opcua", operation="Write")
    alone = await connect(court.socket)
    alone.keep(snapshot)
    assert (await alone.judge(shut)).judgement is Judgement.SAFE
    client = await connect(court.socket)
    client.keep(snapshot)
    manual = command({"TIC301.AUTO": 0.0}, source="10.0.0.20", seen=after(NOW, 1.0), name="c-0")
    assert (await client.judge(manual)).judgement is Judgement.SAFE
    client.settle(Outcome(command=manual.id, forwarded=True, ruled=True, held_ms=5.0, reason="", at=NOW))
    verdict = await client.judge(shut)
    assert verdict.judgement is Judgement.UNSAFE, verdict.reason
    assert verdict.invariant == "B301-overheat"


async def test_a_drift_over_two_protocols_is_one_drift(court: CourtProcess, connect: Connect, snapshot: Snapshot) -> None:
    for known, judgement in ((Familiarity(is_new=True), Judgement.UNSAFE), (Familiarity(), Judgement.UNDECIDED)):
        client = await connect(court.socket, known)
        client.keep(snapshot)
        for number, value in enumerate((1.25, 1.30, 1.35)):
            protocol = ("modbus", "opcua")[number % 2]
            step = command({"LIC101.SP": value}, origin=Origin.WIRE, seen=after(NOW, number - 10.0), name=f"c-{number}")
            client.remember(replace(step, protocol=protocol))
        verdict = await client.judge(replace(command({"LIC101.SP": 1.51}, seen=after(NOW, 1.0), name="c-3"), protocol="opcua"))
        assert verdict.judgement is judgement, verdict.reason
        assert "3 moves of LIC101.SP in one direction" in verdict.reason


async def test_without_snapshot_or_court_it_is_undecided(tmp_path: Path, snapshot: Snapshot) -> None:
    client = CourtClient(tmp_path / "none.sock", SystemClock(), held_patience_s=0.05)
    assert (await client.judge(command({"LIC101.SP": 1.9}))).reason == "the twin has not given a snapshot yet"
    client.keep(snapshot)
    verdict = await client.judge(command({"LIC101.SP": 1.9}))
    assert (verdict.judgement, verdict.reason) == (Judgement.UNDECIDED, "no court was in session within 50 ms")


async def test_a_silent_court_is_waited_for_no_longer_than_the_gate_can(tmp_path: Path, snapshot: Snapshot) -> None:
    async with impostor(tmp_path, lambda request, sequence: b"", patience_s=0.15) as client:
        client.keep(snapshot)
        verdict = await client.judge(command({"LIC101.SP": 1.9}, origin=Origin.GATE))
    assert verdict.judgement is Judgement.UNDECIDED
    assert verdict.reason == "the court did not answer within 150 ms"
    assert 100 < verdict.took_ms < 1500


async def test_a_source_that_floods_does_not_keep_another_ones_write_waiting(tmp_path: Path, snapshot: Snapshot) -> None:
    asked: list[Request] = []

    def slow(request: Request, sequence: int) -> bytes:
        return b""  # as long as the gate can wait

    async with impostor(tmp_path, slow, asked, patience_s=0.3) as client:
        client.keep(snapshot)
        flood = [command({"LIC101.SP": 1.9}, name=f"f-{at}", origin=Origin.GATE, source="192.0.2.66") for at in range(20)]
        judged = [asyncio.create_task(client.judge(one)) for one in flood]
        operator = asyncio.create_task(client.judge(command({"LIC101.SP": 1.2}, name="own", origin=Origin.GATE, source="192.0.2.20")))
        verdicts = await asyncio.gather(*judged, operator)
    first = [request.command.id for request in asked][: HELD_AT_ONCE + 1]
    assert first == [*(f"f-{at}" for at in range(HELD_AT_ONCE)), "own"], "the operator's write is asked about before any more of the flood"
    reasons = [verdict.reason for verdict in verdicts]
    late = "the court did not answer within 300 ms"
    assert reasons[0] == reasons[-1] == late
    turn = f"{HELD_AT_ONCE} writes of 192.0.2.66 are being judged, and its turn did not come within 300 ms"
    assert {turn} <= set(reasons[HELD_AT_ONCE:-1]) <= {turn, late}, "a turn that comes in the last moment comes too late"


@pytest.mark.parametrize(
    "lie",
    [
        {"command": CommandId("another")},
        {"snapshot": None},
        {"model": None},
        {"judgement": Judgement.SAFE, "probability": 7.0},
        {"reason": "all\nis\nwell"},
        {"took_ms": -1.0},
    ],
)
async def test_a_lie_is_found(tmp_path: Path, snapshot: Snapshot, honest: Callable[[Request], Verdict], lie: dict[str, object]) -> None:
    async with impostor(tmp_path, lambda request, sequence: answer(sequence, replace(honest(request), **lie)).encode()) as client:
        client.keep(snapshot)
        verdict = await client.judge(command({"LIC101.SP": 1.9}))
        assert verdict.judgement is Judgement.UNDECIDED
        assert verdict.reason.startswith("the court's answer is not one: ")
        assert client.nonsense == 1


@pytest.mark.parametrize(
    "octets",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        Frame(FrameKind.RULING, 1, b"{}").encode(),
        Frame(FrameKind.VERDICT, 2**40, b"{}").encode(),
        b"SN\x01\x34" + bytes(8) + (1 << 25).to_bytes(4, "big"),
    ],
)
async def test_who_does_not_speak_the_protocol_is_left(tmp_path: Path, snapshot: Snapshot, octets: bytes) -> None:
    async with impostor(tmp_path, lambda request, sequence: octets) as client:
        client.keep(snapshot)
        verdict = await client.judge(command({"LIC101.SP": 1.9}))
        assert verdict.judgement is Judgement.UNDECIDED
        assert "does not speak the protocol" in verdict.reason
        assert client.nonsense == 1
        await client.connected.wait()  # and it tries again


@pytest.mark.parametrize("payload", [b"", b"\xff", b"{}", b"null", b'{"id": 1}'])
async def test_a_verdict_that_is_none_leaves_the_connection_alone(tmp_path: Path, snapshot: Snapshot, payload: bytes) -> None:
    async with impostor(tmp_path, lambda request, sequence: Frame(FrameKind.VERDICT, sequence, payload).encode()) as client:
        client.keep(snapshot)
        assert "is not one" in (await client.judge(command({"LIC101.SP": 1.9}))).reason
        assert client.connected.is_set()


def twice(honest: Callable[[Request], Verdict], **changed: object) -> Reply:
    """The judgement, then the whole, with some of it changed."""

    def reply(request: Request, sequence: int) -> bytes:
        whole = honest(request)
        first = replace(whole, intent=Intent.UNKNOWN, evidence=(), nearest_safe=(), complete=False)
        return answer(sequence, first).encode() + answer(sequence, replace(whole, **changed)).encode()

    return reply


async def test_a_held_command_has_its_judgement_first_and_the_rest_for_whoever_waits(
    tmp_path: Path, snapshot: Snapshot, honest: Callable[[Request], Verdict]
) -> None:
    async with impostor(tmp_path, twice(honest)) as client:
        client.keep(snapshot)
        first = await client.judge(command({"LIC101.SP": 1.9}, origin=Origin.GATE))
        assert (first.judgement, first.complete, first.nearest_safe) == (Judgement.UNSAFE, False, ())
        whole = await client.completed(first)
        assert whole.complete
        assert whole.nearest_safe
        assert await client.completed(whole) is whole
        assert client.case(whole.id) is not None


@pytest.mark.parametrize("lie", [{"judgement": Judgement.SAFE}, {"reason": "all is well"}, {"probability": 7.0}, {"complete": False}])
async def test_a_second_verdict_that_takes_back_the_first_is_nonsense(
    tmp_path: Path, snapshot: Snapshot, honest: Callable[[Request], Verdict], lie: dict[str, object]
) -> None:
    async with impostor(tmp_path, twice(honest, **lie)) as client:
        client.keep(snapshot)
        first = await client.judge(command({"LIC101.SP": 1.9}, origin=Origin.GATE))
        assert await client.completed(first) == first
        assert client.nonsense == 1


async def test_a_judgement_whose_rest_never_comes_stands(tmp_path: Path, snapshot: Snapshot, honest: Callable[[Request], Verdict]) -> None:
    async with impostor(tmp_path, lambda request, sequence: answer(sequence, replace(honest(request), complete=False)).encode()) as client:
        client.keep(snapshot)
        first = await client.judge(command({"LIC101.SP": 1.9}, origin=Origin.GATE))
        assert await client.completed(first) == first
        gone = replace(first, id=VerdictId("unheard of"))
        assert await client.completed(gone) is gone


async def test_a_failure_is_passed_on(tmp_path: Path, snapshot: Snapshot) -> None:
    async with impostor(tmp_path, lambda request, sequence: failure(sequence, "no room").encode()) as client:
        client.keep(snapshot)
        assert (await client.judge(command({"LIC101.SP": 1.9}))).reason == "the court could not judge: no room"


async def test_too_many_questions_at_once(tmp_path: Path, snapshot: Snapshot) -> None:
    all_asked = asyncio.Event()

    def never(request: Request, sequence: int) -> bytes:
        if sequence > MAX_IN_FLIGHT:  # the snapshot has the first number
            all_asked.set()
        return b""

    async with impostor(tmp_path, never) as client:
        client.keep(snapshot)
        waiting = [asyncio.create_task(client.judge(command({"LIC101.SP": 1.9}, source=f"10.0.1.{at}"))) for at in range(MAX_IN_FLIGHT)]
        await all_asked.wait()
        verdict = await client.judge(command({"LIC101.SP": 1.9}))
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert verdict.reason == f"{MAX_IN_FLIGHT} commands wait for the court already"


async def test_a_court_that_dies_and_comes_back(tmp_path: Path, snapshot: Snapshot) -> None:
    court = start_court(tmp_path)
    client = CourtClient(court.socket, SystemClock(), held_patience_s=START_S)
    running = asyncio.create_task(client.run())
    client.keep(snapshot)
    assert (await client.judge(command({"LIC101.SP": 1.9}))).judgement is Judgement.UNSAFE, "asked before there was a court"
    end(court)
    meanwhile = asyncio.create_task(client.judge(command({"LIC101.SP": 1.9}, name="c-2")))
    again = start_court(tmp_path)
    assert (await meanwhile).judgement is Judgement.UNSAFE
    end(again)
    await ended(running)


async def test_a_connection_that_nobody_takes_is_none(tmp_path: Path, snapshot: Snapshot, honest: Callable[[Request], Verdict]) -> None:
    """A process that is being taken apart may still listen when its connections are closed: who connects then waits in its queue."""
    path, asked = tmp_path / "impostor.sock", list[Request]()
    client = CourtClient(path, SystemClock(), held_patience_s=START_S)
    client.keep(snapshot)
    running = asyncio.create_task(client.run())
    with socket.socket(socket.AF_UNIX) as dying:
        dying.bind(str(path))
        dying.listen(1)
        dying.setblocking(False)
        held = asyncio.create_task(client.judge(command({"LIC101.SP": 1.9})))
        taken, _ = await asyncio.get_running_loop().sock_accept(dying)  # the client is there, and is told nothing
        assert not client.connected.is_set()
        taken.close()
    path.unlink()
    async with impostor(tmp_path, lambda request, sequence: answer(sequence, honest(request)).encode(), asked):
        assert (await held).judgement is Judgement.UNSAFE
        await ended(running)
    assert [request.command.id for request in asked] == ["c-1"]


async def test_a_court_that_cannot_be_written_to_is_gone_at_once_and_the_next_one_is_asked(
    tmp_path: Path, snapshot: Snapshot, honest: Callable[[Request], Verdict]
) -> None:
    path, asked = tmp_path / "impostor.sock", list[Request]()
    client = CourtClient(path, SystemClock(), held_patience_s=START_S)
    running = asyncio.create_task(client.run())
    with socket.socket(socket.AF_UNIX) as court:
        court.bind(str(path))
        court.listen(1)
        court.setblocking(False)
        taken, _ = await asyncio.get_running_loop().sock_accept(court)
        taken.sendall(HELLO.encode())
        await client.connected.wait()
        taken.close()
    path.unlink()
    assert client.connected.is_set(), "nobody has told the client yet"
    client.keep(snapshot)  # the other end is closed: this cannot be sent
    assert not client.connected.is_set()
    held = asyncio.create_task(client.judge(command({"LIC101.SP": 1.9})))
    async with impostor(tmp_path, lambda request, sequence: answer(sequence, honest(request)).encode(), asked):
        assert (await held).judgement is Judgement.UNSAFE
        await ended(running)
    assert [request.command.id for request in asked] == ["c-1"]


async def test_what_a_court_dies_of_is_given_to_no_other_and_what_waited_behind_it_is(
    tmp_path: Path, snapshot: Snapshot, honest: Callable[[Request], Verdict]
) -> None:
    asked: list[Request] = []

    def reply(request: Request, sequence: int) -> bytes:
        return begun(sequence).encode() + (LAST if request.command.id == "deadly" else answer(sequence, honest(request)).encode())

    async with impostor(tmp_path, reply, asked) as client:
        client.keep(snapshot)
        names = ("deadly", "behind", "last")
        judged = [client.judge(command({"LIC101.SP": 1.9}, name=name, source=f"192.0.2.{at}")) for at, name in enumerate(names)]
        first, *others = await asyncio.gather(*judged)
    assert (first.judgement, first.reason) == (Judgement.UNDECIDED, "the court went away")
    assert [verdict.judgement for verdict in others] == [Judgement.UNSAFE] * 2
    assert [request.command.id for request in asked] == ["deadly", "behind", "last"]
    assert asked[1].patience_s < asked[0].patience_s, "the time until the next court was there is gone"


async def test_what_goes_down_with_one_court_after_the_other_is_given_to_no_third(tmp_path: Path, snapshot: Snapshot) -> None:
    asked: list[Request] = []
    async with impostor(tmp_path, lambda request, sequence: LAST, asked, patience_s=START_S) as client:
        client.keep(snapshot)
        verdict = await client.judge(command({"LIC101.SP": 1.9}))
    assert (verdict.judgement, verdict.reason) == (Judgement.UNDECIDED, "the court went away")
    assert len(asked) == MAX_COURTS


async def test_where_no_other_court_comes_it_says_what_became_of_the_first(tmp_path: Path, snapshot: Snapshot) -> None:
    client = CourtClient(tmp_path / "impostor.sock", SystemClock(), held_patience_s=0.3)
    running = asyncio.create_task(client.run())

    def reply(request: Request, sequence: int) -> bytes:
        (tmp_path / "impostor.sock").unlink()
        return LAST

    async with impostor(tmp_path, reply):
        await client.connected.wait()
        client.keep(snapshot)
        verdict = await client.judge(command({"LIC101.SP": 1.9}))
        await ended(running)
    assert verdict.reason == "the court went away, and no other answered within 300 ms"


async def test_what_a_question_carries(tmp_path: Path, snapshot: Snapshot, honest: Callable[[Request], Verdict]) -> None:
    asked: list[Request] = []

    def stranger(one: Command) -> Familiarity:
        return Familiarity(is_new=one.source == "10.0.0.66")

    def reply(request: Request, sequence: int) -> bytes:
        return answer(sequence, honest(request)).encode()

    async with impostor(tmp_path, reply, asked, familiarity=stranger) as client:
        client.keep(snapshot)
        client.remember(command({"LIC101.SP": 1.2}, origin=Origin.WIRE, name="seen", source="10.0.0.20"))
        await client.judge(command({"LIC101.SP": 1.3}, origin=Origin.GATE, name="held"))
        client.settle(Outcome(command=CommandId("held"), forwarded=True, ruled=True, held_ms=5.0, reason="", at=NOW))
        await client.judge(command({"LIC101.SP": 1.8}, origin=Origin.GATE, name="refused"))
        client.settle(Outcome(command=CommandId("refused"), forwarded=False, ruled=True, held_ms=5.0, reason="", at=NOW))
        await client.judge(command({"LIC101.SP": 1.9}, origin=Origin.API, name="what-if"))
        verdict = await client.judge(command({"LIC101.SP": 1.9}, origin=Origin.PLANNER, name="plan"))
    assert [(step.value, step.applied) for step in asked[-1].context.steps] == [(1.2, True), (1.3, True), (1.8, False)]
    assert [request.urgent for request in asked] == [True, True, False, False]
    assert all(request.context.source_is_new for request in asked)
    assert verdict.intent is Intent.TARGETED


async def test_a_command_that_comes_late_is_judged_from_the_snapshot_that_it_met(tmp_path: Path, snapshot: Snapshot) -> None:
    asked: list[Request] = []
    snapshots = [replace(snapshot, at=after(NOW, float(second))) for second in range(10)]
    async with impostor(tmp_path, lambda request, sequence: failure(sequence, "enough").encode(), asked) as client:
        for one in snapshots:
            client.keep(one)
        for origin, seen_s in ((Origin.WIRE, 5.5), (Origin.GATE, 9.5), (Origin.WIRE, 0.5), (Origin.API, 5.5)):
            await client.judge(command({"LIC101.SP": 1.9}, origin=origin, seen=after(NOW, seen_s)))
    oldest_kept = snapshots[2]
    assert [request.snapshot for request in asked] == [one.fingerprint() for one in (snapshots[5], snapshots[9], oldest_kept, snapshots[9])]
