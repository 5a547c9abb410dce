"""What was heard, as counts per source and slot; the appliance's own outages beside it."""

from fastapi import APIRouter

from sentinel.access import Permission
from sentinel.api.shape import Cursor, Filter, Limit, PageOf, State, needs
from sentinel.model.observation import Outage
from sentinel.model.record import Tally

router = APIRouter(tags=["observations"])


@router.get("/observations")
@needs(Permission.OBSERVATIONS_READ)
def list_tallies(state: State, source: Filter = None, limit: Limit = 100, cursor: Cursor = None) -> PageOf[Tally]:
    return PageOf.of(state.records.page(Tally, limit=limit, cursor=cursor, where={"source": source}))


@router.get("/outages")
@needs(Permission.OBSERVATIONS_READ)
def list_outages(state: State, process: Filter = None, limit: Limit = 100, cursor: Cursor = None) -> PageOf[Outage]:
    return PageOf.of(state.records.page(Outage, limit=limit, cursor=cursor, where={"process": process}))
