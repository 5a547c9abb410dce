"""The two settings: loopback, and namespaces that come up whole, route, can be cut, and always go away."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from sentinel.demo import topology
from sentinel.demo.attacker import permit
from sentinel.errors import ConfigError, TransientError
from tests.unit.demo.conftest import PATIENCE_S

Start = Callable[..., Any]
_REASON = topology.why_not()
needs_namespaces = pytest.mark.skipif(_REASON is not None, reason=f"no network namespaces here: {_REASON}")


def ours() -> set[str]:
    return {path.name for path in topology.NAMESPACES.glob(f"sntl-{os.getpid()}-*")}


def dead_pid() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait(PATIENCE_S)
    return child.pid


def test_on_loopback_everybody_has_an_address_of_their_own() -> None:
    setting = topology.loopback()
    addresses = [setting.plant_modbus.partition(":")[0], setting.gate.partition(":")[0], setting.operator, setting.attacker]
    assert len(set(addresses)) == 4
    assert all(address.startswith("127.") for address in addresses)
    assert setting.plant_modbus != setting.plant_opcua
    assert not setting.namespaces
    assert setting.attacker_target == setting.gate
    assert setting.argv("att", "true") == ("true",)
    assert setting.namespace("box") == ""


def test_a_taken_port_is_replaced() -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        assert topology._free("127.0.0.2", port) != f"127.0.0.2:{port}"


@pytest.mark.netns
@needs_namespaces
def test_namespaces_come_and_go() -> None:
    with topology.namespaces() as setting:
        assert ours() == set(setting.namespaces.values())
        assert set(setting.namespaces) == set(topology.ROLES)
        devices = subprocess.run(
            setting.argv("box", "ip", "-brief", "link"), capture_output=True, text=True, check=True, timeout=PATIENCE_S
        ).stdout
        assert all(f"{name}@" in devices for name in setting.interfaces)
    assert not ours()


@pytest.mark.netns
@needs_namespaces
def test_they_go_after_an_error_and_with_the_processes_inside() -> None:
    strays: list[subprocess.Popen[bytes]] = []

    def fail_inside() -> None:
        with topology.namespaces() as setting:
            stray = subprocess.Popen(setting.argv("plc", sys.executable, "-c", "print(flush=True); input()"), stdin=-1, stdout=-1)
            strays.append(stray)
            assert stray.stdout
            stray.stdout.readline()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_inside()
    assert strays[0].wait(PATIENCE_S) < 0
    strays[0].communicate()
    assert not ours()


@pytest.mark.netns
@needs_namespaces
def test_what_a_killed_run_left_is_swept_and_living_runs_are_not() -> None:
    left = f"sntl-{dead_pid()}-plc"
    subprocess.run(["ip", "netns", "add", left], check=True, timeout=PATIENCE_S)
    with topology.namespaces() as setting:
        assert not (topology.NAMESPACES / left).exists()
        assert topology.sweep() == ()
        assert ours() == set(setting.namespaces.values())


@pytest.mark.netns
@needs_namespaces
def test_a_name_that_is_taken_leaves_nothing_behind() -> None:
    taken = f"sntl-{os.getpid()}-hmi"
    subprocess.run(["ip", "netns", "add", taken], check=True, timeout=PATIENCE_S)
    with pytest.raises(TransientError, match="hmi"), topology.namespaces():
        pytest.fail("it came up over a name that was taken")
    assert not ours()


@pytest.mark.netns
@needs_namespaces
async def test_the_attacker_reaches_the_plant_until_the_box_cuts_it_and_the_operator_goes_on(start: Start) -> None:
    with topology.namespaces() as setting:
        plant = await start("plant", prefix=setting.argv("plc"), modbus=setting.plant_modbus, opcua=setting.plant_opcua)
        await plant.until("ready")
        operator = await start(
            "operator", prefix=setting.argv("hmi"), server=setting.plant_modbus, source=setting.operator, poll_ms=100.0, hurry=20.0
        )
        attacker = await start(
            "attacker",
            prefix=setting.argv("att"),
            target=setting.attacker_target,
            source=setting.attacker,
            namespace=setting.namespace("att"),
            pause_ms=50.0,
            insist_ms=50.0,
            timeout_ms=600.0,
        )
        for _ in range(4):
            assert (await attacker.until("request"))["answer"] == "ok"
        chain = "add table inet t; add chain inet t f { type filter hook forward priority 0; }"
        nft = await asyncio.create_subprocess_exec(
            *setting.argv("box", "nft", f"{chain}; add rule inet t f ip saddr {setting.attacker} drop")
        )
        assert await asyncio.wait_for(nft.wait(), PATIENCE_S) == 0
        cut = await attacker.until("cut")
        assert cut["answer"] == "timeout"
        assert await attacker.finish() == 0
        await operator.until("write")
        assert await operator.end() == 0
        assert operator.lines[-1]["operator_lost"] == 0
        assert await plant.end() == 0
        assert plant.lines[-1]["modbus_writes"] >= 2


@pytest.mark.netns
@needs_namespaces
async def test_the_attacker_refuses_from_outside_the_namespace_that_is_named(start: Start) -> None:
    with topology.namespaces() as setting:
        with pytest.raises(ConfigError, match="not inside"):
            permit(setting.attacker_target, setting.attacker, setting.namespace("att"))
        public = await start(
            "attacker", prefix=setting.argv("att"), target="192.0.3.1:502", source=setting.attacker, namespace=setting.namespace("att")
        )
        error = (await public.process.communicate())[1].decode()
        assert public.process.returncode == 2
        assert "not a private address" in error


def test_names_of_others_are_not_ours() -> None:
    names = ["sntl-41-plc", "sntl-41-plc2", "other-41-plc", "sntl-x-box", "sntl-42-box", "plc", "sntl-41-att\n", "xsntl-41-hmi"]
    assert topology.abandoned(names, lambda number: number == 42) == ("sntl-41-plc",)
    assert topology.abandoned(names, lambda number: True) == ()
