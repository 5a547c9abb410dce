"""Findings, and what people say of them."""

from enum import StrEnum
from typing import Annotated, Self

from fastapi import APIRouter, Query, Response
from pydantic import Field, model_validator

from sentinel.access import Permission
from sentinel.api.routes.evidence import PCAPNG, capture_of, tree_of
from sentinel.api.shape import Body, Cursor, Filter, Key, Limit, PageOf, State, Who, found, needs
from sentinel.model.detection import Severity
from sentinel.model.finding import Finding, FindingState
from sentinel.model.ids import Digest, FindingId
from sentinel.model.record import Label
from sentinel.model.time import after

router = APIRouter(tags=["findings"])


class Order(StrEnum):
    NEWEST = "newest"
    RISK = "risk"


_COLUMNS = {Order.NEWEST: "at", Order.RISK: "risk"}
MAX_QUIET_S = 31 * 86_400.0
Lasts = Annotated[float, Field(ge=60.0, le=MAX_QUIET_S, description="seconds from now, at most 31 days")]


class NewLabel(Body):
    """``quiet_s``: with `dismissed`; what the finding tells already, and nothing graver, is not told again so long."""

    state: FindingState
    note: str | None = Field(default=None, max_length=2000)
    quiet_s: Lasts | None = None

    @model_validator(mode="after")
    def _only_what_is_dismissed_is_quiet(self) -> Self:
        if self.quiet_s is not None and self.state is not FindingState.DISMISSED:
            raise ValueError(f"quiet_s goes with state dismissed: what is {self.state} is looked at")
        return self


class Lesson(Body):
    lasts_s: Lasts
    note: str = Field(min_length=1, max_length=2000, description="why this is normal")


@router.get("/findings")
@needs(Permission.FINDINGS_READ)
def list_findings(
    state: State,
    status: Annotated[FindingState | None, Query(alias="state")] = None,
    severity: Annotated[Severity | None, Query(description="at least this: 1 (info) to 5 (critical)")] = None,
    asset: Filter = None,
    order: Annotated[Order, Query(description="the newest first, or the greatest risk")] = Order.NEWEST,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> PageOf[Finding]:
    where = {"state": status.value if status else None, "severity_from": severity, "asset": asset}
    return PageOf.of(state.records.page(Finding, limit=limit, cursor=cursor, by=_COLUMNS[order], where=where))


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
    now = state.clock.now()
    until = None if label.quiet_s is None else after(now, label.quiet_s)
    return _labelled(
        state, finding, Label(finding=FindingId(finding), state=label.state, by=who.name, at=now, note=label.note, quiet_until=until)
    )


@router.post("/findings/{finding}/lessons", status_code=201)
@needs(Permission.BASELINE_TEACH)
def learn_finding(state: State, who: Who, finding: Key, lesson: Lesson) -> Finding:
    """This is normal for so long: dismissed, not told again, and what learns beside the baseline may learn it.  Then it is news."""
    now = state.clock.now()
    until, dismissed = after(now, lesson.lasts_s), FindingState.DISMISSED
    label = Label(finding=FindingId(finding), state=dismissed, by=who.name, at=now, note=lesson.note, quiet_until=until, learnt=True)
    return _labelled(state, finding, label)


def _labelled(state: State, finding: str, label: Label) -> Finding:
    found(state.records.find(Finding, finding), f"finding {finding}")
    state.records.keep(label)
    return found(state.records.find(Finding, finding), f"finding {finding}")
