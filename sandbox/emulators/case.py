"""One case of the wire tier, in a process of its own: octets are played to the emulated device, what they set is judged.

In: a request with its command's octets, a snapshot, the court's terms.  Out: a `Verdict` whose evidence begins with what the device did.
The connection is made first; then the process locks itself in like the court, with nothing but that connection and the pipe for its answer;
only then does the first of the captured octets reach the device.  Raises IsolationError when anything lets something through.
"""

import asyncio
import contextlib
import fcntl
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sandbox import kernel
from sandbox.config import Thresholds
from sandbox.emulators.modbus import MAX_ANSWER_OCTETS, Cells, Device, Memory, cells_of, listen
from sandbox.isolation import Layer, lock_down
from sandbox.judge import hearing, undecided
from sandbox.octets import adu_of
from sandbox.protocol import Request, completes
from sandbox.replay import Replay, current
from sentinel.model.command import Command, TagWrite
from sentinel.model.dialect import DIALECTS, STANDARD
from sentinel.model.ids import VerdictId, short_id
from sentinel.model.modbus import MAX_ADU_OCTETS
from sentinel.model.time import Instant
from sentinel.model.verdict import Verdict
from sentinel.twin.ensemble import Ensemble
from sentinel.twin.expression import evaluate
from sentinel.twin.plant import Plant
from sentinel.twin.snapshot import Snapshot

MAX_OCTETS = 8 * MAX_ADU_OCTETS  # of one segment
_HOST = "127.0.0.1"
_TURNS, _QUIET = 64, 8  # of the event loop: on a loopback an answer takes some five, and nothing comes after so many without news
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """``values``: what a client would read in the snapshot (`image`)."""

    snapshot: Snapshot
    values: Mapping[str, float]
    replay: Replay


def own_network() -> None:
    """Empty but for a loopback that is up.  Raises OSError without the right to one."""
    kernel.unshare(kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))


def image(replay: Replay, snapshot: Snapshot) -> dict[str, float]:
    """What the twin believes a client would read: every tag that it knows, in the tag's unit."""
    model = replay.model
    ensemble = Ensemble.from_snapshot(model, snapshot)
    told = evaluate([output.expression for output in model.outputs], ensemble.value_of)
    means = {output.tag: float((0.0 * ensemble.states[0] + value).mean()) for output, value in zip(model.outputs, told, strict=True)}
    values = {output.tag: float(output.measure.from_si(means[output.tag])) for output in model.outputs}
    return values | current(replay.plant, snapshot, {})


async def play(octets: bytes, device: Device, ready: Callable[[], object]) -> tuple[bytes, bool]:
    """(answers, whether the device ended the connection).  ``ready`` is called when all is connected and before an octet is sent."""
    port = await listen(device, _HOST)
    reader, writer = await asyncio.open_connection(_HOST, port, limit=MAX_ANSWER_OCTETS)
    await _turns(_QUIET)  # the device has taken the connection
    ready()
    writer.write(octets)
    answers, quiet = b"", 0
    for _ in range(_TURNS):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                answers += await reader.read(MAX_ANSWER_OCTETS)
                quiet = 0
        await _turns(1)
        quiet += 1
        if quiet > _QUIET or reader.at_eof() or len(answers) >= MAX_ANSWER_OCTETS:
            break
    return answers[:MAX_ANSWER_OCTETS], device.closed


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def hear(request: Request, scene: Scene, terms: Thresholds, seed: int, now: Instant, layers: Mapping[str, Layer]) -> Verdict:
    """Over a connection, locked in."""
    case = _Case(request, scene, terms, seed, now)
    answers, closed = asyncio.run(play(case.octets, case.device, lambda: lock_down(layers)))
    return case.weigh(answers, closed)


def rehear(request: Request, scene: Scene, terms: Thresholds, seed: int, now: Instant) -> Verdict:
    """The same verdict from the same octets, handed to the device without a connection: for whoever reads a kept case."""
    case = _Case(request, scene, terms, seed, now)
    answers = case.device.receive(case.octets)
    return case.weigh(answers, case.device.closed)


def rehearse(scene: Scene) -> None:
    """One register read over a connection, so that a case finds built what the first use of server and event loop builds."""
    device = _device(scene.replay.plant, *_registers(scene))
    read = bytes((0, 1, 0, 0, 0, 6, device.unit, 3, 0, 0, 0, 1))
    asyncio.run(play(read, device, lambda: None))


class _Case:
    """The octets of a command, the emulated device that they are for, and what they make of it."""

    def __init__(self, request: Request, scene: Scene, terms: Thresholds, seed: int, now: Instant) -> None:
        self._request, self._scene, self._terms, self._seed, self._now = request, scene, terms, seed, now
        self._plant = scene.replay.plant
        self.octets = adu_of(request.command)
        self._unit, self._cells = _registers(scene)
        self.device = _device(self._plant, self._unit, self._cells)

    def weigh(self, answers: bytes, closed: bool) -> Verdict:
        """What the device set is judged.  Of an identity of its own: the verdict that it refers to stands beside it."""
        writes = self.device.memory.writes(self._plant.tags)
        declared = self._plant.dialect is not None
        says = [_played(self.device.dialect.name, declared, answers, closed, writes)]
        others = self._others()
        unlike = [name for name, set_there in others.items() if set_there != writes]
        if unlike:
            sets = _listed(others[unlike[0]])
            says.append(f"a device that speaks {' or '.join(unlike)} would set {sets}: the verdict hangs on the dialect")
        if unlike and not declared:
            verdict = self._undecided(
                "what the frame does depends on the device's dialect, which the plant file does not declare (modbus: {dialect: ...})"
            )
        elif not writes:
            verdict = self._undecided("the emulated device sets nothing that has an address")
        else:
            verdict = self._judged(writes)
        identity = VerdictId(short_id("verdict", "wire", verdict.id))
        return replace(verdict, id=identity, refers=self._request.refers, evidence=(*says, *verdict.evidence))

    def _others(self) -> dict[str, tuple[TagWrite, ...]]:
        """What devices of every dialect would set."""
        found = {}
        for dialect in DIALECTS.values():
            other = Device(Memory(self._cells, self._unit), self._unit, dialect)
            other.receive(self.octets)
            found[dialect.name] = other.memory.writes(self._plant.tags)
        return found

    def _undecided(self, reason: str) -> Verdict:
        return undecided(self._request.command, self._scene.snapshot, self._scene.replay, reason, self._seed, self._now)

    def _judged(self, writes: tuple[TagWrite, ...]) -> Verdict:
        """Judged here, by rollouts of its own.  Where the court came to the same judgement in every number, what it has found to complete
        it (intent, nearest safe value, options) is a pure function of the same case and is taken over."""
        request, first, scene = self._request, self._request.first, self._scene
        meant = replace(request.command, writes=writes, octets="")
        said: Verdict | None = None
        for said in hearing(meant, scene.snapshot, scene.replay, request.context, self._terms, self._seed, self._now):
            if said is not None and first is not None and completes(said, first):
                return replace(first, judged=self._now)
        assert said is not None
        return said


def _registers(scene: Scene) -> tuple[int, Cells]:
    """(unit, registers) of the device that the tag map is about."""
    tags = scene.replay.plant.tags
    unit = next((tag.modbus.unit for tag in tags.tags if tag.modbus), 1)
    return unit, cells_of(tags, unit, scene.values)


def _device(plant: Plant, unit: int, cells: Cells) -> Device:
    return Device(Memory(cells, unit), unit, DIALECTS[plant.dialect] if plant.dialect else STANDARD)


def objection(command: Command) -> str | None:
    """Why this cannot be played at all."""
    if command.protocol != "modbus":
        return f"there is no emulated device for {command.protocol}"
    try:
        octets = bytes.fromhex(command.octets)
    except ValueError:
        return "the frame that came with the command is not hexadecimal"
    if not 0 < len(octets) <= MAX_OCTETS:
        return f"the frame that came with the command has {len(octets)} octets, 1 to {MAX_OCTETS} can be played"
    return None


def _played(dialect: str, is_declared: bool, answers: bytes, closed: bool, writes: tuple[TagWrite, ...]) -> str:
    answered = f"answers {answers.hex()}" if answers else "ends the connection" if closed else "stays silent"
    which = f"dialect {dialect}" if is_declared else f"dialect {dialect}, none is declared"
    return f"the frame played to the emulated device ({which}): it {answered} and sets {_listed(writes)}"


def _listed(writes: tuple[TagWrite, ...]) -> str:
    shown = ", ".join(f"{write.tag or write.point} = {write.raw if write.value is None else write.value:g}" for write in writes[:5])
    return (shown if len(writes) <= 5 else f"{shown} and {len(writes) - 5} more") or "nothing"
