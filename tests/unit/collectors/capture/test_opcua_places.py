"""So many conversations in OPC UA are decoded at once; a further one takes the place of one that is silent; places come free again."""

from collectors.capture.sensor import Sensor
from collectors.capture.tables import OPCUA_FLOWS
from collectors.wire.opcua.layout import LONG_CHUNKS, SHORT_OCTETS
from sentinel.model.observation import Heard
from sentinel.model.protocol import Protocol
from tests.unit.collectors.capture.frames import ACK, FIN, MS, START, Talk, batch_of, hear, rows_of
from tests.unit.collectors.wire.test_opcua import READ, hello, message


def talk(number: int, isn: int = 1000) -> Talk:
    one = Talk(client=f"10.1.{number // 250}.{1 + number % 250}", sport=4840, isn=isn)
    one.ask(hello())
    one.ask(message(READ[0], 2, 2))
    return one


def end(one: Talk) -> list[bytes]:
    one.packets.clear()
    one.raw(0, b"", FIN | ACK)
    one.seqs[0] += 1
    one.raw(1, b"", FIN | ACK)
    one.seqs[1] += 1
    one.raw(0, b"", ACK)
    return one.packets


def functions(heard: Heard) -> list[int]:
    return [int(row["function"]) for row in rows_of(heard.messages)]


def test_places_are_bounded_counted_and_given_back() -> None:
    talks = [talk(number) for number in range(OPCUA_FLOWS + 3)]
    sensor = Sensor("test", seed=7)
    heard = sensor.feed(batch_of([packet for one in talks for packet in one.packets]))
    assert functions(heard) == [-1, READ[0]] * len(talks), "every one of them is read"
    assert sensor.counts["opcua_displaced"] == heard.counters.dropped == 3
    assert int((sensor._t.opcua_owners > 0).sum()) == OPCUA_FLOWS
    sensor.feed(batch_of(end(talks[-1]), start=START + 10_000 * MS))
    later = batch_of(talk(OPCUA_FLOWS + 10).packets, start=START + 30_000 * MS)  # one that has ended is kept for a while: late copies
    messages, flows, sensor = hear(later, sensor=sensor)
    assert sensor.counts["opcua_displaced"] == 3, "the one that ended left its place to the one that came"
    assert [row["function"] for row in rows_of(messages)][-1] == READ[0]
    assert Protocol.OPCUA in flows.protocol.tolist()
    assert not (sensor._t.opcua_owners > 0).any(), "closed: nobody keeps a place"


def test_a_flood_of_beginnings_takes_no_place_from_a_conversation_that_goes_on() -> None:
    sensor, real, half = Sensor("test", seed=7), talk(0), OPCUA_FLOWS // 2
    for wave in range(8):
        flood = [talk(1 + wave * half + number) for number in range(half)]
        real.ask(message(READ[0], 3 + wave, 3 + wave))
        packets = [*real.packets, *(packet for one in flood for packet in one.packets)]
        real.packets.clear()
        real.answer(message(READ[1], 3 + wave, 3 + wave))
        asked = sensor.feed(batch_of(packets, start=START + 100_000 * wave * MS))
        answered = sensor.feed(batch_of(real.packets, start=START + (100_000 * wave + 50_000) * MS))
        real.packets.clear()
        assert len(asked.messages) == 2 * half + (3 if wave == 0 else 1)
        assert functions(answered) == [READ[1]]
        assert answered.messages.latency[0] > 0, "the answer has found its request"
    assert sensor.counts["opcua_displaced"] == 8 * half + 1 - OPCUA_FLOWS, "once for each of the flood that found no place, never for it"


def test_one_that_lost_its_place_is_read_again_from_its_next_message_on() -> None:
    sensor, first = Sensor("test", seed=7), talk(0)
    sensor.feed(batch_of(first.packets))
    flood = [talk(1 + number) for number in range(2 * OPCUA_FLOWS)]
    sensor.feed(batch_of([packet for one in flood for packet in one.packets], start=START + 1000 * MS))
    first.packets.clear()
    first.ask(message(READ[0], 3, 3))
    heard = sensor.feed(batch_of(first.packets, start=START + 2000 * MS))
    assert functions(heard) == [READ[0]]
    assert not heard.messages.defect.any()


def test_more_chunks_in_pieces_than_there_is_room_for_are_cut_and_read_again_when_there_is() -> None:
    whole = message(READ[0], 3, 3, rest=bytes(200))
    talks = [talk(number) for number in range(LONG_CHUNKS + 2)]
    sensor = Sensor("test", seed=7)
    for one in talks:
        one.ask(whole[:100])
        one.ask(whole[100:])
    begun = [packet for one in talks for packet in one.packets[:-1]]
    sensor.feed(batch_of(begun))
    assert int((sensor._t.opcua_long_owners > 0).sum()) == LONG_CHUNKS
    heard = sensor.feed(batch_of([one.packets[-1] for one in talks], start=START + 1000 * MS))
    assert sorted(heard.messages.pdu_octets.tolist()) == [SHORT_OCTETS] * 2 + [len(whole)] * LONG_CHUNKS
    assert not heard.messages.defect.any(), "what we cut is not its sender's fault"
    assert sensor.counts["opcua_bodies_cut"] == 2
    assert not sensor._t.opcua_long_owners.any()


def test_a_connection_of_the_same_ends_begins_anew() -> None:
    first, second = talk(0), talk(0, isn=900_000)
    messages, _, _ = hear(batch_of([*first.packets, *end(first), *second.packets]))
    assert [row["function"] for row in rows_of(messages)] == [-1, READ[0], -1, READ[0]]
    assert {row["defect"] for row in rows_of(messages)} == {0}
