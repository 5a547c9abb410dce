"""Around everything: who is it, may they, write it down, and only then read the body.

A pure ASGI layer outside the router, so that documentation, errors and unknown paths pass it too.  In: a request with the client's
certificate in ``scope["state"]["tls"]``.  Out: the router's answer, or 401, 403, 404, 405, 408, 413 as a problem.  One request is one audit
entry; a request that changes something or is refused waits until its entry is on disk, one that reads does not.
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sentinel.access import Denial, Identity, Refusal, Request, permit
from sentinel.api.ports import ApiState
from sentinel.api.problems import problem
from sentinel.api.shape import About, Need, need_of
from sentinel.errors import TransientError

MAX_BODY_OCTETS = 1024 * 1024
BODY_TIMEOUT_S = 20.0
_PATIENCE = 8  # times the limit is read and thrown away before the connection is cut
_READING = frozenset({"GET", "HEAD"})
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    # The documentation page starts itself with a script of its own; nothing comes from, or goes to, anywhere else.
    (
        b"content-security-policy",
        b"default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
    ),
)

_log = logging.getLogger(__name__)


class Bounded:
    """Limits a request's body in size and time and sets the headers that every answer carries."""

    def __init__(self, app: ASGIApp, max_body_octets: int = MAX_BODY_OCTETS, body_timeout_s: float = BODY_TIMEOUT_S) -> None:
        self._app = app
        self._max = max_body_octets
        self._timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return None  # no lifespan, no WebSocket: closed unanswered
        with_headers = _with_headers(send)
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await self._read(scope, receive)
        except TimeoutError:
            return await problem(408, f"the body did not arrive within {self._timeout_s:g} s", headers=_CLOSE)(scope, receive, with_headers)
        if body is None:
            return await problem(413, f"the body is larger than {self._max} octets", headers=_CLOSE)(scope, receive, with_headers)
        unread = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return unread.pop() if unread else await receive()

        return await self._app(scope, replay, with_headers)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """None = too large.  What is a little too large is read to its end, unkept: a client that still sends may miss its answer."""
        for name, value in scope["headers"]:
            if name == b"content-length" and (not value.isdigit() or len(value) > 15 or int(value) > _PATIENCE * self._max):
                return None
        body, octets = bytearray(), 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return bytes(body)
            octets += len(message.get("body", b""))
            if octets <= self._max:
                body += message.get("body", b"")
            elif octets > _PATIENCE * self._max:
                return None
            if not message.get("more_body", False):
                return bytes(body) if octets <= self._max else None


_CLOSE = {"connection": "close"}


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
        await send(message)

    return sending


@dataclass(frozen=True, slots=True)
class _Decision:
    actor: str
    action: str
    refusal: Response | None  # None = allowed
    reason: str
    identity: Identity | None = None


class Guard:
    def __init__(self, app: ASGIApp, state: ApiState, routes: Sequence[BaseRoute]) -> None:
        self._app = Bounded(app)
        self._state = state
        self._routes = routes
        self._audit_fails = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return None
        decision = await run_in_threadpool(self._decide, scope)
        refused = await self._write_down(scope, decision) or decision.refusal
        if refused is not None:
            return await refused(scope, receive, _with_headers(send))
        scope.setdefault("state", {})["identity"] = decision.identity
        return await self._app(scope, receive, send)

    def _decide(self, scope: Scope) -> _Decision:
        tls = scope.get("state", {}).get("tls")
        who = self._state.access.identify(tls["der"]) if tls else Refusal("no client certificate")
        if isinstance(who, Refusal):
            return _Decision("unknown", "identify", problem(401, who.reason, instance=scope["path"]), who.reason)
        need, params, status = self._needed(scope)
        if need is None:
            detail = f"{scope['path']} does not take {scope['method']}" if status == 405 else f"there is nothing at {scope['path']}"
            return _Decision(who.name, "none", problem(status, detail, instance=scope["path"]), detail, who)
        try:
            about = need.about(self._state, params) if need.about else About()
        except LookupError as error:
            return _Decision(who.name, need.permission, problem(404, str(error), instance=scope["path"]), str(error), who)
        answer = permit(
            Request(who=who.party, roles=who.roles, permission=need.permission, kind=about.kind, requested_by=about.requested_by)
        )
        if isinstance(answer, Denial):
            return _Decision(who.name, need.permission, problem(403, answer.reason, instance=scope["path"]), answer.reason, who)
        return _Decision(who.name, need.permission, None, answer.role, who)

    def _needed(self, scope: Scope) -> tuple[Need | None, dict[str, str], int]:
        """(what the route needs, its path parameters, status if nothing is there).  A route that declares nothing is not there."""
        status = 404
        for route in self._routes:
            match, child = route.matches(scope)
            if match is Match.FULL:
                return need_of(route), child.get("path_params", {}), 404
            if match is Match.PARTIAL:
                status = 405
        return None, {}, status

    async def _write_down(self, scope: Scope, decision: _Decision) -> Response | None:
        """None, or the refusal when the audit log cannot take the entry."""
        details: dict[str, Any] = {"method": scope["method"], "reason": decision.reason, "address": (scope.get("client") or ("unix",))[0]}
        if decision.identity is not None:
            details["serial"] = decision.identity.serial
        outcome = "allow" if decision.refusal is None else f"deny {decision.refusal.status_code}"
        try:
            entry = self._state.records.audit.append(decision.actor, decision.action, scope["path"], outcome, **details)
            if scope["method"] in _READING and decision.refusal is None and not self._audit_fails:
                entry.add_done_callback(self._notice)
            else:
                await asyncio.wrap_future(entry)
                self._audit_fails = False
        except TransientError as error:
            self._audit_fails = True
            return problem(503, f"the audit log cannot take this request: {error}", instance=scope["path"])
        return None

    def _notice(self, entry: "Future[Any]") -> None:
        """After a failed entry even reading waits for its own, until one is kept again."""
        if entry.exception() is not None:
            self._audit_fails = True
            _log.error("an audit entry was not kept: %s", entry.exception())
