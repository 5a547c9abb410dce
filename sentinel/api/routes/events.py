"""Findings and actions as they change, as server-sent events."""

from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse

from sentinel.access import Permission
from sentinel.api.events import Streams
from sentinel.api.shape import needs

router = APIRouter(tags=["events"])
_MAX_REVISION = 2**62


@router.get("/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
@needs(Permission.EVENTS_READ)
async def stream_events(
    request: Request,
    last_event_id: Annotated[int | None, Header(ge=0, le=_MAX_REVISION)] = None,
    after: int | None = None,
) -> StreamingResponse:
    """Events `finding` and `action`.  Without `Last-Event-ID` or `after` only what comes; `after=0` starts with everything."""
    streams: Streams = request.app.state.streams
    seen = last_event_id if last_event_id is not None else after
    if seen is not None:
        seen = max(0, min(seen, _MAX_REVISION))
    return StreamingResponse(streams.stream(request.state.tls["der"], seen), media_type="text/event-stream")
