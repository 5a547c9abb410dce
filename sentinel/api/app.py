"""The two applications: the API behind client certificates; enrolment, which takes a code and a certificate request and nothing else."""

from fastapi import FastAPI
from starlette.middleware import Middleware

from sentinel import __version__
from sentinel.api import problems
from sentinel.api.enrolment import Enrolment
from sentinel.api.events import Streams
from sentinel.api.guard import Bounded, Guard
from sentinel.api.ports import ApiState
from sentinel.api.routes import CATALOGUE
from sentinel.api.shape import need_of

_DESCRIPTION = (
    "Industrial security monitoring. Every request is identified by its client certificate, decided by policy and audited. "
    "Instants are integers, nanoseconds since 1970-01-01 UTC (64 bits: more than a JavaScript number holds exactly). "
    "Errors are application/problem+json (RFC 9457)."
)


def build_app(state: ApiState) -> FastAPI:
    """``app.state.streams.stop()`` ends all event streams: hand it to `sentinel.api.server.serve` as ``stopping``."""
    app = FastAPI(
        title=f"Sentinel {state.name}", version=__version__, description=_DESCRIPTION, openapi_url=None, docs_url=None, redoc_url=None
    )
    for router in CATALOGUE:
        app.router.routes.extend(router.routes)  # kept flat: what the guard walks is what is served
    undeclared = [getattr(route, "path", repr(route)) for route in app.routes if need_of(route) is None]
    assert not undeclared, f"routes without a permission: {undeclared}"
    app.state.api = state
    app.state.streams = Streams(state)
    problems.install(app)
    app.user_middleware.insert(0, Middleware(Guard, state=state, routes=app.routes))
    return app


def build_enrolment_app(state: ApiState) -> FastAPI:
    """For a listener of its own, with server-side TLS only."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.router.routes.extend(Enrolment(state).router().routes)
    problems.install(app)
    app.user_middleware.insert(0, Middleware(Bounded, max_body_octets=16 * 1024, body_timeout_s=10.0))
    return app
