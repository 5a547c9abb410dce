"""What the gate does with single requests, octet by octet, before a real server."""

import asyncio
import struct
from pathlib import Path

import pytest

from sentinel.model.command import Command
from sentinel.model.exchange import QuarantineOrder
from sentinel.model.ids import ActionId, AssetId
from sentinel.model.time import NS_PER_S, Instant
from sentinel.ports import Ruling
from tests.unit.collectors.gate.opcua.stage import Raw, Server, asyncua_server, call, gate_before, one_write, read, writes
from tests.unit.collectors.gate.plant import WAIT_S

DENIED, DECODING, FAULT, NOT_CONNECTED = 0x801F0000, 0x80070000, 397, 0x800D0000


def silent(_: Command) -> None:
    return None


async def test_reads_of_the_same_session_and_of_others_pass_a_held_write(tmp_path: Path, server: Server) -> None:
    async with gate_before(server.port, tmp_path, silent) as (gate, brain):
        one, other = await Raw.with_session(gate.address), await Raw.with_session(gate.address)
        before = (await one.ask(631, read("SP"))).number
        written = one.send(673, writes(one_write("SP", before + 1)))
        await brain.until(lambda: brain.of(Command))
        for client in (one, other):
            assert (await client.ask(631, read("SP"))).number == before
        (command,) = brain.of(Command)
        assert (command.protocol, command.operation, command.writes[0].tag, command.writes[0].value) == ("opcua", "Write", "SP", before + 1)
        await brain.intake.rule(Ruling(command=command.id, forward=True, reason="safe"))
        answer = await one.answer()
        assert (answer.request, answer.service, answer.statuses) == (written, 676, [0])
        assert (await other.ask(631, read("SP"))).number == before + 1
        assert bytes.fromhex(command.octets) == struct.pack("<BBH", 1, 0, 673) + writes(one_write("SP", before + 1)), "no token in it"


@pytest.mark.parametrize(
    ("service", "parameters", "forwarded"),
    [
        (673, writes(one_write("SP", 4.0)), False),
        (673, writes(one_write("FAST", 4.0)), True),
        (673, writes(one_write("FAST", 4.0), one_write("SP", 4.0)), False),  # one that says refuse is enough
        (673, writes(one_write("SAFE", 4.0), one_write("FAST", 4.0)), False),  # mixed with others: held as a whole
        (673, writes(one_write("NOWHERE", 4.0)), False),  # no tag: the gate's own choice
        (673, writes(one_write("FAST", 4.0, attribute=17)), False),  # an access level is no value of the tag
        (712, call("DO", 4.0), False),
        (500, struct.pack("<i", 0), False),  # DeleteNodes
        (15903, b"", False),  # SessionlessInvoke carries another service
        (9999, b"", False),  # nobody's
    ],
)
async def test_at_the_deadline_the_declared_choice_is_taken(
    tmp_path: Path, server: Server, service: int, parameters: bytes, forwarded: bool
) -> None:
    async with gate_before(server.port, tmp_path, silent, deadline_ms=150.0) as (gate, brain):
        client = await Raw.with_session(gate.address)
        answer = await client.ask(service, parameters)
        (outcome,) = await brain.outcomes(1)
        assert (outcome.forwarded, outcome.ruled) == (forwarded, False)
        if forwarded:
            assert set(answer.statuses) == {0}
        elif service in (673, 712):
            assert (answer.service, answer.result) == ({673: 676, 712: 715}[service], 0)
            assert struct.unpack_from("<I", answer.body, 4)[0] == DENIED
        else:
            assert (answer.service, answer.result) == (FAULT, DENIED)


async def test_a_method_that_was_refused_was_not_run(tmp_path: Path, server: Server) -> None:
    async with gate_before(server.port, tmp_path, lambda command: command.operation == "Write") as (gate, brain):
        client = await Raw.with_session(gate.address)
        await client.ask(673, writes(one_write("SP", 4.0)))
        assert struct.unpack_from("<II", (await client.ask(712, call("DO", 1.0))).body, 0) == (1, DENIED)
        assert (await client.ask(631, read("SP"))).number == 4.0
        assert [write.point for write in brain.of(Command)[-1].writes] == ["ns=2;s=DO"]


async def test_a_method_that_was_forwarded_was_run(tmp_path: Path, server: Server) -> None:
    async with gate_before(server.port, tmp_path, lambda _: True) as (gate, _):
        client = await Raw.with_session(gate.address)
        await client.ask(712, call("DO", 1.0))
        assert (await client.ask(631, read("SP"))).number == 99.0


async def test_writes_of_nothing_but_safety_points_pass_and_are_recorded(tmp_path: Path, server: Server) -> None:
    async with gate_before(server.port, tmp_path, silent) as (gate, brain):
        client = await Raw.with_session(gate.address)
        assert (await client.ask(673, writes(one_write("SAFE", 2.0)))).statuses == [0]
        (outcome,) = await brain.outcomes(1)
        assert outcome.reason == "safety-instrumented: never held"


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        (writes(one_write("SP", 1.0)) + b"\0", DECODING),  # octets behind the request
        (writes(one_write("SP", 1.0))[:-3], DECODING),
        (struct.pack("<i", 1 << 30), DECODING),
        (struct.pack("<i", -7), DECODING),
        (writes(*[one_write("SP", 1.0)] * 1025), 0x80100000),  # Bad_TooManyOperations
        (writes(one_write("S" * 300_000, 1.0)), 0x80B80000),  # Bad_RequestTooLarge
    ],
)
async def test_malformed_and_excessive_writes_are_answered_by_the_gate_and_never_reach_the_server(
    tmp_path: Path, server: Server, parameters: bytes, status: int
) -> None:
    async with gate_before(server.port, tmp_path, lambda _: True) as (gate, brain):
        client = await Raw.with_session(gate.address)
        accepted = gate.accepted
        request = 900
        body = b"\x01\x00" + struct.pack("<H", 673) + client.session + struct.pack("<QII", 0, 7, 0) + b"\xff" * 4 + bytes(7) + parameters
        parts = [body[at : at + 60_000] for at in range(0, len(body), 60_000)]
        for part in parts:
            client.writer.write(client.message(request, part, b"MSGF" if part is parts[-1] else b"MSGC"))
        answer = await client.answer()
        assert (answer.request, answer.service, answer.result) == (request, FAULT, status)
        assert (gate.accepted, brain.of(Command)) == (accepted, [])


async def test_more_writes_than_may_be_held_get_their_declared_choice_at_once(tmp_path: Path, server: Server) -> None:
    async with gate_before(server.port, tmp_path, silent, held_per_connection=2) as (gate, brain):
        client = await Raw.with_session(gate.address)
        for _ in range(2):
            client.send(673, writes(one_write("SP", 4.0)))
        assert (await client.ask(673, writes(one_write("SP", 4.0)))).statuses == [DENIED]
        assert (await client.ask(673, writes(one_write("FAST", 4.0)))).statuses == [0]
        outcomes = await brain.outcomes(2)
        assert [outcome.forwarded for outcome in outcomes] == [False, True]
        assert "held already" in outcomes[0].reason
        client.close()
        assert [outcome.forwarded for outcome in await brain.outcomes(4)] == [False, True, False, False]


async def test_a_client_that_vanishes_takes_its_held_write_with_it(tmp_path: Path, server: Server) -> None:
    async with gate_before(server.port, tmp_path, silent) as (gate, brain):
        client = await Raw.with_session(gate.address)
        client.send(673, writes(one_write("FAST", 4.0)))
        await brain.until(lambda: brain.of(Command))
        client.close()
        (outcome,) = await brain.outcomes(1)
        assert (outcome.forwarded, "vanished" in outcome.reason) == (False, True)


async def test_a_half_closed_client_gets_the_answer_that_it_waits_for(tmp_path: Path, server: Server) -> None:
    async with gate_before(server.port, tmp_path, silent) as (gate, brain):
        client = await Raw.with_session(gate.address)
        client.send(673, writes(one_write("SP", 4.0)))
        client.writer.write_eof()
        await brain.until(lambda: brain.of(Command))
        await brain.intake.rule(Ruling(command=brain.of(Command)[0].id, forward=True, reason="safe"))
        assert (await client.answer()).statuses == [0]
        assert await asyncio.wait_for(client.reader.read(), WAIT_S) == b""


async def test_a_quarantine_resets_the_connection_and_discards_what_it_held(tmp_path: Path, server: Server) -> None:
    async with gate_before(server.port, tmp_path, silent) as (gate, brain):
        client = await Raw.with_session(gate.address)
        client.send(673, writes(one_write("FAST", 4.0)))
        await brain.until(lambda: brain.of(Command))
        expires = Instant(brain.of(Command)[0].seen + 3600 * NS_PER_S)
        order = QuarantineOrder(action=ActionId("a"), target=AssetId("127.0.0.1"), expires=expires)
        receipt = await asyncio.wait_for(brain.intake.quarantine("gate", order), WAIT_S)
        assert (receipt.applied, receipt.verified) == (True, True)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await client.chunk()
        (outcome,) = await brain.outcomes(1)
        assert (outcome.forwarded, outcome.reason) == (False, "its client is quarantined")


async def test_a_session_goes_on_over_a_renewed_token(tmp_path: Path, server: Server) -> None:
    async with gate_before(server.port, tmp_path, lambda _: True) as (gate, _):
        client = await Raw.with_session(gate.address)
        before = client.security
        client.sequence += 1
        await client.open(kind=1)
        after = client.security
        assert after != before
        client.security = before
        assert (await client.ask(631, read("SP"))).result == 0, "the old token is taken until the new one is used"
        client.security = after
        assert (await client.ask(631, read("SP"))).result == 0
        client.security = before
        client.send(631, read("SP"))
        assert await client.error() == 0x80870000


async def test_a_server_that_dies_or_is_not_there_is_told(tmp_path: Path) -> None:
    port = 1
    async with gate_before(port, tmp_path, silent) as (gate, _):
        client = await Raw.connect(gate.address)
        client.writer.write(b"HELF" + struct.pack("<I", 32) + struct.pack("<5Ii", 0, 65536, 65536, 0, 0, -1))
        assert await client.error() == NOT_CONNECTED
        assert gate.counters.failed == 1


async def test_a_write_that_is_held_when_the_server_dies_is_not_forwarded(tmp_path: Path, free_port: int) -> None:
    with asyncua_server(free_port, tmp_path) as dying:
        async with gate_before(free_port, tmp_path, silent) as (gate, brain):
            client = await Raw.with_session(gate.address)
            client.send(673, writes(one_write("FAST", 4.0)))
            await brain.until(lambda: brain.of(Command))
            dying.process.kill()
            assert await client.error() == NOT_CONNECTED
            (outcome,) = await brain.outcomes(1)
            assert outcome.forwarded is False
