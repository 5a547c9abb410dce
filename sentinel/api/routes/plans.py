"""Plans: a problem is posted, the planner of its kind answers, both are kept."""

import json
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from sentinel.access import Permission
from sentinel.api.ports import ApiState, Planning
from sentinel.api.shape import Body, Cursor, Filter, Key, Limit, PageOf, State, Who, found, needs
from sentinel.errors import InputError, PermanentError
from sentinel.model.ids import short_id
from sentinel.model.record import PlanRun

router = APIRouter(tags=["plans"])


class NewPlan(Body):
    kind: str = Field(max_length=64, description='a planner\'s name, such as "scheduling"')
    problem: dict[str, Any]


@router.get("/plans")
@needs(Permission.PLANS_READ)
def list_plans(state: State, kind: Filter = None, limit: Limit = 100, cursor: Cursor = None) -> PageOf[PlanRun]:
    return PageOf.of(state.records.page(PlanRun, limit=limit, cursor=cursor, where={"kind": kind}))


@router.get("/plans/{plan}")
@needs(Permission.PLANS_READ)
def one_plan(state: State, plan: Key) -> PlanRun:
    return found(state.records.find(PlanRun, plan), f"plan {plan}")


@router.post("/plans", status_code=201)
@needs(Permission.PLANS_RUN)
async def run_plan(state: State, who: Who, new: NewPlan) -> PlanRun:
    try:
        text = json.dumps(new.problem, sort_keys=True, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # NaN, infinity, a lone surrogate: not JSON, though the parser lets them in
        raise InputError(f"the problem is not JSON: {error}") from error
    planning = _planning(state)
    known = [spec.name for spec in planning.kinds()]
    if new.kind not in known:
        raise InputError(f"there is no planner {new.kind!r}; there are {', '.join(known)}")
    plan = await planning.plan(new.kind, new.problem, who.name)
    now = state.clock.now()
    run = PlanRun(id=short_id("plan", str(now), who.name, text), at=now, by=who.name, problem=new.problem, plan=plan)
    await state.records.kept(run)
    return run


def _planning(state: ApiState) -> Planning:
    if state.planning is None:
        raise PermanentError("this appliance has no planners")
    return state.planning
