"""Serves an ASGI application over TLS inside a running event loop, and stops cleanly.

In: the application, its `Tls`, an address, an event that ends it.  Raises ConfigError when the address cannot be taken.  While it serves
it keeps the certificates fresh: a new revocation list counts within a second, and is signed anew every hour.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import Config

from sentinel.access import Access
from sentinel.api.transport import BoundedHttp, CertifiedHttp, TlsFront
from sentinel.clock import Clock
from sentinel.errors import ConfigError, TransientError
from sentinel.model.time import seconds_between
from sentinel.records import AuditLog

MAX_CONNECTIONS = 256
KEEP_ALIVE_S = 60
GRACE_S = 2  # for answers that are being sent when the server stops
RELOAD_PERIOD_S = 0.5
CRL_PERIOD_S = 3600.0
CLOCK_JUMP_S = 60.0
_REFUSALS_PER_S = 10.0  # beyond this refused handshakes are counted, not written one by one: nobody fills the disk from outside
_REFUSALS_BURST = 100.0

_log = logging.getLogger(__name__)


class Tls:
    """Certificates from the embedded authority.  ``clients``: a client certificate is required; without, only for enrolment."""

    def __init__(
        self, access: Access, audit: AuditLog, clock: Clock, *, name: str, hosts: tuple[str, ...] = (), clients: bool = True
    ) -> None:
        self._access, self._audit, self._clock = access, audit, clock
        self._name, self._hosts = name, hosts
        self.clients = clients
        self._allowance, self._refilled_s, self._unwritten = _REFUSALS_BURST, clock.monotonic_s(), 0
        certificate, key = access.authority.server_certificate(name, hosts, clock.now())
        if clients:
            access.refresh_crl()
        authority = access.authority
        self._renewed = (clock.now(), clock.monotonic_s())
        self._front = TlsFront(certificate, key, authority.chain_path, authority.crl_path if clients else None, self._refused)

    @property
    def front(self) -> TlsFront:
        return self._front

    def is_due(self) -> bool:
        """Every hour, and at once when the clock was set: a list from the future counts as little as one that has ended."""
        wall_s = seconds_between(self._renewed[0], self._clock.now())
        passed_s = self._clock.monotonic_s() - self._renewed[1]
        return passed_s >= CRL_PERIOD_S or abs(wall_s - passed_s) > CLOCK_JUMP_S

    def renew(self) -> None:
        """Blocking: revocation list and, when it ends soon, the server's own certificate."""
        self._renewed = (self._clock.now(), self._clock.monotonic_s())
        self._access.authority.server_certificate(self._name, self._hosts, self._clock.now())
        if self.clients:
            self._access.refresh_crl()

    def _refused(self, reason: str) -> None:
        now_s = self._clock.monotonic_s()
        self._allowance = min(_REFUSALS_BURST, self._allowance + (now_s - self._refilled_s) * _REFUSALS_PER_S)
        self._refilled_s = now_s
        if self._allowance < 1.0:
            self._unwritten += 1
            return
        self._allowance -= 1.0
        listener = "api" if self.clients else "enrolment"
        try:
            self._audit.append("unknown", "tls.handshake", listener, "deny", reason=reason, not_written_before=self._unwritten)
            self._unwritten = 0
        except TransientError as error:
            self._unwritten += 1
            _log.error("a refused handshake (%s) could not be written down: %s", reason, error)


class _Server(uvicorn.Server):
    def __init__(self, config: Config, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to whoever embeds us."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()  # open event streams end now instead of holding us up
        await super().shutdown(sockets)


async def serve(
    app: ASGIApp,
    tls: Tls,
    host: str,
    port: int,
    *,
    stop: asyncio.Event,
    ready: Callable[[int], None] | None = None,
    stopping: Callable[[], None] | None = None,
) -> None:
    """Until ``stop`` is set.  ``ready`` gets the port (0 = any free one); ``stopping`` is called before open answers are waited for."""
    listening = _bind(host, port)
    config = Config(
        app,
        http=CertifiedHttp if tls.clients else BoundedHttp,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # identity and address come from the connection, never from a header
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        ssl_context_factory=lambda _config, _default: tls.front.front,
    )
    server = _Server(config, stopping or _nothing)
    if ready is not None:
        ready(listening.getsockname()[1])
    async with asyncio.TaskGroup() as group:
        group.create_task(_end(server, stop))
        tending = group.create_task(_tend(tls))
        await server.serve(sockets=[listening])
        tending.cancel()
        stop.set()


def _nothing() -> None:
    return None


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named: else asyncio does not know it for TCP and leaves Nagle on, which costs 40 ms per answer.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise ConfigError("api", f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    listening.setblocking(False)
    return listening


async def _end(server: uvicorn.Server, stop: asyncio.Event) -> None:
    await stop.wait()
    server.should_exit = True


async def _tend(tls: Tls) -> None:
    while True:
        await asyncio.sleep(RELOAD_PERIOD_S)
        try:
            if tls.is_due():
                await asyncio.to_thread(tls.renew)
            tls.front.reload()
        except (OSError, ValueError, TransientError):  # the old ones serve on; the next round tries again
            _log.exception("certificates or revocation list could not be renewed")
