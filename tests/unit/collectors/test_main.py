import asyncio
import json
import signal
import socket
import sys
from pathlib import Path

import pytest

from collectors.__main__ import main
from tests.unit.collectors.gate.plant import WAIT_S, Brain, Recorder, answer_to, read, write

GATE = {"intake": "/nowhere/intake.sock", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1", "farewell_s": 0.0}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "gate.json: cannot be read: No such file or directory"),
        ("{", "gate.json: GateConfig"),
        (json.dumps(GATE), "directory: Field required"),
        (json.dumps(GATE | {"directory": ".", "tempo": 1}), "tempo"),
        (json.dumps(GATE | {"directory": ".", "deadline_ms": -1}), "deadline_ms: -1.0 is not between"),
        (json.dumps(GATE | {"directory": ".", "upstream": "plc:502"}), "upstream: 'plc:502' is not address:port"),
        (json.dumps(GATE | {"directory": ".", "listen": "192.0.2.1:502"}), "listen: 192.0.2.1:502 cannot be used"),
    ],
)
def test_a_wrong_configuration_ends_with_a_line_that_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, content: str | None, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "gate.json").write_text(content)
    assert main(["gate", str(tmp_path / "gate.json")]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_an_unknown_kind_is_told_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "x"]) == 2
    assert "capture,gate,gate-opcua,poll-modbus,poll-opcua,waveform" in capsys.readouterr().err


async def test_a_killed_gate_comes_back_with_its_quarantines_and_a_terminated_one_ends_cleanly(tmp_path: Path) -> None:
    from sentinel.model.exchange import QuarantineOrder

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    intake, config = tmp_path / "intake.sock", tmp_path / "gate.json"

    async def attack() -> bytes:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.66", 0))
        except ConnectionResetError:  # so soon after the handshake that connecting still notices it
            return b"RESET"
        try:
            writer.write(read(1))
            return await asyncio.wait_for(reader.read(11), WAIT_S)
        except ConnectionResetError:
            return b"RESET"
        finally:
            writer.close()

    brain = Brain(intake, lambda _: True)
    async with Recorder() as server, brain.intake:
        options = {"intake": str(intake), "directory": str(tmp_path), "listen": f"127.0.0.1:{port}", "upstream": f"127.0.0.1:{server.port}"}
        config.write_text(json.dumps(options))
        for life in (1, 2):
            child = await asyncio.create_subprocess_exec(sys.executable, "-m", "collectors", "gate", str(config))
            try:
                await asyncio.wait_for(brain.intake.wait_present("gate"), WAIT_S)
                await asyncio.wait_for(brain.intake.wait_present("gate-observer"), WAIT_S)
                if life == 1:
                    assert await attack() == answer_to(read(1))
                    order = QuarantineOrder(action="a", target="127.0.0.66", expires=2**62)  # type: ignore[arg-type]
                    assert (await brain.intake.quarantine("gate", order)).applied
                assert await attack() == b"RESET"
                child.send_signal(signal.SIGKILL if life == 1 else signal.SIGTERM)
                status = await asyncio.wait_for(child.wait(), WAIT_S)
                assert status == (-signal.SIGKILL if life == 1 else 0)
                with pytest.raises(ConnectionRefusedError):
                    await attack()
                await asyncio.wait_for(brain.intake.wait_absent("gate-observer"), WAIT_S)
                await asyncio.wait_for(brain.intake.wait_absent("gate"), WAIT_S)
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()


async def test_a_killed_observer_is_started_again_and_the_relay_does_not_stumble(tmp_path: Path) -> None:
    from sentinel.model.exchange import Presence
    from sentinel.model.observation import Outage
    from tests.unit.collectors.gate.plant import bed

    async with bed(tmp_path, observe=True, observe_ms=5.0) as plant:
        client = await plant.client()
        assert await client.ask(read(1)) == answer_to(read(1))
        await plant.brain.until(lambda: len(plant.brain.messages()) == 2)
        tap = plant.gate._observed
        assert tap is not None
        assert tap.process is not None
        tap.process.kill()
        for transaction in range(2, 6):
            assert await client.ask(read(transaction)) == answer_to(read(transaction))
        comings = [value for value in plant.brain.of(Presence) if value.process == "gate-observer" and value.present]
        assert comings
        await asyncio.wait_for(tap.process.wait(), WAIT_S)
        await plant.brain.until(lambda: sum(value.process == "gate-observer" and value.present for value in plant.brain.of(Presence)) == 2)
        await plant.brain.until(lambda: plant.brain.of(Outage))
        assert plant.brain.of(Outage)[0].reason == "ended with status -9"
        assert await client.ask(write(9, 0)) == write(9, 0)
        await plant.brain.until(lambda: (1, 9, 6, 0) in plant.brain.messages())
