"""Plans a flexible job shop with due dates by constraint programming (OR-Tools CP-SAT).

In: a `Shop`.  Out: a `Plan` whose decisions are one row per operation (job, operation, machine, start, end, and the writes it needs), the
objective a * C_max + b * sum(w_j * T_j) in the shop's time unit, the proven bound and the gap.  An infeasible shop says which deadlines
cannot be held together.  The plan is never worse than the dispatch rule's, whose objective is told beside it.

With one worker and a limit on ``effort`` (the solver's own measure of work, about a second each) equal shops give equal plans on every
machine; several workers, or a time limit that is reached, find good plans sooner but not always the same.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ortools.sat.python import cp_model

from sentinel.errors import InputError
from sentinel.model.command import Command
from sentinel.model.plan import Plan
from sentinel.optimise.dispatch import Schedule, Slot, cost, dispatch, holds_deadlines
from sentinel.optimise.problem import Shop
from sentinel.optimise.setpoints import Setpoints
from sentinel.ports import Spec, Stability

TIME_LIMIT_S = 30.0
MAX_TIME_LIMIT_S = 24 * 3600.0
MAX_WORKERS = 64
MAX_SEED = (1 << 31) - 1  # the solver's seed is an int32
DIAGNOSIS_S = 10.0  # at most, to say why a shop is infeasible
_LARGEST = 1 << 60  # the solver's sums are 64-bit


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How long and how to search.  ``effort`` None = only the time limit ends it early."""

    time_limit_s: float = TIME_LIMIT_S
    effort: float | None = None
    workers: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.time_limit_s <= MAX_TIME_LIMIT_S:
            raise InputError(f"time limit: more than 0 and at most {MAX_TIME_LIMIT_S:.0f} s, not {self.time_limit_s:g}")
        if not 1 <= self.workers <= MAX_WORKERS:
            raise InputError(f"workers: 1 to {MAX_WORKERS}, not {self.workers}")
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(f"seed: 0 to {MAX_SEED}, not {self.seed}")


class SchedulingPlanner:
    spec: ClassVar[Spec] = Spec(
        name="scheduling",
        summary="flexible job shop with release times, due dates, deadlines, machine unavailability and setpoints",
        stability=Stability.STABLE,
        config={
            "time_limit_s": (TIME_LIMIT_S, "the search ends after this with the best plan found"),
            "workers": (1, "parallel searches; with 1 equal problems give equal plans"),
            "seed": (0, "of the search"),
        },
    )

    def __init__(self, search: Search = Search(), setpoints: Setpoints | None = None) -> None:
        self._search = search
        self._setpoints = setpoints

    def plan(self, problem: Shop) -> Plan:
        """Raises InputError when a write is not one that the plant allows."""
        if self._setpoints is not None:
            self._setpoints.check(problem)
        foreman = dispatch(problem)
        if told := _impossible(problem):
            return _nothing(problem, "infeasible", told, 0.0)
        model = _Model(problem)
        model.hint(foreman)
        solver, status = self._solve(model, self._search.time_limit_s)
        if status == cp_model.INFEASIBLE:
            return _nothing(problem, "infeasible", self._why(problem, foreman), solver.wall_time)
        if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            schedule = model.schedule(solver)
        elif status == cp_model.UNKNOWN and holds_deadlines(problem, foreman):
            schedule = foreman
        elif status == cp_model.UNKNOWN:
            told = f"no schedule that holds all deadlines was found within {self._search.time_limit_s:g} s, nor shown to be impossible"
            return _nothing(problem, "unknown", told, solver.wall_time)
        else:
            raise RuntimeError(f"the solver calls its model {solver.status_name(status)}: {model.model.validate()}")
        if cost(problem, foreman) < cost(problem, schedule) and holds_deadlines(problem, foreman):
            schedule = foreman
        return self._planned(problem, schedule, foreman, solver)

    def _planned(self, shop: Shop, schedule: Schedule, foreman: Schedule, solver: cp_model.CpSolver) -> Plan:
        objective = float(cost(shop, schedule))
        bound = min(objective, max(0.0, solver.best_objective_bound))
        rows = _rows(shop, schedule)
        commands: tuple[Command, ...] = self._setpoints.commands(rows) if self._setpoints is not None else ()
        return Plan(
            kind="scheduling",
            status="optimal" if bound >= objective else "feasible",
            objective=objective,
            bound=bound,
            gap=(objective - bound) / max(1.0, abs(objective)),
            unit=_unit(shop),
            decisions=rows,
            commands=commands,
            reason=_remarks(shop, schedule, foreman, self._setpoints),
            solve_s=solver.wall_time,
        )

    def _why(self, shop: Shop, foreman: Schedule) -> str:
        """The schedule that comes closest to the deadlines shows which of them stand in each other's way."""
        model = _Model(shop, deadlines_cost=True)
        model.hint(foreman)
        solver, status = self._solve(model, min(DIAGNOSIS_S, self._search.time_limit_s))
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return "no schedule holds all deadlines"
        schedule = model.schedule(solver)
        missed = []
        for index, job in enumerate(shop.jobs):
            end = schedule[index, len(job.operations) - 1].end
            if job.deadline is not None and end > job.deadline:
                missed.append(f"{job.name} ends at {end}, {end - job.deadline} late")
        closest = "the closest one" if status == cp_model.OPTIMAL else "one that comes close"
        return f"no schedule holds all deadlines; in {closest} {'; '.join(missed[:20])}"

    def _solve(self, model: "_Model", limit_s: float) -> tuple[cp_model.CpSolver, int]:
        solver = cp_model.CpSolver()
        solver.parameters.max_time_in_seconds = limit_s
        if self._search.effort is not None:
            solver.parameters.max_deterministic_time = self._search.effort
        solver.parameters.num_workers = self._search.workers
        solver.parameters.random_seed = self._search.seed
        return solver, solver.solve(model.model)


@dataclass(slots=True)
class _Model:
    """``deadlines_cost``: deadlines may be missed, and missing them is all that costs: for the diagnosis."""

    shop: Shop
    deadlines_cost: bool = False
    model: cp_model.CpModel = field(default_factory=cp_model.CpModel)
    starts: dict[tuple[int, int], Any] = field(default_factory=dict)
    choices: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        horizon = self.shop.horizon
        weights = self.shop.makespan_weight + self.shop.tardiness_weight * sum(job.weight for job in self.shop.jobs)
        if horizon * max(1, weights, len(self.shop.jobs)) > _LARGEST:
            raise InputError(f"{self.shop.name}: times and weights are too large; choose a coarser time unit")
        on_machine: dict[str, list[Any]] = {machine.name: [] for machine in self.shop.machines}
        for machine in self.shop.machines:
            on_machine[machine.name] += [self.model.new_fixed_size_interval_var(s, u - s, "") for s, u in machine.unavailable]
        ends = [self._job(index, horizon, on_machine) for index in range(len(self.shop.jobs))]
        for intervals in on_machine.values():
            if len(intervals) > 1:
                self.model.add_no_overlap(intervals)
        self.model.minimize(self._missed(ends, horizon) if self.deadlines_cost else self._cost(ends, horizon))

    def hint(self, schedule: Schedule) -> None:
        for place, slot in schedule.items():
            self.model.add_hint(self.starts[place], slot.start)
            for machine, chosen in self.choices[place].items():
                self.model.add_hint(chosen, machine == slot.machine)

    def schedule(self, solver: cp_model.CpSolver) -> Schedule:
        found: Schedule = {}
        for (job, operation), start_variable in self.starts.items():
            machines = self.shop.jobs[job].operations[operation].machines
            choices = self.choices[job, operation]
            machine = next((name for name, chosen in choices.items() if solver.boolean_value(chosen)), next(iter(machines)))
            start = solver.value(start_variable)
            found[job, operation] = Slot(machine=machine, start=start, end=start + machines[machine])
        return found

    def _job(self, index: int, horizon: int, on_machine: dict[str, list[Any]]) -> Any:
        """The end of the job, as an expression."""
        job = self.shop.jobs[index]
        ready: Any = job.release
        for number, operation in enumerate(job.operations):
            start = self.model.new_int_var(job.release, horizon, "")
            self.starts[index, number] = start
            self.choices[index, number] = choices = {}
            self.model.add(start >= ready)
            if len(operation.machines) == 1:
                ((machine, duration),) = operation.machines.items()
                on_machine[machine].append(self.model.new_fixed_size_interval_var(start, duration, ""))
                ready = start + duration
                continue
            for machine, duration in operation.machines.items():
                choices[machine] = chosen = self.model.new_bool_var("")
                on_machine[machine].append(self.model.new_optional_fixed_size_interval_var(start, duration, chosen, ""))
            self.model.add_exactly_one(choices.values())
            ready = start + sum(operation.machines[machine] * chosen for machine, chosen in choices.items())
        if job.deadline is not None and not self.deadlines_cost:
            self.model.add(ready <= job.deadline)
        return ready

    def _cost(self, ends: list[Any], horizon: int) -> Any:
        total: Any = 0
        if self.shop.makespan_weight:
            makespan = self.model.new_int_var(0, horizon, "")
            for end in ends:
                self.model.add(makespan >= end)
            total += self.shop.makespan_weight * makespan
        if self.shop.tardiness_weight:
            for job, end in zip(self.shop.jobs, ends, strict=True):
                if job.due is not None and job.weight:
                    total += self.shop.tardiness_weight * job.weight * self._excess(end, job.due, horizon)
        return total

    def _missed(self, ends: list[Any], horizon: int) -> Any:
        limits = [(end, job.deadline) for job, end in zip(self.shop.jobs, ends, strict=True) if job.deadline is not None]
        return sum(self._excess(end, deadline, horizon) for end, deadline in limits)

    def _excess(self, end: Any, limit: int, horizon: int) -> Any:
        late = self.model.new_int_var(0, horizon, "")
        self.model.add(late >= end - limit)
        return late


def _impossible(shop: Shop) -> str | None:
    for job in shop.jobs:
        if job.deadline is not None and job.release + job.shortest > job.deadline:
            needs = f"job {job.name} needs at least {job.shortest} from its release at {job.release}"
            return f"{needs}: its deadline at {job.deadline} is out of reach"
    return None


def _nothing(shop: Shop, status: str, reason: str, solve_s: float) -> Plan:
    return Plan(kind="scheduling", status=status, objective=None, bound=None, gap=None, unit=_unit(shop), reason=reason, solve_s=solve_s)


def _rows(shop: Shop, schedule: Schedule) -> tuple[dict[str, Any], ...]:
    rows = []
    for (job, operation), slot in schedule.items():
        meant = shop.jobs[job].operations[operation]
        row = {"job": shop.jobs[job].name, "operation": meant.name, "machine": slot.machine, "start": slot.start, "end": slot.end}
        rows.append(row | ({"writes": dict(meant.writes)} if meant.writes else {}))
    return tuple(sorted(rows, key=lambda row: (row["start"], row["machine"], row["job"], row["operation"])))


def _unit(shop: Shop) -> str:
    counts_lateness = shop.tardiness_weight and any(job.due is not None for job in shop.jobs)
    return shop.time_unit if shop.makespan_weight == 1 and not counts_lateness else f"weighted {shop.time_unit}"


def _remarks(shop: Shop, schedule: Schedule, foreman: Schedule, setpoints: Setpoints | None) -> str:
    ends = [schedule[index, len(job.operations) - 1].end for index, job in enumerate(shop.jobs)]
    late = [end > job.due for job, end in zip(shop.jobs, ends, strict=True) if job.due is not None]
    lateness = f", {sum(late)} of {len(late)} due dates missed" if late else ""
    said = f"makespan {max(ends)}{lateness}; the dispatch rule alone gives objective {cost(shop, foreman)}"
    if setpoints is None and any(operation.writes for job in shop.jobs for operation in job.operations):
        said += "; its setpoints are not judged: no plant was named"
    return said
