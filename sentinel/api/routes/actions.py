"""Actions: one person asks, another agrees."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from sentinel.access import Party, Permission
from sentinel.api.ports import ApiState
from sentinel.api.shape import About, Body, Cursor, Filter, Key, Limit, PageOf, State, Who, found, needs
from sentinel.model.action import Action, ActionState, Receipt
from sentinel.model.ids import ActionId, Digest
from sentinel.model.record import Signature

router = APIRouter(tags=["actions"])


class Ask(Body):
    lasts_s: float | None = Field(default=None, gt=0, description="instead of the proposed duration")
    reason: str | None = None


class Reason(Body):
    reason: str = Field(min_length=1)


def _approval(state: ApiState, path: Mapping[str, str]) -> About:
    """Whom the approver is compared with: the name that the action carries, and the key that asked (empty = unknown, which is denied)."""
    action = found(state.records.find(Action, path["action"]), f"action {path['action']}")
    if action.requested_by is None:
        return About(kind=action.kind)
    key = Digest("")
    for signature in state.records.each(Signature, where={"action": action.id, "step": "request"}):  # oldest first
        if signature.by == action.requested_by and signature.at <= action.changed:
            key = signature.key
    return About(kind=action.kind, requested_by=Party(name=action.requested_by, key=key))


@router.get("/actions")
@needs(Permission.ACTIONS_READ)
def list_actions(
    state: State,
    status: Annotated[ActionState | None, Query(alias="state")] = None,
    target: Filter = None,
    finding: Filter = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> PageOf[Action]:
    where = {"state": status.value if status else None, "target": target, "finding": finding}
    return PageOf.of(state.records.page(Action, limit=limit, cursor=cursor, where=where))


@router.get("/actions/{action}")
@needs(Permission.ACTIONS_READ)
def one_action(state: State, action: Key) -> Action:
    return found(state.records.find(Action, action), f"action {action}")


@router.get("/actions/{action}/receipts")
@needs(Permission.ACTIONS_READ)
def list_receipts(state: State, action: Key, limit: Limit = 100, cursor: Cursor = None) -> PageOf[Receipt]:
    return PageOf.of(state.records.page(Receipt, limit=limit, cursor=cursor, where={"action": action}))


@router.get("/actions/{action}/signatures")
@needs(Permission.ACTIONS_READ)
def list_signatures(state: State, action: Key, limit: Limit = 100, cursor: Cursor = None) -> PageOf[Signature]:
    return PageOf.of(state.records.page(Signature, limit=limit, cursor=cursor, where={"action": action}))


@router.post("/actions/{action}/request")
@needs(Permission.ACTIONS_REQUEST)
async def request_action(state: State, who: Who, action: Key, ask: Ask | None = None) -> Action:
    ask = ask or Ask()
    await sign(state, who, action, "request", ask.reason)
    return await state.actions.request(ActionId(action), who.name, ask.lasts_s)


@router.post("/actions/{action}/approve")
@needs(Permission.ACTIONS_APPROVE, about=_approval)
async def approve_action(state: State, who: Who, action: Key) -> Action:
    await sign(state, who, action, "approve", None)
    return await state.actions.approve(ActionId(action), who.name)


@router.post("/actions/{action}/reject")
@needs(Permission.ACTIONS_REJECT)
async def reject_action(state: State, who: Who, action: Key, reason: Reason) -> Action:
    await sign(state, who, action, "reject", reason.reason)
    return await state.actions.reject(ActionId(action), who.name, reason.reason)


@router.post("/actions/{action}/release")
@needs(Permission.ACTIONS_RELEASE)
async def release_action(state: State, who: Who, action: Key) -> Action:
    await sign(state, who, action, "release", None)
    return await state.actions.release(ActionId(action), who.name)


async def sign(state: ApiState, who: Who, action: str, step: str, reason: str | None) -> None:
    """Kept before the step is tried: who asked with which key must be known when the second person comes.  Of an action that exists."""
    found(await run_in_threadpool(state.records.find, Action, action), f"action {action}")
    signature = Signature(action=ActionId(action), step=step, by=who.name, key=who.key, at=state.clock.now(), reason=reason)
    await state.records.kept(signature)
