"""The appliance as one process tree beside the reference plant and its operator, for tests that take parts of it away.

`sentinel run` is the tree's root; its processes are found as the kernel knows them.  What is asked is asked of the API, by people with
certificates of their own.
"""

import asyncio
import contextlib
import dataclasses
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from sentinel import settings as configuration
from sentinel.clock import SystemClock
from sentinel.commands.demo import free_port
from sentinel.demo.lines import endpoint
from sentinel.demo.topology import Setting
from sentinel.story import READY_S, Actor, Person, Story, prepare, settings_for
from sentinel.supervisor import python

WAIT_S = 30.0
REACH_S = 1.0
ROUTINE = 1200
HELD_MS, DEADLINE_MS = 4000.0, 5000.0  # long enough to see that a write is held before its judge is killed
REFUSED = b"\x86\x04"
_WRITE = bytes.fromhex("0001 0000 0006 01 06")  # unit 1, write_single_register
_LOOK = bytes.fromhex("0002 0000 0006 01 03 0000 0001")  # reads it
_MODULES = {"sentinel.app": "brain", "sandbox": "court", "sandbox.emulators": "wire", "sentinel.respond.enforcers": "enforcer"}


@dataclass
class Appliance:
    story: Story
    supervisor: asyncio.subprocess.Process
    rita: Person
    anna: Person
    ada: Person
    operator: Actor
    stage: contextlib.AsyncExitStack

    @property
    def gate(self) -> tuple[str, int]:
        return endpoint("gate", self.story.setting.gate)

    # the processes

    def pids(self) -> dict[str, int]:
        """The supervisor's children by their names."""
        found = {}
        for pid in children(self.supervisor.pid):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if "-m" in words:
                module = words[words.index("-m") + 1]
                found[_MODULES.get(module) or Path(words[-2]).stem] = pid
        return found

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """It and what it has started stand still, without being gone."""
        pid = self.pids()[name]
        tree = [pid, *descendants(pid)]
        for member in tree:
            os.kill(member, signal.SIGSTOP)
        try:
            yield
        finally:
            for member in tree:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member, signal.SIGCONT)

    # the API

    async def all(self, kind: str, key: str = "id") -> dict[str, Any]:
        items: dict[str, Any] = {}
        cursor: str | None = None
        while True:
            page = await self.rita.get(f"/{kind}", limit=500, **({"cursor": cursor} if cursor else {}))
            items |= {item[key]: item for item in page["items"]}
            cursor = page["next"]
            if cursor is None:
                return items

    async def audit(self) -> dict[int, str]:
        """Each entry's hash by its sequence; the chain must hold."""
        entries: dict[int, str] = {}
        before: int | None = None
        while True:
            page = await self.ada.get("/audit", limit=500, **({"before": before} if before else {}))
            entries |= {entry["sequence"]: entry["hash"] for entry in page["items"]}
            before = page["next"]
            if before is None:
                break
        verification = await self.ada.get("/audit/verification")
        assert (verification["broken"], verification["problem"]) == (None, None)
        return entries

    async def kept(self) -> dict[str, dict[Any, Any]]:
        """All that was acknowledged so far, by its identity."""
        kept: dict[str, dict[Any, Any]] = {kind: await self.all(kind) for kind in ("findings", "verdicts", "actions", "commands", "assets")}
        for action in kept["actions"]:
            receipts = (await self.rita.get(f"/actions/{action}/receipts"))["items"]
            kept[f"receipts of {action}"] = {(receipt["at"], receipt["message"]): receipt for receipt in receipts}
        return kept | {"audit entries": await self.audit()}

    async def nothing_lost(self, before: Mapping[str, Mapping[Any, Any]]) -> None:
        after = await self.kept()
        for kind, items in before.items():
            lost = items.keys() - after[kind].keys()
            assert not lost, f"{kind} lost: {lost}"
        assert all(after["audit entries"][sequence] == entry for sequence, entry in before["audit entries"].items())
        for name, asset in before["assets"].items():
            assert after["assets"][name]["first_seen"] == asset["first_seen"], f"{name} is taken for a newcomer"
        for name, finding in before["findings"].items():
            assert finding["evidence"] in (None, after["findings"][name]["evidence"])

    async def until(self, what: str, ask: Callable[[], Awaitable[Any]], within_s: float = WAIT_S) -> Any:
        """The first answer that is something; a brain that is away has none."""
        answer: Any = None

        async def is_so() -> bool:
            nonlocal answer
            with contextlib.suppress(httpx.TransportError):
                answer = await ask()
            return bool(answer)

        await self.story.until(within_s, what, is_so)
        return answer

    async def outage(self, name: str, since_ns: int) -> dict[str, Any]:
        """The finding about it, once it is back."""

        async def told() -> Any:
            found = (await self.all("findings")).values()
            return [one for one in found if one["cause"] == f"outage:{name}" and one["last_seen"] > since_ns]

        finding: dict[str, Any] = (await self.until(f"the outage of {name} is a finding", told))[0]
        return finding

    async def killed(self, name: str) -> dict[str, Any]:
        """Kill it; it comes back as another process, and the finding about that is the answer."""
        pid, now = self.pids()[name], SystemClock().now()
        os.kill(pid, signal.SIGKILL)
        finding = await self.outage(name, now)
        assert self.pids()[name] != pid
        return finding

    async def innermost(self, name: str) -> int:
        """The last of the processes that this one has started, each the next one; it may be about to."""

        async def started() -> Any:
            return descendants(self.pids()[name])

        *_, pid = await self.until(f"{name} has started its own", started)
        return int(pid)

    async def in_step(self) -> None:
        await self.until("the twin is in step", self.story.twin_is_in_step)

    async def judges(self) -> None:
        """A routine write of the operator's is judged safe and reaches the plant: gate, brain, twin and court are all back."""
        await self.in_step()

        async def goes_through() -> bool:
            return await self.write(self.story.setting.operator, ROUTINE) == accepted(ROUTINE)

        await self.until("a routine write goes through", goes_through)

    async def learning(self) -> Mapping[str, Any]:
        learning: Mapping[str, Any] = (await self.rita.get("/health"))["learning"]
        return learning

    async def active(self) -> None:
        async def is_active() -> bool:
            return bool((await self.learning())["state"] == "active")

        await self.until("the baseline is active", is_active, WAIT_S + self.story.settings.learning.lasts_s)
        await self.in_step()

    async def command(self, source: str, raw: int) -> dict[str, Any]:
        """The kept command of one write."""
        return await self._held(source, f"the write of {raw}", lambda one: bool(one["writes"]) and one["writes"][0]["raw"] == raw)

    async def unnamed(self, source: str, operation: str) -> dict[str, Any]:
        """The kept command of a request whose writes cannot be named."""
        return await self._held(source, operation, lambda one: not one["writes"] and one["operation"] == operation)

    async def _held(self, source: str, what: str, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async def known() -> Any:
            commands = (await self.all("commands")).values()
            return [one for one in commands if one["source"] == source and one["origin"] == "gate" and is_it(one)]

        found = await self.until(f"{what} from {source} is kept", known)
        assert len(found) == 1
        command: dict[str, Any] = found[0]
        return command

    async def verdict(self, source: str, raw: int) -> dict[str, Any]:
        command = await self.command(source, raw)

        async def judged() -> Any:
            verdicts = (await self.all("verdicts")).values()
            return [one for one in verdicts if one["command"] == command["id"] and one["refers"] is None]

        verdict: dict[str, Any] = (await self.until(f"a verdict on {raw} from {source}", judged))[-1]
        return verdict

    async def replay(self, source: str, raw: int) -> dict[str, Any]:
        """What the wire tier says of one write, beside the court's verdict."""
        return await self.played((await self.command(source, raw))["id"])

    async def played(self, command: str) -> dict[str, Any]:
        async def known() -> Any:
            page = await self.rita.get("/verdicts", command=command)
            return [one for one in page["items"] if one["refers"] is not None]

        (again,) = await self.until(f"command {command} is played to an emulated device", known)
        return dict(again)

    async def settled(self, command: str, step: str) -> None:
        """The audit log says once what the gate did with it."""

        async def told() -> list[str]:
            entries = (await self.ada.get("/audit", limit=500))["items"]
            return [one["action"] for one in entries if one["target"] == command and one["actor"] == "gate"]

        assert await self.until(f"the outcome of {command} is kept", told) == [step]

    async def proposal(self, target: str, kind: str = "quarantine") -> str:
        async def proposed() -> Any:
            actions = (await self.all("actions")).values()
            return [one for one in actions if (one["target"], one["kind"], one["state"]) == (target, kind, "proposed")]

        return str((await self.until(f"a proposal about {target}", proposed))[0]["id"])

    async def state(self, action: str, wanted: str) -> None:
        async def is_so() -> bool:
            return bool((await self.rita.get(f"/actions/{action}"))["state"] == wanted)

        await self.until(f"action {action} is {wanted}", is_so)

    async def receipts(self, action: str) -> list[dict[str, Any]]:
        return list((await self.rita.get(f"/actions/{action}/receipts"))["items"])

    async def more_receipts(self, action: str, than: int) -> None:
        async def are_more() -> bool:
            return len(await self.receipts(action)) > than

        await self.until(f"the enforcer is asked again about {action}", are_more)

    # the wire

    async def attack(self) -> Actor:
        """The demo's attacker, which goes round the gate where the topology allows it; it insists until it is cut."""
        setting = self.story.setting
        return await self.story.enter(
            self.stage,
            "attacker",
            "att",
            case=self.story.case,
            target=setting.attacker_target,
            source=setting.attacker,
            namespace=setting.namespace("att"),
            insist_ms=100.0,
            limit_s=300.0,
        )

    async def reaches_the_plant(self) -> bool:
        """Does the attacker's machine, asked again, get a connection to the plant?"""
        code = f"import socket; socket.create_connection({endpoint('plant', self.story.setting.plant_modbus)}, {REACH_S})"
        argv = self.story.setting.argv("att", *python("-c", code))
        process = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.DEVNULL)
        return await asyncio.wait_for(process.wait(), WAIT_S) == 0

    async def write(self, source: str, raw: int, address: int = 0) -> bytes:
        """One write through the gate, of LIC101.SP in mm or another register: the PDU that comes back; empty when the connection is refused
        or cut.
        That nothing else comes back for it is seen by a read that is asked behind it."""
        return await self.request(source, _WRITE[7:] + address.to_bytes(2, "big") + raw.to_bytes(2, "big"))

    async def request(self, source: str, pdu: bytes) -> bytes:
        """Any function, as `write`."""
        try:
            async with asyncio.timeout(WAIT_S), connection(self.gate, source) as (reader, writer):
                writer.write(_WRITE[:4] + (1 + len(pdu)).to_bytes(2, "big") + _WRITE[6:7] + pdu)
                answer = await _adu(reader)
                writer.write(_LOOK)
                assert (await _adu(reader))[:2] == _LOOK[:2], "a second answer to one request"
        except (ConnectionError, asyncio.IncompleteReadError):
            return b""
        assert answer[:2] == _WRITE[:2]
        return answer[7:]

    async def setpoint(self) -> int:
        """What the plant itself says that LIC101.SP is, in mm."""
        return await self.holding(0)

    async def holding(self, register: int) -> int:
        """What the plant itself says."""
        async with asyncio.timeout(WAIT_S), connection(endpoint("plant", self.story.setting.plant_modbus)) as (reader, writer):
            writer.write(_LOOK[:8] + register.to_bytes(2, "big") + _LOOK[10:])
            answer = await _adu(reader)
        return int.from_bytes(answer[9:11], "big")


@contextlib.asynccontextmanager
async def connection(to: tuple[str, int], source: str = "127.0.0.1") -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*to, local_addr=(source, 0))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _adu(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(6)
    return head + await reader.readexactly(int.from_bytes(head[4:6], "big"))


def accepted(raw: int, address: int = 0) -> bytes:
    return _WRITE[7:] + address.to_bytes(2, "big") + raw.to_bytes(2, "big")


def children(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def descendants(parent: int) -> list[int]:
    return [pid for child in children(parent) for pid in (child, *descendants(child))]


async def begin(story: Story) -> asyncio.subprocess.Process:
    """`sentinel run`, once it has said that it is there."""
    run = python("-m", "sentinel", "run", "--config", str(story.places.settings))
    process = await asyncio.create_subprocess_exec(*run, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), WAIT_S)
    assert b"logs in" in line
    return process


@contextlib.asynccontextmanager
async def running(
    directory: Path, setting: Setting, learn_s: float, more_gates: tuple[configuration.Gate, ...] = ()
) -> AsyncIterator[Appliance]:
    """With the API answering and the operator at work; the baseline learns by then."""
    settings = settings_for(setting, free_port(), learn_s)
    gates = tuple(dataclasses.replace(gate, deadline_ms=DEADLINE_MS) for gate in (*settings.gate, *more_gates))
    settings = dataclasses.replace(settings, court=configuration.Court(hold_timeout_ms=HELD_MS), gate=gates)
    story = Story(prepare(directory, settings), settings, setting, SystemClock(), lambda _: None, "setpoint")
    story.enrol()
    async with contextlib.AsyncExitStack() as stage:
        plant = await story.enter(stage, "plant", "plc", modbus=setting.plant_modbus, opcua=setting.plant_opcua)
        await plant.until("ready", within_s=READY_S)
        rita, anna, ada = (Person(name, story.url, story.people) for name in ("rita", "anna", "ada"))
        for person in (rita, anna, ada):
            stage.push_async_callback(person.client.aclose)
        appliance = Appliance(story, await begin(story), rita, anna, ada, operator=plant, stage=stage)
        stage.push_async_callback(_end, appliance)
        story.rita = rita
        try:
            await story.until(READY_S, "the API answers", story.api_is_up)
            appliance.operator = await story.enter(stage, "operator", "hmi", server=setting.gate, source=setting.operator, hurry=3.0)
            yield appliance
        except BaseException:
            for log in sorted(story.places.logs.glob("*.log*")):
                print(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")
            raise


async def _end(appliance: Appliance) -> None:
    if appliance.supervisor.returncode is None:
        appliance.supervisor.send_signal(signal.SIGTERM)
    await asyncio.wait_for(appliance.supervisor.wait(), WAIT_S)
