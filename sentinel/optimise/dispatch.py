"""A schedule by a dispatch rule, in milliseconds: what a foreman would do, the baseline that the planner must beat and its first hint.

In: a shop.  Out: one `Slot` per operation.  Rule: of all operations that may come next, take the one that can be finished first, on the
machine where it can (Giffler and Thompson's active schedules use the same choice).  Holds releases, orders and unavailability; ignores
deadlines.
"""

import heapq
from dataclasses import dataclass

from sentinel.optimise.problem import Job, Machine, Shop


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    machine: str
    start: int
    end: int


Schedule = dict[tuple[int, int], Slot]  # (job, operation), both counted from 0


def dispatch(shop: Shop) -> Schedule:
    machines = {machine.name: machine for machine in shop.machines}
    free = dict.fromkeys(machines, 0)
    schedule: Schedule = {}

    def first_finish(job: int, operation: int, ready: int) -> Slot:
        slots = []
        for name, duration in shop.jobs[job].operations[operation].machines.items():
            start = _first_fit(machines[name], max(ready, free[name]), duration)
            slots.append(Slot(machine=name, start=start, end=start + duration))
        return min(slots, key=lambda slot: (slot.end, slot.start, slot.machine))

    waiting: list[tuple[int, int, int, int, int]] = []
    for index, one in enumerate(shop.jobs):
        slot = first_finish(index, 0, one.release)
        waiting.append((slot.end, _urgency(one), index, 0, one.release))
    heapq.heapify(waiting)
    while waiting:
        promised, urgency, job, operation, ready = heapq.heappop(waiting)
        slot = first_finish(job, operation, ready)
        if slot.end > promised:  # its machine was taken meanwhile
            heapq.heappush(waiting, (slot.end, urgency, job, operation, ready))
            continue
        schedule[job, operation] = slot
        free[slot.machine] = slot.end
        if operation + 1 < len(shop.jobs[job].operations):
            heapq.heappush(waiting, (first_finish(job, operation + 1, slot.end).end, urgency, job, operation + 1, slot.end))
    return schedule


def cost(shop: Shop, schedule: Schedule) -> int:
    ends = [schedule[index, len(job.operations) - 1].end for index, job in enumerate(shop.jobs)]
    late = sum(job.weight * max(0, end - job.due) for job, end in zip(shop.jobs, ends, strict=True) if job.due is not None)
    return shop.makespan_weight * max(ends) + shop.tardiness_weight * late


def holds_deadlines(shop: Shop, schedule: Schedule) -> bool:
    ends = [schedule[index, len(job.operations) - 1].end for index, job in enumerate(shop.jobs)]
    return all(job.deadline is None or end <= job.deadline for job, end in zip(shop.jobs, ends, strict=True))


def _first_fit(machine: Machine, earliest: int, duration: int) -> int:
    start = earliest
    for blocked, until in machine.unavailable:
        if start + duration <= blocked:
            break
        start = max(start, until)
    return start


def _urgency(job: Job) -> int:
    limits = [limit for limit in (job.due, job.deadline) if limit is not None]
    return min(limits, default=1 << 62)
