"""Every error as application/problem+json (RFC 9457): what, why, where; never a stack trace, never the caller's input played back."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from sentinel.errors import InputError, SentinelError, TransientError

MEDIA_TYPE = "application/problem+json"
_TITLES = {
    400: "Bad request",
    401: "Not identified",
    403: "Not permitted",
    404: "Not found",
    405: "Method not allowed",
    408: "Request too slow",
    409: "Not possible now",
    413: "Request too large",
    422: "Not understood",
    429: "Too many requests",
    500: "Our fault",
    503: "Not available now",
}
_MAX_ERRORS = 20

_log = logging.getLogger(__name__)


def problem(status: int, detail: str, *, instance: str | None = None, headers: dict[str, str] | None = None, **extra: Any) -> JSONResponse:
    body: dict[str, Any] = {"type": "about:blank", "title": _TITLES.get(status, "Error"), "status": status, "detail": detail, **extra}
    if instance is not None:
        body["instance"] = instance
    return JSONResponse(body, status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(SentinelError, _of_ours)
    app.add_exception_handler(LookupError, _of_lookup)
    app.add_exception_handler(Exception, _of_bug)


async def _of_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), instance=request.url.path, headers=dict(error.headers or {}))


async def _of_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [
        {"pointer": "/" + "/".join(str(part)[:64] for part in each["loc"]), "detail": each["msg"]} for each in error.errors()[:_MAX_ERRORS]
    ]
    first = f"{errors[0]['pointer']}: {errors[0]['detail']}" if errors else "the request is not understood"
    return problem(422, first, instance=request.url.path, errors=errors)


async def _of_ours(request: Request, error: Exception) -> JSONResponse:
    status = 422 if isinstance(error, InputError) else 503 if isinstance(error, TransientError) else 409
    return problem(status, str(error), instance=request.url.path)


async def _of_lookup(request: Request, error: Exception) -> JSONResponse:
    if type(error) is not LookupError:  # a KeyError or IndexError is a bug, not an answer
        raise error
    return problem(404, str(error), instance=request.url.path)


async def _of_bug(request: Request, error: Exception) -> JSONResponse:
    _log.error("unexpected %s at %s %s", type(error).__name__, request.method, request.url.path)  # the server logs the trace
    return problem(500, "an error on our side; the log of the appliance has it", instance=request.url.path)
