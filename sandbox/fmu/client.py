"""Whoever asks an FMU for futures: unpacks it, starts its process, waits no longer than it may, and believes nothing that it says.

In: a `Foreign` plant, a snapshot, schedules of writes.  Out: a `Rollout` per schedule, in the tags' units.  `InputError` says what
became of the FMU: it refused, crashed, hung, or this machine cannot isolate it.
"""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sandbox.fmu.job import DONE, MAX_ANSWER_OCTETS, MAX_PATH_OCTETS, MAX_REASON_OCTETS, REFUSED, Job, Lived, decode
from sentinel.errors import InputError
from sentinel.model.time import after
from sentinel.twin.archive import MAX_MEMBER_OCTETS, MAX_UNPACKED_OCTETS
from sentinel.twin.arx import Arx
from sentinel.twin.engine import Rollout, Schedule
from sentinel.twin.ensemble import MAX_STEPS, check_writes
from sentinel.twin.fmu import Fmu
from sentinel.twin.foreign import Binding, Foreign
from sentinel.twin.snapshot import Snapshot
from sentinel.twin.whatif import Ahead, Live

F8 = NDArray[np.float64]

DEADLINE_S = 60.0
_CHUNK = 1 << 20


def live(
    model: Foreign,
    snapshot: Snapshot,
    schedules: Sequence[Schedule],
    horizon_s: float,
    record: Sequence[str] = (),
    record_every_s: float = 1.0,
    deadline_s: float = DEADLINE_S,
) -> tuple[Rollout, ...]:
    """Whole steps: a write comes into force at the step nearest to its time.  Raises ValueError on what the model does not know."""
    with tempfile.TemporaryDirectory(prefix="fmu-") as directory:
        unpack(model.fmu, Path(directory))
        job = job_of(model, snapshot, schedules, horizon_s, record, record_every_s, directory)
        lived = ask(job, model.fmu.source, deadline_s)
    return tuple(_rollout(model, snapshot, job, one, record) for one in lived)


def futures_of(model: Foreign | Arx, deadline_s: float) -> Live:
    """Who lives ahead a model that is not the engine's, for `whatif.ask`."""
    if isinstance(model, Arx):
        return model.live

    def ahead(asked: Ahead) -> tuple[Rollout, ...]:
        return live(model, asked.start, asked.schedules, asked.horizon_s, asked.record, asked.record_every_s, deadline_s)

    return ahead


def unpack(fmu: Fmu, into: Path) -> None:
    """Its machine code and its resources, readable for a process without any rights."""
    left = MAX_UNPACKED_OCTETS
    into.chmod(0o755)
    (into / "resources").mkdir(mode=0o755)
    for name in fmu.archive.members:
        if name.startswith((fmu.library.rpartition("/")[0] + "/", "resources/")):
            octets = fmu.archive.read(name, min(left, MAX_MEMBER_OCTETS))
            left -= len(octets)
            file = into / name
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            file.write_bytes(octets)
            file.chmod(0o444)


def job_of(
    model: Foreign,
    snapshot: Snapshot,
    schedules: Sequence[Schedule],
    horizon_s: float,
    record: Sequence[str],
    record_every_s: float,
    directory: str,
) -> Job:
    fmu, rows, step_s = model.fmu, model.output_rows, model.step_s
    if snapshot.digest != model.digest:
        raise ValueError(f"a snapshot of model {snapshot.digest[:16]}, this is {model.digest[:16]}")
    columns = (len(model.starts), len(model.parameters), len(model.inputs))
    if columns != (snapshot.states.shape[1], snapshot.parameters.shape[1], len(snapshot.inputs)):
        raise ValueError(f"a snapshot of another shape than {columns} starts, parameters and inputs")
    steps = round(horizon_s / step_s)
    if not 1 <= steps <= MAX_STEPS:
        raise ValueError(f"a horizon of {horizon_s:g} s, expected {step_s:g} s to {MAX_STEPS * step_s:g} s")
    needed = list(dict.fromkeys([*record, *(one.tag for one in model.invariants)])) or [model.outputs[0].tag]
    limits = [
        (needed.index(one.tag.name), float(model.shown[rows[one.tag.name]].inward(one.unit.to_si(one.limit))), one.is_upper)
        for one in model.plant.invariants
    ]
    job = Job(
        directory=directory,
        library=fmu.library,
        version=fmu.version,
        name=fmu.identifier,
        token=fmu.token,
        can_fork=fmu.can_fork,
        step_s=step_s,
        steps=steps,
        every=max(1, round(record_every_s / step_s)),
        members=snapshot.members,
        parameter_references=[one.variable.reference for one in model.parameters],
        parameters=_inward(model.parameters, snapshot.parameters),
        start_references=[one.variable.reference for one in model.starts],
        starts=_inward(model.starts, snapshot.states),
        input_references=[one.variable.reference for one in model.given],
        input_kinds=[one.variable.kind for one in model.given],
        futures=[_future(model, snapshot, schedule, step_s) for schedule in schedules],
        outputs=[model.shown[rows[tag]].variable.reference for tag in needed],
        limits=limits,
        record=[needed.index(tag) for tag in record],
    )
    if job.octets > MAX_ANSWER_OCTETS or 8 * steps * len(needed) > MAX_PATH_OCTETS:
        raise ValueError("this would be too large an answer: fewer tags or members, or a longer interval")
    return job


def _inward(bindings: Sequence[Binding], si: F8) -> list[list[float]]:
    columns = [np.asarray(one.inward(si[:, column])) for column, one in enumerate(bindings)]
    return np.stack(columns, axis=1).tolist() if columns else [[] for _ in range(len(si))]


def _future(model: Foreign, snapshot: Snapshot, schedule: Schedule, step_s: float) -> list[tuple[int, list[float]]]:
    values = {one.tag: float(value) for one, value in zip(model.inputs, snapshot.inputs, strict=True)}
    units = {one.tag.name: one.unit for one in model.plant.inputs}

    def told() -> list[float]:
        return [float(one.inward(units[one.name].to_si(values[one.name]))) for one in model.given]

    future = {0: told()}
    for at_s, writes in schedule:
        check_writes(model, writes)
        values.update(writes)
        future[round(at_s / step_s)] = told()
    return sorted(future.items())


def ask(job: Job, source: str, deadline_s: float) -> tuple[Lived, ...]:
    """Raises InputError: what became of it."""
    environment = {"PATH": os.defpath, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(one for one in sys.path if one)}
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox.fmu"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    try:
        octets, in_time = _exchange(process, job.encode(), len(DONE) + max(job.octets, MAX_REASON_OCTETS), deadline_s)
        said = process.stderr.read(MAX_REASON_OCTETS) if process.returncode and process.stderr else b""
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    if not in_time:
        raise InputError(f"{source}: the FMU gave no answer within {deadline_s:g} s and was ended")
    if octets.startswith(REFUSED):
        raise InputError(f"{source}: {octets[len(REFUSED) :].decode('utf-8', 'replace')}")
    if not octets and process.returncode != 0:
        raise InputError(f"{source}: the FMU brought its process down ({_ending(process.returncode, said)})")
    try:
        return decode(octets, job)
    except ValueError as error:
        raise InputError(f"{source}: its process gave {error}") from error


def _exchange(process: "subprocess.Popen[bytes]", job: bytes, limit: int, deadline_s: float) -> tuple[bytes, bool]:
    """(what came, at most a little more than ``limit``; whether it ended in time)."""
    assert process.stdin is not None
    assert process.stdout is not None
    deadline, into, out = time.monotonic() + deadline_s, process.stdin, process.stdout.fileno()
    os.set_blocking(into.fileno(), False)
    found = bytearray()
    while len(found) <= limit:
        left_s = deadline - time.monotonic()
        if left_s <= 0.0:
            return b"", False
        readable, writable, _ = select.select([out], [into] if job else [], [], left_s)
        if writable:
            try:
                job = job[os.write(into.fileno(), job[:_CHUNK]) :]
            except BrokenPipeError:
                job = b""
            if not job:
                into.close()
        if readable:
            more = os.read(out, _CHUNK)
            if not more:
                try:
                    process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    return b"", False
                return bytes(found), True
            found += more
    return bytes(found), True


def _ending(code: int, said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return signal.Signals(-code).name if code < 0 else f"exit status {code}{': ' + lines[-1] if lines else ''}"


def _rollout(model: Foreign, snapshot: Snapshot, job: Job, lived: Lived, record: Sequence[str]) -> Rollout:
    rows, sensors, shown = model.output_rows, model.plant.sensors, model.shown
    factors = [shown[rows[one.tag]].measure.scale / sensors[rows[one.tag]].unit.scale for one in model.invariants]
    valid = (lived.valid == 1.0) & np.isfinite(lived.paths).all(axis=(0, 1)) & ~np.isnan(lived.violation_s).any(axis=0)
    lost = np.where(valid, 0.0, np.nan)
    states = np.stack([one.outward(lived.final[row]) for row, one in enumerate(model.starts)], axis=1) if model.starts else snapshot.states
    return Rollout(
        invariants=tuple(one.name for one in model.invariants),
        robustness=lived.distance * np.array(factors).reshape(-1, 1) + lost,
        time_to_violation_s=lived.violation_s + lost,
        valid=valid,
        final=Snapshot(
            at=after(snapshot.at, job.steps * job.step_s),
            digest=snapshot.digest,
            states=states,
            controllers=snapshot.controllers,
            parameters=snapshot.parameters,
            inputs=snapshot.inputs,
            trusted=False,
            health=snapshot.health,
        ),
        times_s=job.step_s * job.every * np.arange(1.0, job.samples + 1.0),
        trajectories={
            tag: np.asarray(sensors[rows[tag]].unit.from_si(shown[rows[tag]].outward(lived.paths[:, slot])))
            for slot, tag in enumerate(record)
        },
    )
