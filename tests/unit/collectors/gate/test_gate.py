import asyncio
import struct
from pathlib import Path

import pytest

from sentinel.model.command import Command, Origin, TagWrite
from sentinel.model.exchange import QuarantineOrder
from sentinel.model.observation import Heard
from sentinel.model.protocol import Defect, MessageKind
from sentinel.ports import Outcome
from tests.unit.collectors.gate.plant import WAIT_S, adu, answer_to, bed, read, split, write, write_several

REFUSED = 4


async def test_reads_pass_and_their_answers_come_back_untouched(tmp_path: Path) -> None:
    async with bed(tmp_path) as plant:
        client = await plant.client()
        for transaction, function in enumerate((1, 2, 3, 4), start=1):
            request = read(transaction, 5, 10, function)
            assert await client.ask(request) == answer_to(request)
        assert not plant.brain.of(Command)
        assert plant.gate.counters.accepted == 4


async def test_a_write_is_held_described_ruled_and_reported(tmp_path: Path) -> None:
    async with bed(tmp_path, lambda command: command.writes[0].raw < 100) as plant:
        client = await plant.client()
        assert await client.ask(write(1, 0, 7)) == write(1, 0, 7)
        assert await client.ask(write(2, 0, 700)) == adu(2, bytes((0x86, REFUSED)))
        outcomes = await plant.brain.outcomes(2)
        commands = plant.brain.of(Command)
        assert plant.server.everything == write(1, 0, 7)
    assert [(outcome.forwarded, outcome.ruled, outcome.reason) for outcome in outcomes] == [(True, True, "ruled"), (False, True, "ruled")]
    assert [outcome.command for outcome in outcomes] == [command.id for command in commands]
    first = commands[0]
    assert (first.origin, first.source, first.target, first.operation, first.unit) == (
        Origin.GATE,
        "127.0.0.1",
        "127.0.0.1",
        "write_single_register",
        1,
    )
    assert first.writes == (TagWrite(tag="REFUSES", point="holding 0", raw=7.0, value=7.0, unit="1"),)
    assert first.octets == write(1, 0, 7).hex()


@pytest.mark.parametrize(
    ("request_", "forwarded"),
    [
        (write(1, 0), False),
        (write(1, 1), True),
        (write_several(1, 0, 5, 5), False),  # one tag that says refuse is enough
        (write(1, 99), False),  # no tag: the gate's own choice
        (write_several(1, 2, 5, 5, 5), False),  # safety and unknown mixed: held as a whole
        (adu(1, bytes((22, 0, 1, 0, 0, 0, 7))), True),  # a mask write has no value yet, but it has a tag
        (adu(1, bytes((90, 1, 2, 3))), False),  # a vendor's own function
        (adu(1, bytes((8, 0, 1, 0, 0))), False),  # a diagnostic may restart the device
        (write(1, 1, 5)[:6] + bytes((55,)) + write(1, 1, 5)[7:], False),  # another unit is another point
    ],
)
@pytest.mark.parametrize("brain", [True, False])
async def test_at_the_deadline_the_declared_choice_is_taken(tmp_path: Path, request_: bytes, forwarded: bool, brain: bool) -> None:
    async with bed(tmp_path, (lambda _: None) if brain else None, deadline_ms=20.0) as plant:
        client = await plant.client()
        answer = await client.ask(request_)
        if forwarded:
            assert answer == answer_to(request_)
            assert plant.server.everything == request_
        else:
            assert answer == request_[:4] + b"\0\3" + bytes((request_[6], request_[7] | 0x80, REFUSED))
            assert plant.server.everything == b""
        if brain:
            (outcome,) = await plant.brain.outcomes(1)
            assert (outcome.forwarded, outcome.ruled) == (forwarded, False)
            assert outcome.held_ms >= 20
        else:
            assert plant.gate.outbox.counters.accepted == 2, "command and outcome wait for the brain"


async def test_commands_and_outcomes_of_a_time_without_brain_are_delivered_afterwards(tmp_path: Path) -> None:
    from tests.unit.collectors.gate.plant import Brain

    async with bed(tmp_path, None, deadline_ms=5.0) as plant:
        client = await plant.client()
        for transaction in range(3):
            await client.ask(write(transaction, 0))
        brain = Brain(tmp_path / "intake.sock", lambda _: True)
        async with brain.intake:
            outcomes = await brain.outcomes(3)
    assert [value.id for value in brain.of(Command)] == [outcome.command for outcome in outcomes]
    assert not any(outcome.forwarded for outcome in outcomes)


async def test_writes_of_safety_points_alone_are_never_held_but_recorded(tmp_path: Path) -> None:
    async with bed(tmp_path, lambda _: None, deadline_ms=60_000.0) as plant:
        client = await plant.client()
        for request in (write(1, 2), write_several(2, 2, 1, 1)):
            assert await client.ask(request) == answer_to(request)
        outcomes = await plant.brain.outcomes(2)
    assert all(outcome.forwarded and not outcome.ruled and "safety" in outcome.reason for outcome in outcomes)


async def test_what_comes_behind_a_held_write_keeps_its_place_and_others_are_not_delayed(tmp_path: Path) -> None:
    waiting: list[Command] = []

    def later(command: Command) -> None:
        waiting.append(command)

    async with bed(tmp_path, later, deadline_ms=60_000.0) as plant:
        client, other = await plant.client(), await plant.client()
        requests = [read(1), write(2, 0), read(3), write(4, 0), read(5)]
        client.send(b"".join(requests))
        assert await client.receive() == answer_to(requests[0])
        await plant.brain.until(lambda: waiting)
        assert await other.ask(read(9)) == answer_to(read(9)), "another connection passes"
        assert plant.server.everything == requests[0] + read(9)
        from sentinel.ports import Ruling

        await plant.brain.intake.rule(Ruling(command=waiting[0].id, forward=True, reason="safe"))
        assert [await client.receive() for _ in range(2)] == [answer_to(requests[1]), answer_to(requests[2])]
        await plant.brain.until(lambda: len(waiting) == 2)
        await plant.brain.intake.rule(Ruling(command=waiting[1].id, forward=False, reason="unsafe"))
        assert [await client.receive() for _ in range(2)] == [adu(4, bytes((0x86, REFUSED))), answer_to(requests[4])]
        assert bytes(plant.server.received[0]) == b"".join((requests[0], requests[1], requests[2], requests[4]))


async def test_an_answer_of_the_gate_never_lands_inside_an_answer_of_the_server(tmp_path: Path) -> None:
    async with bed(tmp_path, lambda _: False) as plant:
        plant.server.silent = True
        client = await plant.client()
        client.send(read(1, 0, 2))
        await plant.server.until(lambda: plant.server.received and len(plant.server.received[0]) == 12)
        whole = answer_to(read(1, 0, 2))
        plant.server.writers[0].write(whole[:9])
        assert await asyncio.wait_for(client.reader.readexactly(9), WAIT_S) == whole[:9], "what the server says passes at once"
        client.send(write(2, 0))
        await plant.brain.outcomes(1)
        plant.server.writers[0].write(whole[9:])
        assert await asyncio.wait_for(client.reader.readexactly(4), WAIT_S) == whole[9:]
        assert await client.receive() == adu(2, bytes((0x86, REFUSED)))


MALFORMED = {
    "function 0": (b"\0\0\0\0\0", 1),
    "an exception as request": (b"\x83\2", 1),
    "read of nothing": (struct.pack(">BHH", 3, 0, 0), 3),
    "read of 126 registers": (struct.pack(">BHH", 3, 0, 126), 3),
    "read of 2001 coils": (struct.pack(">BHH", 1, 0, 2001), 3),
    "read cut short": (b"\3\0\0", 3),
    "read with a tail": (struct.pack(">BHH", 3, 0, 1) + b"\5\0\0\xff\0", 3),
    "a coil that is neither on nor off": (b"\5\0\0\x12\x34", 3),
    "byte count that contradicts the quantity": (b"\x10\0\0\0\2\2\0\1", 3),
    "more octets than counted": (b"\x10\0\0\0\1\2\0\1\0\2", 3),
    "a write across the end of the table": (b"\x10\xff\xff\0\2\4\0\1\0\2", 3),
    "read and write without a count to read": (b"\x17\0\0\0\0\0\0\0\1\2\0\1", 3),
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_a_request_that_contradicts_its_function_is_answered_and_never_forwarded(tmp_path: Path, case: str) -> None:
    pdu, code = MALFORMED[case]
    async with bed(tmp_path) as plant:
        client = await plant.client()
        assert await client.ask(adu(7, pdu)) == adu(7, bytes((pdu[0] | 0x80, code)))
        assert await client.ask(read(8)) == answer_to(read(8)), "the connection goes on"
        assert plant.server.everything == read(8)
        assert not plant.brain.of(Command)


BROKEN = {
    "protocol identifier 7": adu(1, b"\3\0\0\0\1", protocol=7),
    "length 0": b"\0\1\0\0\0\0\1",
    "length 1": b"\0\1\0\0\0\1\1",
    "length 255": b"\0\1\0\0\0\xff\1\3",
    "length 65535": b"\0\1\0\0\xff\xff\1\3",
    "text": b"GET / HTTP/1.0\r\n\r\n",
    "TLS": bytes.fromhex("1603010200010001fc0303"),
    "garbage after a good request": read(1) + b"\xde\xad\xbe\xef\xde\xad\xbe\xef",
}


@pytest.mark.parametrize("case", BROKEN)
async def test_broken_framing_ends_its_connection_with_a_defect_and_no_other(tmp_path: Path, case: str) -> None:
    async with bed(tmp_path, observe=True, observe_ms=5.0) as plant:
        client, other = await plant.client(), await plant.client()
        client.send(BROKEN[case])
        await client.rest()
        assert await other.ask(read(9)) == answer_to(read(9))
        assert plant.server.everything.replace(read(9), b"") in (b"", read(1))
        assert plant.gate.counters.refused == 1
        await plant.brain.until(lambda: any(row[3] != Defect.NONE for row in plant.brain.messages()))


async def test_a_client_that_vanishes_leaves_an_outcome_and_its_write_unsent(tmp_path: Path) -> None:
    async with bed(tmp_path, lambda _: None, deadline_ms=60_000.0) as plant:
        client = await plant.client()
        client.send(write(1, 0))
        await plant.brain.until(lambda: plant.brain.of(Command))
        client.writer.get_extra_info("socket").setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER of no time
        client.writer.transport.abort()
        (outcome,) = await plant.brain.outcomes(1)
        assert (outcome.forwarded, outcome.ruled) == (False, False)
        assert "vanished" in outcome.reason
        assert plant.server.everything == b""


async def test_a_half_closed_client_still_gets_its_answers(tmp_path: Path) -> None:
    async with bed(tmp_path) as plant:
        client = await plant.client()
        client.send(read(1) + write(2, 0) + read(3))
        client.writer.write_eof()
        assert split(await client.rest()) == [answer_to(read(1)), write(2, 0), answer_to(read(3))]


async def test_without_a_server_the_client_is_closed_and_counted(tmp_path: Path) -> None:
    async with bed(tmp_path) as plant:
        await plant.server.__aexit__()
        client = await plant.client()
        client.send(read(1))
        assert await client.rest() in (b"", b"RESET")
        assert plant.gate.counters.failed == 1


async def test_a_server_that_goes_away_takes_its_held_write_with_it(tmp_path: Path) -> None:
    async with bed(tmp_path, lambda _: None, deadline_ms=60_000.0) as plant:
        client = await plant.client()
        await client.ask(read(1))
        client.send(write(2, 1))
        await plant.brain.until(lambda: plant.brain.of(Command))
        plant.server.writers[0].transport.abort()
        assert await client.rest() in (b"", b"RESET")
        (outcome,) = await plant.brain.outcomes(1)
        assert (outcome.forwarded, outcome.ruled) == (False, False)
        assert "server" in outcome.reason


async def test_the_gate_that_ends_settles_what_it_holds(tmp_path: Path) -> None:
    async with bed(tmp_path, lambda _: None, deadline_ms=60_000.0) as plant:
        client = await plant.client()
        client.send(write(1, 0))
        await plant.brain.until(lambda: plant.brain.of(Command))
    (outcome,) = plant.brain.of(Outcome)
    assert not outcome.forwarded
    assert "the gate ends" in outcome.reason


async def test_connections_are_bounded_in_all_and_per_address(tmp_path: Path) -> None:
    async with bed(tmp_path, connections=3, connections_per_address=2) as plant:
        crowd = [await plant.client("127.0.0.2") for _ in range(3)]
        assert [await client.ask(read(1)) for client in crowd[:2]] == [answer_to(read(1))] * 2
        assert await crowd[2].rest() == b"RESET"
        neighbour = await plant.client("127.0.0.3")
        assert await neighbour.ask(read(1)) == answer_to(read(1))
        late = await plant.client("127.0.0.2")
        assert await late.rest() == b"RESET"
        assert plant.gate.counters.refused == 2


async def test_held_writes_are_bounded_and_the_rest_get_their_declared_choice_at_once(tmp_path: Path) -> None:
    async with bed(tmp_path, lambda _: None, deadline_ms=60_000.0, held=1) as plant:
        first, second = await plant.client(), await plant.client()
        first.send(write(1, 0))
        await plant.brain.until(lambda: plant.brain.of(Command))
        assert await second.ask(write(2, 0)) == adu(2, bytes((0x86, REFUSED)))
        assert await second.ask(write(3, 1)) == write(3, 1)
        outcomes = await plant.brain.outcomes(2)
        assert [outcome.forwarded for outcome in outcomes] == [False, True]


async def test_a_flood_behind_a_held_write_is_not_taken_in(tmp_path: Path) -> None:
    async with bed(tmp_path, lambda _: None, deadline_ms=60_000.0, waiting_octets=1024) as plant:
        client = await plant.client()
        client.send(write(1, 0))
        await plant.brain.until(lambda: plant.brain.of(Command))
        client.send(read(2) * 2_000_000)
        other = await plant.client()
        for transaction in range(20):
            await other.ask(read(transaction))
        side = next(iter(plant.gate._clients.values()))
        assert 1024 <= len(side._pending) <= 1024 + 8192
        assert client.writer.transport.get_write_buffer_size() > 0, "the rest stays with the client"


async def test_what_passes_is_observed_with_requests_answers_and_refusals(tmp_path: Path) -> None:
    async with bed(tmp_path, lambda _: False, observe=True, observe_ms=5.0) as plant:
        client = await plant.client()
        await client.ask(read(1, 4, 2))
        await client.ask(write(2, 0))
        client.writer.close()
        await plant.brain.until(lambda: len(plant.brain.messages()) == 4)
        await plant.brain.until(lambda: sum(len(heard.flows) for heard in plant.brain.of(Heard)) == 2)
        rows = plant.brain.messages()
        heard = plant.brain.of(Heard)
    request, response, exception = MessageKind.REQUEST, MessageKind.RESPONSE, MessageKind.EXCEPTION
    assert rows == [(request, 1, 3, 0), (response, 1, 3, 0), (request, 2, 6, 0), (exception, 2, 6, 0)]
    assert {value.source for value in heard} == {"gate"}
    untils = [value.until for value in heard]
    assert untils == sorted(untils)
    flags = [int(flag) for value in heard for flag in value.flows.tcp_flags]
    assert flags == [0x02, 0x11]
    for value in heard:
        assert all(value.messages.time < value.until + 1)


async def test_a_quarantine_cuts_its_address_only_and_a_release_lets_it_in_again(tmp_path: Path) -> None:
    from sentinel.model.exchange import ReleaseOrder

    held: list[Command] = []
    async with bed(tmp_path, held.append, deadline_ms=60_000.0) as plant:
        attacker, operator = await plant.client("127.0.0.66"), await plant.client("127.0.0.20")
        for client in (attacker, operator):
            await client.ask(read(1))
        attacker.send(write(2, 1))
        await plant.brain.until(lambda: held)
        expires = plant.gate._clock.now() + 3600 * 10**9
        order = QuarantineOrder(action="a1", target="127.0.0.66", expires=expires)  # type: ignore[arg-type]
        receipt = await plant.brain.intake.quarantine("gate", order)
        assert (receipt.applied, receipt.verified, receipt.action) == (True, True, "a1")
        assert "1 connections reset, 1 held writes discarded" in receipt.message
        assert await attacker.rest() == b"RESET"
        (outcome,) = await plant.brain.outcomes(1)
        assert (outcome.forwarded, outcome.reason) == (False, "its client is quarantined")
        again = await plant.client("127.0.0.66")
        assert await again.rest() == b"RESET"
        assert await operator.ask(read(3)) == answer_to(read(3))
        repeated = await plant.brain.intake.quarantine("gate", order)
        assert (repeated.applied, repeated.verified) == (True, True), "applying twice is applying once"
        released = await plant.brain.intake.release("gate", ReleaseOrder(action="a1", target="127.0.0.66"))  # type: ignore[arg-type]
        assert released.applied
        back = await plant.client("127.0.0.66")
        assert await back.ask(read(4)) == answer_to(read(4))


async def test_a_quarantine_outlives_the_gate_and_expires_by_itself(tmp_path: Path) -> None:
    from sentinel.model.action import Receipt

    async with bed(tmp_path) as plant:
        expires = plant.gate._clock.now() + 10**9
        order = QuarantineOrder(action="a1", target="127.0.0.66", expires=expires)  # type: ignore[arg-type]
        assert (await plant.brain.intake.quarantine("gate", order)).verified
    async with bed(tmp_path, observe=True) as plant:
        attacker = await plant.client("127.0.0.66")
        assert await attacker.rest() == b"RESET"
        await plant.brain.until(lambda: plant.brain.of(Receipt))
        (receipt,) = plant.brain.of(Receipt)
        assert (receipt.action, receipt.applied) == ("a1", False)
        assert "expired" in receipt.message
        attacker = await plant.client("127.0.0.66")
        assert await attacker.ask(read(1)) == answer_to(read(1))
        await plant.brain.until(lambda: any(0x14 in heard.flows.tcp_flags for heard in plant.brain.of(Heard)))


@pytest.mark.parametrize(("target", "seconds", "why"), [("a name", 60, "not an IP address"), ("127.0.0.66", -1, "expired already")])
async def test_an_order_that_cannot_be_followed_is_not_applied(tmp_path: Path, target: str, seconds: int, why: str) -> None:
    async with bed(tmp_path) as plant:
        order = QuarantineOrder(action="a1", target=target, expires=plant.gate._clock.now() + seconds * 10**9)  # type: ignore[arg-type]
        receipt = await plant.brain.intake.quarantine("gate", order)
    assert not receipt.applied
    assert why in receipt.message


async def test_an_unreadable_quarantine_file_is_set_aside_and_reported(tmp_path: Path) -> None:
    from sentinel.model.observation import Outage

    (tmp_path / "gate.quarantine.json").write_text('{"orders": [{"target": 1}]}')
    async with bed(tmp_path) as plant:
        await plant.brain.until(lambda: plant.brain.of(Outage))
        client = await plant.client()
        assert await client.ask(read(1)) == answer_to(read(1))
    assert "quarantines are lost" in plant.brain.of(Outage)[0].reason
    assert (tmp_path / "gate.quarantine.unreadable").exists()
