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
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sandbox import kernel
from sandbox.config import Thresholds
from sandbox.emulators.modbus import MAX_ANSWER_OCTETS, Device, Memory, cells_of, listen
from sandbox.isolation import Layer, lock_down
from sandbox.judge import judge, undecided
from sandbox.octets import adu_of
from sandbox.protocol import Request
from sandbox.replay import Replay, current
from sentinel.model.command import Command, TagWrite
from sentinel.model.dialect import DIALECTS, STANDARD
from sentinel.model.ids import VerdictId, short_id
from sentinel.model.modbus import MAX_ADU_OCTETS
from sentinel.model.time import Instant
from sentinel.model.verdict import Verdict
from sentinel.twin.ensemble import Ensemble
from sentinel.twin.expression import evaluate
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


async def play(octets: bytes, device: Device, unit: int, layers: Mapping[str, Layer]) -> tuple[bytes, bool]:
    """(answers, whether the device ended the connection).  ``layers``: what to lock in with before the octets are sent."""
    port = await listen(device, unit, _HOST)
    reader, writer = await asyncio.open_connection(_HOST, port, limit=MAX_ANSWER_OCTETS)
    await _turns(_QUIET)  # the device has taken the connection
    lock_down(layers)
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
    plant = scene.replay.plant
    device = device_of(scene)
    octets = adu_of(request.command, plant.tags)
    answers, closed = asyncio.run(play(octets, device, device.unit, layers))
    return weigh(request, scene, terms, seed, now, device, answers, closed)


def rehear(request: Request, scene: Scene, terms: Thresholds, seed: int, now: Instant) -> Verdict:
    """The same verdict from the same octets, handed to the device without a connection: for whoever reads a kept case."""
    device = device_of(scene)
    answers = device.receive(adu_of(request.command, scene.replay.plant.tags))
    return weigh(request, scene, terms, seed, now, device, answers, device.closed)


def device_of(scene: Scene) -> Device:
    plant = scene.replay.plant
    unit = next((tag.modbus.unit for tag in plant.tags.tags if tag.modbus), 1)
    declared = DIALECTS[plant.dialect] if plant.dialect else STANDARD
    return Device(Memory(cells_of(plant.tags, unit, scene.values), unit), unit, declared)


def weigh(
    request: Request, scene: Scene, terms: Thresholds, seed: int, now: Instant, device: Device, answers: bytes, closed: bool
) -> Verdict:
    """What the device set is judged.  Of an identity of its own: the verdict that it refers to stands beside it."""
    verdict = _weighed(request, scene, terms, seed, now, device, answers, closed)
    return replace(verdict, id=VerdictId(short_id("verdict", "wire", verdict.id)), refers=request.refers)


def _weighed(
    request: Request, scene: Scene, terms: Thresholds, seed: int, now: Instant, device: Device, answers: bytes, closed: bool
) -> Verdict:
    snapshot, replay = scene.snapshot, scene.replay
    command, plant, declared, unit = request.command, replay.plant, device.dialect, device.unit
    octets, cells = adu_of(command, plant.tags), cells_of(plant.tags, device.unit, scene.values)
    writes = device.memory.writes(plant.tags)
    others = {}
    for dialect in DIALECTS.values():
        other = Device(Memory(cells, unit), unit, dialect)
        other.receive(octets)
        others[dialect.name] = other.memory.writes(plant.tags)
    unlike = [name for name, set_there in others.items() if set_there != writes]
    says = _says(declared.name, plant.dialect is not None, answers, closed, writes)
    if unlike:
        says.append(f"a device that speaks {' or '.join(unlike)} would set {_listed(others[unlike[0]])}: the verdict hangs on the dialect")
    if unlike and plant.dialect is None:
        reason = "what the frame does depends on the device's dialect, which the plant file does not declare (modbus: {dialect: ...})"
        return _with(undecided(command, snapshot, replay, reason, seed, now), says)
    if not writes:
        return _with(undecided(command, snapshot, replay, "the emulated device sets nothing that has an address", seed, now), says)
    meant = replace(command, writes=writes, octets="")
    return _with(judge(meant, snapshot, replay, request.context, terms, seed, now), says)


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


def _says(dialect: str, is_declared: bool, answers: bytes, closed: bool, writes: tuple[TagWrite, ...]) -> list[str]:
    answered = f"answers {answers.hex()}" if answers else "ends the connection" if closed else "stays silent"
    which = f"dialect {dialect}" if is_declared else f"dialect {dialect}, none is declared"
    return [f"the frame played to the emulated device ({which}): it {answered} and sets {_listed(writes)}"]


def _listed(writes: tuple[TagWrite, ...]) -> str:
    shown = ", ".join(f"{write.tag or write.point} = {write.raw if write.value is None else write.value:g}" for write in writes[:5])
    return (shown if len(writes) <= 5 else f"{shown} and {len(writes) - 5} more") or "nothing"


def _with(verdict: Verdict, says: list[str]) -> Verdict:
    return replace(verdict, evidence=(*says, *verdict.evidence))
