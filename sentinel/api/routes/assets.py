"""Assets and conduits as the wire shows them."""

from fastapi import APIRouter

from sentinel.access import Permission
from sentinel.api.shape import Cursor, Filter, Key, Limit, PageOf, State, found, needs
from sentinel.model.asset import Asset, Conduit

router = APIRouter(tags=["assets"])


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
