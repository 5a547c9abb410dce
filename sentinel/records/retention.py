"""How long what is kept, and how much of it.  The audit log is not in this table: it is never shortened."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select

from sentinel.model.action import Action, ActionState, Receipt
from sentinel.model.asset import Asset, Conduit
from sentinel.model.command import Command
from sentinel.model.finding import Finding, FindingState
from sentinel.model.observation import Outage
from sentinel.model.record import Credential, Excerpt, Invitation, Label, PlanRun, Signature, SnapshotMark, Tally
from sentinel.model.time import NS_PER_S, Instant
from sentinel.model.verdict import Verdict
from sentinel.records.shelves import CATALOGUE

DAY_S = 86_400.0
_ROWS_PER_SWEEP = 10_000  # one sweep holds the writer for a bounded time


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """Older than ``age_s`` goes, if its state is among ``over`` (empty = any); beyond ``rows`` the oldest go, whatever their state."""

    age_s: float
    rows: int
    over: tuple[str, ...] = ()


_FINDING_OVER = (FindingState.CLOSED.value, FindingState.DISMISSED.value)
_ACTION_OVER = tuple(s.value for s in (ActionState.RELEASED, ActionState.EXPIRED, ActionState.REJECTED, ActionState.FAILED))
_YEAR_S = 366 * DAY_S

BOUNDS: Mapping[type[Any], Bound] = {
    Asset: Bound(age_s=10 * _YEAR_S, rows=100_000),
    Conduit: Bound(age_s=10 * _YEAR_S, rows=500_000),
    Finding: Bound(age_s=_YEAR_S, rows=200_000, over=_FINDING_OVER),
    Label: Bound(age_s=10 * _YEAR_S, rows=1_000_000),
    Command: Bound(age_s=_YEAR_S, rows=2_000_000),
    Verdict: Bound(age_s=_YEAR_S, rows=2_000_000),
    Action: Bound(age_s=_YEAR_S, rows=100_000, over=_ACTION_OVER),
    Signature: Bound(age_s=10 * _YEAR_S, rows=1_000_000),
    Receipt: Bound(age_s=10 * _YEAR_S, rows=1_000_000),
    Outage: Bound(age_s=_YEAR_S, rows=100_000),
    Tally: Bound(age_s=14 * DAY_S, rows=2_000_000),
    Excerpt: Bound(age_s=10 * _YEAR_S, rows=1_000_000),
    SnapshotMark: Bound(age_s=14 * DAY_S, rows=500_000),
    PlanRun: Bound(age_s=_YEAR_S, rows=10_000),
    Credential: Bound(age_s=10 * _YEAR_S, rows=1_000_000),
    Invitation: Bound(age_s=30 * DAY_S, rows=100_000),
}


def sweep(connection: Connection, now: Instant, bounds: Mapping[type[Any], Bound] = BOUNDS) -> dict[str, int]:
    """Rows removed, by table."""
    removed = {}
    for kind, bound in bounds.items():
        table: Any = CATALOGUE[kind].table
        old = select(table.key).where(table.at < now - round(bound.age_s * NS_PER_S))
        if bound.over:
            old = old.where(table.state.in_(bound.over))
        gone = connection.execute(delete(table).where(table.key.in_(old.order_by(table.at).limit(_ROWS_PER_SWEEP)))).rowcount
        excess = connection.execute(select(func.count()).select_from(table)).scalar_one() - bound.rows
        if excess > 0:
            oldest = select(table.key).order_by(table.at, table.key).limit(min(excess, _ROWS_PER_SWEEP))
            gone += connection.execute(delete(table).where(table.key.in_(oldest))).rowcount
        if gone:
            removed[str(table.__tablename__)] = gone
    return removed
