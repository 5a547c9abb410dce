"""Requests over real TLS: what is answered, what is refused, and that each is written down."""

import asyncio
import hashlib
import json
import re
import sqlite3
from typing import Any

import httpx
import pytest

from collectors.capture.pcapng import Packet, to_pcapng
from sentinel.access import Denial, Party, Permission, Request, Role, permit
from sentinel.access.policy import PERMISSIONS
from sentinel.api.guard import MAX_BODY_OCTETS
from sentinel.api.shape import need_of
from sentinel.model.action import Action, ActionState, Receipt
from sentinel.model.asset import Asset, Conduit
from sentinel.model.command import Command, Origin
from sentinel.model.detection import Severity
from sentinel.model.finding import Finding
from sentinel.model.ids import ActionId, AssetId, CommandId, Digest, VerdictId
from sentinel.model.observation import Outage
from sentinel.model.record import AuditEntry, Excerpt, Signature, Tally
from sentinel.model.time import Instant, seconds_between
from sentinel.model.verdict import Judgement, Verdict
from tests.unit.api.appliance import Appliance, a_finding, an_action
from tests.unit.collectors.capture.frames import ethernet, ip4, udp

HOSTILE = ["' OR 1=1 --", "'; DROP TABLE findings; --", "%", "\x00", "../../etc/passwd", "é\u202e", "a" * 200, "{}", "-1"]


def entries(appliance: Appliance) -> list[AuditEntry]:
    """Everything up to now, newest last."""
    appliance.records.audit.append("test", "mark").result()
    return [entry for entry in reversed(appliance.records.audit.page(limit=1000)) if entry.actor != "test"]


def is_problem(answer: httpx.Response, status: int, says: str = "") -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert {"type", "title", "detail"} <= set(body)
    assert says in body["detail"]
    assert "Traceback" not in answer.text
    return body


def test_every_route_declares_its_permission(appliance: Appliance) -> None:
    walked = [(getattr(route, "path", None), need_of(route)) for route in appliance.app.routes]
    assert len(walked) > 30
    assert [path for path, need in walked if need is None] == []
    assert {need.permission for _, need in walked if need} == set(Permission)


def test_a_route_without_a_permission_is_served_to_nobody(appliance: Appliance) -> None:
    from sentinel.api.guard import Guard

    appliance.app.get("/secret")(lambda: "open")
    guard = Guard(appliance.app, appliance.state, appliance.app.routes)
    need, _, status = guard._needed({"type": "http", "method": "GET", "path": "/secret", "root_path": "", "headers": []})
    assert (need, status) == (None, 404)


async def test_role_by_route(served: Appliance) -> None:
    """Every route with every role: 403 exactly where the table says so, and one audit entry for each request."""
    served.records.keep(a_finding(), an_action())
    routes = [(route, need) for route in served.app.routes if (need := need_of(route))]
    count = 0
    for role in Role:
        async with served.client(served.person(role, role)) as client:
            for route, need in routes:
                path = re.sub(r"\{[a-z]+\}", "nothing", route.path)  # type: ignore[attr-defined]
                (method,) = route.methods  # type: ignore[attr-defined]
                count += 1
                if path in {"/events", "/twin/live"} and role in PERMISSIONS[need.permission]:
                    async with client.stream(method, path) as stream:
                        assert stream.status_code == 200
                    continue
                answer = await client.request(method, path, json={} if method == "POST" else None)
                allowed = role in PERMISSIONS[need.permission]
                if need.about is not None:
                    assert answer.status_code == 404  # what it is about comes first, and is not there
                elif allowed:
                    assert answer.status_code not in (401, 403, 405, 500), (role, path, answer.text)
                else:
                    is_problem(answer, 403, need.permission)
    written = [entry for entry in entries(served) if entry.action in set(Permission)]
    assert len(written) == count


async def test_lists_and_single_things(served: Appliance) -> None:
    source, target = AssetId("10.0.0.66"), AssetId("10.0.0.10")
    command = Command(
        id=CommandId("c"), origin=Origin.WIRE, seen=Instant(1), source=source, target=target, protocol="modbus",
        operation="write_single_register", writes=(), frame=Digest("f" * 64),
    )  # fmt: skip
    verdict = Verdict(id=VerdictId("v"), command=command.id, judgement=Judgement.UNSAFE, reason="r", judged=Instant(1))
    kept: dict[str, Any] = {
        "/assets": Asset(id=source, first_seen=Instant(1), last_seen=Instant(2)),
        "/conduits": Conduit(client=source, server=target, protocol="modbus", port=502, first_seen=Instant(1), last_seen=Instant(2)),
        "/observations": Tally(source="gate", start=Instant(1), messages=3),
        "/outages": Outage(process="gate", since=Instant(1), until=Instant(2), reason="killed"),
        "/findings": a_finding(),
        "/commands": command,
        "/verdicts": verdict,
        "/actions": an_action(),
        "/actions/a1/receipts": Receipt(action=ActionId("a1"), enforcer="gate", applied=True, verified=True, at=Instant(1), message="cut"),
    }
    served.records.keep(*kept.values())
    from sentinel.model.codec import to_jsonable

    async with served.client(served.person("alice", "viewer")) as client:
        for path, value in kept.items():
            answer = (await client.get(path)).json()
            assert answer == {"items": [to_jsonable(value)], "next": None}, path
        for path, value in (("/assets/10.0.0.66", kept["/assets"]), ("/findings/f1", kept["/findings"]), ("/commands/c", command),
                            ("/verdicts/v", verdict), ("/actions/a1", kept["/actions"])):  # fmt: skip
            assert (await client.get(path)).json() == to_jsonable(value)
        picture = await client.get("/network")
        assert picture.headers["content-type"].startswith("image/svg+xml")
        assert 'data-of="asset 10.0.0.66"' in picture.text
        for path in ("/assets/x", "/findings/x", "/commands/x", "/verdicts/x", "/actions/x", "/plans/x"):
            is_problem(await client.get(path), 404, "there is no")


async def test_findings_are_filtered_and_paged(served: Appliance) -> None:
    served.records.keep(
        *(a_finding(f"f{i}", last_seen=Instant(i), severity=Severity(1 + i % 5), assets=(AssetId(f"10.0.0.{i % 3}"),)) for i in range(20))
    )
    async with served.client(served.person("alice", "viewer")) as client:

        async def ids(**query: Any) -> list[str]:
            return [item["id"] for item in (await client.get("/findings", params=query)).json()["items"]]

        assert await ids(severity=5) == ["f19", "f14", "f9", "f4"]
        assert await ids(asset="10.0.0.2") == [f"f{i}" for i in range(17, -1, -3)]
        assert await ids(asset="10.0.0") == []  # a part of an address is no address
        assert await ids(state="closed") == []
        seen, cursor = [], None
        while True:
            page = (await client.get("/findings", params={"limit": 7, **({"cursor": cursor} if cursor else {})})).json()
            seen += [item["id"] for item in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert seen == [f"f{i}" for i in range(19, -1, -1)]
        is_problem(await client.get("/findings", params={"cursor": "rubbish"}), 422, "cursor")
        body = is_problem(await client.get("/findings", params={"limit": 0, "severity": "loud"}), 422)
        assert {error["pointer"] for error in body["errors"]} == {"/query/limit", "/query/severity"}


async def test_a_label_is_the_findings_state(served: Appliance) -> None:
    served.records.keep(a_finding())
    async with served.client(served.person("anna", "analyst")) as client:
        answer = await client.post("/findings/f1/labels", json={"state": "dismissed", "note": "maintenance"})
        assert (answer.status_code, answer.json()["state"]) == (201, "dismissed")
        label = (await client.get("/findings/f1/labels")).json()["items"][0]
        assert (label["by"], label["state"], label["note"]) == ("anna", "dismissed", "maintenance")
        is_problem(await client.post("/findings/nobody/labels", json={"state": "closed"}), 404, "nobody")
        is_problem(await client.post("/findings/f1/labels", json={"state": "wonderful"}), 422, "state")
        is_problem(await client.post("/findings/f1/labels", json={"state": "closed", "more": 1}), 422, "more")


async def test_a_dismissed_finding_may_be_quiet_until_an_end(served: Appliance) -> None:
    served.records.keep(a_finding())
    async with served.client(served.person("anna", "analyst")) as client:
        said = (await client.post("/findings/f1/labels", json={"state": "dismissed", "quiet_s": 3600})).json()
        now = served.clock.now()
        assert 3590 < seconds_between(now, said["quiet_until"]) <= 3600
        assert said["learnt"] is False
        assert (await client.post("/findings/f1/labels", json={"state": "open"})).json()["quiet_until"] is None
        is_problem(await client.post("/findings/f1/labels", json={"state": "confirmed", "quiet_s": 3600}), 422, "goes with state dismissed")
        is_problem(await client.post("/findings/f1/labels", json={"state": "dismissed", "quiet_s": 1e9}), 422, "quiet_s")


async def test_only_an_engineer_says_that_something_is_normal_and_for_how_long(served: Appliance) -> None:
    served.records.keep(a_finding())
    lesson = {"lasts_s": 86_400, "note": "the pump is run by hand this week"}
    async with served.client(served.person("anna", "analyst")) as client:
        is_problem(await client.post("/findings/f1/lessons", json=lesson), 403, "baseline.teach")
    async with served.client(served.person("egon", "engineer")) as client:
        is_problem(await client.post("/findings/f1/lessons", json={"lasts_s": 86_400}), 422, "note")
        is_problem(await client.post("/findings/f2/lessons", json=lesson), 404, "f2")
        said = (await client.post("/findings/f1/lessons", json=lesson)).json()
        assert (said["state"], said["learnt"]) == ("dismissed", True)
        label = (await client.get("/findings/f1/labels")).json()["items"][0]
        assert (label["by"], label["note"], label["quiet_until"]) == ("egon", lesson["note"], said["quiet_until"])


async def test_findings_come_in_the_order_in_which_to_look_at_them(served: Appliance) -> None:
    risks = {"f1": 12.5, "f2": 80.0, "f3": 0.0, "f4": 79.9, "f5": 12.5}
    served.records.keep(*(a_finding(name, risk=risk, last_seen=Instant(9_000 - round(risk))) for name, risk in risks.items()))
    async with served.client(served.person("anna", "analyst")) as client:
        seen, cursor = [], None
        while True:
            page = (await client.get("/findings", params={"order": "risk", "limit": 2, **({"cursor": cursor} if cursor else {})})).json()
            seen += [item["id"] for item in page["items"]]
            if page["next"] is None:
                break
            cursor = page["next"]
        assert seen == ["f2", "f4", "f5", "f1", "f3"]
        is_problem(await client.get("/findings", params={"cursor": cursor}), 422, "an order by risk, not by at")


async def test_evidence_is_what_was_kept(served: Appliance) -> None:
    capture = served.records.keep_excerpt(b"\xd4\xc3\xb2\xa1pcap", "pcap")
    served.records.keep_excerpt(b"frame 1: write", "text", of=capture.digest)
    async with served.client(served.person("anna", "analyst")) as client:
        answer = await client.get(f"/evidence/{capture.digest}")
        assert (answer.content, answer.headers["content-type"]) == (b"\xd4\xc3\xb2\xa1pcap", "application/vnd.tcpdump.pcap")
        assert (await client.get(f"/evidence/{capture.digest}/text")).text == "frame 1: write"
        is_problem(await client.get(f"/evidence/{'0' * 64}"), 404)
        is_problem(await client.get(f"/evidence/{'0' * 64}/text"), 404)
        is_problem(await client.get("/evidence/..%2f..%2fetc%2fpasswd"), 404)
        is_problem(await client.get("/evidence/passwd"), 422, "not a SHA-256 digest")


async def test_a_finding_shows_its_packets(served: Appliance) -> None:
    """Those who may open evidence get them, as they lie; a viewer, who may read the finding, does not."""
    octets = ethernet(ip4(udp(b"hello", 40_000, 502), "10.0.0.66", "10.0.0.10", 17))
    packet = Packet(frame=7, time=1_700_000_000_000_000_000, wire=len(octets), interface=("plant", 1), octets=octets)
    capture = served.records.keep_excerpt(to_pcapng([packet], "finding f1: 1 of 2 frames, heard by capture"))
    served.records.keep(a_finding(evidence=capture.digest), a_finding("f2"))
    async with served.client(served.person("anna", "analyst")) as client:
        answer = await client.get("/findings/f1/evidence")
        assert hashlib.sha256(answer.content).hexdigest() == capture.digest == answer.headers["x-content-sha256"]
        assert answer.headers["content-type"] == "application/x-pcapng"
        assert answer.headers["content-disposition"] == f'attachment; filename="{capture.digest}.pcapng"'
        tree = await client.get("/findings/f1/evidence/tree", timeout=60)
        assert tree.text.startswith("frame 1: 47 octets\n###[ Ethernet ]###")
        assert "10.0.0.66" in tree.text
        assert (await client.get(f"/evidence/{capture.digest}/text")).text == tree.text
        assert served.records.count(Excerpt, where={"of": capture.digest, "kind": "text"}) == 1
        is_problem(await client.get("/findings/f2/evidence"), 404, "no evidence of finding f2")
        is_problem(await client.get("/findings/f2/evidence/tree"), 404, "no evidence of finding f2")
        is_problem(await client.get("/findings/nobody/evidence"), 404, "no finding nobody")
    async with served.client(served.person("vera", "viewer")) as client:
        assert (await client.get("/findings/f1")).status_code == 200
        for path in ("/findings/f1/evidence", "/findings/f1/evidence/tree", f"/evidence/{capture.digest}"):
            is_problem(await client.get(path), 403)


async def test_one_asks_and_another_approves(served: Appliance) -> None:
    served.records.keep(an_action())
    rita, max_ = served.person("rita", "responder", "approver"), served.person("max", "approver")
    async with served.client(rita) as asking, served.client(max_) as approving:
        is_problem(await approving.post("/actions/a1/approve"), 403, "only an action that somebody has requested")
        answer = await asking.post("/actions/a1/request", json={"lasts_s": 120, "reason": "it writes"})
        assert (answer.status_code, answer.json()["state"], answer.json()["lasts_s"]) == (200, "requested", 120)
        is_problem(await asking.post("/actions/a1/approve"), 403, "rita requested this action: another person must approve it")
        kept = served.records.find(Action, "a1")
        assert kept is not None
        assert kept.state is ActionState.REQUESTED
        approved = await approving.post("/actions/a1/approve")
        assert (approved.status_code, approved.json()["approved_by"]) == (200, "max")
        is_problem(await approving.post("/actions/a1/approve"), 409, "cannot take the step")
        signed = (await approving.get("/actions/a1/signatures")).json()["items"]
    assert [(one["by"], one["step"]) for one in signed][-2:] == [("max", "approve"), ("rita", "request")]
    denied = [entry for entry in entries(served) if entry.action == Permission.ACTIONS_APPROVE and entry.outcome == "deny 403"]
    assert [entry.actor for entry in denied] == ["max", "rita"]
    assert "another person" in denied[1].details["reason"]


async def test_the_same_person_with_a_second_certificate_is_the_same_person(served: Appliance) -> None:
    served.records.keep(an_action())
    async with served.client(served.person("rita", "responder")) as asking:
        assert (await asking.post("/actions/a1/request")).status_code == 200
    async with served.client(served.person("rita", "approver")) as again:
        is_problem(await again.post("/actions/a1/approve"), 403, "another person must approve it")


async def test_without_the_key_that_asked_nobody_is_the_second_person(served: Appliance) -> None:
    served.requested(served.person("rita", "responder"))  # no signature of hers is kept
    async with served.client(served.person("max", "approver")) as client:
        is_problem(await client.post("/actions/a1/approve"), 403, "not known with which key")


async def test_a_request_that_was_refused_does_not_change_which_key_asked(served: Appliance) -> None:
    served.records.keep(an_action())
    max_ = served.person("max", "approver")
    async with served.client(served.person("rita", "responder")) as asking:
        assert (await asking.post("/actions/a1/request")).status_code == 200
    first = served.records.find(Action, "a1")
    async with served.client(served.person("rita", "responder")) as again:
        is_problem(await again.post("/actions/a1/request"), 409, "cannot take the step")
        is_problem(await again.post("/actions/nobody/request"), 404, "nobody")
    assert served.records.find(Action, "a1") == first
    assert served.records.count(Signature, where={"action": "nobody"}) == 0
    async with served.client(max_) as client:
        assert (await client.post("/actions/a1/approve")).status_code == 200


async def test_an_admin_cannot_approve_a_quarantine(served: Appliance) -> None:
    served.requested(served.person("rita", "responder"))
    async with served.client(served.person("root", "admin", "approver")) as client:
        is_problem(await client.post("/actions/a1/approve"), 403, "an admin cannot approve a quarantine")


async def test_reject_and_release(served: Appliance) -> None:
    served.records.keep(an_action("a1"), an_action("a2", state=ActionState.APPLIED, requested_by="x", approved_by="y"))
    async with served.client(served.person("max", "approver")) as client:
        is_problem(await client.post("/actions/a1/reject", json={}), 422, "reason")
        assert (await client.post("/actions/a1/reject", json={"reason": "planned work"})).json()["state"] == "rejected"
        assert (await client.post("/actions/a2/release")).json()["state"] == "releasing"
        is_problem(await client.post("/actions/a1/release"), 409, "cannot take the step")
        is_problem(await client.post("/actions/nobody/release"), 404, "nobody")


async def test_the_twin_is_asked(served: Appliance) -> None:
    async with served.client(served.person("eve", "engineer")) as client:
        assert (await client.get("/twin")).json()["tags"]["LT101"]["value"] == 1.2
        assert (await client.get("/twin/health")).json() == {"in_step": True}
        answer = (await client.post("/twin/what-if", json={"writes": {"LIC101.SP": 1.9}})).json()
        assert (answer["judgement"], answer["reason"]) == ("unsafe", "asked by eve")
        is_problem(await client.post("/twin/what-if", json={"writes": {"X": 1}}), 422, "there is no tag 'X'")
        is_problem(await client.post("/twin/what-if", json={"writes": {}}), 422)
        headers = {"content-type": "application/json"}
        for number in ("NaN", "Infinity", "-Infinity", "1e999"):
            is_problem(await client.post("/twin/what-if", content=f'{{"writes": {{"LIC101.SP": {number}}}}}', headers=headers), 422)


async def test_plans_are_run_and_kept(served: Appliance) -> None:
    async with served.client(served.person("eve", "engineer")) as client:
        run = await client.post("/plans", json={"kind": "counting", "problem": {"jobs": [1, 2, 3]}})
        assert (run.status_code, run.json()["plan"]["objective"], run.json()["by"]) == (201, 6.0, "eve")
        assert (await client.get(f"/plans/{run.json()['id']}")).json() == run.json()
        assert len((await client.get("/plans", params={"kind": "counting"})).json()["items"]) == 1
        is_problem(
            await client.post("/plans", json={"kind": "magic", "problem": {}}), 422, "there is no planner 'magic'; there are counting"
        )
        is_problem(await client.post("/plans", json={"kind": "counting", "problem": {}}), 422, "problem.jobs")
        headers = {"content-type": "application/json"}
        for bad in ('{"kind": "counting", "problem": {"jobs": [NaN]}}', '{"kind": "counting", "problem": {"jobs": "\\ud800"}}'):
            is_problem(await client.post("/plans", content=bad, headers=headers), 422)


async def test_the_audit_log_is_read_and_verified(served: Appliance) -> None:
    async with served.client(served.person("root", "admin")) as client:
        is_problem(await client.get("/findings"), 403, "findings.read")
        entries(served)
        page = (await client.get("/audit", params={"limit": 1})).json()
        older = (await client.get("/audit", params={"limit": 1, "before": page["next"]})).json()
        assert older["items"][0]["sequence"] == page["items"][0]["sequence"] - 1
        verified = (await client.get("/audit/verification")).json()
        assert (verified["broken"], verified["problem"]) == (None, None)
        assert verified["rows"] >= 2


async def test_people_are_invited_listed_and_revoked(served: Appliance) -> None:
    async with served.client(served.person("root", "admin")) as client:
        invited = await client.post("/people/invitations", json={"name": "bob", "roles": ["approver"]})
        assert invited.status_code == 201
        assert re.fullmatch(r"([A-Z2-7]{4}-){3}[A-Z2-7]{4}", invited.json()["code"])
        is_problem(await client.post("/people/invitations", json={"name": "b/b", "roles": ["approver"]}), 422, "not a name")
        is_problem(await client.post("/people/invitations", json={"name": "bob", "roles": ["king"]}), 422, "unknown role")
        serial = served.person("vera", "viewer").serial
        answer = await client.post(f"/people/{serial}/revocation", json={"reason": "left"})
        assert (answer.json()["revoked_by"], answer.json()["reason"]) == ("root", "left")
        is_problem(await client.post("/people/beef/revocation", json={"reason": "left"}), 404)
        assert {one["name"] for one in (await client.get("/people")).json()["items"]} == {"root", "vera"}
        assert invited.json()["code"] not in json.dumps([entry.details for entry in entries(served)])


async def test_the_appliance_tells_of_itself(served: Appliance) -> None:
    async with served.client(served.person("root", "admin")) as client:
        me = (await client.get("/me")).json()
        assert set(me["permissions"]) == {p for p in Permission if Role.ADMIN in PERMISSIONS[p]}
        health = (await client.get("/health")).json()
        assert health["processes"] == {"gate": "running"}
        assert (await client.get("/capabilities")).json()["detectors"][0]["config"] == {"slots": [3, "how many"]}


async def test_documentation_needs_nobody_outside(served: Appliance) -> None:
    async with served.client(served.person("root", "admin")) as client:
        page = await client.get("/docs")
        assert page.status_code == 200
        assert "http://" not in page.text
        assert "https://" not in page.text
        assert "default-src 'self'" in page.headers["content-security-policy"]
        for loaded in re.findall(r'(?:src|href)="([^"]+)"', page.text):
            assert loaded.startswith("/docs/files/"), loaded
            assert (await client.get(loaded)).status_code == 200
        assert "url: '/openapi.json'" in page.text or '"/openapi.json"' in page.text
        described = (await client.get("/openapi.json")).json()
        labelling = described["paths"]["/findings/{finding}/labels"]["post"]
        assert labelling["description"].endswith("Needs `findings.label`: analyst.")
        assert set(labelling["responses"]) == {"201", "default"}
        assert "ValidationError" not in json.dumps(described)
        is_problem(await client.get("/docs/files/redoc.standalone.js"), 404)
        is_problem(await client.get("/docs/files/..%2f..%2f__init__.py"), 404)


async def test_unknown_paths_and_methods_are_problems_and_written_down(served: Appliance) -> None:
    async with served.client(served.person("alice", "viewer")) as client:
        is_problem(await client.get("/nothing"), 404, "there is nothing at /nothing")
        is_problem(await client.delete("/findings"), 405, "does not take DELETE")
        is_problem(await client.request("TRACE", "/findings"), 405)
        is_problem(await client.options("/findings"), 405)
        is_problem(await client.get("//findings"), 404)
        is_problem(await client.get("/findings/"), 404)
    assert [entry.outcome for entry in entries(served)][-6:] == ["deny 404", "deny 405", "deny 405", "deny 405", "deny 404", "deny 404"]


async def test_headers_cannot_say_who_somebody_is(served: Appliance) -> None:
    forged = {"x-client-cert": "root", "x-forwarded-for": "1.2.3.4", "x-ssl-client-s-dn": "CN=root", "authorization": "Bearer root"}
    async with served.client(served.person("alice", "viewer")) as client:
        assert (await client.get("/me", headers=forged)).json()["name"] == "alice"
    assert entries(served)[-1].details["address"] == "127.0.0.1"


async def test_bodies_are_bounded(served: Appliance) -> None:
    served.records.keep(a_finding())
    async with served.client(served.person("anna", "analyst")) as client:
        is_problem(await client.post("/findings/f1/labels", content=bytes(MAX_BODY_OCTETS + 1)), 413, "larger than")

        async def endless(parts: int) -> Any:
            for _ in range(parts):
                yield bytes(64 * 1024)

        is_problem(await client.post("/findings/f1/labels", content=endless(40)), 413, "larger than")
        with pytest.raises(httpx.TransportError):
            await client.post("/findings/f1/labels", content=endless(100_000))
        assert (await client.get("/me")).status_code == 200
    assert [one.state for one in served.records.each(Finding)] == ["open"]


MALFORMED = {
    "empty": b"",
    "cut": b"{",
    "list": b"[]",
    "null": b"null",
    "no UTF-8": b"\xff\xfe",
    "number": b'{"state": 5}',
    "deep": b"[" * 100_000,
    "long number": b'{"state": ' + b"9" * 5000 + b"}",
    "surrogate": b'{"state":"closed","note":"\\ud800"}',
}


async def test_malformed_bodies_are_problems(served: Appliance) -> None:
    served.records.keep(a_finding())
    async with served.client(served.person("anna", "analyst")) as client:
        for name, body in MALFORMED.items():
            answer = await client.post("/findings/f1/labels", content=body, headers={"content-type": "application/json"})
            assert answer.status_code in (400, 422), name
            is_problem(answer, answer.status_code)
    assert [one.state for one in served.records.each(Finding)] == ["open"]


async def test_hostile_texts_are_just_texts(served: Appliance) -> None:
    served.records.keep(a_finding(), an_action(), Asset(id=AssetId("x"), first_seen=Instant(1), last_seen=Instant(1)))
    async with served.client(served.person("alice", "viewer", "responder", "admin")) as client:
        for text in HOSTILE:
            for path, name in (("/findings", "asset"), ("/commands", "source"), ("/actions", "target"), ("/observations", "source")):
                answer = await client.get(path, params={name: text})
                assert (answer.status_code, answer.json()["items"]) == (200, []), text
            encoded = "".join(f"%{octet:02x}" for octet in text.encode())
            for path in ("/findings/", "/assets/", "/actions/", "/verdicts/"):
                is_problem(await client.get(path + encoded), 404)
            is_problem(await client.post(f"/actions/{encoded}/request"), 404)
            is_problem(await client.post(f"/people/{encoded}/revocation", json={"reason": text}), 404)
    assert served.records.count(Finding) == 1
    assert served.records.audit.verify().broken is None


async def test_an_error_of_ours_is_a_problem_without_its_trace(served: Appliance, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> dict[str, Any]:
        raise KeyError("a secret of the implementation")

    object.__setattr__(served.state, "health", broken)
    async with served.client(served.person("alice", "viewer")) as client:
        answer = await client.get("/health")
        is_problem(answer, 500, "an error on our side")
        assert "secret" not in answer.text
    async with served.client(served.person("alice", "viewer")) as client:
        assert (await client.get("/me")).status_code == 200
    assert "a secret of the implementation" in caplog.text  # loud where the operator looks


async def test_without_an_audit_log_nothing_is_done(served: Appliance) -> None:
    """While the database cannot be written, what changes something is refused, and then reading too, until an entry is kept again."""
    served.records.keep(a_finding())
    database = served.records.directory / "records.db"
    async with served.client(served.person("anna", "analyst")) as client:
        assert (await client.get("/findings")).status_code == 200
        other = sqlite3.connect(database, isolation_level=None)
        served.records._writer.submit(lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout=20").close()).result()
        other.execute("BEGIN IMMEDIATE")
        is_problem(await client.post("/findings/f1/labels", json={"state": "closed"}), 503, "the audit log cannot take this request")
        is_problem(await client.get("/findings"), 503)
        other.execute("ROLLBACK")
        other.close()
        assert (await client.get("/findings")).status_code == 200
    assert [one.state for one in served.records.each(Finding)] == ["open"]


async def test_many_at_once_are_all_answered_and_all_written_down(served: Appliance) -> None:
    people = [served.person(f"p{i}", "viewer") for i in range(4)]
    async with asyncio.TaskGroup() as group:
        for person in people:
            group.create_task(_ask_often(served, person, 25))
    assert len([entry for entry in entries(served) if entry.action == "findings.read"]) == 100


async def _ask_often(served: Appliance, person: Any, times: int) -> None:
    async with served.client(person) as client:
        for _ in range(times):
            assert (await client.get("/findings")).status_code == 200


def test_the_policy_is_what_the_guard_asks(appliance: Appliance) -> None:
    """No route needs more than a permission of the table, so that the table alone says who may what."""
    for route in appliance.app.routes:
        need = need_of(route)
        assert need is not None
        nobody = Request(who=Party(name="nobody", key=Digest("0" * 64)), roles=frozenset(), permission=need.permission)
        assert isinstance(permit(nobody), Denial)
