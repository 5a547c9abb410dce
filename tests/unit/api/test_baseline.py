"""The baseline over the API: everybody in operations sees it, an engineer asks for a promotion, an approver agrees."""

import dataclasses
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sentinel.api import build_app
from sentinel.model.action import Action, ActionKind
from sentinel.respond.lifecycle import RefusedError
from tests.unit.api.appliance import Appliance, an_action


class OneCandidate:
    """Old enough to be promoted, or not."""

    def __init__(self) -> None:
        self.is_ripe = True

    async def shown(self) -> Mapping[str, Any]:
        return {"state": "active", "candidate": {"windows": 7}}

    async def offer(self, by: str) -> Action:
        if not self.is_ripe:
            raise RefusedError("it stays in quarantine")
        return an_action("p1", kind=ActionKind.PROMOTE, enforcer="baseline", dry_run=False, reason=f"put forward by {by}")


@pytest.fixture
async def candidate(tmp_path: Path) -> AsyncIterator[tuple[Appliance, OneCandidate]]:
    appliance, candidate = Appliance(tmp_path), OneCandidate()
    appliance.state = dataclasses.replace(appliance.state, baselines=candidate)
    appliance.app = build_app(appliance.state)
    async with appliance.serving():
        yield appliance, candidate
    appliance.records.close()


async def test_an_engineer_asks_and_an_approver_agrees(candidate: tuple[Appliance, OneCandidate]) -> None:
    appliance, one = candidate
    people = [appliance.person("erik", "engineer", "approver"), appliance.person("anna", "approver"), appliance.person("ada", "admin")]
    async with appliance.client(people[0]) as erik, appliance.client(people[1]) as anna, appliance.client(people[2]) as ada:
        assert (await anna.get("/baseline")).json() == {"state": "active", "candidate": {"windows": 7}}
        assert (await ada.get("/baseline")).status_code == 403
        for client in (anna, ada):
            assert (await client.post("/baseline/promotion")).status_code == 403
        one.is_ripe = False
        refused = await erik.post("/baseline/promotion")
        assert (refused.status_code, refused.json()["detail"]) == (409, "it stays in quarantine")
        one.is_ripe = True
        assert (await erik.post("/baseline/promotion", json={"windows": 1})).status_code == 422
        asked = await erik.post("/baseline/promotion", json={"reason": "the new line runs"})
        assert (asked.status_code, asked.json()["state"], asked.json()["requested_by"]) == (200, "requested", "erik")
        assert (await erik.post("/actions/p1/approve")).status_code == 403
        approved = await anna.post("/actions/p1/approve")
        assert (approved.status_code, approved.json()["approved_by"]) == (200, "anna")
        signed = (await anna.get("/actions/p1/signatures")).json()["items"]
    assert [(each["by"], each["step"], each["reason"]) for each in reversed(signed)] == [
        ("erik", "request", "the new line runs"),
        ("anna", "approve", None),
    ]


async def test_an_appliance_without_one_says_so(served: Appliance) -> None:
    async with served.client(served.person("erik", "engineer")) as client:
        for answer in (await client.get("/baseline"), await client.post("/baseline/promotion")):
            assert (answer.status_code, answer.json()["detail"]) == (404, "there is no baseline of this appliance's own")
