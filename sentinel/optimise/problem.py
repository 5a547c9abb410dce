"""The flexible job shop with due dates: jobs of operations in order, each on one of several machines, each machine one at a time.

In the three-field notation FJc | r_j, d_j, unavailability | a * C_max + b * sum(w_j * T_j).  All times are whole numbers of the problem's
own time unit, from its start.  A problem that contradicts itself is refused with `InputError`, which names job and operation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sentinel.errors import InputError

MAX_OPERATIONS = 20_000
MAX_TIME = 10**9  # sums of all durations stay far inside what the solver's 64-bit integers hold
TIME_UNITS = ("1", "ms", "s", "min", "h", "d")  # "1" = the instance does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """``machines``: what it takes on each machine that can do it.  ``writes``: setpoints (tag to engineering value) that it needs."""

    name: str
    machines: Mapping[str, int]
    writes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """``due`` may be missed at a cost, ``deadline`` may not."""

    name: str
    operations: tuple[Operation, ...]
    release: int = 0
    due: int | None = None
    deadline: int | None = None
    weight: int = 1

    @property
    def shortest(self) -> int:
        return sum(min(operation.machines.values()) for operation in self.operations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    name: str
    unavailable: tuple[tuple[int, int], ...] = ()  # [from, until), in order


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    name: str
    machines: tuple[Machine, ...]
    jobs: tuple[Job, ...]
    time_unit: str = "1"
    makespan_weight: int = 1
    tardiness_weight: int = 1

    def __post_init__(self) -> None:
        self._check_size()
        names = {machine.name for machine in self.machines}
        _unique([machine.name for machine in self.machines], "machine")
        _unique([job.name for job in self.jobs], "job")
        for machine in self.machines:
            _check_machine(machine)
        for job in self.jobs:
            _check_job(job, names)

    @property
    def horizon(self) -> int:
        """A time by which everything can be done, whatever the order: one operation after the other, past all unavailability."""
        longest = sum(max(operation.machines.values()) for job in self.jobs for operation in job.operations)
        blocked = sum(until - start for machine in self.machines for start, until in machine.unavailable)
        last = max((until for machine in self.machines for _, until in machine.unavailable), default=0)
        return longest + blocked + max(last, *(job.release for job in self.jobs))

    def _check_size(self) -> None:
        if not self.jobs or not self.machines:
            raise InputError(f"{self.name}: a shop needs at least one job and one machine")
        operations = sum(len(job.operations) for job in self.jobs)
        if operations > MAX_OPERATIONS or len(self.machines) > MAX_OPERATIONS:
            raise InputError(f"{self.name}: {operations} operations on {len(self.machines)} machines, at most {MAX_OPERATIONS} are taken")
        if self.time_unit not in TIME_UNITS:
            raise InputError(f"{self.name}: time_unit {self.time_unit!r} is not one of {', '.join(TIME_UNITS)}")
        _whole(self.makespan_weight, f"{self.name}: objective.makespan", 0, 10**6)
        _whole(self.tardiness_weight, f"{self.name}: objective.tardiness", 0, 10**6)
        if self.makespan_weight == 0 and (self.tardiness_weight == 0 or all(job.due is None for job in self.jobs)):
            raise InputError(f"{self.name}: nothing to optimise: the makespan has no weight, and no job has a due date that counts")


def _check_machine(machine: Machine) -> None:
    free_from = 0
    for start, until in machine.unavailable:
        _whole(start, f"machine {machine.name}: unavailable from", free_from)
        _whole(until, f"machine {machine.name}: unavailable until", start + 1)
        free_from = until


def _check_job(job: Job, machines: set[str]) -> None:
    if not job.operations:
        raise InputError(f"job {job.name}: no operation")
    _unique([operation.name for operation in job.operations], f"job {job.name}: operation")
    _whole(job.release, f"job {job.name}: release")
    _whole(job.weight, f"job {job.name}: weight", 0, 10**6)
    for limit, name in ((job.due, "due"), (job.deadline, "deadline")):
        if limit is not None:
            _whole(limit, f"job {job.name}: {name}")
    for operation in job.operations:
        where = f"job {job.name}, operation {operation.name}"
        if not operation.machines:
            raise InputError(f"{where}: no machine can do it")
        for machine, duration in operation.machines.items():
            if machine not in machines:
                raise InputError(f"{where}: machine {machine!r} is not in the shop")
            _whole(duration, f"{where} on {machine}")


def _unique(names: list[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{what} {name!r} is declared twice")
        seen.add(name)


def _whole(value: int, where: str, low: int = 0, high: int = MAX_TIME) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{where}: {value!r} is not a whole number from {low} to {high}")
