"""The OPC UA gate within the whole appliance: whom it refuses is a finding that an analyst reads, with the reason.

Before it a client of another make (asyncua), behind it a server of the same; neither knows that there is a gate.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from cryptography import x509

from sentinel import settings as configuration
from sentinel.commands.demo import free_port
from sentinel.demo import topology
from tests.e2e.appliance import Appliance, running
from tests.unit.collectors.gate.opcua.stage import Raw, Server, asyncua_client, asyncua_server, hello
from tests.unit.collectors.gate.opcua.test_security import opens_with

NAME = "gate-opcua"
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with asyncua_server(free_port(), tmp_path_factory.mktemp("server")) as running_server:
        yield running_server


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def appliance(tmp_path_factory: pytest.TempPathFactory, server: Server, port: int) -> AsyncIterator[Appliance]:
    gate = configuration.Gate(name=NAME, protocol="opcua", listen=f"127.0.0.1:{port}", upstream=f"127.0.0.1:{server.port}")
    async with running(tmp_path_factory.mktemp("appliance"), topology.loopback(), 6.0, (gate,)) as appliance:
        yield appliance


async def told_of(appliance: Appliance, reason: str) -> dict[str, Any]:
    """The finding whose reasons say it."""

    async def found() -> Any:
        findings = (await appliance.all("findings")).values()
        return [one for one in findings if one["cause"] == "actor:127.0.0.1" and any(reason in line for line in one["why"])]

    finding: dict[str, Any] = (await appliance.until(f"{reason!r} is a finding", found))[0]
    return finding


async def test_a_client_whose_certificate_is_not_trusted_is_a_finding(appliance: Appliance, port: int, tmp_path: Path) -> None:
    said = await asyncua_client(f"opc.tcp://127.0.0.1:{port}/plant", tmp_path, "SP", policy="Basic256Sha256", mode="SignAndEncrypt")
    assert said in (["BadSecurityChecksFailed"], ["ConnectionError"])
    subject = x509.load_der_x509_certificate((tmp_path / "client.der").read_bytes()).subject.rfc4514_string()
    finding = await told_of(appliance, "is not trusted")
    assert finding["severity"] == 3
    assert set(finding["assets"]) >= {"127.0.0.1"}
    (line,) = [line for line in finding["why"] if "is not trusted" in line]
    assert line.startswith(f"{NAME} refused 127.0.0.1 a channel to 127.0.0.1: the certificate ")
    assert line.endswith(f"It showed the certificate of {subject}.")
    entries = (await appliance.ada.get("/audit", limit=500))["items"]
    assert ("gate.turn_away", NAME, "127.0.0.1") in {(one["action"], one["actor"], one["target"]) for one in entries}


async def test_what_is_no_certificate_is_one_too(appliance: Appliance, port: int) -> None:
    """From another address: of each the gate tells once in ten seconds."""
    raw = await Raw.connect(("127.0.0.1", port), source="127.0.0.72")
    raw.writer.write(hello())
    assert (await raw.chunk())[:4] == b"ACKF"
    raw.writer.write(opens_with(b"not a certificate"))
    assert (await raw.chunk())[:4] == b"ERRF"
    raw.close()

    async def found() -> Any:
        return [one for one in (await appliance.all("findings")).values() if one["cause"] == "actor:127.0.0.72"]

    (finding,) = await appliance.until("it is a finding", found)
    assert "its certificate cannot be read: " in finding["why"][0]
    assert finding["why"][0].endswith("What it showed names nobody.")
