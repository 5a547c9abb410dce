"""What the tags showed, and where the twin was."""

import math
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from sentinel.access import Permission
from sentinel.api.shape import State, needs
from sentinel.errors import InputError, PermanentError
from sentinel.history import Summary, read, summarise
from sentinel.model.protocol import Quality
from sentinel.model.time import Instant, after

router = APIRouter(tags=["history"])
MAX_ROWS = 20_000  # of an answer
_MAX_VALUES = 2_000_000  # that a summary is made of
_HOUR_S = 3600.0
Moment = Annotated[int | None, Query(ge=0, le=2**62, description="ns since 1970-01-01 UTC")]


@router.get("/history")
@needs(Permission.OBSERVATIONS_READ)
def history(
    state: State,
    tag: Annotated[list[Annotated[str, Field(max_length=256)]], Query(min_length=1, max_length=32, description="may stand several times")],
    since: Moment = None,
    until: Moment = None,
    every_s: Annotated[
        float | None, Query(gt=0.0, le=366 * 86_400.0, description="a summary of each such span instead of every value")
    ] = None,
) -> dict[str, Any]:
    """By tag and time of receipt; without times the last hour.  Twin states are called "twin:" and their name."""
    if state.history is None:
        raise PermanentError("this appliance keeps no history: its settings say so")
    end = state.clock.now() if until is None else Instant(until)
    begin = after(end, -_HOUR_S) if since is None else Instant(since)
    if begin >= end:
        raise InputError("since is not before until")
    found = read(state.history, tag, begin, end, MAX_ROWS if every_s is None else _MAX_VALUES)
    told = {"since": begin, "until": end, "defects": found.defects}
    if every_s is not None:
        spans = summarise(found.readings, every_s)
        if len(spans) > MAX_ROWS:
            raise InputError(f"{len(spans)} spans, expected at most {MAX_ROWS}: a longer every_s, fewer tags or a shorter time")
        return {**told, "spans": [_span(one) for one in spans]}
    rows = zip(
        found.readings.decoded("tag"), found.readings.seen.tolist(), found.readings.value.tolist(), found.readings.quality, strict=True
    )
    values = [
        {"tag": name, "time": time, "value": value if math.isfinite(value) else None, "quality": Quality(int(quality)).name.lower()}
        for name, time, value, quality in rows
    ]
    return {**told, "values": values}


def _span(one: Summary) -> dict[str, Any]:
    return {"tag": one.tag, "time": one.time, "mean": one.mean, "low": one.low, "high": one.high, "last": one.last, "values": one.values}
