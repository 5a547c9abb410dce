"""A gate process that is killed while it holds a write, and comes back: a reset for the client, nothing done, and the records say so."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from sentinel.model.codec import to_jsonable
from sentinel.model.command import Command
from tests.unit.collectors.gate.opcua.stage import TAGS, Raw, Server, one_write, read, writes
from tests.unit.collectors.gate.plant import WAIT_S, Brain


@pytest.mark.timeout(90)
async def test_a_write_that_was_held_when_the_gate_was_killed_is_not_done_and_is_in_the_records(
    tmp_path: Path, server: Server, free_port: int
) -> None:
    told = {
        "intake": str(tmp_path / "intake.sock"),
        "directory": str(tmp_path),
        "listen": f"127.0.0.1:{free_port}",
        "upstream": f"127.0.0.1:{server.port}",
        "tags": [to_jsonable(tag) for tag in TAGS],
        "observe": False,
        "deadline_ms": 20_000.0,
    }
    (tmp_path / "gate.json").write_text(json.dumps(told))
    brain = Brain(tmp_path / "intake.sock", lambda command: None if command.writes[0].raw == 8.0 else True)
    start = [sys.executable, "-m", "collectors", "gate-opcua", str(tmp_path / "gate.json")]
    async with brain.intake:
        life = await asyncio.create_subprocess_exec(*start)
        await asyncio.wait_for(brain.intake.wait_present("gate"), WAIT_S)
        client = await Raw.with_session(("127.0.0.1", free_port))
        assert (await client.ask(673, writes(one_write("FAST", 7.0)))).statuses == [0]
        client.send(673, writes(one_write("FAST", 8.0)))
        await brain.until(lambda: len(brain.of(Command)) == 2)
        life.kill()
        await life.wait()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await client.chunk()
        client.close()
        await asyncio.wait_for(brain.intake.wait_absent("gate"), WAIT_S)
        life = await asyncio.create_subprocess_exec(*start)
        await asyncio.wait_for(brain.intake.wait_present("gate"), WAIT_S)
        forwarded, killed = await brain.outcomes(2)
        assert (forwarded.forwarded, forwarded.ruled, killed.forwarded) == (True, True, False)
        again = await Raw.with_session(("127.0.0.1", free_port))
        assert (await again.ask(631, read("FAST"))).number == 7.0
        again.close()
        life.terminate()
        assert await asyncio.wait_for(life.wait(), WAIT_S) == 0
