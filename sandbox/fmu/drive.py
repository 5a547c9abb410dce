"""One job: every member of every future of it lived by the FMU.  Runs only where nothing is within reach.

Members are taken one after the other through one instance.  Where the FMU can keep its state all futures of a member begin at the same kept
one, and that this state really comes back is tried first; else each begins anew.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sandbox.fmu.binding import FmuError, Instance, Library
from sandbox.fmu.job import Job, Lived

F8 = NDArray[np.float64]
U4 = NDArray[np.uint32]

_PROVED_STEPS = 20


def drive(job: Job, library: Library) -> list[Lived]:
    """Raises FmuError where the FMU refuses, or no member comes through a future."""
    library.load()
    return _Drive(job, library.instantiate()).run()


@dataclass(slots=True)
class _Drive:
    job: Job
    instance: Instance
    used: bool = False

    def run(self) -> list[Lived]:
        job = self.job
        found = [Lived.blank(job) for _ in job.futures]
        why = ["no member is a number"] * len(found)
        if job.can_fork and len(found) > 1:
            self._prove()
        for member in range(job.members):
            kept: int | None = None
            for row, lived in enumerate(found):
                try:
                    if kept is None:
                        begun = self._begin(member, row)
                        if job.can_fork:
                            kept = self.instance.keep()
                    else:
                        self.instance.put_back(kept)
                    paths = self._live(row, begun, job.steps)
                except FmuError as error:  # this member's future is lost, not the others: after an error an instance may be reset
                    why[row], kept = str(error), None
                    continue
                self._note(lived, member, paths)
            if kept is not None:
                self.instance.forget(kept)
        for row, lived in enumerate(found):
            if not lived.valid.any():
                raise FmuError(why[row])
        return found

    def _begin(self, member: int, future: int) -> F8:
        """A new beginning; the outputs at it."""
        job, instance = self.job, self.instance
        if self.used:
            instance.reset()
        self.used = True
        for references, values in ((job.parameter_references, job.parameters), (job.start_references, job.starts)):
            instance.set(["real"] * len(references), np.array(references, np.uint32), np.array(values[member], np.float64))
        instance.enter_initialization()
        self._input(job.futures[future][0][1])
        instance.exit_initialization()
        return instance.get(np.array(job.outputs, np.uint32))

    def _input(self, values: list[float]) -> None:
        self.instance.set(self.job.input_kinds, np.array(self.job.input_references, np.uint32), np.array(values))

    def _live(self, future: int, begun: F8, steps: int) -> F8:
        """(steps + 1, outputs)"""
        job, outputs = self.job, np.array(self.job.outputs, np.uint32)
        paths = np.full((steps + 1, len(outputs)), np.nan)
        paths[0] = begun
        spans = [(at, values) for at, values in job.futures[future] if at < steps]
        for (at, values), end in zip(spans, (*(at for at, _ in spans[1:]), steps), strict=True):
            self._input(values)
            if end > at:
                self.instance.advance(outputs, at * job.step_s, job.step_s, paths[at + 1 : end + 1])
        return paths

    def _prove(self) -> None:
        """A state that is put back and does not give the same future would make every comparison of futures a lie."""
        steps = min(_PROVED_STEPS, self.job.steps)
        begun = self._begin(0, 0)
        kept = self.instance.keep()
        first = self._live(0, begun, steps)
        self.instance.put_back(kept)
        if not np.array_equal(first, self._live(0, begun, steps), equal_nan=True):
            raise FmuError("it says that its state can be kept, but a state that was put back gives another future")
        self.instance.forget(kept)

    def _note(self, lived: Lived, member: int, paths: F8) -> None:
        job = self.job
        if not np.isfinite(paths).all():
            return
        lived.valid[member] = 1.0
        for row, (output, limit, is_upper) in enumerate(job.limits):
            distances = limit - paths[:, output] if is_upper else paths[:, output] - limit
            lived.distance[row, member] = distances.min()
            broken = np.flatnonzero(distances < 0.0)
            lived.violation_s[row, member] = job.step_s * broken[0] if len(broken) else np.inf
        lived.paths[:, :, member] = paths[job.every :: job.every, job.record][: job.samples]
        lived.final[:, member] = self.instance.get(np.array(job.start_references, np.uint32))
