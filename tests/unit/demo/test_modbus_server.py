"""The controller's Modbus server, asked by pymodbus' own client and by raw sockets."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusTcpClient

from sentinel.demo.modbus_server import FUNCTIONS, MAX_CONNECTIONS, ModbusService
from sentinel.demo.simulation import ReferencePlant
from tests.unit.demo.conftest import PATIENCE_S, Served


def adu(transaction: int, pdu: bytes, unit: int = 1) -> bytes:
    return transaction.to_bytes(2, "big") + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes([unit]) + pdu


async def one(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    """(transaction, unit, PDU) of the next answer."""
    head = await asyncio.wait_for(reader.readexactly(7), PATIENCE_S)
    assert head[2:4] == b"\0\0"
    return (
        int.from_bytes(head[:2], "big"),
        head[6],
        await asyncio.wait_for(reader.readexactly(int.from_bytes(head[4:6], "big") - 1), PATIENCE_S),
    )


async def ask(served: Served, pdu: bytes, unit: int = 1) -> bytes:
    reader, writer = await asyncio.open_connection(served.host, served.port)
    writer.write(adu(77, pdu, unit))
    transaction, answered, answer = await one(reader)
    writer.close()
    await writer.wait_closed()
    assert (transaction, answered) == (77, unit)
    return answer


async def test_a_foreign_client_reads_and_writes_every_table(served: Served) -> None:
    client = AsyncModbusTcpClient(served.host, port=served.port, timeout=5, retries=0)
    assert await client.connect()
    levels = await client.read_input_registers(0, count=17, device_id=1)
    assert levels.registers[0] == round(served.plant.registers.value("LT101") * 1000)
    assert (await client.read_discrete_inputs(0, count=7, device_id=1)).bits[:7] == [False] * 7
    assert (await client.read_coils(0, count=11, device_id=1)).bits[:11] == [True] * 10 + [False]
    assert not (await client.write_register(0, 1950, device_id=1)).isError()
    assert (await client.read_holding_registers(0, count=1, device_id=1)).registers == [1950]
    assert not (await client.write_registers(1, [810, 6100], device_id=1)).isError()
    assert not (await client.write_coil(0, False, device_id=1)).isError()
    assert not (await client.write_coils(6, [False, True], device_id=1)).isError()
    assert not (await client.mask_write_register(address=0, and_mask=0xFF00, or_mask=0x0001, device_id=1)).isError()
    both = await client.readwrite_registers(read_address=0, read_count=2, write_address=4, values=[7000], device_id=1)
    assert both.registers == [(1950 & 0xFF00) | 0x0001, 810]
    client.close()
    value = served.plant.registers.value
    assert (value("LIC102.SP"), value("TIC201.SP"), value("SIC301.SP")) == pytest.approx((0.81, 61.0, 7000))
    assert (value("P101.RUN"), value("LIC101.AUTO"), value("LIC102.AUTO")) == (0, 0, 1)
    assert served.service.memory.writes == 6


async def test_a_write_takes_effect_at_the_next_scan(served: Served) -> None:
    await ask(served, bytes.fromhex("0500000000"))  # P101.RUN off
    served.plant.step()
    assert not served.plant.actuators.p101_on


async def test_every_request_of_a_segment_is_answered_in_order(served: Served) -> None:
    reader, writer = await asyncio.open_connection(served.host, served.port)
    requests = [bytes.fromhex("0400000001"), bytes.fromhex("06000004c4"), bytes.fromhex("0300000001")]
    writer.write(b"".join(adu(number, pdu) for number, pdu in enumerate(requests, start=1)))
    answers = [await one(reader) for _ in requests]
    assert [transaction for transaction, _, _ in answers] == [1, 2, 3]
    assert answers[2][2] == bytes.fromhex("030204c4")
    writer.close()
    await writer.wait_closed()


async def test_a_request_in_single_octets_after_a_whole_one_is_answered(served: Served) -> None:
    reader, writer = await asyncio.open_connection(served.host, served.port)
    request = adu(2, bytes.fromhex("0300000001"))
    writer.write(adu(1, bytes.fromhex("0300000001")) + request[:3])
    assert (await one(reader))[0] == 1
    for octet in request[3:]:
        writer.write(bytes([octet]))
        await writer.drain()
    assert (await one(reader))[0] == 2
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("pdu", "answer"),
    [
        ("63", "e301"),
        ("08000100", "8801"),
        ("00", "8001"),
        ("8301", "8301"),
        ("0300000000", "8303"),
        ("030000007e", "8303"),
        ("0300100001", "8302"),
        ("04ffff0001", "8402"),
        ("0600100001", "8602"),
        ("10000000020304b004b0", "9003"),
        ("2b0d00", "ab01"),
        ("0300", "8303"),
    ],
)
async def test_what_cannot_be_done_is_an_exception_of_its_own_code(served: Served, pdu: str, answer: str) -> None:
    assert (await ask(served, bytes.fromhex(pdu))).hex() == answer


async def test_another_unit_is_not_at_home(served: Served) -> None:
    assert (await ask(served, bytes.fromhex("0300000001"), unit=55)).hex() == "830b"
    assert (await ask(served, bytes.fromhex("06000004c4"), unit=55)).hex() == "860b"
    assert served.plant.registers.value("LIC101.SP") == pytest.approx(1.2)


async def test_it_says_who_it_is(served: Served) -> None:
    assert b"RP-3" in await ask(served, bytes.fromhex("2b0e0100"))
    assert b"Sentinel" in await ask(served, b"\x11")


@pytest.mark.parametrize("junk", ["0001000700060103000000010000", "00010000ffff0103", "0001000000010103", "deadbeefdeadbeefdead"])
async def test_what_is_no_modbus_ends_the_connection_and_only_that(served: Served, junk: str) -> None:
    reader, writer = await asyncio.open_connection(served.host, served.port)
    writer.write(bytes.fromhex(junk))
    assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
    writer.close()
    await writer.wait_closed()
    assert (await ask(served, bytes.fromhex("0300000001"))).hex() == "030204b0"


async def test_one_connection_too_many_is_closed_and_a_place_becomes_free_again(served: Served) -> None:
    held = [await asyncio.open_connection(served.host, served.port) for _ in range(MAX_CONNECTIONS)]
    for reader, writer in held:
        writer.write(adu(1, bytes.fromhex("0300000001")))
        await one(reader)
    reader, writer = await asyncio.open_connection(served.host, served.port)
    assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
    writer.close()
    await writer.wait_closed()
    last_reader, last_writer = held.pop()
    last_writer.write(bytes.fromhex("0001000700060103000000010000"))  # the server itself closes this one: its place is free for certain
    await asyncio.wait_for(last_reader.read(), PATIENCE_S)
    assert (await ask(served, bytes.fromhex("0300000001"))).hex() == "030204b0"
    for _, writer in [*held, (last_reader, last_writer)]:
        writer.close()
        await writer.wait_closed()


@settings(max_examples=8)
@given(
    soup=st.lists(
        st.tuples(st.sampled_from([*sorted(FUNCTIONS), 7, 8, 20, 21, 24, 90, 200]), st.binary(max_size=40), st.sampled_from([0, 1, 255])),
        min_size=1,
        max_size=30,
    )
)
def test_any_bytes_in_a_whole_frame_get_exactly_one_answer(soup: list[tuple[int, bytes, int]]) -> None:
    async def exchange() -> list[tuple[int, int, bytes]]:
        service = ModbusService(ReferencePlant().registers)
        host, port = await service.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"".join(adu(number, bytes([function]) + rest, unit) for number, (function, rest, unit) in enumerate(soup)))
        answers: list[Any] = [await one(reader) for _ in soup]
        writer.close()
        await writer.wait_closed()
        await service.stop()
        return answers

    answers = asyncio.run(exchange())
    for number, ((function, _, unit), (transaction, answered, pdu)) in enumerate(zip(soup, answers, strict=True)):
        assert (transaction, answered) == (number, unit)
        assert pdu[0] in (function, function | 0x80)
        assert len(pdu) <= 253
