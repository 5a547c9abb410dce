"""The attacker: refuses what is not the demo's, does what its case says, knows when it is cut, and ends."""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.clock import SystemClock
from sentinel.demo.attacker import AttackConfig, permit
from sentinel.demo.attacks import CASES, case_writes
from sentinel.demo.wiring import read_interface
from sentinel.errors import ConfigError
from sentinel.model.modbus import writes_of
from tests.unit.demo.conftest import PATIENCE_S, Served

Start = Callable[..., Any]
INTERFACE = read_interface()


@pytest.mark.parametrize(
    ("target", "source", "namespace"),
    [
        ("192.0.2.1:502", "127.0.0.66", ""),
        ("10.77.1.10:502", "10.77.3.66", ""),
        ("10.77.1.10:502", "127.0.0.66", ""),
        ("127.0.0.1:502", "10.77.3.66", ""),
        ("8.8.8.8:502", "10.77.3.66", "any"),
        ("10.77.1.10:502", "10.77.3.66", "sntl-none-att"),
        ("10.77.1.10:502", "10.77.3.66", "../../proc/self/ns/net"),
        ("169.254.1.1:502", "10.77.3.66", "any"),
        ("224.0.0.1:502", "10.77.3.66", "any"),
        ("0.0.0.0:502", "10.77.3.66", "any"),
        ("plc:502", "127.0.0.66", ""),
        ("127.0.0.1:502", "me", ""),
    ],
)
def test_a_target_that_is_not_ours_is_refused_before_there_is_a_socket(target: str, source: str, namespace: str) -> None:
    with pytest.raises(ConfigError):
        permit(target, source, namespace)


@settings(max_examples=50)
@given(st.ip_addresses(v=4).filter(lambda address: not address.is_loopback), st.sampled_from(["", "sntl-1-att", "x"]))
def test_no_address_beyond_loopback_is_ever_permitted_here(address: Any, namespace: str) -> None:
    """Here: outside the namespace that is named."""
    assert not os.path.exists(f"/run/netns/{namespace}") or namespace == ""
    with pytest.raises(ConfigError):
        permit(f"{address}:502", "10.77.3.66", namespace)


def test_loopback_is_permitted() -> None:
    permit("127.0.0.2:1502", "127.0.0.66", "")


@pytest.mark.parametrize("wrong", [{"case": "dance"}, {"limit_s": 1e6}, {"limit_requests": 10**6}, {"timeout_ms": 0.0}, {"insist_ms": 0.0}])
def test_an_unbounded_or_unknown_attack_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        AttackConfig(**wrong)


@pytest.mark.parametrize("case", CASES)
def test_every_case_is_finite_and_says_on_the_wire_what_it_claims(case: str) -> None:
    shots = list(CASES[case](INTERFACE, 0.4))
    assert 0 < len(shots) < 100
    for shot in shots:
        writes = writes_of(INTERFACE.tags, shot.unit, shot.pdu)
        if shot.tag is None:
            assert not writes
        else:
            assert writes
            assert writes[0].tag == shot.tag
            assert writes[0].value == pytest.approx(shot.value)
    assert [(tag, value) for _, tag, value in case_writes(case, INTERFACE)] == [(shot.tag, shot.value) for shot in shots if shot.tag]


@pytest.mark.parametrize(
    ("case", "after"),
    [
        ("rogue_master", {"SIC301.SP": 12_000}),
        ("setpoint", {"LIC101.SP": 1.95}),
        ("pump_stop", {"LIC102.AUTO": 0, "LIC102.OP": 0, "LIC101.AUTO": 0, "LIC101.OP": 100, "P102.RUN": 0}),
        ("drift", {"LIC101.SP": 1.95}),
        ("disarm", {"H201.HH": 200, "P201.LL": 0, "BYPASS": 1, "TIC201.AUTO": 0, "TIC201.OP": 100, "P201.RUN": 0}),
        ("scan", {}),
    ],
)
async def test_a_case_reaches_the_controller_and_ends_at_its_limit(
    start: Start, served: Served, case: str, after: dict[str, float]
) -> None:
    before = served.plant.values()
    count = len(list(CASES[case](INTERFACE, 0)))
    attacker = await start(
        "attacker", case=case, target=served.endpoint, pause_ms=1.0, insist_ms=10.0, limit_requests=count + 4, limit_s=PATIENCE_S
    )
    assert await attacker.finish() == 0
    summary = attacker.lines[-1]
    assert (summary["event"], summary["requests"], summary["cut_ns"]) == ("summary", count + 4, None)
    for tag, value in (before | after).items():
        assert served.plant.registers.value(tag) == pytest.approx(value), tag
    requests = attacker.all("request")
    assert len(requests) == count + 4
    if case == "scan":
        assert {line["answer"] for line in requests} <= {"ok", "exception 11", "exception 1", "exception 2"}
        assert "exception 1" in summary["answers"]
    else:
        assert summary["answers"] == {"ok": count + 4}


async def test_it_ends_when_its_time_is_over_or_when_told(start: Start, served: Served) -> None:
    short = await start("attacker", target=served.endpoint, pause_ms=1.0, insist_ms=10.0, limit_s=0.3)
    assert await short.finish() == 0
    assert short.lines[-1]["seconds"] < 5
    told = await start("attacker", target=served.endpoint, pause_ms=1.0, insist_ms=10.0)
    await told.until("request")
    assert await told.end() == 0
    assert told.lines[-1]["event"] == "summary"


async def test_a_cut_is_known_with_its_instant(start: Start, served: Served) -> None:
    clock = SystemClock()
    attacker = await start("attacker", target=served.endpoint, pause_ms=1.0, insist_ms=20.0)
    for _ in range(4):
        await attacker.until("request")
    cutting = clock.now()
    await served.service.stop()
    stopped = clock.now()
    cut = await attacker.until("cut")
    assert cutting - 1_000_000_000 <= cut["at_ns"] <= stopped + 1_000_000_000
    assert cut["last_answer_ns"] <= cut["at_ns"]
    assert await attacker.finish() == 0
    assert attacker.lines[-1]["cut_ns"] == cut["at_ns"]
    assert {"refused", "reset", "closed"} & set(attacker.lines[-1]["answers"])


async def test_nobody_there_is_not_a_cut(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    attacker = await start("attacker", target=f"127.0.0.1:{port}", pause_ms=1.0, limit_requests=5, limit_s=5.0)
    assert await attacker.finish() == 0
    assert attacker.lines[-1]["cut_ns"] is None
    assert set(attacker.lines[-1]["answers"]) == {"refused"}


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (b"\0\x01\0\0\0\x03\x01\x83\x04", "exception 4"),
        (b"\0\x01\0\0\0\x03\x01\x90\x04", "wrong answer"),
        (b"\0\x09\0\0\0\x03\x01\x83\x04", "wrong answer"),
        (b"\0\x01\0\0\0\x00\x01\x83\x04", "wrong answer"),
        (b"\0\x01\0\0\xff\xff\x01\x03" + bytes(300), "ok"),
        (b"\xff" * 300, "wrong answer"),
        (b"\0\x01\0\0\0\x03\x01", "closed"),
        (b"", "closed"),
    ],
)
async def test_whatever_comes_back_is_named(start: Start, reply: bytes, answer: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(300)
        writer.write(reply)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        target = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        attacker = await start("attacker", target=target, limit_requests=1)
        assert (await attacker.until("request"))["answer"] == answer
        assert await attacker.finish() == 0


async def test_silence_is_a_timeout(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        attacker = await start("attacker", target=f"127.0.0.1:{silent.getsockname()[1]}", timeout_ms=50.0, limit_requests=1)
        assert (await attacker.until("request"))["answer"] == "timeout"
        assert await attacker.finish() == 0


async def test_a_foreign_target_is_one_line_and_status_two(start: Start) -> None:
    attacker = await start("attacker", target="192.0.2.7:502")
    error = (await attacker.process.communicate())[1].decode()
    assert attacker.process.returncode == 2
    assert "192.0.2.7" in error
    assert error.count("\n") == 1
