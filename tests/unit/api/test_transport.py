"""Who gets through the handshake, over real TLS on loopback."""

import asyncio
import socket
import ssl

import httpx
import pytest

from sentinel.access import certificates as c
from sentinel.access.authority import Authority
from sentinel.api import Tls
from sentinel.api.server import _bind
from sentinel.clock import ManualClock, SystemClock
from sentinel.errors import ConfigError
from sentinel.model.record import AuditEntry
from sentinel.model.time import Instant, after
from tests.unit.api.appliance import Appliance, Person


async def refused(appliance: Appliance, person: Person | None, reason: str) -> AuditEntry:
    """Asserts that nothing is answered, and gives the audit entry that says why."""
    before = {entry.sequence for entry in handshakes(appliance)}
    with pytest.raises((httpx.TransportError, ssl.SSLError)):
        async with appliance.client(person) as client:
            await client.get("/me")
    async with asyncio.timeout(5):
        while not (new := [entry for entry in handshakes(appliance) if entry.sequence not in before]):
            await asyncio.to_thread(lambda: appliance.records.audit.append("test", "wait").result())
    assert reason in new[0].details["reason"]
    return new[0]


def handshakes(appliance: Appliance) -> list[AuditEntry]:
    return [entry for entry in appliance.records.audit.page(limit=500) if entry.action == "tls.handshake"]


async def test_a_good_certificate_is_answered(served: Appliance) -> None:
    async with served.client(served.person("alice", "viewer", "analyst")) as client:
        answer = await client.get("/me")
    assert answer.status_code == 200
    assert answer.json()["name"] == "alice"
    assert answer.json()["roles"] == ["analyst", "viewer"]
    assert not handshakes(served)


async def test_without_a_certificate_nothing_is_answered(served: Appliance) -> None:
    await refused(served, None, "peer did not return a certificate")


async def test_an_expired_certificate_is_refused(served: Appliance) -> None:
    key, past = c.new_key(), after(served.clock.now(), -7200)
    certificate = served.access.authority.issue("alice", ["viewer"], key.public_key(), past, 3600)
    await refused(served, served.wallet("alice", key, c.pem(certificate)), "expired")


async def test_a_certificate_of_the_future_is_refused(served: Appliance) -> None:
    key, future = c.new_key(), after(served.clock.now(), 7200)
    certificate = served.access.authority.issue("alice", ["viewer"], key.public_key(), future, 3600)
    await refused(served, served.wallet("alice", key, c.pem(certificate)), "not yet valid")


async def test_a_foreign_authority_with_the_same_names_is_refused(served: Appliance) -> None:
    foreign, key = Authority(served.directory / "foreign", served.clock.now()), c.new_key()
    certificate = foreign.issue("alice", ["viewer", "admin"], key.public_key(), served.clock.now(), 3600)
    ours = served.access.authority.issue("alice", ["viewer"], key.public_key(), served.clock.now(), 3600)
    assert certificate.issuer == ours.issuer
    await refused(served, served.wallet("alice", key, c.pem(certificate)), "unable to get local issuer certificate (20)")


async def test_a_server_certificate_is_no_client(served: Appliance) -> None:
    paths = served.access.authority.server_certificate("test", (), served.clock.now())
    await refused(served, Person("test", c.new_key(), *paths, ""), "unsuitable certificate purpose")


async def test_a_revoked_certificate_is_refused_by_the_handshake(served: Appliance) -> None:
    alice = served.person("alice", "viewer")
    served.access.revoke(alice.serial, "root", "lost")
    # Until the listener has taken up the list the request itself is refused; then the handshake is.
    async with asyncio.timeout(5):
        while True:
            try:
                async with served.client(alice) as client:
                    assert (await client.get("/me")).status_code == 401
            except (httpx.TransportError, ssl.SSLError):
                break
    await refused(served, alice, "certificate revoked")


async def test_a_revocation_counts_on_an_open_connection(served: Appliance) -> None:
    alice = served.person("alice", "viewer")
    async with served.client(alice) as client:
        assert (await client.get("/assets")).status_code == 200
        served.access.revoke(alice.serial, "root", "lost")
        answer = await client.get("/assets")
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert "revoked" in answer.json()["detail"]


async def test_a_certificate_without_a_record_is_nobody(served: Appliance) -> None:
    """Signed by our own key, never enrolled: what somebody with the key but without the register would make."""
    key = c.new_key()
    certificate = served.access.authority.issue("mallory", ["admin"], key.public_key(), served.clock.now(), 3600)
    async with served.client(served.wallet("mallory", key, c.pem(certificate))) as client:
        answer = await client.get("/audit")
    assert answer.status_code == 401


async def test_roles_that_the_register_does_not_know_do_not_count(served: Appliance) -> None:
    alice = served.person("alice", "viewer")
    async with served.client(alice) as client:
        assert (await client.get("/audit")).status_code == 403


async def test_only_tls_1_3_and_no_tickets(served: Appliance) -> None:
    alice = served.person("alice", "viewer")
    old = alice.context(served.access.authority.chain_path)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", served.port, ssl=old)
    context = alice.context(served.access.authority.chain_path)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=context)
    writer.write(b"GET /me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 200")
    session = writer.get_extra_info("ssl_object").session
    assert session is None or not session.has_ticket
    writer.close()


async def test_a_head_without_end_is_cut_off(served: Appliance) -> None:
    context = served.person("alice", "viewer").context(served.access.authority.chain_path)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, ssl=context)
    writer.write(b"GET /me HTTP/1.1\r\nHost: x\r\n" + b"X-Filler: " + b"a" * 60_000)
    with pytest.raises((ConnectionError, ssl.SSLError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(reader.readexactly(1), 5)
    writer.transport.abort()


async def test_garbage_instead_of_tls_is_refused_and_written_down(served: Appliance) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)
    assert not answer.startswith(b"HTTP")
    writer.close()
    async with asyncio.timeout(5):
        while not handshakes(served):
            await asyncio.to_thread(lambda: served.records.audit.append("test", "wait").result())


async def test_an_occupied_port_is_said_clearly(served: Appliance) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1 port"):
        _bind("127.0.0.1", other.getsockname()[1])


async def test_it_stops_within_a_second_while_streams_are_open(appliance: Appliance) -> None:
    loop = asyncio.get_running_loop()
    async with appliance.serving():
        client = appliance.client(appliance.person("alice", "viewer"))
        stream = client.stream("GET", "/events")
        answer = await stream.__aenter__()
        lines = answer.aiter_lines()
        await anext(lines)
        asked_s = loop.time()
    assert loop.time() - asked_s < 1.0
    await stream.__aexit__(None, None, None)
    await client.aclose()


def test_lists_are_signed_every_hour_and_when_the_clock_was_set(appliance: Appliance) -> None:
    clock = SteppedClock()
    tls = Tls(appliance.access, appliance.records.audit, clock, name="test")
    assert not tls.is_due()
    clock.advance(3599)
    assert not tls.is_due()
    clock.advance(1)
    assert tls.is_due()
    tls.renew()
    assert not tls.is_due()
    for step_s in (-600, 600):
        clock.stepped_s += step_s
        assert tls.is_due()
        tls.renew()


class SteppedClock(ManualClock):
    """Whose wall time may be set while its durations go on; it starts now, for certificates end."""

    def __init__(self) -> None:
        super().__init__(SystemClock().now())
        self.stepped_s = 0.0

    def now(self) -> Instant:
        return after(super().now(), self.stepped_s)


def test_refused_handshakes_do_not_fill_the_disk(appliance: Appliance) -> None:
    clock = ManualClock(SystemClock().now())
    tls = Tls(appliance.access, appliance.records.audit, clock, name="test")
    for _ in range(5000):
        tls._refused("certificate has expired (10)")
    clock.advance(1)
    tls._refused("certificate has expired (10)")
    appliance.records.audit.append("test", "mark").result()
    written = [entry for entry in appliance.records.audit.page(limit=500) if entry.action == "tls.handshake"]
    assert len(written) == 101
    assert written[0].details["not_written_before"] == 4900
