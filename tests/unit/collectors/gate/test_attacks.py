"""What an attacker on the plant network may try with the gate, and what a hurried client does by itself: nobody else pays for it."""

import asyncio
import gc
import select
import socket
import struct
from pathlib import Path

import pytest

from collectors.gate.config import GateConfig
from collectors.gate.relay import ClientSide, ServerSide
from sentinel.errors import ConfigError
from sentinel.model.command import Command, TagWrite
from sentinel.model.modbus import writes_of
from sentinel.model.tags import MAX_UNNAMED, Table, TagMap
from sentinel.ports import Ruling
from tests.unit.collectors.gate.plant import TAGS, WAIT_S, Bed, Client, adu, answer_to, bed, read, tag, write, write_several

REFUSED = bytes((0x86, 4))


async def test_a_refusal_waits_for_the_answers_that_the_server_still_owes(tmp_path: Path) -> None:
    """A client may number all its requests alike: which answer belongs to which is then told by their order alone."""
    async with bed(tmp_path, lambda _: False) as plant:
        plant.server.silent = True
        client = await plant.client()
        client.send(read(0, 0, 1, 1) + read(0, 0, 2) + write(0, 0))
        await plant.brain.outcomes(1)
        for request in (read(0, 0, 1, 1), read(0, 0, 2)):
            plant.server.writers[0].write(answer_to(request))
            assert await client.receive() == answer_to(request)
        assert await client.receive() == adu(0, REFUSED)


async def test_a_server_that_stays_silent_does_not_keep_a_refusal_back_for_ever(tmp_path: Path) -> None:
    async with bed(tmp_path, lambda _: False) as plant:
        plant.server.silent = True
        client = await plant.client()
        client.send(read(1) + write(2, 0))
        assert await client.receive() == adu(2, REFUSED)
        plant.server.silent = False
        assert await client.ask(read(3)) == answer_to(read(3))


async def test_what_waited_goes_on_also_when_the_server_stays_silent(tmp_path: Path) -> None:
    waiting: list[Command] = []
    async with bed(tmp_path, waiting.append, deadline_ms=60_000.0) as plant:
        plant.server.silent = True
        client = await plant.client()
        client.send(write(1, 0) + read(2) + read(3))
        await plant.brain.until(lambda: waiting)
        await plant.brain.intake.rule(Ruling(command=waiting[0].id, forward=True, reason="safe"))
        await plant.server.until(lambda: plant.server.everything == write(1, 0) + read(2) + read(3))
        client.writer.write_eof()
        plant.server.writers[0].write(answer_to(read(3)))
        assert await client.receive() == answer_to(read(3))


async def test_a_server_that_stops_within_an_answer_ends_the_connection_that_waits_for_a_refusal(tmp_path: Path) -> None:
    async with bed(tmp_path, lambda _: False) as plant:
        plant.server.silent = True
        client = await plant.client()
        client.send(read(1, 0, 2))
        await plant.server.until(lambda: plant.server.received and len(plant.server.received[0]) == 12)
        plant.server.writers[0].write(answer_to(read(1, 0, 2))[:9])
        client.send(write(2, 0))
        assert await client.rest() in (answer_to(read(1, 0, 2))[:9], b"RESET")


async def test_no_write_is_decided_later_than_its_deadline_wherever_it_stood(tmp_path: Path) -> None:
    """What a client sent at once and has long given up must not reach the plant one deadline after the other."""
    async with bed(tmp_path, lambda _: None, deadline_ms=100.0) as plant:
        client = await plant.client()
        client.send(b"".join(write(at, 0) for at in range(1, 6)))
        assert [await client.receive() for _ in range(5)] == [adu(at, REFUSED) for at in range(1, 6)]
        first, *others = await plant.brain.outcomes(5)
        assert "no ruling within 100 ms" in first.reason
        assert all("waited behind other requests" in outcome.reason for outcome in others)
        assert not any(outcome.forwarded or outcome.ruled for outcome in (first, *others))


async def test_a_write_behind_another_is_still_judged_while_there_is_time(tmp_path: Path) -> None:
    async with bed(tmp_path, lambda _: True, deadline_ms=60_000.0) as plant:
        client = await plant.client()
        client.send(b"".join(write(at, 0) for at in range(1, 6)))
        assert [await client.receive() for _ in range(5)] == [write(at, 0) for at in range(1, 6)]
        assert all(outcome.ruled for outcome in await plant.brain.outcomes(5))


async def test_connections_that_have_ended_leave_nothing_behind(tmp_path: Path) -> None:
    """Connecting, sending garbage and doing it again must not fill the gate's memory."""
    async with bed(tmp_path) as plant:
        standing = await plant.client()
        await standing.ask(read(1))
        for _ in range(30):
            client = await plant.client()
            client.send(b"\xff" * 16)
            await client.rest()
            client.writer.close()
        assert await standing.ask(read(2)) == answer_to(read(2))
        del client
        gc.collect()
        left = [one for one in gc.get_objects() if issubclass(type(one), ClientSide | ServerSide)]  # a dead proxy's __class__ would raise
        assert len(left) == 2, "the standing connection's two sides"


async def test_a_request_that_never_becomes_whole_ends_its_connection_and_a_quiet_client_stays(tmp_path: Path) -> None:
    async with bed(tmp_path, patience_s=0.1) as plant:
        slow, quiet = await plant.client(), await plant.client()
        assert await quiet.ask(read(1)) == answer_to(read(1))
        slow.send(read(1)[:7])
        assert await slow.rest() in (b"", b"RESET")
        assert plant.gate.counters.refused == 1
        assert await quiet.ask(read(2)) == answer_to(read(2))


async def test_a_request_that_drips_in_is_not_waited_for(tmp_path: Path) -> None:
    async with bed(tmp_path, patience_s=0.2) as plant:
        slow = await plant.client()
        closed = asyncio.create_task(slow.rest())
        stream = write_several(1, 0, *range(100))
        for at in range(len(stream)):
            if closed.done() or slow.writer.is_closing():
                break
            slow.send(stream[at : at + 1])
            await asyncio.wait({closed}, timeout=0.05)
        assert await closed in (b"", b"RESET")
        assert plant.server.everything == b""


async def test_a_client_that_takes_no_answers_is_cut(tmp_path: Path) -> None:
    async with bed(tmp_path, patience_s=0.2) as plant:
        greedy = socket.socket()
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(greedy, plant.gate.address)
        await loop.sock_sendall(greedy, read(1, 0, 125) * 100_000)
        cut = select.poll()
        cut.register(greedy, 0)  # errors and hang-ups alone
        ((_, event),) = await asyncio.to_thread(cut.poll, WAIT_S * 1000)
        assert event & select.POLLERR
        greedy.close()
        other = await plant.client()
        assert await other.ask(read(2)) == answer_to(read(2))


def test_a_write_of_a_thousand_coils_is_described_by_what_has_a_name() -> None:
    """Each point takes microseconds to describe, in which nobody's reads pass, and a hundred octets of the outbox."""
    pdu = struct.pack(">BHHB", 15, 0, 1968, 246) + b"\xaa" * 246
    named = tag("FAR", 1900, Table.COIL)
    writes = writes_of(TagMap((*TAGS, named)), 1, pdu)
    assert writes is not None
    assert [write.tag for write in writes if write.tag] == ["RUN", "FAR"]
    assert len(writes) == 2 + MAX_UNNAMED
    assert writes_of(TagMap(()), 1, pdu[:1] + struct.pack(">HHB", 0, 8, 1) + b"\xaa") == tuple(
        TagWrite(tag=None, point=f"coil {at}", raw=float(at % 2), value=float(at % 2), unit="1") for at in range(8)
    )


async def test_a_crowd_that_fills_the_gate_makes_room_for_who_has_less(tmp_path: Path) -> None:
    async with bed(tmp_path, lambda _: None, deadline_ms=60_000.0, connections=3, connections_per_address=3) as plant:
        crowd = [await plant.client("127.0.0.66") for _ in range(3)]
        for client in crowd:
            await client.ask(read(1))
        crowd[2].send(write(2, 1))
        await plant.brain.until(lambda: plant.brain.of(Command))
        for at, address in enumerate(("127.0.0.20", "127.0.0.21")):
            newcomer = await plant.client(address)
            assert await newcomer.ask(read(3)) == answer_to(read(3))
            assert await crowd[2 - at].rest() == b"RESET", "its newest connection goes first"
        (outcome,) = await plant.brain.outcomes(1)
        assert (outcome.forwarded, outcome.reason) == (False, "its place is given to a client that has fewer")
        assert await crowd[0].ask(read(4)) == answer_to(read(4))
        late = await plant.client("127.0.0.22")
        assert await late.rest() == b"RESET", "one each: nobody has more than he"


async def held_command(plant: Bed, client: Client) -> Command:
    client.send(write(1, 0))
    await plant.brain.until(lambda: plant.brain.of(Command))
    command: Command = plant.brain.of(Command)[0]
    return command


async def test_a_ruling_that_meets_a_dying_connection_to_the_server_is_not_called_forwarded(tmp_path: Path) -> None:
    async with bed(tmp_path, lambda _: None, deadline_ms=60_000.0) as plant:
        client = await plant.client()
        command = await held_command(plant, client)
        side = next(iter(plant.gate._clients.values()))
        assert side.server is not None
        side.server.transport.abort()  # the loop tells of it in its next turn
        plant.gate._rule(Ruling(command=command.id, forward=True, reason="safe"))
        (outcome,) = await plant.brain.outcomes(1)
        assert not outcome.forwarded
        assert "connection" in outcome.reason
        assert plant.server.everything == b""


def test_a_gate_before_itself_is_refused() -> None:
    with pytest.raises(ConfigError, match="upstream"):
        GateConfig(intake="i", directory="d", listen="10.0.0.1:502", upstream="10.0.0.1:502")


async def test_more_connections_than_the_system_allows_descriptors_for_are_refused_at_start(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], 1024), before[1]))
    try:
        async with bed(tmp_path, connections=min(4096, (before[1] - 64) // 3)):
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 1024, "it takes what it is allowed to"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
