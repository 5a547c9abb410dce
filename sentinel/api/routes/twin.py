"""The twin: its state, how well it is in step, and what would happen if."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from sentinel.access import Permission
from sentinel.api.events import Streams
from sentinel.api.ports import ApiState, Twin
from sentinel.api.shape import Body, State, Who, needs
from sentinel.errors import PermanentError
from sentinel.model.verdict import Verdict
from sentinel.twin.question import OVER_THE_API
from sentinel.twin.whatif import Answer

router = APIRouter(tags=["twin"])


class WhatIf(Body):
    writes: dict[str, float] = Field(min_length=1, max_length=64, description="tag to engineering value")


Text = Annotated[str, Field(max_length=64)]


class Setting(Body):
    tag: Text
    values: list[float | Text] = Field(
        min_length=1,
        max_length=OVER_THE_API.futures,
        description='in the tag\'s unit, or texts such as "330 K"; several are one axis of a grid',
    )
    at_s: float = Field(0.0, ge=0.0, description="seconds from now")


class Futures(Body):
    settings: list[Setting] = Field(min_length=1, max_length=OVER_THE_API.settings)
    horizon_s: float = Field(600.0, gt=0.0, le=OVER_THE_API.horizon_s)
    members: int | None = Field(None, ge=1, le=OVER_THE_API.members, description="per combination; all that the twin carries if not given")
    tags: list[Text] = Field(
        default=[], max_length=OVER_THE_API.tags, description="whose bands are wanted; none: what the invariants watch"
    )
    bands: bool = Field(True, description="with the bands over time, or the figures only")


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


@router.post("/twin/what-if/futures")
@needs(Permission.TWIN_WHAT_IF)
async def futures(state: State, question: Futures) -> Answer:
    """Every combination of the settings, beside doing nothing: bands over time, invariants kept or broken, time to violation.  No verdict
    is given and nothing is written to the plant."""
    wanted = [(one.tag, one.values, one.at_s) for one in question.settings]
    return await _twin(state).futures(wanted, question.horizon_s, question.members, question.tags, question.bands)


@router.get("/twin/snapshot", response_class=Response, responses={200: {"content": {"application/octet-stream": {}}}})
@needs(Permission.TWIN_WHAT_IF)
def twin_snapshot(state: State) -> Response:
    """For `sentinel whatif --snapshot`, beside the plant file that this appliance runs."""
    return Response(_twin(state).snapshot(), media_type="application/octet-stream")


@router.get("/twin/live", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
@needs(Permission.TWIN_READ)
async def twin_live(request: Request, state: State) -> StreamingResponse:
    """Server-sent events `twin`: tags as the twin takes them to be, how they deviate, how far the twin is in step.  At most two a second;
    who reads slower loses the oldest and is told by an event `missed`."""
    _twin(state)
    streams: Streams = request.app.state.streams
    return StreamingResponse(streams.twin(request.state.tls["der"]), media_type="text/event-stream")


def _twin(state: ApiState) -> Twin:
    if state.twin is None:
        raise PermanentError("this appliance has no twin: its settings name no plant file")
    return state.twin
