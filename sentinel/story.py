"""The demo's story: the appliance beside the reference plant, an operator, an attacker, and the two people who answer.

Told as it happens, one line a step.  Nothing is staged: every figure is taken from what the processes themselves report (the attacker
knows when it was cut, the operator counts what it lost), and every step of the two people is a call of the API with their own certificate.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sentinel import settings as configuration
from sentinel.access import Access
from sentinel.access import certificates as c
from sentinel.cast import Actor, Changes, Person
from sentinel.clock import Clock
from sentinel.demo import topology
from sentinel.demo.topology import Setting
from sentinel.demo.wiring import PLANT_FILE
from sentinel.durable import write_whole
from sentinel.errors import TransientError
from sentinel.model.detection import Severity
from sentinel.model.time import NS_PER_MS
from sentinel.places import Places
from sentinel.processes import processes, reporting
from sentinel.records import Records
from sentinel.settings import Settings
from sentinel.supervisor import Supervisor, python

PEOPLE = {"rita": ("analyst", "responder"), "anna": ("analyst", "approver"), "ada": ("admin",), "olaf": ("viewer", "engineer")}
READY_S, LEARNT_S, FOUND_S, CUT_S = 60.0, 120.0, 30.0, 30.0
AFTERWARDS_S = 8.0  # how long operator and plant are watched after the cut
_PERIOD_S = 0.2
_READING_S = 2.0  # rita reads the finding before she asks for anything

_HEARD = ("plc", "hmi")  # of the box: what reaches the plant, and what the operator says to the gate; each frame once

Tell = Callable[[str], None]


@dataclass(slots=True)
class Result:
    """What ``--json`` prints.  Times in s or ms as named; None = that step was not reached."""

    enforced_by: str
    seconds_to_active: float | None = None
    frame_to_finding_ms: float | None = None
    verdict: str | None = None
    approval_to_cut_ms: float | None = None
    operator_lost: int | None = None
    audit_ok: bool | None = None
    finding: str | None = None
    title: str | None = None
    held: bool | None = None  # the write was refused before it reached the plant
    problem: str | None = None

    @property
    def is_good(self) -> bool:
        """The attack was cut, the operator lost nothing, the audit chain verifies."""
        return self.approval_to_cut_ms is not None and self.operator_lost == 0 and self.audit_ok is True


class Story:
    def __init__(self, places: Places, settings: Settings, setting: Setting, clock: Clock, tell: Tell, case: str) -> None:
        self.places = places
        self.settings = settings
        self.setting = setting
        self.clock = clock
        self.tell = tell
        self.case = case
        self.people = places.settings.parent / "people"
        self.url = f"https://{settings.api.host}:{settings.api.port}"
        self.result = Result(enforced_by=settings.enforce.enforcer)
        self.waits = False  # the story is told; the stage stays up
        self._revision = 0
        self._first_ns = 0  # of the attacker's first request
        self._writes: dict[tuple[str, float], int] = {}  # what it wrote, and when first

    async def run(self, until: asyncio.Event | None) -> Result:
        """The whole story; then, with ``until``, stays up until it is set."""
        self.enrol()
        async with contextlib.AsyncExitStack() as stage, self.appliance(stage):
            try:
                operator = await self.begin(stage)
                await self._opening(operator)
                await self._attack(stage)
                await self._end(operator, until)
            except (TransientError, TimeoutError, httpx.HTTPError) as error:
                self.result.problem = str(error)
                self.tell(f"The story broke off: {error}.  The processes' logs are in {self.places.logs}.")
        return self.result

    @contextlib.asynccontextmanager
    async def appliance(self, stage: contextlib.AsyncExitStack) -> AsyncIterator[Supervisor]:
        """The plant, and beside it the appliance; both end with the context."""
        plant = await self.enter(stage, "plant", "plc", modbus=self.setting.plant_modbus, opcua=self.setting.plant_opcua)
        await plant.until("ready", within_s=READY_S)
        self.tell(f"The plant is up: two tanks, a heater loop, a spindle; Modbus on {self.setting.plant_modbus}, OPC UA beside it.")
        killed = stage.enter_context(self.places.claimed())
        async with reporting(self.places, self.clock, killed) as report:
            supervisor = Supervisor(processes(self.settings, self.places), self.places.logs, self.clock, report)
            running = asyncio.create_task(supervisor.run(), name="appliance")
            try:
                yield supervisor
            finally:
                supervisor.stop()
                await running

    def enrol(self) -> None:
        """The demo's people, straight from the box's authority, as an administrator would with `sentinel enrol`."""
        records = Records(self.places.records, self.clock)
        try:
            access = Access(self.places.authority, records, self.clock)
            self.people.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name, roles in PEOPLE.items():
                key = c.new_key()
                issued = access.issue(name, roles, key.public_key(), by="demo")
                records.audit.append("demo", "enrol", name, "allow", roles=list(roles)).result()
                write_whole(self.people / f"{name}.key", c.key_pem(key))
                write_whole(self.people / f"{name}.pem", issued.certificate)
            write_whole(self.people / "ca.pem", issued.authorities)
        finally:
            records.close()

    # the acts

    async def begin(self, stage: contextlib.AsyncExitStack) -> Actor:
        """Up, twin in step, operator at work, baseline learnt."""
        began_s = self.clock.monotonic_s()
        self.rita, self.anna, self.ada = (Person(name, self.url, self.people) for name in ("rita", "anna", "ada"))
        for person in (self.rita, self.anna, self.ada):
            stage.push_async_callback(person.client.aclose)
        await self.until(READY_S, "the API answers", self.api_is_up)
        by = self.settings.enforce.enforcer
        self.tell(f"The appliance is up.  It enforces by {by}{'; it captures passively too' if self.settings.capture else ''}.")
        operator = await self.enter(stage, "operator", "hmi", server=self.setting.gate, source=self.setting.operator)
        await operator.until("started", within_s=READY_S)
        self.tell("The operator works: polls four times a second, moves setpoints by routine.")
        await self.until(READY_S, "the twin is in step", self.twin_is_in_step)
        self.tell("The twin is in step with the plant.  The baseline learns:")
        await self.until(LEARNT_S + self.settings.learning.lasts_s, "the baseline is active", self._is_active)
        self.result.seconds_to_active = round(self.clock.monotonic_s() - began_s, 2)
        health = await self.rita.get("/health")
        learnt = health["learning"]
        self._revision = health["records"]["revision"]
        self.tell(f"The baseline is active after {self.result.seconds_to_active:.0f} s: {learnt['windows']} windows learnt.")
        return operator

    async def _opening(self, operator: Actor) -> None:
        """The moment after a pump changeover.  A write that goes round the gate is in force until somebody takes it back; while it is, the
        gate refuses what would let it do harm, the operator's own pump start included.  The next one is a routine's length away."""
        operator.forget()
        while True:
            write = await operator.until("write", within_s=FOUND_S)
            if write["tags"].get("P101.RUN"):
                return

    async def _attack(self, stage: contextlib.AsyncExitStack) -> None:
        changes = self.rita.changes(self._revision)
        stage.push_async_callback(changes.aclose)  # type: ignore[attr-defined]
        attacker = await self.enter(
            stage,
            "attacker",
            "att",
            case=self.case,
            target=self.setting.attacker_target,
            source=self.setting.attacker,
            namespace=self.setting.namespace("att"),
            insist_ms=100.0,  # so that the moment of the cut is known to a tenth of a second
            limit_s=LEARNT_S,
        )
        await attacker.until("started", within_s=READY_S)
        self.tell(f"An attacker at {self.setting.attacker} comes in: case {self.case!r}.")
        shots = asyncio.create_task(self._watch(attacker), name="watch the attacker")
        stage.callback(shots.cancel)
        finding, verdict = await self._finding(changes)
        heard_ns = self.clock.now()
        self.result.finding, self.result.title = finding["id"], finding["title"]
        began_ns = await self._deed_ns(verdict)
        self.result.frame_to_finding_ms = round((heard_ns - began_ns) / NS_PER_MS, 1)
        self.tell(f"Finding after {self.result.frame_to_finding_ms:.0f} ms: {finding['title']} [{', '.join(finding['techniques'])}].")
        likeliest = finding["hypotheses"][0]
        self.tell(
            f"Risk {finding['risk']:.0f} of 100, most likely {likeliest['explanation']}: {'; '.join(likeliest['supporting'])}."
            f" To look into: {'; '.join(finding['look_into'][:2])}."
        )
        if verdict is not None:
            self.result.verdict = verdict["judgement"]
            self.tell(f"The twin's verdict: {verdict['judgement']}, {verdict['intent']}: {verdict['reason']}.")
        await self._answer(finding["id"], changes, shots)
        if verdict is not None:
            for again in (await self.rita.get("/verdicts", command=verdict["command"]))["items"]:
                if again["refers"] is not None:
                    self.tell(f"Played once more to an emulated device: {again['judgement']}; {again['evidence'][0]}.")

    async def _watch(self, attacker: Actor) -> Mapping[str, Any]:
        """Tells what the attacker does, as it says it itself, until it is cut or has ended."""
        told = ""
        while True:
            line = await attacker.until("request", "cut", "summary", within_s=LEARNT_S)
            if line["event"] != "request":
                return line
            self._first_ns = self._first_ns or line["at_ns"]
            if line.get("tag"):
                refused = str(line["answer"]).startswith("exception")
                self._writes.setdefault((line["tag"], line["value"]), line["at_ns"])
                self.result.held = refused if self.result.held is None else self.result.held
                if line["says"] != told:
                    fate = "held by the gate and refused" if refused else "it reaches the plant" if line["answer"] == "ok" else "it is lost"
                    self.tell(f"The attacker {line['says']}: {fate} ({line['answer']}, {line['ms']:.0f} ms).")
                told = line["says"]

    async def _deed_ns(self, verdict: Mapping[str, Any] | None) -> int:
        """When the attacker sent what was judged; without a verdict, its first request."""
        if verdict is None:
            return self._first_ns
        command = await self.rita.get(f"/commands/{verdict['command']}")
        write = command["writes"][0]
        return int(self._writes.get((write["tag"], write["value"]), command["seen"]))

    async def _finding(self, changes: Changes) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
        """The first one about the attacker that carries a verdict of unsafe; of a case that writes nothing, the first grave one."""
        patience_s = FOUND_S * (4 if self.case == "drift" else 1)  # harmless steps, until together they are not
        try:
            async with asyncio.timeout(patience_s):
                async for kind, value in changes:
                    if kind != "finding" or self.setting.attacker not in value["assets"]:
                        continue
                    if self.case == "scan" and value["severity"] >= Severity.HIGH:
                        return value, None
                    for key in reversed(value["verdicts"]):
                        verdict = await self.rita.get(f"/verdicts/{key}")
                        if verdict["judgement"] == "unsafe":
                            return value, verdict
        except TimeoutError as error:
            raise TransientError(f"no such finding as was expected within {patience_s:.0f} s") from error
        raise TransientError("the event stream ended")

    async def _answer(self, finding: str, changes: Changes, shots: "asyncio.Task[Mapping[str, Any]]") -> None:
        """One person asks, another approves, the attacker falls silent."""
        action = await self._proposal(finding, changes)
        self.tell(f"Proposed: quarantine of {action['target']} by {action['enforcer']}, for {action['lasts_s']:.0f} s.")
        await asyncio.sleep(_READING_S)
        asked = await self.rita.post(f"/actions/{action['id']}/request", {"reason": "demo"})
        rehearsal = asked["rehearsal"]
        ends = ", ".join(rehearsal["cut"]) or "no conversation"
        self.tell(f"rita asks for it.  Rehearsed: it ends {ends}; {rehearsal['kept']} other conversations go on.")
        approved_ns = self.clock.now()
        await self.anna.post(f"/actions/{action['id']}/approve")
        self.tell("anna approves it.")
        cut = await asyncio.wait_for(shots, CUT_S)
        if cut["event"] != "cut":
            raise TransientError("the attacker ended without being cut")
        self.result.approval_to_cut_ms = round((cut["at_ns"] - approved_ns) / NS_PER_MS, 1)
        self.tell(f"The attacker is cut off {self.result.approval_to_cut_ms:.0f} ms after the approval ({cut['answer']}).")

    async def _proposal(self, finding: str, changes: Changes) -> Mapping[str, Any]:
        for known in (await self.rita.get("/actions", finding=finding, status="proposed"))["items"]:
            return dict(known)
        try:
            async with asyncio.timeout(FOUND_S):
                async for kind, value in changes:
                    if kind == "action" and value["finding"] == finding and value["state"] == "proposed":
                        return value
        except TimeoutError as error:
            raise TransientError(f"no action was proposed within {FOUND_S:.0f} s") from error
        raise TransientError("the event stream ended")

    async def _end(self, operator: Actor, until: asyncio.Event | None) -> None:
        """Operator and plant go on; then the accounts."""
        with contextlib.suppress(TransientError):
            lost = await operator.until("lost", within_s=AFTERWARDS_S)
            self.tell(f"The operator lost a request: {lost}.")
        verification = await self.ada.get("/audit/verification")
        self.result.audit_ok = verification["broken"] is None and verification["problem"] is None
        self.tell(f"The audit chain of {verification['rows']} entries {'verifies' if self.result.audit_ok else 'IS BROKEN'}.")
        if until is not None:
            self.tell("Operator and plant go on.  Ctrl-C ends everything.")
            self.tell(f"API: {self.url}  pages: {self.url}/docs  logs: {self.places.logs}")
            files = f"--cacert {self.people}/ca.pem --cert {self.people}/rita.pem --key {self.people}/rita.key"
            self.tell(f"curl {files} {self.url}/findings")
            self.waits = True
            await until.wait()
        await operator.end()
        summary = await operator.until("summary", within_s=CUT_S)
        self.result.operator_lost = sum(summary["lost"].values()) if isinstance(summary["lost"], dict) else int(summary["lost"])
        self.tell(f"The operator sent {summary['requests']} requests and lost {self.result.operator_lost}.")

    # what is waited for

    async def until(self, within_s: float, what: str, is_so: Callable[[], Any]) -> None:
        try:
            async with asyncio.timeout(within_s):
                while not await is_so():  # noqa: ASYNC110  what is waited for is another process's state
                    await asyncio.sleep(_PERIOD_S)
        except TimeoutError as error:
            raise TransientError(f"not within {within_s:.0f} s: {what}") from error

    async def api_is_up(self) -> bool:
        try:
            await self.rita.get("/health")
        except httpx.TransportError:
            return False
        return True

    async def twin_is_in_step(self) -> bool:
        answer = await self.rita.client.get("/twin/health")
        return answer.status_code == httpx.codes.OK and answer.json()["grade"] == "in_step"

    async def _is_active(self) -> bool:
        learning = (await self.rita.get("/health"))["learning"]
        share = min(1.0, learning["since_s"] / max(learning["lasts_s"], 1e-9))
        self.tell(f"\r[{'#' * round(30 * share):<30}] {100 * share:3.0f} %  {learning['windows']} windows, {learning['assets']} assets")
        return bool(learning["state"] != "learning")

    # the cast

    async def enter(self, stage: contextlib.AsyncExitStack, name: str, role: str, **config: Any) -> Actor:
        """Start one of the cast where its role lives; it ends with the stage."""
        file = self.places.run / f"demo-{name}.json"
        file.write_text(json.dumps({"plant": str(PLANT_FILE), **config}), encoding="utf-8")
        argv = self.setting.argv(role, *python("-m", f"sentinel.demo.{name}", str(file)))
        with (self.places.logs / f"demo-{name}.log").open("wb") as log:
            child = await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True
            )
        actor = Actor(name, child)
        hearing = asyncio.create_task(actor.hear(), name=f"hear the {name}")
        stage.callback(hearing.cancel)
        stage.push_async_callback(actor.end)
        return actor


def settings_for(setting: Setting, port: int, learn_s: float) -> Settings:
    """The appliance as the demo runs it: embedded defaults, the reference plant's file, a short time to learn."""
    box = setting.namespace("box")
    host = setting.plant_modbus.partition(":")[0]
    return Settings(
        appliance=configuration.Appliance(name="demo", directory="data", plant=str(PLANT_FILE)),
        learning=configuration.Learning(lasts_s=learn_s),
        api=configuration.Api(port=port, enrol_port=0),
        enforce=configuration.Enforce(enforcer="nftables" if box else "gate", namespace=box, never_cut=(host, setting.operator)),
        capture=(configuration.Capture(interfaces=_HEARD, namespace=box),) if box else (),
        gate=(configuration.Gate(listen=setting.gate, upstream=setting.plant_modbus, namespace=box, observe=not box),),
        poll_modbus=(configuration.PollModbus(server=setting.plant_modbus, period_s=0.5, namespace=box),),
        poll_opcua=(configuration.PollOpcua(url=f"opc.tcp://{setting.plant_opcua}/", namespace=box),),
    )


@contextlib.contextmanager
def stage_for(routed: bool) -> Iterator[Setting]:
    """The setting: network namespaces of its own where that is possible and wanted, else loopback."""
    if routed:
        with topology.namespaces() as setting:
            yield setting
    else:
        yield topology.loopback()


def prepare(directory: Path, settings: Settings) -> Places:
    file = directory / "sentinel.toml"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.write_text(configuration.write(settings), encoding="utf-8")
    places = Places.of(settings, file)
    places.make()
    return places
