from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sentinel.clock import ManualClock
from sentinel.history import Bounds, History
from tests.unit.api.appliance import Appliance
from tests.unit.api.test_app import is_problem
from tests.unit.history.test_history import BEGIN, some


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Appliance]:
    history = History(tmp_path / "history", ManualClock(), Bounds(octets=1 << 30, age_s=1e9), segment_values=40_000)
    history.add(some(50_000))
    history.flush()
    made = Appliance(tmp_path)
    object.__setattr__(made.state, "history", tmp_path / "history")
    async with made.serving():
        yield made
    made.records.close()
    history.close()


async def test_values_and_summaries_while_it_is_written(kept: Appliance) -> None:
    async with kept.client(kept.person("vic", "viewer")) as client:
        span = {"tag": "LT101", "since": BEGIN, "until": BEGIN + 10_000_000}
        answer = (await client.get("/history", params=span)).json()
        assert [one["value"] for one in answer["values"]] == [0.0, 2.0, 4.0, 6.0, 8.0]
        assert answer["values"][1] == {"tag": "LT101", "time": BEGIN + 2_000_000, "value": 2.0, "quality": "bad"}
        many = {"tag": ["LT101", "TT201"], "since": 0, "until": 2**62, "every_s": 1}
        spans = (await client.get("/history", params=many)).json()["spans"]
        assert len(spans) == 100
        assert sum(one["values"] for one in spans) == 50_000
        assert (await client.get("/history", params={"tag": "LT101"})).json()["values"] == []  # of the last hour


async def test_what_is_refused(kept: Appliance) -> None:
    everything = {"tag": "LT101", "since": 0, "until": 2**62}
    async with kept.client(kept.person("vic", "viewer")) as client:
        is_problem(await client.get("/history", params=everything), 422, "more than 20000 values")
        is_problem(await client.get("/history", params={**everything, "every_s": 0.001}), 422, "25000 spans, expected at most 20000")
        is_problem(await client.get("/history", params={**everything, "every_s": 0}), 422, "/query/every_s")
        is_problem(await client.get("/history", params={"tag": "LT101", "since": 5, "until": 5}), 422, "since is not before until")
        is_problem(await client.get("/history"), 422, "/query/tag")
        is_problem(await client.get("/history", params={"tag": ["x"] * 33}), 422, "/query/tag")
    async with kept.client(kept.person("root", "admin")) as client:
        is_problem(await client.get("/history", params=everything), 403, "observations.read")


async def test_none_is_kept(served: Appliance) -> None:
    async with served.client(served.person("vic", "viewer")) as client:
        is_problem(await client.get("/history", params={"tag": "LT101"}), 409, "keeps no history")
