"""Who is forgotten when more conversations are heard than the table holds."""

import numpy as np
import pytest

from collectors.capture.packets import ETHERNET, PacketBatch
from collectors.capture.sensor import Sensor
from collectors.capture.tables import MAX_FLOWS
from sentinel.model.observation import Messages
from tests.unit.collectors.capture.frames import ACK, RST, START, SYN, Talk, batch_of, ethernet, ip4, read, registers, tcp

SPEAKING = 64  # conversations; they begin one after the other, and lie side by side in the table
_SYN = ethernet(ip4(tcp(b"", 1000, 502, 1, 0, SYN), "10.200.0.0", "10.0.0.2"))


def flood(count: int, first: int = 0) -> PacketBatch:
    """Openings of so many connections that nobody answers, in a tenth of a second."""
    octets = np.tile(np.frombuffer(_SYN, np.uint8), (count, 1))
    number = first + np.arange(count)
    for place, column in ((28, number >> 16), (29, number >> 8), (34, number), (41, number)):
        octets[:, place] = column & 0xFF
    columns = {name: np.full(count, len(_SYN), np.int32) for name in ("cap", "wire")}
    zeros = {"vlan": np.zeros(count, np.uint32), "iface": np.zeros(count, np.uint16)}
    return PacketBatch(
        octets=octets.reshape(-1),
        off=np.arange(count, dtype=np.int64) * len(_SYN),
        time=START + 100_000_000 + np.arange(count, dtype=np.int64),
        frame=np.arange(1, count + 1, dtype=np.int64),
        link=np.full(count, ETHERNET, np.uint16),
        **columns,
        **zeros,
    )


def talks() -> list[Talk]:
    made = [Talk(cport=30_000 + place, isn=10_000 * place) for place in range(SPEAKING)]
    for talk in made:
        talk.ask(read(1))
        talk.answer(registers(1))
    return made


def heard_later(sensor: Sensor, made: list[Talk], after_ns: int = 200_000_000) -> Messages:
    """What the sensor makes of one more request and answer of each."""
    packets = []
    for talk in made:
        before = len(talk.packets)
        talk.ask(read(2))
        talk.answer(registers(2))
        packets += talk.packets[before:]
    return sensor.feed(batch_of(packets, start=START + after_ns, step=1000)).messages


def test_a_flood_of_beginnings_pushes_out_no_conversation_that_speaks() -> None:
    sensor, made = Sensor("test", seed=7), talks()
    sensor.feed(batch_of([packet for talk in made for packet in talk.packets], step=1000))
    sensor.feed(flood(MAX_FLOWS + MAX_FLOWS // 4))
    messages = heard_later(sensor, made)
    assert sensor.counts["flows_evicted"] == MAX_FLOWS // 4 + SPEAKING
    assert sorted(set(messages.flow.tolist())) == list(range(SPEAKING))  # each goes on under its own number
    assert not messages.defect.any()


@pytest.mark.parametrize("ending", [RST, 0])
def test_one_that_was_closed_goes_before_those_that_speak(ending: int) -> None:
    sensor, made = Sensor("test", seed=7), talks()
    for talk in made[::2]:
        if ending:
            talk.raw(0, b"", RST)
        else:
            talk.finish()
    sensor.feed(batch_of([packet for talk in made for packet in talk.packets], step=1000))
    sensor.feed(flood(2 * MAX_FLOWS))
    flows = heard_later(sensor, made).flow.tolist()
    assert set(flows) & set(range(SPEAKING)) == set(range(1, SPEAKING, 2))


def test_who_is_heard_again_while_it_waits_for_an_answer_has_a_second_chance() -> None:
    """A mirror port that delivers one direction only: nobody is ever answered."""
    sensor, talk = Sensor("test", seed=7), Talk(syn=False)
    said = []
    for part in range(4):
        talk.ask(read(part))
        said.append(sensor.feed(batch_of(talk.packets[part:], start=START + 100_000_000 + part * 60_000)).messages)
        sensor.feed(flood(MAX_FLOWS // 2, first=part * (MAX_FLOWS // 2)))
    assert [messages.flow.tolist() for messages in said] == [[0]] * 4
    assert sensor.counts["flows_evicted"] == MAX_FLOWS + 1


def test_a_new_conversation_finds_its_place_where_all_others_speak() -> None:
    sensor = Sensor("test", seed=7)
    half = flood(MAX_FLOWS)
    octets = half.octets.reshape(len(half), -1)
    asked = np.frombuffer(read(1), np.uint8)
    body = np.zeros((2 * len(half), octets.shape[1] + len(asked)), np.uint8)
    body[0::2, : octets.shape[1]] = octets
    body[1::2, : octets.shape[1]] = octets
    body[:, octets.shape[1] :] = asked
    body[:, 17] = 40 + len(asked)
    body[:, 47] = ACK
    for here, there, size in ((26, 30, 4), (34, 36, 2)):  # what the server says
        body[1::2, here : here + size], body[1::2, there : there + size] = body[0::2, there : there + size], body[0::2, here : here + size]
    size = body.shape[1]
    count = len(body)
    speaking = PacketBatch(
        octets=body.reshape(-1),
        off=np.arange(count, dtype=np.int64) * size,
        cap=np.full(count, size, np.int32),
        wire=np.full(count, size, np.int32),
        time=START + np.arange(count, dtype=np.int64),
        frame=np.arange(1, count + 1, dtype=np.int64),
        link=np.full(count, ETHERNET, np.uint16),
        vlan=np.zeros(count, np.uint32),
        iface=np.zeros(count, np.uint16),
    )
    sensor.feed(speaking)
    assert sensor.counts["flows_evicted"] == 0
    talk = Talk()
    talk.ask(read(5))
    talk.answer(registers(5))
    messages = sensor.feed(batch_of(talk.packets, start=START + 100_000_000)).messages
    assert messages.transaction.tolist() == [5, 5]
    assert sensor.counts["flows_evicted"] == 1
