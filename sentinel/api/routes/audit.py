"""The audit log, and whether its chain holds."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from sentinel.access import Permission
from sentinel.api.shape import Limit, State, needs
from sentinel.model.record import AuditEntry
from sentinel.records import ChainCheck

router = APIRouter(prefix="/audit", tags=["audit"])


class AuditPage(BaseModel):
    """Newest first; ``next`` goes into ``before``."""

    items: list[AuditEntry]
    next: int | None


@router.get("")
@needs(Permission.AUDIT_READ)
def list_entries(state: State, before: Annotated[int | None, Query(ge=0, le=2**62)] = None, limit: Limit = 100) -> AuditPage:
    entries = state.records.audit.page(before, limit)
    following = entries[-1].sequence if len(entries) == limit and entries[-1].sequence > 1 else None
    return AuditPage.model_construct(items=entries, next=following)


@router.get("/verification")
@needs(Permission.AUDIT_VERIFY)
def verify(state: State) -> ChainCheck:
    return state.records.audit.verify()
