"""Who has a certificate: list, invite, revoke."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from sentinel.access import Permission
from sentinel.api.shape import Body, Cursor, Filter, Key, Limit, PageOf, State, Who, found, needs
from sentinel.model.ids import Digest
from sentinel.model.record import Credential
from sentinel.model.time import Instant

router = APIRouter(prefix="/people", tags=["people"])


class NewInvitation(Body):
    name: str = Field(max_length=64)
    roles: list[str] = Field(default=[], max_length=16)
    device: bool = False


class Invited(BaseModel):
    """``code`` is shown this once; ``authority`` is the fingerprint to compare before sending it."""

    code: str
    name: str
    roles: list[str]
    expires: Instant
    authority: Digest


class Revocation(Body):
    reason: str = Field(min_length=1, max_length=500)


@router.get("")
@needs(Permission.PEOPLE_READ)
def list_credentials(state: State, name: Filter = None, limit: Limit = 100, cursor: Cursor = None) -> PageOf[Credential]:
    return PageOf.of(state.records.page(Credential, limit=limit, cursor=cursor, where={"name": name}))


@router.post("/invitations", status_code=201)
@needs(Permission.PEOPLE_INVITE)
def invite(state: State, who: Who, new: NewInvitation) -> Invited:
    code, made = state.access.invite(new.name, new.roles, who.name, device=new.device)
    return Invited(code=code, name=made.name, roles=list(made.roles), expires=made.expires, authority=state.access.authority.fingerprint())


@router.post("/{serial}/revocation")
@needs(Permission.PEOPLE_REVOKE)
def revoke(state: State, who: Who, serial: Key, revocation: Revocation) -> Credential:
    return found(state.access.revoke(serial, who.name, revocation.reason), f"certificate {serial}")
