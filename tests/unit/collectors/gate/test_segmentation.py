"""However the octets of a connection are cut, the same requests reach the server and the same answers the client."""

import asyncio
import random
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.gate.arrivals import TOGETHER_S, Arrivals
from collectors.gate.judgement import Boundary, BrokenFramingError, Course, adu_octets, at_deadline, decide, exception_adu, touched
from sentinel.model.modbus import READS, WRITES, writes_of
from sentinel.model.tags import OnDeadline, TagMap
from tests.unit.collectors.gate.plant import TAGS, WAIT_S, Bed, adu, answer_to, bed, read, split, write, write_several

TAG_MAP = TagMap(TAGS)
REQUESTS = [
    read(1, 0, 2),
    write(2, 0, 1),
    read(3, 0, 1, 1),
    write(4, 0, 500),
    write_several(5, 1, 7, 8),
    adu(6, b"\x83\x02"),
    read(7, 9, 60, 4),
]
FORWARDED = [request for request in REQUESTS if request not in (REQUESTS[3], REQUESTS[5])]
ANSWERS = [answer_to(request) if request in FORWARDED else b"" for request in REQUESTS]
ANSWERS[3], ANSWERS[5] = adu(4, b"\x86\x04"), adu(6, b"\x83\x01")


async def exchange(plant: Bed, pieces: list[bytes]) -> tuple[bytes, list[bytes]]:
    """(what the server got, what the client got) of one connection whose octets reach the gate in these pieces."""
    before, heard = len(plant.server.received), asyncio.Queue[bytes]()
    plant.gate.tap = lambda _flow, from_client, octets: heard.put_nowait(octets) if from_client else None
    client = await plant.client()
    for piece in pieces:
        client.send(piece)
        assert await asyncio.wait_for(heard.get(), WAIT_S) == piece, "the cuts arrive as cuts"
    client.writer.write_eof()
    answers = split(await client.rest())
    await plant.server.until(lambda: len(plant.server.received) > before)
    client.writer.close()
    return bytes(plant.server.received[before]), answers


def check(server_got: bytes, client_got: list[bytes]) -> None:
    assert split(server_got) == FORWARDED, "the server gets whole requests, in their order, without the refused ones"
    assert sorted(client_got) == sorted(ANSWERS)


async def test_cut_at_every_octet(tmp_path: Path) -> None:
    stream = b"".join(REQUESTS)
    async with bed(tmp_path, lambda command: command.writes[0].raw < 100) as plant:
        for at in range(1, len(stream)):
            check(*await exchange(plant, [stream[:at], stream[at:]]))
        check(*await exchange(plant, [stream[at : at + 1] for at in range(len(stream))]))


async def test_cut_anywhere_many_times_and_the_servers_answers_too(tmp_path: Path) -> None:
    chance = random.Random(20261124)
    stream = b"".join(REQUESTS)
    async with bed(tmp_path, lambda command: command.writes[0].raw < 100) as plant:
        for pieces in range(1, 40):
            plant.server.pieces = chance.randrange(1, 12)
            cuts = sorted({0, len(stream), *(chance.randrange(len(stream)) for _ in range(pieces))})
            check(*await exchange(plant, [stream[a:b] for a, b in pairwise(cuts)]))


async def test_any_garbage_ends_at_the_gate(tmp_path: Path) -> None:
    """Whatever comes, the server sees whole, sound requests only, and others are served."""
    chance = random.Random(7)
    async with bed(tmp_path, lambda _: False) as plant:
        other = await plant.client()
        assert await other.ask(read(1)) == answer_to(read(1))
        for _ in range(200):
            soup = bytearray(b"".join(chance.choices(REQUESTS, k=3)))
            for _ in range(chance.randrange(1, 6)):
                soup[chance.randrange(len(soup))] = chance.randrange(256)
            client = await plant.client()
            client.send(bytes(soup) if chance.random() < 0.8 else chance.randbytes(chance.randrange(1, 300)))
            client.writer.write_eof()
            await client.rest()
            client.writer.close()
        assert await other.ask(read(2)) == answer_to(read(2))
        for stream in plant.server.received:
            for request in split(bytes(stream)):
                assert request[2:4] == b"\0\0"
                assert len(request) == 6 + int.from_bytes(request[4:6], "big")
                assert decide(TAG_MAP, request[6], request[7:]).course in (Course.PASS, Course.SAFETY)


@given(st.binary(max_size=300))
def test_framing_is_refused_at_the_first_octet_that_shows_it_and_never_later(octets: bytes) -> None:
    def verdict(size: int) -> str:
        try:
            return "whole" if 0 < adu_octets(octets[:size], 0) <= size else "more"
        except BrokenFramingError:
            return "broken"

    verdicts = [verdict(size) for size in range(len(octets) + 1)]
    if "broken" in verdicts:
        first = verdicts.index("broken")
        assert set(verdicts[first:]) == {"broken"}
        assert set(verdicts[:first]) <= {"more"}
        assert first <= 6
    elif "whole" in verdicts:
        assert verdicts.index("whole") == 6 + int.from_bytes(octets[4:6], "big")


@settings(max_examples=300)
@given(st.binary(min_size=1, max_size=253), st.integers(0, 255))
def test_any_request_is_decided_and_only_sound_ones_can_reach_the_server(pdu: bytes, unit: int) -> None:
    decision = decide(TAG_MAP, unit, pdu)
    assert (decision.exception > 0) == (decision.course is Course.REFUSE)
    assert at_deadline(TAG_MAP, unit, pdu, OnDeadline.REFUSE) in OnDeadline
    if decision.course is Course.PASS:
        assert pdu[0] in READS or pdu[:2] == b"\x2b\x0e"
    if decision.course in (Course.HOLD, Course.SAFETY) and pdu[0] in WRITES - {21, 22}:
        assert writes_of(TAG_MAP, unit, pdu)
        assert len(list(touched(TAG_MAP, unit, pdu))) >= 1
    if decision.course is Course.SAFETY:
        assert all(tag is not None and tag.safety for tag in touched(TAG_MAP, unit, pdu))
    answer = exception_adu(adu(9, pdu, unit), 4)
    assert answer == adu(9, bytes((pdu[0] | 0x80, 4)), unit)


@given(st.lists(st.binary(min_size=2, max_size=260), min_size=1, max_size=5), st.data())
def test_the_boundary_between_answers_is_found_however_they_are_cut(pdus: list[bytes], data: st.DataObject) -> None:
    answers = [adu(at, pdu) for at, pdu in enumerate(pdus)]
    stream = b"".join(answers)
    ends = {sum(map(len, answers[: at + 1])) for at in range(len(answers))} | {0}
    cuts = sorted({0, len(stream), *data.draw(st.lists(st.integers(0, len(stream))))})
    boundary = Boundary()
    for start, end in pairwise(cuts):
        boundary.follow(stream[start:end])
        assert boundary.is_between == (end in ends)
    assert not boundary.lost


def test_a_server_whose_length_cannot_be_leaves_no_place_for_an_answer() -> None:
    boundary = Boundary()
    boundary.follow(b"\0\1\0\0\0\0\1\3")
    assert boundary.lost
    assert not boundary.is_between


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1)), min_size=1, max_size=30), st.data())
def test_a_request_is_as_old_as_its_last_octet_to_a_twentieth_of_a_second(pieces: list[tuple[int, float]], data: st.DataObject) -> None:
    arrivals, times, now_s, taken = Arrivals(), list[float](), 0.0, 0
    for size, pause_s in pieces:
        now_s += pause_s
        arrivals.came(size, now_s)
        times += [now_s] * size
        if data.draw(st.booleans()):
            step = data.draw(st.integers(1, len(times) - taken)) if taken < len(times) else 0
            if step:
                taken += step
                assert times[taken - 1] - TOGETHER_S <= arrivals.take(step) <= times[taken - 1]
