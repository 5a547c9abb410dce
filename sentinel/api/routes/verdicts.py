"""Verdicts of the court."""

from fastapi import APIRouter, Response

from sentinel.access import Permission
from sentinel.api.shape import Cursor, Filter, Key, Limit, PageOf, State, found, needs
from sentinel.model.record import Excerpt
from sentinel.model.verdict import Judgement, Verdict

router = APIRouter(tags=["verdicts"])


@router.get("/verdicts")
@needs(Permission.VERDICTS_READ)
def list_verdicts(
    state: State, command: Filter = None, judgement: Judgement | None = None, limit: Limit = 100, cursor: Cursor = None
) -> PageOf[Verdict]:
    where = {"command": command, "judgement": judgement.value if judgement else None}
    return PageOf.of(state.records.page(Verdict, limit=limit, cursor=cursor, where=where))


@router.get("/verdicts/{verdict}")
@needs(Permission.VERDICTS_READ)
def one_verdict(state: State, verdict: Key) -> Verdict:
    return found(state.records.find(Verdict, verdict), f"verdict {verdict}")


@router.get("/verdicts/{verdict}/case", response_class=Response, responses={200: {"content": {"application/zip": {}}}})
@needs(Permission.EVIDENCE_READ)
def one_case(state: State, verdict: Key) -> Response:
    """All that the verdict rests on, sealed by the appliance: ``sentinel rerun`` comes to the same verdict on any machine."""
    cases = state.records.page(Excerpt, limit=1, where={"of": verdict, "kind": "case"}).items
    case = found(cases[0] if cases else None, f"case of verdict {verdict}: it was not kept")
    octets = found(state.records.evidence(case.digest), f"case of verdict {verdict}: it was dropped")
    return Response(octets, media_type="application/zip", headers={"content-disposition": f'attachment; filename="{verdict}.case.zip"'})
