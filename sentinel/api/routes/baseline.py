"""The baseline: what judges, what is learnt beside it, and the way from the one to the other."""

from typing import Any

from fastapi import APIRouter

from sentinel.access import Permission
from sentinel.api.routes.actions import sign
from sentinel.api.shape import Body, State, Who, found, needs
from sentinel.model.action import Action

router = APIRouter(tags=["baseline"])


class Promotion(Body):
    reason: str | None = None


@router.get("/baseline")
@needs(Permission.BASELINE_READ)
async def baseline(state: State) -> dict[str, Any]:
    """``anchor``: what judges, by whom and since when; ``candidate``: what is learnt beside it, with its drift; ``offered``: what waits."""
    return dict(await found(state.baselines, "baseline of this appliance's own").shown())


@router.post("/baseline/promotion")
@needs(Permission.BASELINE_PROMOTE)
async def promote(state: State, who: Who, promotion: Promotion | None = None) -> Action:
    """Ask for the candidate, as it is now, to judge; another person approves.  Within a day its release brings the old one back."""
    action = await found(state.baselines, "baseline of this appliance's own").offer(who.name)
    await state.actions.propose([action])
    await sign(state, who, action.id, "request", promotion.reason if promotion else None)
    return await state.actions.request(action.id, who.name)
