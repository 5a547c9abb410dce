"""Small shops, an independent check of a schedule, and the optimum by trying everything."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from sentinel.model.plan import Plan
from sentinel.optimise.problem import Job, Machine, Operation, Shop


def job(name: str, *operations: Mapping[str, int], **changes: Any) -> Job:
    return Job(name=name, operations=tuple(Operation(name=str(n), machines=m) for n, m in enumerate(operations, start=1)), **changes)


def shop(*jobs: Job, machines: Sequence[Machine | str] = ("A", "B"), **changes: Any) -> Shop:
    built = tuple(one if isinstance(one, Machine) else Machine(name=one) for one in machines)
    return Shop(name="small", machines=built, jobs=jobs, **changes)


def price(problem: Shop, ends: Mapping[str, int]) -> int:
    late = sum(one.weight * max(0, ends[one.name] - one.due) for one in problem.jobs if one.due is not None)
    return problem.makespan_weight * max(ends.values()) + problem.tardiness_weight * late


def broken(problem: Shop, plan: Plan) -> list[str]:
    """What a plan violates, written without looking at the planner: empty = it can be run, and costs what it says."""
    found = []
    rows = {(row["job"], row["operation"]): row for row in plan.decisions}
    if len(rows) != len(plan.decisions) or len(rows) != sum(len(one.operations) for one in problem.jobs):
        found.append("not one row per operation")
    ends = {}
    for one in problem.jobs:
        ready = one.release
        for operation in one.operations:
            row = rows[one.name, operation.name]
            if row["end"] - row["start"] != operation.machines.get(row["machine"]):
                found.append(f"{one.name}/{operation.name} does not take its time")
            if row["start"] < ready:
                found.append(f"{one.name}/{operation.name} starts too early")
            ready = row["end"]
        ends[one.name] = ready
        if one.deadline is not None and ready > one.deadline:
            found.append(f"{one.name} misses its deadline")
    for machine in problem.machines:
        spans = [(row["start"], row["end"]) for row in plan.decisions if row["machine"] == machine.name]
        spans = sorted([*spans, *machine.unavailable])
        found += [f"{machine.name} does two things at {b[0]}" for a, b in itertools.pairwise(spans) if b[0] < a[1]]
    if plan.objective != price(problem, ends):
        found.append(f"costs {price(problem, ends)}, says {plan.objective}")
    return found


def optimum(problem: Shop) -> int | None:
    """Every order and every choice of machines, each operation as early as the order allows; None = no order holds the deadlines."""
    best: int | None = None

    def fit(machine: Machine, earliest: int, duration: int) -> int:
        start = earliest
        for blocked, until in machine.unavailable:
            if start < until and start + duration > blocked:
                start = until
        return start

    def go(done: tuple[int, ...], ready: tuple[int, ...], free: dict[str, int]) -> None:
        nonlocal best
        if all(count == len(one.operations) for count, one in zip(done, problem.jobs, strict=True)):
            ends = {one.name: end for one, end in zip(problem.jobs, ready, strict=True)}
            if all(one.deadline is None or ends[one.name] <= one.deadline for one in problem.jobs):
                cost = price(problem, ends)
                best = cost if best is None else min(best, cost)
            return
        for index, one in enumerate(problem.jobs):
            if done[index] == len(one.operations):
                continue
            for machine in problem.machines:
                duration = one.operations[done[index]].machines.get(machine.name)
                if duration is not None:
                    end = fit(machine, max(ready[index], free[machine.name]), duration) + duration
                    go(
                        (*done[:index], done[index] + 1, *done[index + 1 :]),
                        (*ready[:index], end, *ready[index + 1 :]),
                        free | {machine.name: end},
                    )

    go((0,) * len(problem.jobs), tuple(one.release for one in problem.jobs), dict.fromkeys((m.name for m in problem.machines), 0))
    return best
