"""Verdicts of the court."""

from fastapi import APIRouter

from sentinel.access import Permission
from sentinel.api.shape import Cursor, Filter, Key, Limit, PageOf, State, found, needs
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
