"""Any process may be killed at any moment: it comes back, nothing that was acknowledged is lost, and the outage is a finding.

One appliance beside the reference plant and its operator goes through all of it, test after test: first it learns, at the end all of it
is killed and started again.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox.casefile import CaseFile, rerun
from sentinel.clock import SystemClock
from sentinel.demo import topology
from sentinel.model.time import Instant
from sentinel.supervisor import python
from tests.e2e.appliance import REFUSED, WAIT_S, Appliance, accepted, begin, descendants, running
from tests.e2e.bed import need

LEARN_S = 8.0
STRANGER = "127.0.0.68"
LIMIT = 9  # LIC101.HH, which no operator moves
UNSPEAKABLE = "127.0.0.69"
one_loop = pytest.mark.asyncio(loop_scope="module")
pytestmark = [one_loop, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("appliance")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def appliance(places: Path) -> AsyncIterator[Appliance]:
    async with running(places, topology.loopback(), LEARN_S) as appliance:
        yield appliance


def now() -> Instant:
    return SystemClock().now()


async def test_a_brain_killed_while_it_learns_goes_on_where_it_stood(appliance: Appliance) -> None:
    async def has_learnt() -> bool:
        return bool((await appliance.learning())["windows"] > 3)

    await appliance.until("something is learnt", has_learnt)
    before, began = await appliance.kept(), now()
    learnt = (await appliance.learning())["windows"]
    await appliance.killed("brain")
    again = await appliance.outage("baseline", began)
    assert "learning was interrupted and goes on where it stood" in again["title"]
    assert (await appliance.learning())["windows"] > learnt / 2, "what lay between the last checkpoint and the kill is lost, no more"
    await appliance.nothing_lost(before)
    assert (await appliance.learning())["state"] == "learning"
    await appliance.active()


async def test_a_brain_killed_while_it_cuts_and_judges_goes_on_with_both(appliance: Appliance) -> None:
    """An action is being applied and a write is held, both at the same moment; the write is refused as its tag declares."""
    attacker, operator = appliance.story.setting.attacker, appliance.story.setting.operator
    assert await appliance.write(attacker, 1950) == REFUSED
    assert (await appliance.verdict(attacker, 1950))["judgement"] == "unsafe"
    action = await appliance.proposal(attacker)
    await appliance.rita.post(f"/actions/{action}/request")
    with appliance.frozen("court"):
        write = asyncio.create_task(appliance.write(operator, 1306))
        command = await appliance.command(operator, 1306)
        with appliance.frozen("gate"):
            await appliance.anna.post(f"/actions/{action}/approve")
            await appliance.state(action, "applying")
            before, began = await appliance.kept(), now()
            assert not write.done()
            os.kill(appliance.pids()["brain"], signal.SIGKILL)
        assert await asyncio.wait_for(write, WAIT_S) == REFUSED
    assert await appliance.setpoint() != 1306
    await appliance.outage("brain", began)
    await appliance.verdict(operator, 1306)
    await appliance.settled(command["id"], "command.refuse")
    await appliance.state(action, "applied")
    assert await appliance.write(attacker, 1200) == b""
    await appliance.nothing_lost(before)
    assert (await appliance.learning())["state"] == "active"
    await appliance.judges()


@pytest.mark.parametrize(("name", "raw", "answer"), [("court", 1957, REFUSED), ("gate", 1307, b"")])
async def test_a_write_that_is_held_when_its_holder_or_judge_is_killed_never_reaches_the_plant(
    appliance: Appliance, name: str, raw: int, answer: bytes
) -> None:
    """The next court is asked, where it comes in time: what its predecessor held is harmful, so that both ways end with a refusal."""
    operator = appliance.story.setting.operator if name == "gate" else "127.0.0.70"
    with appliance.frozen("court"):
        write = asyncio.create_task(appliance.write(operator, raw))
        await appliance.command(operator, raw)
        before, began = await appliance.kept(), now()
        assert not write.done()
        os.kill(appliance.pids()[name], signal.SIGKILL)
        assert await asyncio.wait_for(write, WAIT_S) == answer
    await appliance.outage(name, began)
    assert await appliance.setpoint() != raw
    await appliance.verdict(operator, raw)
    await appliance.settled((await appliance.command(operator, raw))["id"], "command.refuse")
    await appliance.nothing_lost(before)
    await appliance.judges()
    assert await appliance.write(appliance.story.setting.attacker, 1200) == b"", "the cut is not in force any more"


async def test_a_killed_wire_tier_comes_back_and_plays_what_is_refused(appliance: Appliance) -> None:
    """Meanwhile the court judges as before."""
    need()

    async def plays() -> bool:
        return bool((await appliance.rita.get("/health"))["wire"]["present"])

    await appliance.until("the wire tier is in session", plays)
    assert await appliance.write(STRANGER, 1955) == REFUSED
    first, again = await appliance.verdict(STRANGER, 1955), await appliance.replay(STRANGER, 1955)
    assert (again["refers"], again["judgement"]) == (first["id"], "unsafe")
    assert "the frame played to the emulated device" in again["evidence"][0]
    assert "sets LIC101.SP = 1.955" in again["evidence"][0]
    case = await appliance.rita.client.get(f"/verdicts/{again['id']}/case")
    kept = CaseFile.from_octets(case.content)
    assert (kept.verdict.id, kept.verdict.refers) == (again["id"], first["id"])
    assert rerun(kept) == kept.verdict
    before = await appliance.kept()
    assert "SIGKILL" in " ".join((await appliance.killed("wire"))["why"])
    assert await appliance.write(STRANGER, 1965) == REFUSED
    assert (await appliance.verdict(STRANGER, 1965))["judgement"] == "unsafe"
    await appliance.until("the wire tier is back in session", plays)
    assert await appliance.write(STRANGER, 1975) == REFUSED
    assert (await appliance.replay(STRANGER, 1975))["judgement"] == "unsafe"
    await appliance.nothing_lost(before)
    await appliance.judges()


@pytest.mark.parametrize(
    ("pdu", "operation", "says"),
    [
        ("5a0001", "umas", "the emulated device sets nothing that has an address"),
        ("64deadbeef", "user_defined_100", "the emulated device sets nothing that has an address"),
        ("160009fff0000f", "mask_write_register", "which the plant file does not declare"),
    ],
)
async def test_a_function_that_nobody_can_name_is_held_refused_and_played_to_the_emulated_device(
    appliance: Appliance, pdu: str, operation: str, says: str
) -> None:
    """The court has no name for what it would set; the emulated device is asked, by what the plant file says of its dialect."""
    need()
    before = await appliance.holding(LIMIT)
    assert await appliance.request(UNSPEAKABLE, bytes.fromhex(pdu)) == bytes((int(pdu[:2], 16) | 0x80, 4))
    command = await appliance.unnamed(UNSPEAKABLE, operation)
    again = await appliance.played(command["id"])
    assert (again["judgement"], command["id"]) == ("undecided", again["command"])
    assert says in again["reason"]
    assert "the frame played to the emulated device" in again["evidence"][0]
    await appliance.settled(command["id"], "command.refuse")
    assert await appliance.holding(LIMIT) == before


@pytest.mark.parametrize("name", ["poll-modbus", "poll-opcua", "court", "gate"])
async def test_what_is_killed_comes_back_and_the_road_is_open(appliance: Appliance, name: str) -> None:
    before = await appliance.kept()
    finding = await appliance.killed(name)
    assert "SIGKILL" in " ".join(finding["why"])
    await appliance.nothing_lost(before)
    await appliance.judges()


async def test_the_gates_own_ear_may_be_killed_too(appliance: Appliance) -> None:
    ear, began = await appliance.innermost("gate"), now()
    os.kill(ear, signal.SIGKILL)
    await appliance.outage("gate-observer", began)


async def test_the_court_behind_its_warden_may_be_killed_too(appliance: Appliance) -> None:
    court, began = await appliance.innermost("court"), now()
    os.kill(court, signal.SIGKILL)
    await appliance.outage("court", began)
    await appliance.judges()


async def test_afterwards_writes_are_judged_as_before(appliance: Appliance) -> None:
    operator, stranger = appliance.story.setting.operator, "127.0.0.67"
    assert await appliance.write(stranger, 1960) == REFUSED
    verdict = await appliance.verdict(stranger, 1960)
    assert (verdict["judgement"], verdict["invariant"]) == ("unsafe", "T101-overfill")
    assert await appliance.write(operator, 1210) == accepted(1210), await appliance.verdict(operator, 1210)
    assert await appliance.setpoint() == 1210
    await appliance.proposal(stranger)


async def test_what_nobody_could_judge_passes_once_when_two_people_say_so(appliance: Appliance) -> None:
    engineer, register, raw = "127.0.0.68", 3, 4612  # TIC301.SP, 46.12 degC: a tag that says `ask`
    with appliance.frozen("court"):
        assert await appliance.write(engineer, raw, register) == REFUSED
        permit = await appliance.proposal(engineer, "permit")
        await appliance.rita.post(f"/actions/{permit}/request")
        await appliance.anna.post(f"/actions/{permit}/approve")
        await appliance.state(permit, "applied")
        assert await appliance.write(engineer, raw + 1, register) == REFUSED, "another value was not permitted"
        assert await appliance.write(engineer, raw, register) == accepted(raw, register)
        await appliance.state(permit, "released")
        assert await appliance.write(engineer, raw, register) == REFUSED, "once"
    await appliance.judges()


async def test_a_second_appliance_in_the_same_directory_is_refused(appliance: Appliance) -> None:
    pids = appliance.pids()
    command = python("-m", "sentinel", "run", "--config", str(appliance.story.places.settings))
    second = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await asyncio.wait_for(second.communicate(), WAIT_S)
    assert second.returncode == 2
    assert said.decode().splitlines() == [f"sentinel run: {appliance.story.places.directory}: an appliance runs already in this directory"]
    assert appliance.pids() == pids


async def test_a_killed_supervisor_takes_all_with_it_and_the_next_one_finds_everything(appliance: Appliance) -> None:
    before, began = await appliance.kept(), now()
    tree = descendants(appliance.supervisor.pid)
    watched = [os.pidfd_open(pid) for pid in tree]
    appliance.supervisor.kill()
    await appliance.supervisor.wait()
    for watch in watched:
        await ended(watch)
    appliance.supervisor = await begin(appliance.story)
    finding = await appliance.outage("supervisor", began)
    assert "ended without being asked to" in finding["title"]
    await appliance.nothing_lost(before)
    assert (await appliance.learning())["state"] == "active"
    await appliance.judges()
    assert await appliance.write(appliance.story.setting.attacker, 1200) == b"", "the cut is not in force any more"


async def ended(pidfd: int) -> None:
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pidfd, gone.set)
    try:
        await asyncio.wait_for(gone.wait(), WAIT_S)
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


@pytest.mark.netns
async def test_in_namespaces_ears_and_enforcer_may_be_killed_and_the_kernel_keeps_the_cut(tmp_path: Path) -> None:
    need("nft")
    with topology.namespaces() as setting:
        async with running(tmp_path, setting, LEARN_S) as appliance:
            await appliance.active()
            attacker = await appliance.attack()
            action = await appliance.proposal(setting.attacker)
            await appliance.rita.post(f"/actions/{action}/request")
            await appliance.anna.post(f"/actions/{action}/approve")
            await attacker.until("cut", within_s=WAIT_S)
            await appliance.state(action, "applied")
            for name in ("capture", "enforcer", "brain"):
                before, receipts = await appliance.kept(), len(await appliance.receipts(action))
                await appliance.killed(name)
                await appliance.nothing_lost(before)
                if name != "capture":
                    await appliance.more_receipts(action, receipts)
                await appliance.state(action, "applied")
                assert not await appliance.reaches_the_plant(), f"the cut did not outlive {name}"
