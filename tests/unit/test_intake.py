"""The road from collectors to the brain, both ends real: `Outbox` and `Intake` on a unix socket."""

import asyncio
import json
import stat
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from collectors.outbox import Outbox
from sentinel.errors import ConfigError, PermanentError, TransientError
from sentinel.intake import Intake
from sentinel.model.action import Receipt
from sentinel.model.codec import from_json, to_json
from sentinel.model.command import Command, Origin, TagWrite, command_id
from sentinel.model.exchange import ExcerptOrder, Polled, Presence, QuarantineOrder, ReceiptOf
from sentinel.model.framing import Frame, FrameKind
from sentinel.model.ids import ActionId, AssetId, FindingId, digest
from sentinel.model.observation import Counters, Flows, Heard, Messages, Readings
from sentinel.model.time import Instant
from sentinel.ports import Outcome, Ruling

WAIT_S = 10.0


class Keeper:
    """A sink that keeps what it gets; `broken` says what to raise on a value, `closed` makes bulk wait."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.broken: Callable[[Any], Exception | None] = lambda _: None
        self.open = asyncio.Event()
        self.open.set()
        self._changed = asyncio.Condition()

    async def __call__(self, value: Any) -> None:
        if error := self.broken(value):
            raise error
        if isinstance(value, Heard | Polled):
            await self.open.wait()
        self.kept.append(value)
        async with self._changed:
            self._changed.notify_all()

    def of(self, *kinds: type) -> list[Any]:
        return [value for value in self.kept if isinstance(value, kinds)]

    async def until(self, condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(WAIT_S), self._changed:
            await self._changed.wait_for(condition)


@asynccontextmanager
async def running(outbox: Outbox) -> AsyncIterator[Outbox]:
    task = asyncio.create_task(outbox.run())
    try:
        yield outbox
    finally:
        task.cancel()
        await asyncio.wait({task})


def command(number: int, size: int = 0) -> Command:
    frame = digest(bytes([number % 256]))
    source, target = AssetId("10.0.0.20"), AssetId("10.0.0.10")
    return Command(
        id=command_id(Instant(number), source, target, frame),
        origin=Origin.GATE,
        seen=Instant(number),
        source=source,
        target=target,
        protocol="modbus",
        operation="write_single_register",
        unit=1,
        writes=(TagWrite(tag=None, point="holding 1", raw=float(number)),),
        frame=frame,
        octets="00" * size,
    )


def heard(until: int, rows: int = 3) -> Heard:
    names = ("10.0.0.20", "10.0.0.10")
    messages = Messages.of(
        names, b"\x03\x00\x00\x00\x01" * rows, time=range(rows), client=[0] * rows, server=[1] * rows, pdu_octets=[5] * rows
    )
    flows = Flows.of(names, time=[1], source=[0], target=[1])
    return Heard(source="gate", until=Instant(until), messages=messages, flows=flows, counters=Counters(accepted=rows))


async def drained(outbox: Outbox) -> None:
    async with asyncio.timeout(WAIT_S):
        await outbox.drained()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "intake.sock"


async def test_every_kind_of_value_arrives_as_it_was_sent(path: Path) -> None:
    keeper = Keeper()
    readings = Readings.of(("LT101",), time=[5], seen=[6], tag=[0], value=[1.25], quality=[2])
    outcome = Outcome(command=command(1).id, forwarded=False, ruled=True, held_ms=3.5, reason="unsafe", at=Instant(9))
    async with Intake(path, keeper), running(Outbox(path, "gate")) as outbox:
        await outbox.heard(heard(7))
        await outbox.readings(Polled(source="poll", until=Instant(8), readings=readings, counters=Counters(failed=2)))
        await outbox.command(command(1))
        await outbox.outcome(outcome)
        await drained(outbox)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    (got,) = keeper.of(Heard)
    assert (got.source, got.until, got.counters) == ("gate", 7, Counters(accepted=3))
    assert [got.messages.pdu(row) for row in range(3)] == [b"\x03\x00\x00\x00\x01"] * 3
    assert got.flows.decoded("target") == ["10.0.0.10"]
    (polled,) = keeper.of(Polled)
    assert (polled.source, polled.until, polled.counters.failed) == ("poll", 8, 2)
    assert polled.readings.decoded("tag") == ["LT101"]
    assert polled.readings.value[0] == 1.25
    assert keeper.of(Command, Outcome) == [command(1), outcome]
    assert [(value.process, value.present) for value in keeper.of(Presence)] == [("gate", True), ("gate", False)]


async def test_the_socket_is_ours_alone_and_cannot_be_taken_twice(path: Path) -> None:
    async with Intake(path, Keeper()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(ConfigError, match="another process listens"):
            await Intake(path, Keeper()).start()
    assert not path.exists()


async def test_a_socket_left_behind_by_a_killed_brain_is_replaced(path: Path) -> None:
    import socket

    path.parent.mkdir()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    async with Intake(path, Keeper()) as intake, running(Outbox(path, "gate")), asyncio.timeout(WAIT_S):
        await intake.wait_present("gate")


async def test_a_command_overtakes_bulk_that_the_sink_still_chews_on(path: Path) -> None:
    keeper = Keeper()
    keeper.open.clear()
    async with Intake(path, keeper) as intake, running(Outbox(path, "gate")) as outbox:
        for until in range(20):
            await outbox.heard(heard(until))
        await outbox.command(command(1))
        await keeper.until(lambda: keeper.of(Command))
        assert not keeper.of(Heard)
        assert await intake.rule(Ruling(command=command(1).id, forward=True, reason="safe"))
        keeper.open.set()
        await drained(outbox)
    assert [value.until for value in keeper.of(Heard)] == list(range(20))


async def test_a_ruling_reaches_the_gate_that_holds_the_command_and_only_while_it_holds(path: Path) -> None:
    keeper, arrived = Keeper(), asyncio.Queue[Frame]()
    async with Intake(path, keeper) as intake, running(Outbox(path, "a")) as other, running(Outbox(path, "b", arrived.put_nowait)) as gate:
        await other.command(command(1))
        await gate.command(command(2))
        await keeper.until(lambda: len(keeper.of(Command)) == 2)
        ruling = Ruling(command=command(2).id, forward=False, reason="T101-overfill")
        assert await intake.rule(ruling)
        frame = await asyncio.wait_for(arrived.get(), WAIT_S)
        assert (frame.kind, from_json(Ruling, frame.payload)) == (FrameKind.RULING, ruling)
        assert not await intake.rule(ruling), "ruled once is ruled"
        await other.outcome(Outcome(command=command(1).id, forwarded=False, ruled=False, held_ms=200.0, reason="deadline", at=Instant(1)))
        await drained(other)
        assert not await intake.rule(Ruling(command=command(1).id, forward=True, reason="late"))


async def test_what_was_not_acknowledged_is_sent_again_and_what_was_kept_is_not_kept_twice(path: Path) -> None:
    keeper = Keeper()
    keeper.open.clear()
    outbox = Outbox(path, "gate")
    async with running(outbox):
        async with Intake(path, keeper):
            await outbox.command(command(1))
            await outbox.heard(heard(1))
            await keeper.until(lambda: keeper.of(Command))
            keeper.open.set()
        await outbox.command(command(2))
        await outbox.heard(heard(2))
        async with Intake(path, keeper):
            await drained(outbox)
    assert keeper.of(Command) == [command(1), command(2)]
    assert [value.until for value in keeper.of(Heard)] == [1, 2]


async def test_a_resend_within_one_brain_is_recognised_and_a_restarted_collector_is_not_mistaken_for_one(path: Path) -> None:
    keeper = Keeper()
    async with Intake(path, keeper) as intake:
        for start in ("first life", "first life", "second life"):
            reader, writer = await asyncio.open_unix_connection(str(path))
            hello = json.dumps({"process": "gate", "pid": 1, "start": start}).encode()
            writer.write(Frame(FrameKind.HELLO, 0, hello).encode() + Frame(FrameKind.COMMAND, 1, to_json(command(1))).encode())
            header = await asyncio.wait_for(reader.readexactly(16), WAIT_S)
            assert header[3] == FrameKind.ACK
            writer.close()
            await asyncio.wait_for(intake.wait_absent("gate"), WAIT_S)
        assert intake.counters.dropped == 1
    assert len(keeper.of(Command)) == 2


async def test_a_sink_that_cannot_keep_now_gets_the_value_again_and_one_that_fails_for_ever_does_not_block_the_road(path: Path) -> None:
    keeper = Keeper()
    failures = [TransientError("database is locked")]

    def broken(value: Any) -> Exception | None:
        if isinstance(value, Command) and value.seen == 1 and failures:
            return failures.pop()
        return KeyError("our bug") if isinstance(value, Command) and value.seen == 2 else None

    keeper.broken = broken
    async with Intake(path, keeper) as intake, running(Outbox(path, "gate")) as outbox:
        for number in (1, 2, 3):
            await outbox.command(command(number))
        await drained(outbox)
        assert intake.counters.failed == 2
    assert [value.seen for value in keeper.of(Command)] == [1, 3]


async def test_a_command_waits_for_no_other_and_an_outcome_for_its_own(path: Path) -> None:
    kept: list[Any] = []
    begun, first_may_end = asyncio.Queue[Any](), asyncio.Event()
    failures = [TransientError("disk")]

    async def sink(value: Any) -> None:
        if isinstance(value, Presence):
            return
        begun.put_nowait(value)
        if value == command(1):
            await first_may_end.wait()
            if failures:
                raise failures.pop()
        kept.append(value)

    outcome = Outcome(command=command(1).id, forwarded=False, ruled=False, held_ms=200.0, reason="deadline", at=Instant(9))
    async with Intake(path, sink) as intake, running(Outbox(path, "gate")) as outbox:
        for number in (1, 2):
            await outbox.command(command(number))
        await outbox.outcome(outcome)
        await outbox.command(command(3))
        assert [await asyncio.wait_for(begun.get(), WAIT_S) for _ in range(3)] == [command(1), command(2), command(3)]
        first_may_end.set()
        await drained(outbox)
        assert intake.counters.dropped == 2, "the second and the third were kept before the first failed"
    assert sorted(value.seen for value in kept if isinstance(value, Command)) == [1, 2, 3]
    assert kept.index(command(1)) < kept.index(outcome)


async def test_a_flood_of_commands_that_are_slow_to_keep_holds_none_back(path: Path) -> None:
    begun, may_end = asyncio.Queue[Command](), asyncio.Event()

    async def sink(value: Any) -> None:
        if isinstance(value, Command):
            begun.put_nowait(value)
            await may_end.wait()

    async with Intake(path, sink), running(Outbox(path, "gate")) as outbox:
        for number in range(1000):
            await outbox.command(command(number))
        try:
            assert [(await asyncio.wait_for(begun.get(), WAIT_S)).seen for _ in range(1000)] == list(range(1000))
        finally:
            may_end.set()
        await drained(outbox)


async def test_the_same_command_twice_does_no_harm(path: Path) -> None:
    keeper = Keeper()
    async with Intake(path, keeper), running(Outbox(path, "gate")) as outbox:
        for _ in range(3):
            await outbox.command(command(1))
        await drained(outbox)
    assert len(keeper.of(Command)) == 3


LIES: dict[str, list[bytes]] = {
    "garbage": [b"GET / HTTP/1.1\r\n\r\n"],
    "a frame of 4 GiB": [struct.pack(">2sBBQI", b"SN", 1, FrameKind.HEARD_MESSAGES, 1, 0xFFFFFFFF)],
    "an unknown kind": [struct.pack(">2sBBQI", b"SN", 1, 99, 1, 0)],
    "no HELLO first": [Frame(FrameKind.COMMAND, 1, to_json(command(1))).encode()],
    "bad JSON": ["HELLO", Frame(FrameKind.COMMAND, 1, b"{").encode()],
    "a field too many": ["HELLO", Frame(FrameKind.OUTCOME, 1, b'{"command":"x","sudo":true}').encode()],
    "bad Arrow": ["HELLO", Frame(FrameKind.READINGS, 1, b"ARROW1 not really").encode()],
    "flows before messages": ["HELLO", Frame(FrameKind.HEARD_FLOWS, 1, b"").encode()],
    "HEARD alone": ["HELLO", Frame(FrameKind.HEARD, 1, b"{}").encode()],
    "the brain's own kind": ["HELLO", Frame(FrameKind.RULING, 1, b"{}").encode()],
    "a second HELLO": ["HELLO", "HELLO"],
    "an answer nobody asked for, then garbage": ["HELLO", Frame(FrameKind.EXCERPT, 77, b"x").encode(), b"x" * 16],
}  # type: ignore[dict-item]


@pytest.mark.parametrize("lie", LIES)
async def test_a_sender_that_lies_is_cut_off_and_the_honest_one_goes_on(path: Path, lie: str) -> None:
    keeper = Keeper()
    hello = Frame(FrameKind.HELLO, 0, b'{"process":"liar","pid":1,"start":"1"}').encode()
    async with Intake(path, keeper) as intake, running(Outbox(path, "honest")) as honest:
        reader, writer = await asyncio.open_unix_connection(str(path))
        for part in LIES[lie]:
            writer.write(hello if part == "HELLO" else part)  # type: ignore[comparison-overlap]
        assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
        writer.close()
        await honest.command(command(1))
        await drained(honest)
        assert intake.counters.refused == 1
        await asyncio.wait_for(intake.wait_absent("liar"), WAIT_S)
    assert keeper.of(Command) == [command(1)]


async def test_a_quarantine_is_answered_by_its_receipt_and_a_failure_says_why(path: Path) -> None:
    keeper = Keeper()
    order = QuarantineOrder(action=ActionId("a1"), target=AssetId("10.0.0.66"), expires=Instant(10**18))
    receipt = Receipt(action=ActionId("a1"), enforcer="gate", applied=True, verified=True, at=Instant(5), message="cut 1")

    def receive(frame: Frame) -> None:
        if frame.kind is FrameKind.QUARANTINE:
            assert from_json(QuarantineOrder, frame.payload) == order
            outbox.put(((FrameKind.RECEIPT, to_json(ReceiptOf(request=frame.sequence, receipt=receipt))),))
        elif from_json(ExcerptOrder, frame.payload).frames == (1,):
            outbox.answer(frame, FrameKind.EXCERPT, b"pcap")
        else:
            outbox.refuse(frame, "frame 2 is gone")

    outbox = Outbox(path, "gate", receive)
    async with Intake(path, keeper) as intake, running(outbox):
        await asyncio.wait_for(intake.wait_present("gate"), WAIT_S)
        assert await intake.quarantine("gate", order) == receipt
        assert await intake.excerpt("gate", ExcerptOrder(finding=FindingId("f"), frames=(1,))) == b"pcap"
        with pytest.raises(PermanentError, match="frame 2 is gone"):
            await intake.excerpt("gate", ExcerptOrder(finding=FindingId("f"), frames=(2,)))
        with pytest.raises(TransientError, match="not connected"):
            await intake.quarantine("nobody", order)
    assert keeper.of(Receipt) == [receipt], "the receipt is kept as evidence too"


async def test_silence_and_a_vanished_collector_are_transient(path: Path) -> None:
    order = ExcerptOrder(finding=FindingId("f"), frames=(1,))
    asked = asyncio.Queue[Frame]()
    async with Intake(path, Keeper()) as intake:
        async with running(Outbox(path, "sensor", asked.put_nowait)):
            await asyncio.wait_for(intake.wait_present("sensor"), WAIT_S)
            with pytest.raises(TransientError, match="no answer"):
                await intake.excerpt("sensor", order, timeout_s=0.02)
            waiting = asyncio.create_task(intake.excerpt("sensor", order))
            for _ in range(2):
                await asyncio.wait_for(asked.get(), WAIT_S)
        with pytest.raises(TransientError, match="vanished"):
            await waiting


async def test_what_a_killed_gate_held_is_settled_when_its_next_life_comes(path: Path) -> None:
    """It tells an outcome before it forwards: what it had told nothing of did not reach the plant."""
    keeper = Keeper()
    told = Outcome(command=command(2).id, forwarded=True, ruled=True, held_ms=5.0, reason="safe", at=Instant(9))
    async with Intake(path, keeper) as intake:
        async with running(Outbox(path, "gate")) as gate, running(Outbox(path, "other")) as other:
            for number in (1, 2):
                await gate.command(command(number))
            await gate.outcome(told)
            await other.command(command(3))
            await drained(gate)
            await drained(other)
            await intake.rule(Ruling(command=command(1).id, forward=True, reason="safe"))
        assert keeper.of(Outcome) == [told]
        async with running(Outbox(path, "gate")), asyncio.timeout(WAIT_S):
            await intake.wait_present("gate")
            await keeper.until(lambda: len(keeper.of(Outcome)) == 2)
    lost = keeper.of(Outcome)[1]
    assert (lost.command, lost.forwarded, lost.ruled) == (command(1).id, False, False)
    assert "ended while it held" in lost.reason
    assert lost.held_ms > 0


async def test_a_gate_that_only_lost_its_connection_settles_what_it_holds_itself(path: Path) -> None:
    keeper, gate = Keeper(), Outbox(path, "gate")
    async with Intake(path, keeper) as intake:
        async with running(gate):
            await gate.command(command(1))
            await drained(gate)
        await asyncio.wait_for(intake.wait_absent("gate"), WAIT_S)
        async with running(gate), asyncio.timeout(WAIT_S):
            await intake.wait_present("gate")
            assert await intake.rule(Ruling(command=command(1).id, forward=False, reason="unsafe")), "it is still held"
            await gate.command(command(2))
            await drained(gate)
    assert not keeper.of(Outcome)
