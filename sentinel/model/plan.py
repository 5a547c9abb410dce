"""A plan: what an optimiser proposes, how good it is, and how good it could be at most."""

from dataclasses import dataclass
from typing import Any

from sentinel.model.command import Command


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``gap`` = (objective - bound) / max(1, |objective|); None objective = no feasible decision was found, ``reason`` says why."""

    kind: str
    status: str  # "optimal", "feasible", "infeasible", "unknown"
    objective: float | None
    bound: float | None
    gap: float | None
    unit: str  # of the objective
    decisions: tuple[dict[str, Any], ...] = ()
    commands: tuple[Command, ...] = ()
    reason: str | None = None
    solve_s: float = 0.0
