"""The OPC UA poll on secured channels, against servers of two stacks; a server that nobody has trusted is not read, and is told of."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from sentinel.intake import Intake
from sentinel.model.codec import to_jsonable
from sentinel.model.observation import TurnedAway
from sentinel.model.protocol import Quality
from tests.unit.collectors.gate.opcua.stage import asyncua_server
from tests.unit.collectors.gate.opcua.test_node_opcua import plant
from tests.unit.collectors.poll.test_opcua import HURRIED, Keeper, free_port, process, tag

WAIT_S = 60.0


class Guard(Keeper):
    """Keeps what is told of servers as well."""

    def __init__(self) -> None:
        super().__init__()
        self.told: asyncio.Queue[TurnedAway] = asyncio.Queue()

    async def __call__(self, value: Any) -> None:
        if isinstance(value, TurnedAway):
            self.told.put_nowait(value)
        await super().__call__(value)


def poll_of(directory: Path, port: int, **security: str) -> Path:
    file = directory / "poll.json"
    told = {
        "intake": str(directory / "intake.sock"),
        "url": f"opc.tcp://127.0.0.1:{port}/plant",
        "period_ms": 50.0,
        "tags": [to_jsonable(tag("SP"))],
        "security": {"certificates": str(directory / "pki"), **security},
    }
    file.write_text(json.dumps(told))
    return file


def trust(directory: Path) -> None:
    """What a person does who has looked at it."""
    for shown in (directory / "pki" / "rejected").iterdir():
        shown.rename(directory / "pki" / "trusted" / shown.name)


def password(directory: Path, text: str) -> str:
    file = directory / "password"
    file.write_text(text + "\n")
    file.chmod(0o600)
    return str(file)


@pytest.mark.parametrize("policy", ["Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"])
async def test_a_server_is_read_once_a_person_has_trusted_it(tmp_path: Path, policy: str) -> None:
    guard, port = Guard(), free_port()
    with asyncua_server(port, tmp_path):
        file = poll_of(tmp_path, port, policy=policy, user="op", password_file=password(tmp_path, "secret"))
        async with Intake(tmp_path / "intake.sock", guard), process("-c", HURRIED, "poll-opcua", str(file)):
            told = await asyncio.wait_for(guard.told.get(), WAIT_S)
            assert (told.gate, told.source, told.is_server, told.subject) == (
                "poll-opcua",
                "127.0.0.1",
                True,
                "CN=server,CN=urn:test:server",
            )
            assert "is not trusted" in told.reason
            assert guard.latest.get("SP", (0.0, Quality.BAD))[1] == Quality.BAD
            trust(tmp_path)
            await guard.until(lambda: guard.latest.get("SP") == (1.0, Quality.GOOD))


async def test_a_wrong_password_reads_nothing_and_the_right_one_is_taken_up_without_a_restart(tmp_path: Path) -> None:
    guard, port = Guard(), free_port()
    with asyncua_server(port, tmp_path):
        file = poll_of(tmp_path, port, policy="Basic256Sha256", mode="Sign", user="op", password_file=password(tmp_path, "guess"))
        async with Intake(tmp_path / "intake.sock", guard), process("-c", HURRIED, "poll-opcua", str(file)):
            await asyncio.wait_for(guard.told.get(), WAIT_S)
            trust(tmp_path)
            bad = len(guard.rows)
            await guard.until(lambda: len(guard.rows) > bad + 3)  # tried again and again
            assert guard.latest["SP"][1] == Quality.BAD
            password(tmp_path, "secret")
            await guard.until(lambda: guard.latest["SP"] == (1.0, Quality.GOOD))


@pytest.mark.timeout(300)
async def test_a_server_of_another_stack(tmp_path: Path) -> None:
    guard, port = Guard(), free_port()
    async with plant(tmp_path, port):
        file = poll_of(tmp_path, port, policy="Basic256Sha256")
        async with Intake(tmp_path / "intake.sock", guard), process("-c", HURRIED, "poll-opcua", str(file)):
            await asyncio.wait_for(guard.told.get(), WAIT_S)
            trust(tmp_path)
            await guard.until(lambda: guard.latest.get("SP") == (1.0, Quality.GOOD))


@pytest.mark.parametrize(
    ("security", "problem"),
    [
        ({"policy": "Basic256"}, "policy: 'Basic256' is not one of"),
        ({"policy": "Basic256Sha256", "mode": "None"}, "mode: 'None' is not one of"),
        ({"user": "op", "password_file": "x"}, "user: a password goes nowhere without a policy"),
        ({"policy": "Basic256Sha256", "user": "op"}, "password_file: a user has a file"),
        ({"policy": "Basic256Sha256", "user": "op", "password_file": "OPEN"}, "is open to others"),
        ({"policy": "Basic256Sha256", "user": "op", "password_file": "ABSENT"}, "cannot be read"),
        ({"policy": "Basic256Sha256", "user": "op", "password_file": "EMPTY"}, "does not hold one line"),
    ],
)
async def test_what_cannot_be_meant_is_refused_at_the_start(tmp_path: Path, security: dict[str, str], problem: str) -> None:
    (tmp_path / "OPEN").write_text("secret")
    (tmp_path / "OPEN").chmod(0o644)
    (tmp_path / "EMPTY").touch(0o600)
    named = {key: str(tmp_path / value) if key == "password_file" else value for key, value in security.items()}
    file = poll_of(tmp_path, 1, **named)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "collectors", "poll-opcua", str(file), stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(child.communicate(), WAIT_S)
    assert child.returncode == 2
    assert problem in said.decode()
