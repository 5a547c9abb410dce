"""What people do with the twin of a running appliance: watch it, take its snapshot, look ahead from it, look back; also after a kill."""

import asyncio
import dataclasses
import json
import subprocess
from pathlib import Path

import pytest

from sentinel.access.authority import Authority
from sentinel.baseline import store
from sentinel.baseline.store import Baseline
from sentinel.brain.anchors import PARAMETERS, Anchors
from sentinel.clock import SystemClock
from sentinel.demo import topology
from sentinel.demo.wiring import PLANT_FILE
from sentinel.twin.engine import compile_model
from sentinel.twin.ensemble import Spreads
from sentinel.twin.plant import load_plant
from sentinel.twin.snapshot import Snapshot
from tests.e2e.appliance import REFUSED, Appliance, running
from tests.e2e.test_whatif import sentinel_says

pytestmark = pytest.mark.timeout(170)


def told(appliance: Appliance, tag: str) -> "subprocess.CompletedProcess[str]":
    return sentinel_says("history", "--config", str(appliance.story.places.settings), "--tag", tag, "--format", "jsonl")


async def remembered(appliance: Appliance, tag: str) -> list[dict[str, object]]:
    """Asked by the command line beside the running appliance, until there is something."""
    answer: list[dict[str, object]] = []

    async def is_there() -> bool:
        nonlocal answer
        said = await asyncio.to_thread(told, appliance, tag)
        answer = [json.loads(line) for line in said.stdout.splitlines()]
        return bool(answer)

    await appliance.story.until(60.0, f"{tag} is remembered", is_there)
    return answer


async def test_the_future_from_now_and_the_past_until_now(tmp_path: Path) -> None:
    async with running(tmp_path / "appliance", topology.loopback(), 3600.0) as appliance:
        await appliance.in_step()
        client = appliance.rita.client
        async with client.stream("GET", "/twin/live") as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    break
        live = json.loads(line.removeprefix("data: "))
        assert live["health"]["grade"] == "in_step"
        level = live["tags"]["LT101"]
        assert 0.8 < level["value"] < 1.5
        assert 0.0 < level["spread"] < 0.1

        octets = (await client.get("/twin/snapshot")).content
        snapshot = Snapshot.from_octets(octets)
        file = tmp_path / "now.snapshot"
        file.write_bytes(octets)
        asked = ("whatif", "--plant", str(PLANT_FILE), "--snapshot", str(file), "--set", "LIC101.SP=1.4", "--json")
        ahead = json.loads((await asyncio.to_thread(sentinel_says, *asked)).stdout)
        assert (ahead["members"], ahead["grade"], ahead["at"]) == (snapshot.members, "in_step", snapshot.at)
        runs = [{"tag": tag, "values": [1]} for tag in ("P101.RUN", "LIC101.AUTO")]  # whatever the operator is about
        question = {"settings": [*runs, {"tag": "LIC101.SP", "values": [1.0, "140 cm"]}], "horizon_s": 600, "bands": False}
        futures = (await client.post("/twin/what-if/futures", json=question)).json()
        assert [future["valid"] for future in futures["futures"]] == [futures["members"]] * 2
        overfill = [{each["invariant"]: each["margin"] for each in future["outcomes"]} for future in futures["futures"]]
        margins = [margin["T101-overfill"] for margin in overfill]
        assert margins[0] > margins[1] + 0.05

        before = await remembered(appliance, "LT101")
        assert all(0.5 < float(str(row["value"])) < 1.9 for row in before)
        await remembered(appliance, "twin:T101.level")
        await appliance.killed("brain")
        after = await remembered(appliance, "LT101")
        assert all(row in after for row in before)  # nothing that could be read is gone; what was heard before may have come after


def moved(kept: Baseline, row: int, score: float) -> Baseline:
    mean = kept.detectors["twin"]["mean"].copy()
    mean[row] = score
    return dataclasses.replace(kept, detectors={"twin": {**kept.detectors["twin"], "mean": mean}})


@pytest.mark.timeout(300)
async def test_what_the_twin_has_learnt_outlives_a_brain_that_is_killed(tmp_path: Path) -> None:
    """What is kept names a parameter that the readings of a minute say little of: where the next twin has it there, it was handed on."""
    async with running(tmp_path / "appliance", topology.loopback(), 3600.0) as appliance:
        places, model = appliance.story.places, compile_model(load_plant(PLANT_FILE))
        file, row = places.directory / PARAMETERS, [one.name for one in model.plant.parameters].index("B301.housing")
        anchors = Anchors(places.directory, Authority(places.authority, SystemClock().now()))

        async def housing() -> float:
            await appliance.in_step()
            snapshot = Snapshot.from_octets((await appliance.rita.client.get("/twin/snapshot")).content)
            return float(Spreads.of(model.plant).scores_of(snapshot.parameters.T)[row].mean())

        async def is_kept() -> bool:
            return file.exists()

        assert abs(await housing()) < 0.5, "as it is declared, but for what chance makes of it"
        await appliance.until("what the twin has learnt is kept", is_kept)
        anchors.mark(moved(store.load(file), row, 1.5), SystemClock().now(), PARAMETERS)
        for _ in range(2):  # the next one is killed before it has kept anything itself
            await appliance.killed("brain")
            assert await housing() == pytest.approx(1.5, abs=0.4)
        await appliance.judges()

        store.save(moved(store.load(file), row, 2.9), file)
        await appliance.killed("brain")
        assert abs(await housing()) < 0.5, "nobody vouches for it: the twin begins with what is declared"

        async def is_told() -> bool:
            findings = (await appliance.all("findings")).values()
            return any(one["cause"] == "baseline:anchor" for one in findings)

        await appliance.until("the refused file is a finding", is_told)
        assert file.with_suffix(".refused").exists()
        assert await appliance.write(appliance.story.setting.attacker, 1950) == REFUSED, "and harm is refused as before"
