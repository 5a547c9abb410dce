"""The main road, whole: a real client attacks a real server, the appliance hears it, judges it, two people answer, nftables cuts it.

The reference plant stands behind libmodbus; operator and attacker are mbpoll.  Everything that the two people do is a call of the API with
their own certificate.
"""

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from sentinel import settings as configuration
from sentinel.access import Access, certificates
from sentinel.clock import SystemClock
from sentinel.demo.wiring import PLANT_FILE
from sentinel.places import Places
from sentinel.records import Records
from sentinel.settings import Settings
from sentinel.story import Person
from tests.e2e.bed import Bed, Running, need

pytestmark = pytest.mark.netns
PEOPLE = {"rita": ("analyst", "responder"), "anna": ("analyst", "approver"), "ada": ("admin",)}
LEARN_S = 15.0
READY_S, FOUND_S = 90.0, 30.0
POLL = ["stdbuf", "-oL", "mbpoll", "-m", "tcp", "-a", "1", "-t", "3", "-r", "1", "-c", "17", "-l", "250"]


@dataclass
class Stage:
    bed: Bed
    plant: Running
    operator: Running
    rita: Person
    anna: Person
    ada: Person
    logs: Path
    people: Path

    async def until(self, what: str, ask: Callable[[], Awaitable[Any]], within_s: float) -> Any:
        """Asks the API until the answer is something."""
        try:
            async with asyncio.timeout(within_s):
                while not (answer := await ask()):
                    await self._next_change()
        except TimeoutError:
            said = "\n".join(f"{log.name}: {log.read_text()[-1500:]}" for log in sorted(self.logs.glob("*.log")))
            pytest.fail(f"not within {within_s:g} s: {what}\n{said}")
        return answer

    async def _next_change(self) -> None:
        """Waits on the server's own stream of changes, for a second at most."""
        try:
            async with asyncio.timeout(1.0), self.rita.client.stream("GET", "/events", timeout=5.0) as stream:
                async for line in stream.aiter_lines():
                    if line.startswith("data"):
                        return
        except (TimeoutError, httpx.TransportError):
            return


def enrolled(places: Places, people: Path) -> None:
    records = Records(places.records, SystemClock())
    try:
        access = Access(places.authority, records, SystemClock())
        people.mkdir(mode=0o700)
        for name, roles in PEOPLE.items():
            key = certificates.new_key()
            issued = access.issue(name, roles, key.public_key(), by="test")
            (people / f"{name}.key").write_bytes(certificates.key_pem(key))
            (people / f"{name}.pem").write_bytes(issued.certificate)
        (people / "ca.pem").write_bytes(issued.authorities)
    finally:
        records.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
async def stage(bed: Bed, tmp_path: Path) -> AsyncIterator[Stage]:
    need("mbpoll", "nft", "conntrack", "stdbuf")
    port, plc = free_port(), bed.address("plc")
    settings = Settings(
        appliance=configuration.Appliance(plant=str(PLANT_FILE)),
        learning=configuration.Learning(lasts_s=LEARN_S),
        api=configuration.Api(port=port, enrol_port=0),
        enforce=configuration.Enforce(enforcer="nftables", namespace=bed.namespace("router"), never_cut=(plc, bed.address("hmi"))),
        capture=(configuration.Capture(interfaces=bed.interfaces("sensor")[:1], namespace=bed.namespace("sensor")),),
        poll_modbus=(configuration.PollModbus(server=f"{plc}:502", period_s=0.5, namespace=bed.namespace("router")),),
    )
    file = tmp_path / "sentinel.toml"
    file.write_text(configuration.write(settings))
    places = Places.of(settings, file)
    places.make()
    enrolled(places, tmp_path / "people")
    plant = bed.python("plc", "-m", "tests.e2e.programs.libmodbus_server", "0.0.0.0", "502", "plant")
    plant.wait_for("ready")
    operator = bed.start("hmi", *POLL, plc)
    appliance = bed.at_home("-m", "sentinel", "run", "--config", str(file))
    url = f"https://127.0.0.1:{port}"
    rita, anna, ada = (Person(name, url, tmp_path / "people") for name in PEOPLE)
    try:
        yield Stage(bed, plant, operator, rita, anna, ada, places.logs, tmp_path / "people")
    finally:
        for person in (rita, anna, ada):
            await person.client.aclose()
        await asyncio.to_thread(appliance.stop)


async def test_the_main_road(stage: Stage, tmp_path: Path) -> None:
    bed, plc, attacker = stage.bed, stage.bed.address("plc"), stage.bed.address("att")

    async def is_active() -> bool:
        try:
            health = await stage.rita.get("/health")
        except httpx.TransportError:
            return False
        twin = await stage.rita.client.get("/twin/health")
        in_step = twin.status_code == httpx.codes.OK and twin.json()["grade"] == "in_step"
        return health["learning"]["state"] != "learning" and in_step

    await stage.until("the baseline is active and the twin in step", is_active, READY_S)
    done = await asyncio.to_thread(bed.run, "att", *["mbpoll", "-m", "tcp", "-a", "1", "-t", "4", "-r", "1", plc, "1900"])
    assert done.returncode == 0, done.stdout
    stage.plant.wait_for("write 060000076c from 10.77.0.66")  # LIC101.SP = 1.900 m
    session = bed.start("att", *POLL, plc)
    session.wait_for("[1]")

    async def judged() -> Any:
        for finding in (await stage.rita.get("/findings"))["items"]:
            if attacker in finding["assets"] and finding["verdicts"]:
                verdict = await stage.rita.get(f"/verdicts/{finding['verdicts'][-1]}")
                if verdict["judgement"] == "unsafe":
                    return finding, verdict
        return None

    finding, verdict = await stage.until("an unsafe verdict about the attacker", judged, FOUND_S)
    assert finding["assets"][0] == attacker
    assert verdict["invariant"] == "T101-overfill"

    async def case() -> Any:
        answer = await stage.rita.client.get(f"/verdicts/{verdict['id']}/case")
        return answer.content if answer.status_code == httpx.codes.OK else None

    file = tmp_path / "verdict.case.zip"
    file.write_bytes(await stage.until("the case that the verdict rests on", case, FOUND_S))
    rerun = [sys.executable, "-m", "sentinel", "rerun", str(file), "--authority", str(stage.people / "ca.pem")]
    again = await asyncio.to_thread(subprocess.run, rerun, capture_output=True, text=True, check=False, timeout=FOUND_S)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "the same to the last bit" in again.stdout

    async def proposed() -> Any:
        items = (await stage.rita.get("/actions"))["items"]
        return next((item for item in items if item["target"] == attacker and item["state"] == "proposed"), None)

    action = await stage.until("a proposed quarantine", proposed, FOUND_S)
    assert (action["enforcer"], action["dry_run"]) == ("nftables", False)
    assert [item["target"] for item in (await stage.rita.get("/actions"))["items"]] == [attacker]
    await stage.rita.post(f"/actions/{action['id']}/request", {"reason": "test"})
    alone = await stage.rita.client.post(f"/actions/{action['id']}/approve")
    assert alone.status_code in {httpx.codes.FORBIDDEN, httpx.codes.CONFLICT}
    await stage.anna.post(f"/actions/{action['id']}/approve")

    await asyncio.to_thread(session.wait_for, "failed", FOUND_S)  # the attacker's session is dead

    async def applied() -> bool:
        return bool((await stage.rita.get(f"/actions/{action['id']}"))["state"] == "applied")

    await stage.until("the action is applied", applied, FOUND_S)
    later = await asyncio.to_thread(bed.run, "att", *["mbpoll", "-1", "-q", "-m", "tcp", "-t", "3", plc])
    assert later.returncode != 0
    count = len(stage.operator.lines)
    await asyncio.to_thread(stage.operator.wait_for, lambda _: len(stage.operator.lines) > count + 100)
    await asyncio.to_thread(stage.operator.stop, signal.SIGINT)
    sent = re.search(r"(\d+) frames transmitted, (\d+) received, (\d+) errors", "\n".join(stage.operator.lines))
    assert sent is not None
    assert (sent.group(1), sent.group(3)) == (sent.group(2), "0")
    verification = await stage.ada.get("/audit/verification")
    assert (verification["broken"], verification["problem"]) == (None, None)
    journal = [json.loads(line) for line in (stage.logs.parent / "enforcer.jsonl").read_text().splitlines()]
    assert [line["target"] for line in journal if line["event"] == "quarantine"] == [attacker]
