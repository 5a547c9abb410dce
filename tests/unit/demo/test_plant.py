"""The plant as a process."""

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from asyncua import Client
from pymodbus.client import AsyncModbusTcpClient

from tests.unit.demo.conftest import PATIENCE_S

Start = Callable[..., Any]


async def test_it_comes_up_quickly_lives_and_ends_with_a_summary(start: Start) -> None:
    began = time.monotonic()
    plant = await start("plant", modbus="127.0.0.10:0", opcua="127.0.0.10:0", seed=3, watch=True)
    ready = await plant.until("ready")
    assert time.monotonic() - began < 10  # 1.1 s on an idle machine; tests share theirs
    host, _, port = ready["modbus"].partition(":")
    client = AsyncModbusTcpClient(host, port=int(port), timeout=PATIENCE_S, retries=0)
    assert await client.connect()
    assert (await client.read_holding_registers(0, count=1, device_id=1)).registers == [1200]
    assert not (await client.write_register(4, 6300, device_id=1)).isError()
    client.close()
    async with Client(ready["opcua"]) as opcua:
        assert await opcua.get_node("ns=2;s=TT201").read_value() == pytest.approx(60, abs=1)
        await opcua.get_node("ns=2;s=LIC102.SP").write_value(0.82)
    states = [await plant.until("state") for _ in range(2)]
    assert states[1]["t_s"] == pytest.approx(states[0]["t_s"] + 1.0, abs=0.5)
    assert await plant.end() == 0
    summary = plant.lines[-1]
    assert (summary["event"], summary["modbus_writes"], summary["opcua_writes"], summary["outcomes"]) == ("summary", 1, 1, [])
    assert summary["ST301"] > 6010


async def test_it_can_run_faster_and_tells_of_damage(start: Start) -> None:
    plant = await start("plant", modbus="127.0.0.10:0", opcua="", speed=50.0)
    host, _, port = (await plant.until("ready"))["modbus"].partition(":")
    client = AsyncModbusTcpClient(host, port=int(port), timeout=PATIENCE_S, retries=0)
    assert await client.connect()
    assert not (await client.write_register(4, 12_000, device_id=1)).isError()
    client.close()
    outcome = await plant.until("outcome")
    assert outcome["name"] == "SP301.burst"
    assert await plant.end() == 0


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"modbus": "plc:502"}, "modbus: 'plc:502' is not an IPv4 address:port"),
        ({"sped": 2.0}, "did you mean 'speed'"),
        ({"speed": 0.0}, "speed: 0.0"),
        ({"plant": "/nowhere.yaml"}, "/nowhere.yaml"),
        ({"opcua": ":1"}, "opcua"),
    ],
)
async def test_a_wrong_configuration_is_one_line_and_status_two(start: Start, config: dict[str, Any], says: str) -> None:
    plant = await start("plant", **config)
    error = (await plant.process.communicate())[1].decode()
    assert plant.process.returncode == 2
    assert says in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("key", ["modbus", "opcua"])
async def test_a_taken_address_is_one_line_and_status_two(start: Start, key: str) -> None:
    with socket.create_server(("127.0.0.10", 0)) as taken:
        address = f"127.0.0.10:{taken.getsockname()[1]}"
        plant = await start("plant", **({"modbus": "127.0.0.10:0", "opcua": ""} | {key: address}))
        error = (await plant.process.communicate())[1].decode()
    assert plant.process.returncode == 2
    assert address in error
    assert error.count("\n") == 1
