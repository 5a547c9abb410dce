"""The appliance itself: who I am to it, how it is, what it can do."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from sentinel.access import Permission, Role
from sentinel.access.policy import PERMISSIONS
from sentinel.api.shape import State, Who, needs
from sentinel.model.ids import Digest
from sentinel.model.time import Instant
from sentinel.ports import Stability

router = APIRouter(tags=["appliance"])


class Me(BaseModel):
    name: str
    device: bool
    roles: list[Role]
    permissions: list[Permission]
    serial: str
    fingerprint: Digest
    expires: Instant


class Capability(BaseModel):
    """``config``: option to its default and what it says."""

    name: str
    summary: str
    stability: Stability
    config: dict[str, tuple[Any, str]]
    attack: list[str]


@router.get("/me")
@needs(Permission.ME_READ)
async def me(who: Who) -> Me:
    return Me(
        name=who.name,
        device=who.device,
        roles=sorted(who.roles),
        permissions=[permission for permission in Permission if PERMISSIONS[permission] & who.roles],
        serial=who.serial,
        fingerprint=who.fingerprint,
        expires=who.expires,
    )


@router.get("/health")
@needs(Permission.HEALTH_READ)
def health(state: State) -> dict[str, Any]:
    records = {"writes_waiting": state.records.waiting(), "revision": state.records.revision()}
    return {"appliance": state.name, "at": state.clock.now(), "records": records, **state.health()}


@router.get("/capabilities")
@needs(Permission.CAPABILITIES_READ)
async def capabilities(state: State) -> dict[str, list[Capability]]:
    return {
        room: [
            Capability(name=s.name, summary=s.summary, stability=s.stability, config=dict(s.config), attack=list(s.attack)) for s in specs
        ]
        for room, specs in state.capabilities.items()
    }
