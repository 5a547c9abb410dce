import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from sentinel.clock import SystemClock
from sentinel.errors import ConfigError
from sentinel.model.observation import Outage
from sentinel.supervisor import Process, Supervisor

WAIT_S = 20.0
CALL = """
import os, signal, socket, sys
caller = socket.socket(socket.AF_UNIX)
caller.connect(sys.argv[1])
caller.send(b"%d\\n" % os.getpid())
signal.pause()
"""


class Callers:
    """A unix socket on which children announce their process ids."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._pids: asyncio.Queue[int] = asyncio.Queue()

    async def __aenter__(self) -> "Callers":
        self._server = await asyncio.start_unix_server(self._called, self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._pids.put_nowait(int(await reader.readline()))
        await reader.read()  # until the child is gone
        writer.close()

    async def next_pid(self) -> int:
        return await asyncio.wait_for(self._pids.get(), WAIT_S)


async def test_a_killed_child_is_started_again_and_its_outage_reported(tmp_path: Path) -> None:
    outages: asyncio.Queue[Outage] = asyncio.Queue()
    async with Callers(tmp_path / "calls") as callers:
        process = Process(name="caller", argv=(sys.executable, "-c", CALL, callers.path))
        supervisor = Supervisor([process], tmp_path / "log", SystemClock(), outages.put)
        running = asyncio.create_task(supervisor.run())
        first = await callers.next_pid()
        assert supervisor.pids() == {"caller": first}
        os.kill(first, signal.SIGKILL)
        outage = await asyncio.wait_for(outages.get(), WAIT_S)
        assert (outage.process, outage.reason) == ("caller", "killed by SIGKILL")
        assert outage.since <= outage.until
        second = await callers.next_pid()
        assert second != first
        supervisor.stop()
        await asyncio.wait_for(running, WAIT_S)
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)
    assert outages.empty()


async def test_a_child_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)" + CALL
    async with Callers(tmp_path / "calls") as callers:
        process = Process(name="stubborn", argv=(sys.executable, "-c", stubborn, callers.path))
        supervisor = Supervisor([process], tmp_path / "log", SystemClock(), _ignore)
        running = asyncio.create_task(supervisor.run())
        await callers.next_pid()
        supervisor.stop()
        await asyncio.wait_for(running, WAIT_S)
    assert supervisor.pids() == {}


async def test_an_unknown_namespace_is_refused_by_name(tmp_path: Path) -> None:
    process = Process(name="lost", argv=(sys.executable, "-c", ""), namespace="no-such-namespace")
    with pytest.raises(ConfigError, match="no-such-namespace"):
        await Supervisor([process], tmp_path, SystemClock(), _ignore).run()


async def test_the_last_words_of_a_child_that_refuses_to_run_are_in_its_outage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outages: asyncio.Queue[Outage] = asyncio.Queue()
    process = Process(name="brain", argv=(sys.executable, "-c", "import sys; print('api: port 1 is taken', file=sys.stderr); sys.exit(2)"))
    supervisor = Supervisor([process], tmp_path / "log", SystemClock(), outages.put)
    running = asyncio.create_task(supervisor.run())
    outage = await asyncio.wait_for(outages.get(), WAIT_S)
    supervisor.stop()
    await asyncio.wait_for(running, WAIT_S)
    assert outage.reason == "ended with status 2: api: port 1 is taken"
    assert outage.reason in caplog.text


async def test_a_child_that_this_machine_has_no_place_for_is_not_started_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outages: asyncio.Queue[Outage] = asyncio.Queue()
    program = f"open({str(tmp_path / 'starts')!r}, 'a').write('.'); print('no namespace to be had'); raise SystemExit(3)"
    processes = [Process(name="wire", argv=(sys.executable, "-c", program), final=frozenset({3}))]
    await asyncio.wait_for(Supervisor(processes, tmp_path / "log", SystemClock(), outages.put).run(), WAIT_S)
    assert (tmp_path / "starts").read_text() == "."
    assert outages.empty()
    assert "wire ended with status 3: no namespace to be had; the appliance goes on without it" in caplog.text


async def test_a_child_that_cannot_be_started_is_tried_until_it_can(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outages: asyncio.Queue[Outage] = asyncio.Queue()
    program = tmp_path / "program"
    process = Process(name="program", argv=(str(program),))
    supervisor = Supervisor([process], tmp_path / "log", SystemClock(), outages.put)
    running = asyncio.create_task(supervisor.run())
    while "cannot be started" not in caplog.text:  # noqa: ASYNC110  the kernel gives no event for it
        await asyncio.sleep(0)
    program.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    program.chmod(0o700)
    outage = await asyncio.wait_for(outages.get(), WAIT_S)
    supervisor.stop()
    await asyncio.wait_for(running, WAIT_S)
    assert outage.reason.startswith("cannot be started: ")


async def _ignore(_: Outage) -> None:
    return
