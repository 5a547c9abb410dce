"""TLS for uvicorn, in one file: what it does not do itself.

TLS 1.3 only, client certificates required and checked against the revocation lists, no session tickets (a resumed session would not be
checked again), refused handshakes reported, the client's certificate handed to the application in ``scope["state"]["tls"]``, and limits on
how long and how large a request's head may be.  Certificates and lists are loaded anew while connections stay open.
"""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_OCTETS = 32 * 1024
HEAD_TIMEOUT_S = 10.0  # from the handshake to the end of the first request's head; later ones: uvicorn's keep-alive time
FAREWELL_S = 0.3  # for the client's half of the close when the server stops

Refused = Callable[[str], None]


class BoundedHttp(HttpToolsProtocol):
    """HTTP/1.1 whose request heads are bounded in octets, and in time for the first one of a connection."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._head_octets: int | None = 0  # None = in a body
        self._deadline: asyncio.TimerHandle | None = self.loop.call_later(HEAD_TIMEOUT_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._head_octets is not None:
            self._head_octets += len(data)
        super().data_received(data)
        if self._head_octets is not None and self._head_octets > MAX_HEAD_OCTETS:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        self._head_octets = None
        self._stop_deadline()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head_octets = 0
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(FAREWELL_S, self._leave)

    def _leave(self) -> None:
        """A client that does not answer our close (TLS asks it to) does not hold up the stop; one that still gets its answer does."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class CertifiedHttp(BoundedHttp):
    """Puts the client's certificate where every request of the connection finds it; without one there is no connection."""

    def connection_made(self, transport: Any) -> None:
        tls = transport.get_extra_info("ssl_object")
        der = tls.getpeercert(binary_form=True) if tls else None
        if not der:
            transport.abort()
            return
        self.app_state = {**self.app_state, "tls": {"der": der, "version": tls.version(), "cipher": tls.cipher()[0]}}
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.transport is not None:  # else it never became a connection
            super().connection_lost(exc)


class TlsFront:
    """The context that listens.  Each handshake is served by the newest set of certificates, whatever `reload` put there."""

    def __init__(self, certificate: Path, key: Path, authorities: Path, crl: Path | None, refused: Refused) -> None:
        """Without ``crl`` no client certificate is asked for: only for enrolment."""
        self._files = (certificate, key, authorities, crl)
        self._refused = refused
        self._current = self._context()
        self.front = self._context()
        self.front.sni_callback = self._choose  # called without a server name too
        self._stamps = self._stamp()

    def reload(self) -> bool:
        """True when the files changed and are now in use."""
        stamps = self._stamp()
        if stamps == self._stamps:
            return False
        self._current = self._context()
        self._stamps = stamps
        return True

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        return tuple((path.stat().st_mtime_ns, path.stat().st_ino) for path in self._files if path is not None)

    def _choose(self, tls: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        tls.context = self._current

    def _context(self) -> ssl.SSLContext:
        certificate, key, authorities, crl = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
        context.load_cert_chain(certificate, key)
        if crl is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(authorities)
            context.load_verify_locations(crl)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN | ssl.VERIFY_X509_STRICT
        context.sslobject_class = _reporting(self._refused)
        context.set_alpn_protocols(["http/1.1"])
        return context


def _reporting(refused: Refused) -> type[ssl.SSLObject]:
    """The only place in which a refused handshake can be seen."""

    class ReportingObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            try:
                super().do_handshake()
            except ssl.SSLCertVerificationError as error:
                refused(f"{error.verify_message} ({error.verify_code})")
                raise
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except ssl.SSLError as error:
                refused(str(error.reason or type(error).__name__).lower().replace("_", " "))
                raise

    return ReportingObject
