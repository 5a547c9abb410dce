"""The road from the wire, in a plant network of its own, against software that none of us wrote."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sentinel.intake import Intake
from sentinel.model.exchange import ExcerptOrder
from sentinel.model.ids import FindingId
from sentinel.model.observation import Heard
from sentinel.model.protocol import FlowKind, MessageKind, Protocol
from tests.e2e.bed import Bed, Running, need

pytestmark = pytest.mark.netns
PATIENCE_S = 60.0  # a cold start compiles the kernels


class Ears:
    """What one capture process delivered, row by row as it came."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.flows: list[dict[str, Any]] = []
        self.dropped = 0
        self._came = asyncio.Condition()

    async def __call__(self, value: Any) -> None:
        if not isinstance(value, Heard):
            return
        async with self._came:
            m, f = value.messages, value.flows
            for row in range(len(m)):
                self.messages.append(
                    {
                        "client": m.names[m.client[row]],
                        "server": m.names[m.server[row]],
                        "protocol": Protocol(int(m.protocol[row])),
                        "kind": MessageKind(int(m.kind[row])),
                        "function": int(m.function[row]),
                        "frame": int(m.frame[row]),
                        "pdu": m.pdu(row).hex(),
                        "defect": int(m.defect[row]),
                    }
                )
            for row in range(len(f)):
                self.flows.append({"source": f.names[f.source[row]], "target": f.names[f.target[row]], "kind": FlowKind(int(f.kind[row]))})
            self.dropped += value.counters.dropped
            self._came.notify_all()

    async def until(self, claim: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self._came:
            await self._came.wait_for(claim)

    async def heard(self, **wanted: Any) -> dict[str, Any]:
        """The first message with these values, now or later."""

        def found() -> dict[str, Any] | None:
            return next((row for row in self.messages if all(row[key] == value for key, value in wanted.items())), None)

        await self.until(lambda: found() is not None)
        row = found()
        assert row is not None
        return row


@pytest.fixture
async def listening(bed: Bed, tmp_path: Path) -> AsyncIterator[tuple[Intake, Ears, Running]]:
    """A capture process on the supervision network's mirror port, connected."""
    ears = Ears()
    config = tmp_path / "capture.json"
    intake_path, recent = tmp_path / "run" / "intake.sock", tmp_path / "recent"
    told = {"intake": str(intake_path), "interfaces": [bed.interfaces("sensor")[0]], "recent": str(recent)}
    config.write_text(json.dumps(told))
    async with Intake(intake_path, ears) as intake:
        capture = bed.python("sensor", "-m", "collectors", "capture", str(config))
        await asyncio.wait_for(intake.wait_present("capture"), PATIENCE_S)
        yield intake, ears, capture
        status = await asyncio.to_thread(capture.stop)
    assert status in {0, -signal.SIGKILL}, capture.lines  # killed only by a test


async def test_the_sensor_hears_what_the_server_was_told(bed: Bed, listening: tuple[Intake, Ears, Running]) -> None:
    need("mbpoll", "nmap")
    intake, ears, _ = listening
    plc, attacker, operator = bed.address("plc"), bed.address("att"), bed.address("hmi")
    server = bed.python("plc", "-m", "tests.e2e.programs.libmodbus_server", "0.0.0.0", "502")
    server.wait_for("ready")
    polling = bed.start("hmi", *["mbpoll", "-m", "tcp", "-a", "1", "-t", "3", "-r", "1", "-c", "8", "-l", "100", plc])

    await ears.heard(client=operator, function=4, kind=MessageKind.RESPONSE)
    done = await asyncio.to_thread(bed.run, "att", *["mbpoll", "-m", "tcp", "-a", "1", "-t", "4", "-r", "2", plc, "7000"])
    assert done.returncode == 0, done.stdout
    told = server.wait_for("write ")
    _, pdu, _, who = told.split()
    heard = await ears.heard(client=attacker, function=6, kind=MessageKind.REQUEST)
    assert (heard["pdu"], heard["client"], heard["server"], heard["protocol"]) == (pdu, who, plc, Protocol.MODBUS)

    scan = ["nmap", "-n", "-Pn", "-sT", "-p", "502", "--script", "modbus-discover", plc]
    await asyncio.to_thread(bed.run, "att", *scan, timeout_s=PATIENCE_S)
    await ears.heard(client=attacker, function=17)

    order = ExcerptOrder(finding=FindingId("f"), frames=(heard["frame"],))
    excerpt = await intake.excerpt("capture", order)
    assert bytes.fromhex(pdu) in excerpt

    polling.stop(signal.SIGINT)
    statistics = next(line for line in polling.lines if "frames transmitted" in line)
    answered = int(statistics.split(", ")[1].split()[0])
    server.stop()

    def answers() -> int:
        return sum(row["client"] == operator and row["kind"] is MessageKind.RESPONSE for row in ears.messages)

    await ears.until(lambda: answers() >= answered)
    assert answers() == answered  # every answer once, none lost
    assert {row["defect"] for row in ears.messages if row["client"] == operator} == {0}
    assert ears.dropped == 0


async def test_a_capture_that_is_killed_comes_back_and_hears_on(bed: Bed, listening: tuple[Intake, Ears, Running], tmp_path: Path) -> None:
    need("mbpoll")
    intake, ears, first = listening
    server = bed.python("plc", "-m", "tests.e2e.programs.libmodbus_server", "0.0.0.0", "502")
    server.wait_for("ready")
    first.stop(signal.SIGKILL)
    await asyncio.wait_for(intake.wait_absent("capture"), PATIENCE_S)
    again = bed.python("sensor", "-m", "collectors", "capture", str(tmp_path / "capture.json"))
    await asyncio.wait_for(intake.wait_present("capture"), PATIENCE_S)
    await asyncio.to_thread(bed.run, "att", *["mbpoll", "-m", "tcp", "-a", "1", "-t", "0", "-r", "3", bed.address("plc"), "1"])
    row = await ears.heard(client=bed.address("att"), function=5, kind=MessageKind.REQUEST)
    assert row["pdu"] == "050002ff00"
    assert again.process.poll() is None
