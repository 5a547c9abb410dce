"""Assets and conduits as the wire shows them, in rows and as a picture."""

from itertools import islice

from fastapi import APIRouter, Response

from sentinel.access import Permission
from sentinel.api.shape import Cursor, Filter, Key, Limit, PageOf, State, found, needs
from sentinel.baseline.picture import draw_network
from sentinel.model.asset import Asset, Conduit

router = APIRouter(tags=["assets"])

SVG = "image/svg+xml"
_MOST_ASSETS, _MOST_CONDUITS = 10_000, 50_000  # that are looked at for a picture, which has room for a few hundred


@router.get("/assets")
@needs(Permission.ASSETS_READ)
def list_assets(state: State, limit: Limit = 100, cursor: Cursor = None) -> PageOf[Asset]:
    return PageOf.of(state.records.page(Asset, limit=limit, cursor=cursor))


@router.get("/assets/{asset}")
@needs(Permission.ASSETS_READ)
def one_asset(state: State, asset: Key) -> Asset:
    return found(state.records.find(Asset, asset), f"asset {asset}")


@router.get("/conduits")
@needs(Permission.ASSETS_READ)
def list_conduits(
    state: State, client: Filter = None, server: Filter = None, protocol: Filter = None, limit: Limit = 100, cursor: Cursor = None
) -> PageOf[Conduit]:
    where = {"client": client, "server": server, "protocol": protocol}
    return PageOf.of(state.records.page(Conduit, limit=limit, cursor=cursor, where=where))


@router.get("/network", response_class=Response, responses={200: {"content": {SVG: {}}}})
@needs(Permission.ASSETS_READ)
def network(state: State) -> Response:
    """The picture for the wall: levels as rows, conduits by protocol, blind spots in red (SVG)."""
    assets = tuple(islice(state.records.each(Asset), _MOST_ASSETS))
    conduits = tuple(islice(state.records.each(Conduit), _MOST_CONDUITS))
    return Response(draw_network(assets, conduits, "Network, as it was heard"), media_type=SVG)
