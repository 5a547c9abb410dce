"""A served API for tests: real records, real authority, real TLS on loopback; the ports behind it small but working."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec

from sentinel.access import Access
from sentinel.access import certificates as c
from sentinel.api import ApiState, Tls, build_app, build_enrolment_app, serve
from sentinel.clock import SystemClock
from sentinel.dissection import dissect
from sentinel.errors import InputError
from sentinel.model.action import Action, ActionKind, ActionState
from sentinel.model.detection import Severity
from sentinel.model.finding import Finding
from sentinel.model.ids import ActionId, AssetId, CommandId, FindingId, VerdictId
from sentinel.model.plan import Plan
from sentinel.model.time import Instant
from sentinel.model.verdict import Judgement, Verdict
from sentinel.ports import Spec
from sentinel.records import Records
from sentinel.respond import lifecycle


def a_finding(name: str = "f1", **changes: Any) -> Finding:
    finding = Finding(
        id=FindingId(name),
        cause=f"cause of {name}",
        title="A write from an unknown client",
        severity=Severity.HIGH,
        confidence=0.9,
        first_seen=Instant(1_000),
        last_seen=Instant(2_000),
        first_frame=7,
        frames=(7, 8),
        frame_count=2,
        assets=(AssetId("10.0.0.66"), AssetId("10.0.0.10")),
        why=("it never wrote before",),
    )
    return replace(finding, **changes)


def an_action(name: str = "a1", **changes: Any) -> Action:
    now = SystemClock().now()
    action = Action(
        id=ActionId(name),
        kind=ActionKind.QUARANTINE,
        target=AssetId("10.0.0.66"),
        reason="it writes what it may not",
        enforcer="dry_run",
        lasts_s=600.0,
        proposed=now,
        changed=now,
    )
    return replace(action, **changes)


class LifecycleActions:
    """The lifecycle's own table, over the records; nothing is enforced."""

    def __init__(self, records: Records, clock: SystemClock) -> None:
        self._records, self._clock = records, clock

    def _find(self, action: ActionId) -> Action:
        found = self._records.find(Action, action)
        if found is None:
            raise LookupError(f"there is no action {action}")
        return found

    async def _keep(self, action: Action) -> Action:
        await self._records.kept(action)
        return action

    async def propose(self, proposals: Iterable[Action]) -> None:
        await self._records.kept(*proposals)

    async def request(self, action: ActionId, by: str, lasts_s: float | None = None) -> Action:
        return await self._keep(lifecycle.request(self._find(action), by, self._clock.now(), lasts_s))

    async def approve(self, action: ActionId, by: str) -> Action:
        return await self._keep(lifecycle.approve(self._find(action), by, self._clock.now()))

    async def reject(self, action: ActionId, by: str, reason: str) -> Action:
        return await self._keep(lifecycle.reject(self._find(action), by, self._clock.now(), reason))

    async def release(self, action: ActionId, by: str) -> Action:
        return await self._keep(lifecycle.begin_release(self._find(action), by, self._clock.now()))


class OneTagTwin:
    """Knows one tag with one limit."""

    def state(self) -> Mapping[str, Any]:
        return {"tags": {"LT101": {"value": 1.2, "unit": "m"}}}

    def health(self) -> Mapping[str, Any]:
        return {"in_step": True}

    def live(self) -> Mapping[str, Any]:
        return {"at": "1970-01-01T00:00:00Z", "tags": self.state()["tags"]}

    def snapshot(self) -> bytes:
        return b"octets"

    async def what_if(self, writes: Mapping[str, float], by: str) -> Verdict:
        unknown = sorted(set(writes) - {"LIC101.SP"})
        if unknown:
            raise InputError(f"there is no tag {unknown[0]!r}")
        judgement = Judgement.UNSAFE if writes["LIC101.SP"] > 1.6 else Judgement.SAFE
        return Verdict(
            id=VerdictId("v"),
            command=CommandId("c"),
            judgement=judgement,
            reason=f"asked by {by}",
            judged=Instant(1),
            horizon_s=600,
        )


class CountingPlanner:
    """The plan of a list of jobs is their sum."""

    def kinds(self) -> Sequence[Spec]:
        return [Spec(name="counting", summary="adds durations")]

    async def plan(self, kind: str, problem: Mapping[str, Any], by: str) -> Plan:
        jobs = problem.get("jobs")
        if not isinstance(jobs, list):
            raise InputError("problem.jobs: a list is needed")
        total = float(sum(jobs))
        return Plan(kind=kind, status="optimal", objective=total, bound=total, gap=0.0, unit="s", decisions=({"total": total},))


@dataclass
class Person:
    name: str
    key: ec.EllipticCurvePrivateKey
    certificate: Path
    key_path: Path
    serial: str

    def context(self, authorities: Path) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(authorities))
        context.load_cert_chain(self.certificate, self.key_path)
        return context


class Appliance:
    def __init__(self, directory: Path, twin: Any = None) -> None:
        self.directory = directory
        self.clock = SystemClock()
        self.records = Records(directory / "records", self.clock)
        self.access = Access(directory / "authority", self.records, self.clock)
        specs = {"detectors": (Spec(name="novelty", summary="who talks to whom", config={"slots": (3, "how many")}),)}
        self.state = ApiState(
            records=self.records,
            access=self.access,
            clock=self.clock,
            actions=LifecycleActions(self.records, self.clock),
            twin=twin or OneTagTwin(),
            planning=CountingPlanner(),
            dissect=dissect,
            health=lambda: {"processes": {"gate": "running"}},
            capabilities=specs,
            name="test",
        )
        self.app = build_app(self.state)
        self.port = 0
        self.enrol_port = 0

    def person(self, name: str, *roles: str, key: ec.EllipticCurvePrivateKey | None = None) -> Person:
        key = key or c.new_key()
        issued = self.access.issue(name, roles, key.public_key(), by="test")
        return self.wallet(name, key, issued.certificate, issued.credential.serial)

    def wallet(self, name: str, key: ec.EllipticCurvePrivateKey, certificate: bytes, serial: str = "") -> Person:
        """A person from any certificate, also one that this appliance never issued."""
        stem = f"{name}-{serial[:8]}"
        paths = self.directory / f"{stem}.pem", self.directory / f"{stem}.key"
        paths[0].write_bytes(certificate + self.access.authority.chain())
        paths[1].write_bytes(c.key_pem(key))
        return Person(name, key, paths[0], paths[1], serial)

    def client(self, person: Person | None, *, port: int | None = None) -> httpx.AsyncClient:
        authorities = self.access.authority.chain_path
        context = person.context(authorities) if person else ssl.create_default_context(cafile=str(authorities))
        return httpx.AsyncClient(base_url=f"https://127.0.0.1:{port or self.port}", verify=context, timeout=10, trust_env=False)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Appliance"]:
        """API and enrolment, until the block ends."""
        stop, ports = asyncio.Event(), asyncio.Queue[int]()
        async with asyncio.TaskGroup() as group:
            for app, clients in ((self.app, True), (build_enrolment_app(self.state), False)):
                tls = Tls(self.access, self.records.audit, self.clock, name="test", clients=clients)
                streams = self.app.state.streams
                group.create_task(serve(app, tls, "127.0.0.1", 0, stop=stop, ready=ports.put_nowait, stopping=streams.stop))
                port = await asyncio.wait_for(ports.get(), 5)
                if clients:
                    self.port = port
                else:
                    self.enrol_port = port
            try:
                yield self
            finally:
                stop.set()

    def requested(self, person: Person, name: str = "a1") -> None:
        """An action as if that person had asked for it elsewhere."""
        self.records.keep(an_action(name, state=ActionState.REQUESTED, requested_by=person.name))
