"""The sensor's promises: rows depend on packets alone; slots; watermark; bounds."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.capture import sensor as sensing
from collectors.capture.packets import PacketBatch
from collectors.capture.replay import replay
from collectors.capture.sensor import Sensor, spell
from collectors.capture.tables import MAX_FLOWS, MAX_MAC_PAIRS, MAX_SLOT_ROWS, NAMES, TCP_IDLE_S, make_tables
from sentinel.model.observation import SLOT_NS, Flows, Heard, Messages
from sentinel.model.protocol import Defect
from sentinel.model.time import Instant
from tests.data import data_file
from tests.unit.collectors.capture.frames import (
    ACK,
    MS,
    START,
    SYN,
    Talk,
    batch_of,
    ethernet,
    hear,
    ip4,
    read,
    registers,
    rows_of,
    tcp,
    udp,
    write,
)

CAPTURES = [
    "network/modbus-parsers/icsnpp_modbus_example.pcap",
    "network/modbus-parsers/suricata-verify_modbus.pcap",
    "network/modbus-iti/modbus_test_data_part1.pcap",
    "network/modbus-lemay/CnC_uploading_exe_modbus_6RTU_with_operate.snap160.pcap",
    "network/opcua/icsnpp_opcua_with-gap_with-handshake.pcap",
]


def timed(talk: Talk, times: list[int]) -> PacketBatch:
    return PacketBatch.of(talk.packets, times)


def mixed(seed: int, connections: int = 6, packets: int = 120) -> PacketBatch:
    """Connections that interleave, lose, repeat and end, over a few seconds, with other traffic between."""
    chance = random.Random(seed)
    out: list[bytes] = []
    talks = [Talk(cport=40000 + i, isn=chance.randrange(2**32)) for i in range(connections)]
    for talk in talks:
        out += talk.packets
        talk.packets.clear()
    for i in range(packets):
        talk = chance.choice(talks)
        choice = chance.random()
        if choice < 0.35:
            talk.ask(chance.choice((read(i), write(i, 3, i), b"\x00garbage that fits nothing")))
        elif choice < 0.7:
            talk.answer(registers(i))
        elif choice < 0.8:
            talk.seqs[0] += 12
        elif choice < 0.9:
            talk.raw(0, write(i, 9, 9), shift=-12)
        elif choice < 0.95:
            out.append(ethernet(ip4(udp(bytes(20), 1000 + i, 53), "10.0.0.9", "10.0.0.8", 17)))
        else:
            talk.finish()
        out += talk.packets
        talk.packets.clear()
    return batch_of(out, step=chance.choice((MS, 40 * MS)))


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(0, 150), max_size=12))
def test_any_batching_gives_the_same_rows(seed: int, cuts: list[int]) -> None:
    batch = mixed(seed)
    messages, flows, _ = hear(batch)
    again, flows_again, _ = hear(batch, [cut for cut in cuts if cut <= len(batch)], Sensor("test", seed=seed))
    assert rows_of(again) == rows_of(messages)
    assert rows_of(flows_again) == rows_of(flows)


@pytest.mark.data
@pytest.mark.parametrize("name", CAPTURES)
def test_any_batching_of_a_real_capture_gives_the_same_rows(name: str) -> None:
    path = data_file(name)

    def rows(batch_packets: int) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
        heard = list(replay(path, batch_packets=batch_packets))
        return rows_of(Messages.concat([h.messages for h in heard])), rows_of(Flows.concat([h.flows for h in heard]))

    whole = rows(65536)
    assert rows(1) == whole
    assert rows(97) == whole


def test_small_output_buffers_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """More packets than are decoded at once."""
    batch = mixed(5, packets=400)
    expected = hear(batch)[:2]
    monkeypatch.setattr(sensing, "BATCH_PACKETS", 7)
    got = hear(batch)[:2]
    assert [rows_of(columns) for columns in got] == [rows_of(columns) for columns in expected]


def test_flow_rows_come_when_their_second_is_over() -> None:
    talk = Talk()
    talk.ask(read(1))
    talk.answer(registers(1))
    second = START + SLOT_NS
    batch = timed(talk, [START, START + 1, START + 2, START + 3, second + 5])
    sensor = Sensor("s", seed=1)
    first = sensor.feed(batch.slice(0, 4))
    assert (len(first.messages), len(first.flows), first.until) == (1, 0, START)
    then = sensor.feed(batch.slice(4, 5))
    assert (len(then.messages), then.until) == (1, second)
    assert [(row["time"], row["last"], row["packets"], row["octets"]) for row in rows_of(then.flows)] == [
        (START, START + 3, 3, 12),
        (START + 1, START + 1, 1, 0),
    ]
    last = sensor.close()
    assert [row["frame"] for row in rows_of(last.flows)] == [5]
    assert last.until == second + SLOT_NS
    with pytest.raises(ValueError, match="closed"):
        sensor.feed(batch)


def test_flush_moves_the_watermark_and_closes_the_second() -> None:
    talk = Talk()
    sensor = Sensor("s", seed=1)
    assert sensor.flush(Instant(START)).until == START
    sensor.feed(timed(talk, [START, START + 1, START + 2]))
    early = sensor.flush(Instant(START + SLOT_NS - 1))
    assert (early.until, len(early.flows)) == (START, 0)
    late = sensor.flush(Instant(START + 3 * SLOT_NS + 5))
    assert (late.until, len(late.flows)) == (START + 3 * SLOT_NS, 2)
    back = sensor.flush(Instant(START))
    assert back.until == START + 3 * SLOT_NS


def every(heard: list[Heard]) -> None:
    until = 0
    for h in heard:
        assert h.until >= until
        for columns in (h.messages, h.flows):
            assert (columns.time >= until).all()
        until = h.until


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), jumps=st.lists(st.integers(-5 * SLOT_NS, 5 * SLOT_NS), min_size=10, max_size=10))
def test_no_row_is_older_than_what_was_said_to_be_complete(seed: int, jumps: list[int]) -> None:
    """Clocks that step either way included."""
    batch = mixed(seed, packets=60)
    chance = random.Random(seed)
    batch.time[:] += np.cumsum([chance.choice(jumps) if chance.random() < 0.1 else 0 for _ in range(len(batch))])
    sensor = Sensor("s", seed=seed)
    every([*(sensor.feed(batch.slice(i, i + 5)) for i in range(0, len(batch), 5)), sensor.close()])


def test_idle_conversations_are_forgotten_and_their_rest_reported() -> None:
    talk = Talk()
    talk.ask(write(1, 5, 7)[:9])
    later = Talk(cport=50000, isn=5)
    far = START + 2 * TCP_IDLE_S * SLOT_NS
    batch = PacketBatch.of(talk.packets + later.packets, [START] * 4 + [far] * 3)
    messages, _, _ = hear(batch)
    assert [(row["time"], Defect(int(str(row["defect"])))) for row in rows_of(messages)] == [(far, Defect.TRUNCATED)]


def test_a_flood_of_connections_is_bounded_and_counted() -> None:
    count = MAX_SLOT_ROWS + 500
    packets = [ethernet(ip4(tcp(b"", 1024 + i % 60000, 502, i, 0, SYN), f"10.1.{i // 60000}.1", "10.0.0.2")) for i in range(count)]
    talk = Talk()
    talk.ask(read(1))
    sensor = Sensor("s", seed=3)
    first = sensor.feed(batch_of(packets, step=10))
    second = sensor.feed(batch_of(talk.packets, start=START + 2 * SLOT_NS))
    assert len(first.flows) == 0
    assert len(second.flows) == MAX_SLOT_ROWS
    assert sensor.counts["rows_refused"] == 500
    assert sensor.counts["flows_evicted"] == count + 1 - MAX_FLOWS
    assert len(second.messages) == 1
    assert second.counters.dropped == 500
    assert second.counters.accepted == count + 4


def test_every_row_is_named_where_there_are_more_names_than_fit_at_once() -> None:
    """A scan with forged senders: each packet is a conversation of its own, with two addresses that nobody else has."""
    count = NAMES // 2 + 700
    senders = [f"10.{1 + i // 60000}.{i % 60000 // 250}.{i % 250}" for i in range(count)]
    scan = [
        ethernet(ip4(udp(b"", 1000, 2000), sender, "172.16.0.1", 17), source=bytes.fromhex(f"02{i:010x}").hex(":"))
        for i, sender in enumerate(senders)
    ]
    _, flows, _ = hear(batch_of(scan, step=10))
    assert flows.decoded("source") == senders
    assert None not in flows.decoded("source_mac")


def test_hardware_addresses_of_one_conversation_are_bounded() -> None:
    talk = Talk()
    for i in range(MAX_MAC_PAIRS + 5):
        talk.raw(0, b"", ACK, macs=(f"02:00:00:00:01:{i:02x}", "02:00:00:00:00:02"))
    _, flows, sensor = hear(talk.batch())
    assert len(flows) == MAX_MAC_PAIRS + 1
    assert sensor.counts["mac_pairs_folded"] == 6  # the handshake's pair is one of the bounded ones
    assert int(flows.packets.sum()) == len(talk.packets)


def test_what_a_sensor_can_ever_hold_is_fixed_when_it_is_made() -> None:
    """The tables never grow, whatever is heard: this is all of them."""
    assert sum(table.nbytes for table in make_tables(1)) <= 220_000_000


def test_the_seed_never_shows() -> None:
    batch = mixed(11)
    a, b = hear(batch, sensor=Sensor("s", seed=1)), hear(batch, sensor=Sensor("s", seed=2**63 + 5))
    assert rows_of(a[0]) == rows_of(b[0])
    assert rows_of(a[1]) == rows_of(b[1])


def test_addresses_are_spelt_as_people_do() -> None:
    assert spell(4, 0, 0x0A000001) == "10.0.0.1"
    assert spell(6, 0xFD00 << 48, 1) == "fd00::1"
    assert spell(1, 0, 0x0200000000AB) == "02:00:00:00:00:ab"
