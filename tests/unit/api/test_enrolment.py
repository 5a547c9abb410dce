"""A code and a request become a certificate that the API answers."""

import pytest

from sentinel.access import certificates as c
from sentinel.api.enrolment import ALL_ATTEMPTS, ATTEMPTS, Enrolment
from sentinel.clock import ManualClock
from tests.unit.access.test_access import a_request
from tests.unit.api.appliance import Appliance
from tests.unit.api.test_app import entries, is_problem


async def test_from_a_code_to_an_answer(served: Appliance) -> None:
    key = c.new_key()
    async with served.client(served.person("root", "admin")) as admin:
        code = (await admin.post("/people/invitations", json={"name": "bob", "roles": ["viewer"]})).json()["code"]
    async with served.client(None, port=served.enrol_port) as stranger:
        enrolled = await stranger.post("/enrol", json={"code": code, "request": a_request(key).decode()})
        assert enrolled.status_code == 201
        again = await stranger.post("/enrol", json={"code": code, "request": a_request(c.new_key()).decode()})
        is_problem(again, 422, "unknown, used or too old")
    bob = served.wallet("bob", key, enrolled.json()["certificate"].encode())
    async with served.client(bob) as client:
        assert (await client.get("/me")).json()["roles"] == ["viewer"]
    written = [(entry.actor, entry.outcome) for entry in entries(served) if entry.action == "enrol"]
    assert written == [("bob", "allow"), ("unknown", "deny 422")]


async def test_nothing_else_is_served_there(served: Appliance) -> None:
    async with served.client(None, port=served.enrol_port) as stranger:
        for path in ("/", "/findings", "/docs", "/openapi.json", "/me"):
            is_problem(await stranger.get(path), 404)
        is_problem(await stranger.get("/enrol"), 405)


@pytest.mark.parametrize(
    "body", [{}, {"code": "x"}, {"code": "x", "request": ""}, {"code": "x", "request": "-----BEGIN"}, {"code": 5, "request": []}, []]
)
async def test_rubbish_is_a_problem(served: Appliance, body: object) -> None:
    async with served.client(None, port=served.enrol_port) as stranger:
        is_problem(await stranger.post("/enrol", json=body), 422)
        is_problem(await stranger.post("/enrol", content=b"a" * 20_000), 413)


async def test_guessing_is_slowed_down(served: Appliance) -> None:
    async with served.client(None, port=served.enrol_port) as stranger:
        guess = {"code": "AAAA-BBBB-CCCC-DDDD", "request": a_request(c.new_key()).decode()}
        answers = [(await stranger.post("/enrol", json=guess)).status_code for _ in range(ATTEMPTS + 2)]
    assert answers[:ATTEMPTS] == [422] * ATTEMPTS
    assert answers[-1] == 429


def test_many_addresses_share_one_allowance(appliance: Appliance) -> None:
    clock = ManualClock()
    object.__setattr__(appliance.state, "clock", clock)
    enrolment = Enrolment(appliance.state)
    taken = [enrolment._may_try(f"10.0.{i // 250}.{i % 250}") for i in range(ALL_ATTEMPTS + 20)]
    assert taken.count(True) == ALL_ATTEMPTS
    clock.advance(60)
    assert enrolment._may_try("10.9.9.9")
    for i in range(10_000):
        enrolment._may_try(f"11.{i // 65_536}.{i // 256 % 256}.{i % 256}")
    assert len(enrolment._by_address) <= 4096
