"""The twin over the API, over real TLS: futures of a real model, and its state as it moves."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

import sentinel.demo
from sentinel.brain.foresight import Foresight
from sentinel.clock import ManualClock
from sentinel.errors import TransientError
from sentinel.twin.engine import Snapshot, compile_model, initial
from sentinel.twin.plant import load_plant
from tests.unit.api.appliance import Appliance
from tests.unit.api.test_app import is_problem

PLANT_FILE = Path(sentinel.demo.__file__).with_name("plant.yaml")


class Standing:
    snapshot: Snapshot | None = None


@pytest.fixture(scope="module")
def foresight() -> Foresight:
    model = compile_model(load_plant(PLANT_FILE))
    standing = Standing()
    standing.snapshot = initial(model, 64)
    # neither court nor records: nothing is judged and nothing kept when the future is looked at
    return Foresight(standing, None, model, model.plant.tags, None, ManualClock())  # type: ignore[arg-type]


@pytest.fixture
async def twinned(tmp_path: Path, foresight: Foresight) -> AsyncIterator[Appliance]:
    made = Appliance(tmp_path, foresight)
    async with made.serving():
        yield made
    made.records.close()


async def ask(client: httpx.AsyncClient, **question: Any) -> httpx.Response:
    return await client.post("/twin/what-if/futures", json=question)


async def test_a_grid_of_futures(twinned: Appliance) -> None:
    async with twinned.client(twinned.person("eve", "engineer")) as client:
        settings = [{"tag": "LIC101.AUTO", "values": [0]}, {"tag": "LIC101.OP", "values": [50, "100 %"], "at_s": 30}]
        answer = (await ask(client, settings=settings, horizon_s=300, members=32)).json()
        assert [[write["value"] for write in future["writes"]] for future in answer["futures"]] == [[0.0, 50.0], [0.0, 100.0]]
        assert [future["broken"] for future in answer["futures"]] == [0.0, 1.0]
        worst = {one["invariant"]: one for one in answer["futures"][1]["outcomes"]}["T101-overfill"]
        assert worst["margin"] < 0
        assert 30 < worst["early_s"] <= worst["median_s"] < 300
        assert answer["nothing"]["broken"] == 0.0
        level = next(band for band in answer["futures"][1]["bands"] if band["tag"] == "LT101")
        assert len(level["median"]) == len(answer["times_s"]) > 100
        assert all(low <= middle <= high for low, middle, high in zip(level["low"], level["median"], level["high"], strict=True))
        bare = (await ask(client, settings=settings, horizon_s=300, members=32, bands=False)).json()
        assert bare["futures"][1]["outcomes"] == answer["futures"][1]["outcomes"]
        assert (bare["futures"][1]["bands"], bare["times_s"]) == ([], [])


@pytest.mark.parametrize(
    ("question", "says"),
    [
        (
            {"settings": [{"tag": "LIC101.SQ", "values": [1]}]},
            "settings[0]: the plant file has no tag 'LIC101.SQ', did you mean 'LIC101.SP'?",
        ),
        ({"settings": [{"tag": "LT101", "values": [1]}]}, "settings[0]: LT101 is a process_value"),
        ({"settings": [{"tag": "LIC101.SP", "values": ["60 degC"]}]}, "settings[0]: LIC101.SP: '60 degC'"),
        ({"settings": [{"tag": "LIC101.SP", "values": [1.9]}]}, "LIC101.SP = 1.9 m is outside its range, 0.4 to 1.5 m"),
        ({"settings": [{"tag": "LIC101.SP", "values": [1]}], "members": 65}, "members: 65, expected 1 to 64"),
        ({"settings": [{"tag": "LIC101.SP", "values": [1], "at_s": 600}]}, "set at 600 s, expected 0 s to before the horizon of 600 s"),
        ({"settings": [{"tag": "LIC101.SP", "values": [1]}], "tags": ["LT1O1"]}, "did you mean 'LT101'?"),
        ({"settings": [{"tag": "LIC101.SP", "values": [1] * 20}, {"tag": "LIC102.SP", "values": [1] * 20}]}, "400 combinations"),
        ({"settings": [{"tag": "LIC101.SP", "values": [1] * 100}], "horizon_s": 86400}, "steps of members"),
        ({"settings": [{"tag": "LIC101.SP", "values": [1]}], "horizon_s": 1e6}, "/body/horizon_s"),
        ({"settings": [{"tag": "LIC101.SP", "values": [1] * 129}]}, "/body/settings/0/values"),
        ({"settings": []}, "/body/settings"),
        ({"settings": [{"tag": "LIC101.SP", "values": [1]}], "depth": 3}, "/body/depth"),
    ],
)
async def test_what_is_refused_says_where_and_why(twinned: Appliance, question: Mapping[str, Any], says: str) -> None:
    async with twinned.client(twinned.person("eve", "engineer")) as client:
        is_problem(await ask(client, **question), 422, says)


async def test_only_one_question_at_a_time_and_not_for_everybody(twinned: Appliance) -> None:
    setting = [{"tag": "LIC101.SP", "values": [0.9, 1.0, 1.1, 1.2, 1.3, 1.4]}]
    async with twinned.client(twinned.person("eve", "engineer")) as client:
        answers = await asyncio.gather(*(ask(client, settings=setting, horizon_s=7200) for _ in range(4)))
        assert sorted({answer.status_code for answer in answers}) in ([200], [200, 503])
        assert 200 in {answer.status_code for answer in answers}
    async with twinned.client(twinned.person("vic", "viewer")) as client:
        is_problem(await ask(client, settings=setting), 403, "twin.what_if")
        is_problem(await client.get("/twin/snapshot"), 403, "twin.what_if")


async def test_the_snapshot_is_what_whatif_starts_from(twinned: Appliance, foresight: Foresight) -> None:
    async with twinned.client(twinned.person("eve", "engineer")) as client:
        answer = await client.get("/twin/snapshot")
    assert answer.headers["content-type"] == "application/octet-stream"
    taken = Snapshot.from_octets(answer.content)
    assert taken.to_octets() == foresight.snapshot()
    assert taken.members == 64


# -- live


class Moving:
    """A twin that is elsewhere at every look; with much to say where it is to fill a connection."""

    def __init__(self, padding: int = 0, until: int = 1 << 30) -> None:
        self.looks = 0
        self.padding = "x" * padding
        self.until = until
        self.there = threading.Event()

    def live(self) -> Mapping[str, Any]:
        if self.looks < 2:
            self.looks += 1
            raise TransientError("no state yet")
        self.looks = min(self.looks + 1, self.until + 2)
        if self.looks == self.until + 2:
            self.there.set()
        return {"at": self.looks - 2, "padding": self.padding}


@pytest.fixture
def moving() -> Moving:
    return Moving()


@pytest.fixture
async def lively(tmp_path: Path, moving: Moving) -> AsyncIterator[Appliance]:
    made = Appliance(tmp_path, moving)
    made.app.state.streams._feed._period_s = 0.001
    async with made.serving():
        yield made
    made.records.close()


async def events(answer: httpx.Response) -> AsyncIterator[tuple[str, int, Any]]:
    """(kind, number or 0, value); comments are passed over."""
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield fields["event"], int(fields.get("id", 0)), json.loads(fields["data"])
            fields = {}


async def test_the_state_is_told_as_it_moves(twinned: Appliance) -> None:
    async with twinned.client(twinned.person("vic", "viewer")) as client, client.stream("GET", "/twin/live") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        kind, number, state = await asyncio.wait_for(anext(events(answer)), 5)
    assert (kind, number, state["members"], state["health"]["grade"]) == ("twin", 1, 64, "lost")
    level = state["tags"]["LT101"]
    assert level["value"] == pytest.approx(1.2, abs=0.01)
    assert (level["unit"], level["distance"], level["why"]) == ("m", None, None)
    assert state["tags"]["TT201"]["value"] == pytest.approx(60.0, abs=0.5)


async def test_states_are_numbered_and_shared(lively: Appliance, moving: Moving) -> None:
    async with lively.client(lively.person("vic", "viewer")) as client:
        async with client.stream("GET", "/twin/live") as first, client.stream("GET", "/twin/live") as second:
            one, two = events(first), events(second)
            told = [await asyncio.wait_for(anext(one), 5) for _ in range(20)]
            also = [await asyncio.wait_for(anext(two), 5) for _ in range(20)]
        assert all(kind != "twin" or number == value["at"] for kind, number, value in [*told, *also])
        feed = lively.app.state.streams._feed
        async with asyncio.timeout(5):
            while feed._listeners:
                await client.get("/me")
        assert feed._looking is None  # nobody listens: the twin is left alone
        assert not feed._kept


@pytest.mark.parametrize("moving", [Moving(padding=400_000, until=120)])
async def test_who_reads_slowly_loses_the_oldest_and_is_told(lively: Appliance, moving: Moving) -> None:
    async with lively.client(lively.person("vic", "viewer")) as client, client.stream("GET", "/twin/live") as answer:
        assert await asyncio.to_thread(moving.there.wait, 60)  # 48 MB of states went by unread: far more than a connection holds
        told, missed, last = 0, 0, 0
        async for kind, number, value in events(answer):
            if kind == "missed":
                missed += value["missed"]
            else:
                told += 1
                assert number == told + missed  # not one is lost silently
                last = number
            if last == 120:
                break
    assert missed > 0
    assert told + missed == 120


async def test_a_revoked_certificate_ends_the_stream(lively: Appliance) -> None:
    vic = lively.person("vic", "viewer")
    async with lively.client(vic) as client, client.stream("GET", "/twin/live") as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        lively.access.revoke(vic.serial, "root", "lost")
        async with asyncio.timeout(2.0):
            async for _ in lines:
                pass


async def test_streams_of_states_are_bounded_too(lively: Appliance) -> None:
    from sentinel.api import events as module

    streams = lively.app.state.streams
    filler = {asyncio.Event() for _ in range(module.MAX_STREAMS)}
    streams._open |= filler
    async with lively.client(lively.person("vic", "viewer")) as client:
        is_problem(await client.get("/twin/live"), 503, "open already")
    streams._open -= filler


async def test_no_twin_no_stream(tmp_path: Path) -> None:
    made = Appliance(tmp_path)
    object.__setattr__(made.state, "twin", None)
    async with made.serving(), made.client(made.person("vic", "viewer")) as client:
        is_problem(await client.get("/twin/live"), 409, "no plant file")
    made.records.close()
