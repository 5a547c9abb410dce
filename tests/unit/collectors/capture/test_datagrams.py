"""Modbus over UDP: units in datagrams, on any port, in any order; and datagrams that are none."""

import random

import pytest

from sentinel.model.protocol import Defect, FlowKind, Protocol
from tests.unit.collectors.capture.frames import MS, adu, batch_of, ethernet, hear, ip4, read, registers, udp, write

A4, B4 = "10.0.0.1", "10.0.0.2"


def ask(payload: bytes, port: int = 502, client: int = 40_000) -> bytes:
    return ethernet(ip4(udp(payload, client, port), A4, B4, 17))


def answer(payload: bytes, port: int = 502, client: int = 40_000) -> bytes:
    return ethernet(ip4(udp(payload, port, client), B4, A4, 17))


@pytest.mark.parametrize("port", [502, 5020])
@pytest.mark.parametrize("answers_first", [False, True])
def test_units_are_read_and_paired(port: int, answers_first: bool) -> None:
    packets = [answer(registers(9), port)] * answers_first
    packets += [ask(read(1) + read(2), port), answer(registers(2), port), answer(registers(1), port), ask(write(3, 5, 6), port)]
    messages, flows, _ = hear(batch_of(packets))
    messages = messages.take(messages.transaction != 9)
    assert messages.transaction.tolist() == [1, 2, 2, 1, 3]
    assert messages.latency.tolist() == [-1, -1, MS, 2 * MS, -1]
    assert set(messages.decoded("client")) == {A4}
    assert set(messages.port.tolist()) == {port}
    assert messages.defect.tolist() == [Defect.NONE] * 5
    assert set(flows.protocol.tolist()) == {Protocol.MODBUS}
    assert set(flows.kind.tolist()) == {FlowKind.UDP}


def test_a_datagram_is_the_end_of_what_it_begins() -> None:
    messages, _, _ = hear(batch_of([ask(read(1)), ask(read(2)[:9]), ask(b"\xde\xad\xbe\xef" * 3), ask(read(3)), ask(adu(4, b"\x03\0"))]))
    assert [(Defect(int(d)), int(t)) for d, t in zip(messages.defect, messages.transaction, strict=True)] == [
        (Defect.NONE, 1), (Defect.TRUNCATED, 2), (Defect.GARBAGE, -1), (Defect.NONE, 3), (Defect.BAD_LENGTH, 4),
    ]  # fmt: skip


def test_other_datagrams_are_no_modbus() -> None:
    chance = random.Random(7)
    packets = [ask(chance.randbytes(chance.randint(1, 80)), 1 + at, 60_000 - at) for at in range(3000)]
    packets += [ask(bytes(size), 20_000 + size) for size in range(1, 300)]
    _, flows, _ = hear(batch_of(packets))
    assert Protocol.MODBUS not in flows.protocol.tolist()
