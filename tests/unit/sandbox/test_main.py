"""The process: starts locked in, refuses to start with a hole, ends when it is told to, when a case runs away, and when its warden dies."""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sandbox.__main__ import ENDED, MISCONFIGURED, NOT_ISOLATED, TOO_LONG
from sandbox.client import CourtClient
from sandbox.protocol import HELLO
from sentinel.model.command import Origin
from sentinel.model.verdict import Judgement
from sentinel.twin.engine import Model, initial
from sentinel.twin.snapshot import Snapshot
from tests.unit.sandbox.conftest import NOW, START_S, command, end, in_step, open_to_all, start_court

Connect = Callable[[Path], Awaitable[CourtClient]]
WEAKENED = str(Path(__file__).with_name("weakened_court.py"))


@pytest.mark.parametrize("layer", ["limits", "files", "rights", "landlock", "calls"])
def test_a_court_with_a_hollow_layer_refuses_to_start(tmp_path: Path, layer: str) -> None:
    court = start_court(tmp_path, program=(sys.executable, WEAKENED), extra=("hollow", layer))
    said = court.said()
    assert court.process.returncode == NOT_ISOLATED, said
    assert f"refuses to start: isolation layer '{layer}'" in said
    assert "does not hold" in said
    assert not court.socket.exists()


async def test_a_court_without_call_filter_judges_only_what_we_planned(tmp_path: Path, connect: Connect, snapshot: Snapshot) -> None:
    court = start_court(tmp_path, program=(sys.executable, WEAKENED), extra=("omit", "calls"))
    client = await connect(court.socket)
    client.keep(snapshot)
    held = await client.judge(command({"LIC101.SP": 1.9}, origin=Origin.GATE))
    planned = await client.judge(command({"LIC101.SP": 1.9}, origin=Origin.PLANNER))
    end(court)
    assert held.judgement is Judgement.UNDECIDED
    assert "not isolated" in held.reason
    assert planned.judgement is Judgement.UNSAFE


async def test_a_case_that_runs_away_ends_the_court(tmp_path: Path, connect: Connect, model: Model) -> None:
    court = start_court(tmp_path, members=2048, horizon_s=86400, case_limit_s=0.1)
    client = await connect(court.socket)
    client.keep(in_step(initial(model, 2048, at=NOW)))
    said = await asyncio.to_thread(court.said)
    assert court.process.returncode == TOO_LONG
    assert "took too long" in said


async def test_a_case_that_asks_for_too_many_futures_costs_its_own_verdict_alone(tmp_path: Path, connect: Connect, model: Model) -> None:
    """Each future is short, and there are hundreds: what an operator could do next, hour after hour, with no interlock in action."""
    court = start_court(tmp_path, members=16, horizon_s=14400)
    client = await connect(court.socket)
    client.keep(in_step(initial(model, 16, at=NOW)))
    doubt = await client.judge(command({"BYPASS": 1.0}))
    assert doubt.judgement is Judgement.UNDECIDED
    assert doubt.reason == "the court could not judge: the case was not done after 0.6 s of the processor"
    assert client.connected.is_set()
    again = await client.judge(command({"LIC101.SP": 1.9}, name="c-2"))
    assert again.judgement is Judgement.UNSAFE
    end(court)
    assert court.process.returncode == 0


def listening(path: Path, process: "subprocess.Popen[str]") -> socket.socket:
    """A connection, as soon as there is somebody."""
    assert process.stderr is not None
    for line in process.stderr:
        if "in session" in line:
            break
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(START_S)
    link.connect(str(path))
    return link


def test_it_ends_when_told_to_and_takes_its_socket_along(tmp_path: Path) -> None:
    court = start_court(tmp_path)
    with listening(court.socket, court.process):
        assert court.socket.stat().st_mode & 0o777 == 0o600
        end(court)
    assert court.process.returncode == 0
    assert not court.socket.exists()


def test_it_dies_with_its_warden_and_a_new_one_takes_the_socket_over(tmp_path: Path) -> None:
    court, greeting = start_court(tmp_path), HELLO.encode()
    with listening(court.socket, court.process) as link:
        court.process.kill()
        with contextlib.suppress(ConnectionResetError):  # it may not have taken the connection yet
            assert link.recv(len(greeting) + 1) in (b"", greeting)
            assert link.recv(1) == b""
    court.process.communicate(timeout=START_S)
    again = start_court(tmp_path)
    listening(again.socket, again.process).close()
    end(again)
    assert again.process.returncode == 0


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"plant": "absent.yaml"}, "absent.yaml: cannot be read"),
        ({"membres": 12}, "membres: unknown key; did you mean 'members'?"),
        ({"members": 3}, "members: 3 is not a number from 16 to 4096"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path: Path, config: dict[str, object], problem: str) -> None:
    court = start_court(tmp_path, **config)
    said = court.said()
    assert court.process.returncode == MISCONFIGURED, said
    assert problem in said


def test_a_file_in_the_socket_s_place_is_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "precious"
    place.write_text("mine")
    court = start_court(tmp_path, socket=str(place))
    assert "is a file, not a socket" in court.said()
    assert court.process.returncode == MISCONFIGURED
    assert place.read_text() == "mine"


def test_no_configuration_at_all(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "sandbox", str(tmp_path / "none.json")], capture_output=True, text=True, check=False)
    assert done.returncode == MISCONFIGURED
    assert "none.json" in done.stderr


async def test_unprivileged_it_judges_as_well(tmp_path: Path, as_nobody: tuple[str, ...], connect: Connect, snapshot: Snapshot) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    open_to_all(directory)
    court = start_court(directory, program=(*as_nobody, "-m", "sandbox"))
    client = await connect(court.socket)
    client.keep(snapshot)
    verdict = await client.judge(command({"LIC101.SP": 1.9}, origin=Origin.PLANNER))
    end(court)
    assert verdict.judgement is Judgement.UNSAFE


def test_exit_states_differ() -> None:
    assert len({0, ENDED, MISCONFIGURED, NOT_ISOLATED, TOO_LONG}) == 5
