"""Findings, and what people say of them."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field

from sentinel.access import Permission
from sentinel.api.routes.evidence import PCAPNG, capture_of, tree_of
from sentinel.api.shape import Body, Cursor, Filter, Key, Limit, PageOf, State, Who, found, needs
from sentinel.model.detection import Severity
from sentinel.model.finding import Finding, FindingState
from sentinel.model.ids import Digest
from sentinel.model.record import Label

router = APIRouter(tags=["findings"])


class NewLabel(Body):
    state: FindingState
    note: str | None = Field(default=None, max_length=2000)


@router.get("/findings")
@needs(Permission.FINDINGS_READ)
def list_findings(
    state: State,
    status: Annotated[FindingState | None, Query(alias="state")] = None,
    severity: Annotated[Severity | None, Query(description="at least this: 1 (info) to 5 (critical)")] = None,
    asset: Filter = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> PageOf[Finding]:
    where = {"state": status.value if status else None, "severity_from": severity, "asset": asset}
    return PageOf.of(state.records.page(Finding, limit=limit, cursor=cursor, where=where))


@router.get("/findings/{finding}")
@needs(Permission.FINDINGS_READ)
def one_finding(state: State, finding: Key) -> Finding:
    return found(state.records.find(Finding, finding), f"finding {finding}")


@router.get("/findings/{finding}/evidence", response_class=Response, responses={200: {"content": {PCAPNG: {}}}})
@needs(Permission.EVIDENCE_READ)
def evidence_of(state: State, finding: Key) -> Response:
    """The packets that it rests on, as pcapng; passwords in clear text are masked."""
    return capture_of(state, _evidence(state, finding))


@router.get("/findings/{finding}/evidence/tree", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
@needs(Permission.EVIDENCE_READ)
def tree_of_evidence(state: State, finding: Key) -> Response:
    """The same packets, layer by layer."""
    return tree_of(state, _evidence(state, finding))


def _evidence(state: State, finding: str) -> Digest:
    one = found(state.records.find(Finding, finding), f"finding {finding}")
    return found(one.evidence, f"evidence of finding {finding}: its frames were not kept, or not heard by a sensor")


@router.get("/findings/{finding}/labels")
@needs(Permission.FINDINGS_READ)
def list_labels(state: State, finding: Key, limit: Limit = 100, cursor: Cursor = None) -> PageOf[Label]:
    return PageOf.of(state.records.page(Label, limit=limit, cursor=cursor, where={"finding": finding}))


@router.post("/findings/{finding}/labels", status_code=201)
@needs(Permission.FINDINGS_LABEL)
def label_finding(state: State, who: Who, finding: Key, label: NewLabel) -> Finding:
    """The label's state becomes the finding's."""
    one = found(state.records.find(Finding, finding), f"finding {finding}")
    state.records.keep(Label(finding=one.id, state=label.state, by=who.name, at=state.clock.now(), note=label.note))
    return found(state.records.find(Finding, finding), f"finding {finding}")
