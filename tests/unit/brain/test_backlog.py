"""A flood of heard writes: memory is bounded, another source keeps its turn, nothing harmful hides, and what is not judged is told."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sentinel.brain.backlog import KEPT_OF_PLACE, MANY, MAX_OF_SOURCE, MAX_SOURCES, Backlog, lasting
from sentinel.brain.brain import Brain
from sentinel.clock import SystemClock
from sentinel.demo.wiring import read_interface
from sentinel.model.command import Command, Origin, TagWrite
from sentinel.model.finding import Finding
from sentinel.model.ids import AssetId, CommandId, VerdictId
from sentinel.model.observation import Flows, Heard
from sentinel.model.time import Instant
from sentinel.model.verdict import Judgement, Verdict
from sentinel.pipeline import Analysis
from sentinel.ports import Outcome
from sentinel.records import Change, Records
from sentinel.respond.interlock import Rules
from sentinel.settings import Settings
from sentinel.twin.snapshot import Snapshot
from tests.observations import PLC, STRANGER, at, messages, request

OPERATOR = AssetId("10.0.0.20")
FLOOD = 10_000


def heard(number: int, raw: float, source: str = STRANGER, point: str = "holding 0", tag: str | None = "LIC101.SP") -> Command:
    return Command(
        id=CommandId(f"c-{number}"),
        origin=Origin.WIRE,
        seen=Instant(at(number / FLOOD)),
        source=AssetId(source),
        target=AssetId(PLC),
        protocol="modbus",
        operation="write_single_register",
        unit=1,
        writes=(TagWrite(tag=tag, point=point, raw=raw, value=raw / 1000),),
        frame=f"{number:064x}",  # type: ignore[arg-type]
    )


def all_of(backlog: Backlog) -> list[Command]:
    taken = []
    while (command := backlog.take()) is not None:
        taken.append(command)
    return taken


def raws(commands: Sequence[Command]) -> list[float | None]:
    return [command.writes[0].raw for command in commands]


def test_an_ordinary_day_is_judged_command_by_command() -> None:
    backlog = Backlog()
    for number in range(MANY):
        backlog.put(heard(number, 1200.0))
    assert [command.id for command in all_of(backlog)] == [f"c-{number}" for number in range(MANY)]
    assert (backlog.repeated, backlog.superseded, backlog.dropped, backlog.drain()) == (0, 0, 0, [])


def test_the_same_write_ten_thousand_times_is_judged_and_nothing_is_blind() -> None:
    backlog = Backlog()
    for number in range(FLOOD):
        backlog.put(heard(number, 1200.0))
    assert len(backlog) == MANY
    assert backlog.repeated == FLOOD - MANY
    assert f"c-{FLOOD - 1}" in {command.id for command in all_of(backlog)}
    assert backlog.drain() == []


def test_a_flood_of_harmless_values_does_not_hide_a_harmful_one() -> None:
    """Written and taken back within the same millisecond, again and again: the ends are judged, and what came last."""
    backlog = Backlog()
    for number in range(FLOOD):
        backlog.put(heard(number, 1900.0 if number == FLOOD // 2 else 300.0 if number == FLOOD // 3 else 1200.0 + number % 7))
    assert len(backlog) <= MANY + KEPT_OF_PLACE
    taken = raws(all_of(backlog))
    assert {300.0, 1900.0, 1200.0 + (FLOOD - 1) % 7} <= set(taken)
    (told,) = backlog.drain()
    assert (told.source, told.cause) == (STRANGER, f"unjudged:{STRANGER}")
    assert f"{backlog.superseded} were followed by another value" in told.why
    assert len(taken) + backlog.repeated + backlog.superseded + backlog.dropped == FLOOD
    assert backlog.drain() == [], "told once"


def test_texts_and_unknown_functions_are_told_apart_by_their_octets() -> None:
    backlog = Backlog()
    for number in range(FLOOD):
        octets = f"{number % 2:02x}"
        backlog.put(replace(heard(number, 0.0), writes=(), operation="unassigned_90", octets=octets))
    assert {command.octets for command in all_of(backlog)} == {"00", "01"}
    assert backlog.superseded == 0


def test_a_source_that_floods_costs_another_one_a_single_turn() -> None:
    backlog = Backlog()
    for number in range(FLOOD):
        backlog.put(heard(number, 1000.0 + number, point=f"holding {number}", tag=None))
    backlog.put(heard(FLOOD, 1250.0, source=OPERATOR))
    assert len(backlog) == MAX_OF_SOURCE + 1
    first = [backlog.take(), backlog.take()]
    assert OPERATOR in {command.source for command in first if command is not None}
    assert backlog.dropped == FLOOD - MAX_OF_SOURCE
    (told,) = backlog.drain()
    assert f"{backlog.dropped} were too many" in told.why


def test_ten_thousand_forged_addresses_share_a_queue_and_who_is_known_has_his_own() -> None:
    backlog = Backlog(is_new=lambda source: source != OPERATOR)
    for number in range(FLOOD):
        backlog.put(heard(number, 1200.0 + number, source=f"10.9.{number // 256}.{number % 256}", point=f"holding {number}"))
    backlog.put(heard(FLOOD, 1250.0, source=OPERATOR))
    assert len(backlog) <= MAX_SOURCES + MAX_OF_SOURCE
    (told,) = backlog.drain()
    assert (told.source, told.cause) == (None, "unjudged:many")
    taken = all_of(backlog)
    assert [command.source for command in taken].index(OPERATOR) < MAX_SOURCES
    assert len(taken) + backlog.repeated + backlog.superseded + backlog.dropped == FLOOD + 1


def test_the_twin_takes_over_what_lasted() -> None:
    commands = [heard(number, 1000.0 + number) for number in range(FLOOD)]
    kept = lasting(commands)
    assert len(kept) == 10, "a tenth of a second is one step"
    assert kept[-1] == (commands[-1].seen, {"LIC101.SP": (1000.0 + FLOOD - 1) / 1000})
    mode, output = (
        replace(heard(1, 0.0, tag="LIC101.AUTO"), seen=Instant(at(0))),
        replace(heard(2, 5.0, tag="LIC101.OP"), seen=Instant(at(0))),
    )
    assert [list(writes) for _, writes in lasting([mode, output])] == [["LIC101.AUTO"], ["LIC101.OP"]], "in their order"


class SlowCourt:
    """Judges nothing before it is let; ``is_done`` is asked after each judgement."""

    def __init__(self) -> None:
        self.is_done: Callable[[], bool] = lambda: False
        self.done = asyncio.Event()
        self.connected = asyncio.Event()
        self.open = asyncio.Event()
        self.judged: list[Command] = []

    def keep(self, snapshot: Snapshot) -> None:
        raise AssertionError("there is no twin here")

    def settle(self, outcome: Outcome) -> None:
        raise AssertionError("nothing is held here")

    async def judge(self, command: Command) -> Verdict:
        await self.open.wait()
        self.judged.append(command)
        if self.is_done():
            self.done.set()
        number = VerdictId(f"v-{command.id}")
        return Verdict(id=number, command=command.id, judgement=Judgement.SAFE, reason="so it is", judged=Instant(at(0)))

    async def completed(self, verdict: Verdict) -> Verdict:
        return verdict

    async def run(self) -> None:
        raise AssertionError("it needs no connection")


def second_of_flood(second: int, source: str, count: int) -> Heard:
    """So many writes to LIC101.SP within a second, each of another value."""
    pool = b"".join(bytes((6, 0, 0)) + (1000 + number % 1000).to_bytes(2, "big") for number in range(count))
    rows = [
        request(second + number / count, client=source, function=6, quantity=1, pdu_start=5 * number, pdu_octets=5)
        for number in range(count)
    ]
    return Heard(source="sensor", until=Instant(at(second + 1)), messages=messages(*rows, pool=pool), flows=Flows.empty())


async def test_the_brain_under_ten_thousand_heard_writes_a_second(tmp_path: Path) -> None:
    tags, court, clock = read_interface().tags, SlowCourt(), SystemClock()
    records = Records(tmp_path, clock)
    brain = Brain(Settings(), records, Analysis(tag_map=tags), tags, court, None, clock, Rules())
    told: asyncio.Future[Finding] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def hear(change: Change) -> None:
        if isinstance(change.value, Finding) and change.value.cause == f"unjudged:{STRANGER}":
            value = change.value
            loop.call_soon_threadsafe(lambda: told.done() or told.set_result(value))

    unsubscribe = records.subscribe(hear)
    brain.asking.ready.set()
    running = asyncio.create_task(brain.run())
    try:
        async with asyncio.timeout(120):
            for second in range(3):
                await brain.take(second_of_flood(second, STRANGER, FLOOD))
            assert brain.asking.waiting() <= MAX_OF_SOURCE
            await brain.take(second_of_flood(3, OPERATOR, 1))
            finding = await told
            court.is_done = lambda: sum(brain.asking.health().values()) + len(court.judged) == 3 * FLOOD + 1
            court.open.set()
            await court.done.wait()  # every write is accounted for
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        unsubscribe()
        brain.close()
    assert "heard faster than the court judges them" in finding.title
    assert brain.asking.waiting() == 0
    assert OPERATOR in {command.source for command in court.judged}
    assert np.isclose(max(command.writes[0].value or 0.0 for command in court.judged), 1.999), "the highest value of the flood"
    records.close()
