"""So many conversations in OPC UA are decoded at once; further ones are known to speak it, and counted; places come free again."""

from collectors.capture.sensor import Sensor
from collectors.capture.tables import OPCUA_FLOWS
from collectors.wire.opcua.layout import LONG_CHUNKS, SHORT_OCTETS
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


def test_places_are_bounded_counted_and_given_back() -> None:
    talks = [talk(number) for number in range(OPCUA_FLOWS + 3)]
    sensor = Sensor("test", seed=7)
    heard = sensor.feed(batch_of([packet for one in talks for packet in one.packets]))
    assert sensor.counts["opcua_refused"] == 3
    assert int((sensor._t.opcua_owners > 0).sum()) == OPCUA_FLOWS
    sensor.feed(batch_of(end(talks[0]), start=START + 10_000 * MS))
    later = batch_of(talk(OPCUA_FLOWS + 10).packets, start=START + 30_000 * MS)  # one that has ended is kept for a while: late copies
    messages, flows, sensor = hear(later, sensor=sensor)
    assert sensor.counts["opcua_refused"] == 3, "the one that ended left its place to the one that came"
    assert [row["function"] for row in rows_of(messages)][-1] == READ[0]
    assert Protocol.OPCUA in flows.protocol.tolist()
    assert not (sensor._t.opcua_owners > 0).any(), "closed: nobody keeps a place"
    assert heard.counters.dropped == 3


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
