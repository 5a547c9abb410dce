"""A real client and a real server, neither of them ours, with the gate between: every policy and mode, users, and whom the gate trusts."""

import shutil
from pathlib import Path

import pytest
from cryptography import x509

from sentinel.model.command import Command
from sentinel.model.observation import TurnedAway
from tests.unit.collectors.gate.opcua.stage import Server, asyncua_client, gate_before

POLICIES = ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")


def is_low(command: Command) -> bool:
    return all(write.value is not None and write.value < 10 for write in command.writes)


async def trusted(pki: Path, server: Server, client: Path) -> None:
    """Both certificates as a person would have put them there before the gate's start."""
    await asyncua_client("opc.tcp://127.0.0.1:1/", client)  # makes its certificate
    (pki / "trusted").mkdir(parents=True)
    shutil.copy(server.directory / "server.der", pki / "trusted")
    shutil.copy(client / "client.der", pki / "trusted")


@pytest.mark.parametrize("mode", ["Sign", "SignAndEncrypt"])
@pytest.mark.parametrize("policy", POLICIES)
async def test_every_policy_and_mode_reads_writes_and_is_refused(tmp_path: Path, server: Server, policy: str, mode: str) -> None:
    await trusted(tmp_path / "pki", server, tmp_path)
    async with gate_before(server.port, tmp_path, is_low) as (gate, brain):
        url = f"opc.tcp://127.0.0.1:{gate.address[1]}/plant"
        said = await asyncua_client(url, tmp_path, "SP=3.5", "SP", "SP=12", "SP", policy=policy, mode=mode, user="op:secret")
        assert said == ["written", "3.5", "BadUserAccessDenied", "3.5"]
        assert [outcome.forwarded for outcome in await brain.outcomes(2)] == [True, False]


async def test_without_security_too(tmp_path: Path, server: Server) -> None:
    async with gate_before(server.port, tmp_path, is_low) as (gate, _):
        said = await asyncua_client(f"opc.tcp://127.0.0.1:{gate.address[1]}/plant", tmp_path, "SP=2.5", "SP", "SP=12", "SP")
        assert said == ["written", "2.5", "BadUserAccessDenied", "2.5"]


async def test_a_wrong_password_is_the_server_s_to_refuse(tmp_path: Path, server: Server) -> None:
    await trusted(tmp_path / "pki", server, tmp_path)
    async with gate_before(server.port, tmp_path, is_low) as (gate, _):
        url = f"opc.tcp://127.0.0.1:{gate.address[1]}/plant"
        said = await asyncua_client(url, tmp_path, "SP", policy="Basic256Sha256", mode="SignAndEncrypt", user="op:wrong")
        assert said == ["BadUserAccessDenied"]


async def test_an_unknown_client_gets_no_channel_and_its_certificate_is_kept_for_a_person(tmp_path: Path, server: Server) -> None:
    async with gate_before(server.port, tmp_path, is_low) as (gate, brain):
        url = f"opc.tcp://127.0.0.1:{gate.address[1]}/plant"
        said = await asyncua_client(url, tmp_path, "SP", policy="Basic256Sha256", mode="Sign")
        assert said in (["BadSecurityChecksFailed"], ["ConnectionError"])
        assert gate.counters.refused == 1
        await brain.until(lambda: brain.of(TurnedAway))
        (told,) = brain.of(TurnedAway)
        assert (told.gate, told.source, told.target, told.times) == ("gate", "127.0.0.1", "127.0.0.1", 1)
        shown = x509.load_der_x509_certificate((tmp_path / "client.der").read_bytes())
        assert told.subject == shown.subject.rfc4514_string()
        assert told.reason.endswith("is not trusted")
        (kept,) = (tmp_path / "pki" / "rejected").iterdir()
        assert kept.read_bytes() == (tmp_path / "client.der").read_bytes()


async def test_a_server_that_is_not_trusted_gets_no_channel_and_no_password(tmp_path: Path, server: Server) -> None:
    await asyncua_client("opc.tcp://127.0.0.1:1/", tmp_path)
    (tmp_path / "pki" / "trusted").mkdir(parents=True)
    shutil.copy(tmp_path / "client.der", tmp_path / "pki" / "trusted")
    async with gate_before(server.port, tmp_path, is_low) as (gate, _):
        url = f"opc.tcp://127.0.0.1:{gate.address[1]}/plant"
        said = await asyncua_client(url, tmp_path, "SP", policy="Basic256Sha256", mode="Sign")
        assert said in (["BadSecurityChecksFailed"], ["ConnectionError"])
        (kept,) = (tmp_path / "pki" / "rejected").iterdir()
        assert kept.read_bytes() == (server.directory / "server.der").read_bytes()
