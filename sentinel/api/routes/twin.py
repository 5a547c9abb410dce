"""The twin: its state, how well it is in step, and what would happen if."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from sentinel.access import Permission
from sentinel.api.ports import ApiState, Twin
from sentinel.api.shape import Body, State, Who, needs
from sentinel.errors import PermanentError
from sentinel.model.verdict import Verdict

router = APIRouter(tags=["twin"])


class WhatIf(Body):
    writes: dict[str, float] = Field(min_length=1, max_length=64, description="tag to engineering value")


@router.get("/twin")
@needs(Permission.TWIN_READ)
def twin_state(state: State) -> dict[str, Any]:
    return dict(_twin(state).state())


@router.get("/twin/health")
@needs(Permission.TWIN_READ)
def twin_health(state: State) -> dict[str, Any]:
    return dict(_twin(state).health())


@router.post("/twin/what-if")
@needs(Permission.TWIN_WHAT_IF)
async def what_if(state: State, who: Who, question: WhatIf) -> Verdict:
    """Judged as a command would be; nothing is written to the plant."""
    return await _twin(state).what_if(question.writes, who.name)


def _twin(state: ApiState) -> Twin:
    if state.twin is None:
        raise PermanentError("this appliance has no twin: its settings name no plant file")
    return state.twin
