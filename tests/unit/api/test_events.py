import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from sentinel.model.finding import FindingState
from sentinel.model.ids import FindingId
from sentinel.model.record import Label
from sentinel.model.time import Instant
from tests.unit.api.appliance import Appliance, a_finding, an_action


async def events(answer: httpx.Response) -> AsyncIterator[tuple[str, int, Any]]:
    """(kind, revision, value) of each event; comments are passed over."""
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield fields["event"], int(fields["id"]), json.loads(fields["data"])
            fields = {}


async def next_of(stream: AsyncIterator[tuple[str, int, Any]]) -> tuple[str, int, Any]:
    return await asyncio.wait_for(anext(stream), 5)


async def test_what_changes_is_told(served: Appliance) -> None:
    served.records.keep(a_finding("before"))
    async with served.client(served.person("alice", "viewer")) as client, client.stream("GET", "/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        stream = events(answer)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.wait({waiting}, timeout=0.05)  # the stream has begun: its first comment is there
        await served.records.kept(a_finding("f1"))
        kind, revision, value = await asyncio.wait_for(waiting, 5)
        assert (kind, revision, value["id"]) == ("finding", 2, "f1")
        await served.records.kept(an_action())
        assert (await next_of(stream))[:2] == ("action", 3)
        label = Label(finding=FindingId("f1"), state=FindingState.CLOSED, by="x", at=Instant(1))
        await served.records.kept(label)
        kind, revision, value = await next_of(stream)
        assert (kind, revision, value["state"]) == ("finding", 4, "closed")


async def test_who_was_away_misses_nothing(served: Appliance) -> None:
    served.records.keep(*(a_finding(f"f{i}") for i in range(1500)))  # more than one look takes
    async with served.client(served.person("alice", "viewer")) as client:
        async with client.stream("GET", "/events", headers={"Last-Event-ID": "2"}) as answer:
            stream = events(answer)
            assert [(await next_of(stream))[1] for _ in range(1498)] == list(range(3, 1501))
        async with client.stream("GET", "/events", params={"after": 1499}) as answer:
            assert (await next_of(events(answer)))[2]["id"] == "f1499"
        assert (await client.get("/events", headers={"Last-Event-ID": "x"})).status_code == 422


async def test_a_revoked_certificate_ends_its_stream_within_a_second(served: Appliance) -> None:
    alice = served.person("alice", "viewer")
    async with served.client(alice) as client, client.stream("GET", "/events") as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        served.access.revoke(alice.serial, "root", "lost")
        async with asyncio.timeout(1.5):
            async for _ in lines:
                pass


async def test_streams_are_counted_and_bounded(served: Appliance) -> None:
    from sentinel.api import events as module

    streams = served.app.state.streams
    async with served.client(served.person("alice", "viewer")) as client, client.stream("GET", "/events") as answer:
        lines = answer.aiter_lines()  # held: when it is collected the answer is closed
        await anext(lines)
        assert len(streams._open) == 1
        assert len(served.records._listeners) == 1
        filler = {asyncio.Event() for _ in range(module.MAX_STREAMS - 1)}
        streams._open |= filler
        refused = await client.get("/events")
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
        streams._open -= filler
    async with asyncio.timeout(5):
        while streams._open:
            await asyncio.to_thread(served.records.keep, a_finding())
    assert served.records._listeners == []
