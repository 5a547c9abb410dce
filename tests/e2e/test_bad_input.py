"""What comes in wrong gets an answer that says where and why, and nothing of the running appliance is the worse for it.

One appliance beside the reference plant and its operator takes all of it; the last test looks at what is left.
"""

import asyncio
import contextlib
import os
import re
import signal
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sentinel import settings as configuration
from sentinel.access import Access, certificates
from sentinel.clock import Clock, ManualClock, SystemClock
from sentinel.commands.demo import free_port
from sentinel.demo import topology
from sentinel.demo.wiring import PLANT_FILE
from sentinel.model.time import NS_PER_S
from sentinel.records import Records
from sentinel.settings import Settings
from sentinel.story import Person
from sentinel.supervisor import python
from tests.e2e.appliance import REFUSED, WAIT_S, Appliance, connection, running

LEARN_S = 6.0
STRANGER = "127.0.0.71"
DAY_S = 86_400
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


@dataclass
class Ground:
    appliance: Appliance
    pids: dict[str, int]
    kept: dict[str, dict[Any, Any]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    async with running(tmp_path_factory.mktemp("appliance"), topology.loopback(), LEARN_S) as appliance:
        await appliance.active()
        await appliance.judges()
        yield Ground(appliance, appliance.pids(), await appliance.kept())


@pytest.fixture
def appliance(ground: Ground) -> Appliance:
    return ground.appliance


# the gate


@pytest.mark.parametrize(
    "octets",
    [b"GET / HTTP/1.1\r\nHost: plc\r\n\r\n", os.urandom(4000), bytes.fromhex("0001 0000 ffff 01 06 0000 0000"), b"\xff" * 70_000],
    ids=["http", "noise", "length", "flood"],
)
async def test_garbage_on_the_gate_ends_that_connection_alone(appliance: Appliance, octets: bytes) -> None:
    async with connection(appliance.gate, STRANGER) as (reader, writer):
        writer.write(octets)
        try:
            answer = await asyncio.wait_for(reader.read(), WAIT_S)
        except ConnectionResetError:
            answer = b""
    assert answer == b""
    log = appliance.story.places.logs / "gate.log"

    async def is_told() -> bool:
        return f"connection of {STRANGER} is closed: the " in log.read_text()

    await appliance.until("the gate says why", is_told)


async def test_a_request_that_contradicts_itself_gets_the_standards_exception(appliance: Appliance) -> None:
    async with connection(appliance.gate, STRANGER) as (reader, writer):
        writer.write(bytes.fromhex("0007 0000 0009 01 10 0000 0001 04 00ff"))  # two registers' octets announced, one counted, one sent
        answer = await asyncio.wait_for(reader.readexactly(9), WAIT_S)
    assert answer == bytes.fromhex("0007 0000 0003 01 90 03")  # illegal data value
    assert await appliance.setpoint() != 0xFF


async def test_malformed_traffic_is_a_finding_that_says_what_is_wrong(appliance: Appliance) -> None:
    async def told() -> Any:
        findings = (await appliance.all("findings")).values()
        return [one for one in findings if STRANGER in one["assets"] and any("octets that fit no frame" in why for why in one["why"])]

    assert await appliance.until("a finding about malformed frames", told)


async def test_a_flood_of_refused_writes_is_not_taken_for_what_reached_the_plant(appliance: Appliance) -> None:
    """What the gate held is heard again by its own ear, seconds later; only what it held is known to have been refused."""
    flooder, operator, connections, each = "127.0.0.72", appliance.story.setting.operator, 10, 20

    async def flood(first: int) -> None:
        async with connection(appliance.gate, flooder) as (reader, writer):
            for value in range(first, first + each):
                writer.write(bytes.fromhex("0001 0000 0006 01 06 005a") + value.to_bytes(2, "big"))  # no tag is there: refused at once
                assert (await reader.readexactly(9))[7:] == REFUSED

    async with asyncio.timeout(WAIT_S):
        await asyncio.gather(*(flood(at * each) for at in range(connections)))
    ended_ns = SystemClock().now()

    async def is_heard() -> bool:
        return bool((await appliance.all("assets"))[operator]["last_seen"] > ended_ns + NS_PER_S)

    await appliance.until("the seconds of the flood are over and looked at", is_heard)
    commands = [one for one in (await appliance.all("commands")).values() if one["source"] == flooder]
    assert {one["origin"] for one in commands} == {"gate"}
    assert len(commands) == connections * each


# certificates


def person(appliance: Appliance, directory: Path, name: str, access: Access, roles: Iterable[str]) -> Path:
    key = certificates.new_key()
    issued = access.issue(name, roles, key.public_key(), by="test", lasts_s=DAY_S)
    (directory / f"{name}.key").write_bytes(certificates.key_pem(key))
    (directory / f"{name}.pem").write_bytes(issued.certificate)
    (directory / "ca.pem").write_bytes((appliance.story.people / "ca.pem").read_bytes())
    return directory


@pytest.fixture
def records(appliance: Appliance) -> Iterator[Records]:
    kept = Records(appliance.story.places.records, SystemClock())
    yield kept
    kept.close()


async def refused(appliance: Appliance, client: httpx.AsyncClient, why: str) -> None:
    """The handshake fails, and the audit log says why."""
    before = max(await appliance.audit())
    async with client:
        with pytest.raises(httpx.TransportError):
            await client.get("/health")

    async def written() -> Any:
        entries = (await appliance.ada.get("/audit", limit=200))["items"]
        fresh = [one for one in entries if one["sequence"] > before and one["action"] == "tls.handshake"]
        return [one for one in fresh if why in one["details"]["reason"]]

    (entry,) = await appliance.until(f"a refused handshake because of {why!r} is audited", written)
    assert (entry["outcome"], entry["target"]) == ("deny", "api")


async def test_an_expired_certificate_is_refused(appliance: Appliance, records: Records, tmp_path: Path) -> None:
    past: Clock = ManualClock(SystemClock().now() - 2 * DAY_S * NS_PER_S)
    access = Access(appliance.story.places.authority, records, past)
    person(appliance, tmp_path, "erna", access, ("analyst",))
    await refused(appliance, Person("erna", appliance.story.url, tmp_path).client, "certificate has expired")


async def test_a_foreign_certificate_is_refused(appliance: Appliance, tmp_path: Path) -> None:
    elsewhere = Records(tmp_path / "records", SystemClock())
    try:
        person(appliance, tmp_path, "rita", Access(tmp_path / "authority", elsewhere, SystemClock()), ("analyst",))
    finally:
        elsewhere.close()
    await refused(appliance, Person("rita", appliance.story.url, tmp_path).client, "unable to get")


async def test_no_certificate_is_refused(appliance: Appliance) -> None:
    context = ssl.create_default_context(cafile=str(appliance.story.people / "ca.pem"))
    client = httpx.AsyncClient(base_url=appliance.story.url, verify=context, trust_env=False)
    await refused(appliance, client, "peer did not return a certificate")


# approvals


async def test_nobody_approves_what_he_asked_for_nor_approves_twice(appliance: Appliance, records: Records, tmp_path: Path) -> None:
    access = Access(appliance.story.places.authority, records, SystemClock())
    person(appliance, tmp_path, "dora", access, ("analyst", "responder", "approver"))
    dora = Person("dora", appliance.story.url, tmp_path)
    async with dora.client:
        attacker = appliance.story.setting.attacker
        assert await appliance.write(attacker, 1950) == REFUSED
        action = await appliance.proposal(attacker)
        await dora.post(f"/actions/{action}/request")
        own = await dora.client.post(f"/actions/{action}/approve")
        assert own.status_code in {httpx.codes.FORBIDDEN, httpx.codes.CONFLICT}
        assert own.headers["content-type"] == "application/problem+json"
        assert own.json()["instance"] == f"/actions/{action}/approve"
        assert "dora" in own.json()["detail"] or "another person" in own.json()["detail"], own.json()
        await appliance.state(action, "requested")
        assert await appliance.write(attacker, 1950) == REFUSED, "it is cut, by one person"
        await appliance.anna.post(f"/actions/{action}/approve")
        await appliance.state(action, "applied")
        again = await appliance.anna.client.post(f"/actions/{action}/approve")
        assert again.status_code == httpx.codes.CONFLICT
        assert "cannot take the step approve" in again.json()["detail"]
    steps = [one for one in (await appliance.ada.get("/audit", limit=500))["items"] if one["target"] == action]
    assert [one["actor"] for one in steps if one["action"] == "action.approve"] == ["anna"]


# files


def settings_with(directory: Path, plant: str) -> Path:
    (directory / "plant.yaml").write_text(plant)
    settings = Settings(
        appliance=configuration.Appliance(directory="data", plant="plant.yaml"), api=configuration.Api(port=free_port(), enrol_port=0)
    )
    file = directory / "sentinel.toml"
    file.write_text(configuration.write(settings))
    return file


async def said(*words: str) -> tuple[int, list[str]]:
    """What a sub-command ends with, and what it says on standard error."""
    process = await asyncio.create_subprocess_exec(*python("-m", "sentinel", *words), stderr=asyncio.subprocess.PIPE)
    _, errors = await asyncio.wait_for(process.communicate(), WAIT_S)
    return process.returncode or 0, errors.decode().splitlines()


@pytest.mark.parametrize(
    ("right", "wrong", "where", "why"),
    [
        ("area: 0.25 m^2 +- 2 %, height: 2.0 m, level: 1.2 m", "area: 0.25 kg +- 2 %, height: 2.0 m, level: 1.2 m", "T101", "kg"),
        ("T101: {type: tank", "T101: {type: tonk", "T101", "tonk"),
        ("P101: {type: pump, to: T101", "P101: {type: pump, to: T109", "P101", "T109"),
    ],
    ids=["units", "component", "wiring"],
)
@pytest.mark.parametrize("command", ["run", "plant check"])
async def test_a_plant_file_that_is_wrong_is_refused_at_once(
    tmp_path: Path, right: str, wrong: str, where: str, why: str, command: str
) -> None:
    text = PLANT_FILE.read_text()
    assert text.count(right) == 1
    file = settings_with(tmp_path, text.replace(right, wrong))
    words = ("run", "--config", str(file)) if command == "run" else ("plant", "check", str(tmp_path / "plant.yaml"))
    status, errors = await said(*words)
    assert status == 2
    assert len(errors) == 1
    assert all(part in errors[0] for part in (str(tmp_path / "plant.yaml"), where, why)), errors


@pytest.mark.parametrize(
    "octets", [b"GIF89a, surely a capture", b"", b"\xd4\xc3\xb2\xa1\x02\x00", b"\0" * 3000], ids=["gif", "empty", "cut", "zeros"]
)
@pytest.mark.parametrize("command", ["replay", "learn"])
async def test_a_file_of_an_unknown_format_is_refused(tmp_path: Path, octets: bytes, command: str) -> None:
    file = tmp_path / "capture.pcap"
    file.write_bytes(octets)
    status, errors = await said(command, str(file), *(("--out", str(tmp_path / "baseline.npz")) if command == "learn" else ()))
    assert status == 2
    assert len(errors) == 1
    assert str(file) in errors[0]
    assert "offset" in errors[0] or "octets" in errors[0], errors
    assert not (tmp_path / "baseline.npz").exists()


@pytest.mark.parametrize(
    ("section", "line", "why"),
    [
        ("[learning]", 'baseline = "old.npz"', "not a baseline file"),
        ("[learning]", 'baseline = "none.npz"', "does not exist"),
        ("[enforce]", 'enforcer = "nftables"\nnamespace = "no-such"', "cannot be entered"),
        ("[court]", "membres = 3", "membres"),
    ],
    ids=["baseline", "no baseline", "namespace", "key"],
)
async def test_settings_that_cannot_be_kept_are_refused_at_once(tmp_path: Path, section: str, line: str, why: str) -> None:
    file = settings_with(tmp_path, PLANT_FILE.read_text())
    (tmp_path / "old.npz").write_bytes(b"not a baseline")
    text = file.read_text()
    assert text.count(section) == 1
    file.write_text(text.replace(section, f"{section}\n{line}"))
    status, errors = await said("run", "--config", str(file))
    assert status == 2
    assert len(errors) == 1
    assert why in errors[0]


async def test_a_port_that_is_taken_is_named_in_the_terminal(tmp_path: Path, appliance: Appliance) -> None:
    file = settings_with(tmp_path, PLANT_FILE.read_text())
    taken = appliance.story.settings.api.port
    file.write_text(re.sub(r"(?m)^port = \d+", f"port = {taken}", file.read_text()))
    process = await asyncio.create_subprocess_exec(*python("-m", "sentinel", "run", "--config", str(file)), stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    line = await asyncio.wait_for(process.stderr.readline(), WAIT_S)
    process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(process.communicate(), WAIT_S)
    assert f"api: cannot listen on 127.0.0.1 port {taken}: Address already in use" in line.decode()


# the API and the intake


async def test_nonsense_to_the_api_gets_a_problem_that_points_at_it(appliance: Appliance) -> None:
    rita = appliance.rita.client
    answers = [
        (await rita.get("/findings", params={"limit": "many"}), 422, "limit"),
        (await rita.get("/findings", params={"cursor": "%00"}), 422, "cursor"),
        (await rita.get("/actions/none"), 404, "none"),
        (await rita.post("/actions/none/request", content=b"\xff\x00{"), 422, "body"),
        (await rita.get("/no/such/page"), 404, ""),
    ]
    for answer, status, where in answers:
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert where in answer.json()["detail"]


async def test_garbage_on_the_intake_cuts_off_who_sent_it(appliance: Appliance) -> None:
    reader, writer = await asyncio.open_unix_connection(appliance.story.places.intake)
    writer.write(os.urandom(1000))
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
    writer.close()
    assert (await appliance.rita.get("/health"))["intake"]["refused"] >= 1


async def test_after_all_that_nothing_has_crashed_and_nothing_is_lost(ground: Ground) -> None:
    appliance = ground.appliance
    assert appliance.pids() == ground.pids
    await appliance.nothing_lost(ground.kept)
    assert not [one for one in (await appliance.all("findings")).values() if one["cause"].startswith("outage:")]
    await appliance.judges()
