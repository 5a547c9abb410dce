"""A real client and a real server, neither of them ours, with the gate between: every policy and mode, users, and whom the gate trusts."""

import shutil
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import NameOID

from collectors.certificates import Own
from collectors.gate.opcua import opening
from collectors.gate.opcua.policies import POLICIES as SPOKEN
from collectors.gate.opcua.policies import Mode
from sentinel.model.command import Command
from sentinel.model.observation import TurnedAway
from tests.unit.collectors.gate.opcua.stage import Raw, Server, asyncua_client, gate_before, hello, text

POLICIES = ("Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss")
POLICY = next(iter(SPOKEN.values()))


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


def certificate(key: CertificateIssuerPrivateKeyTypes, name: str = "Mallory") -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def opens_with(shown: bytes | None, uri: str = POLICY.uri) -> bytes:
    """An opening chunk that shows these octets for a certificate."""
    body = struct.pack("<I", 0) + text(uri.encode()) + text(shown) + text(b"t" * 20) + b"x" * 256
    return b"OPNF" + struct.pack("<I", 8 + len(body)) + body


SHOWN = {
    "none": (None, "", "it shows no certificate"),
    "garbage": (b"not a certificate", "", "its certificate cannot be read: "),
    "cut": (certificate(rsa.generate_private_key(65537, 2048))[:400], "", "its certificate cannot be read: "),
    "another kind of key": (certificate(ec.generate_private_key(ec.SECP256R1())), "CN=Mallory", "its key is not RSA of 2048 to 4096 bits"),
    "a short key": (certificate(rsa.generate_private_key(65537, 1024)), "CN=Mallory", "its key is not RSA of 2048 to 4096 bits"),
    "a terminal's codes": (certificate(ec.generate_private_key(ec.SECP256R1()), "\x1b[2J"), "CN=\ufffd[2J", "its key is not RSA"),
}


@pytest.mark.parametrize("what", SHOWN)
async def test_what_is_no_certificate_is_told_like_one_that_is_not_trusted(tmp_path: Path, server: Server, what: str) -> None:
    shown, subject, reason = SHOWN[what]
    async with gate_before(server.port, tmp_path, is_low) as (gate, brain):
        raw = await Raw.connect(gate.address)
        raw.writer.write(hello())
        assert (await raw.chunk())[:4] == b"ACKF"
        raw.writer.write(opens_with(shown))
        assert (await raw.chunk())[:4] == b"ERRF"
        await brain.until(lambda: brain.of(TurnedAway))
        (told,) = brain.of(TurnedAway)
    assert (told.source, told.subject, told.times) == ("127.0.0.1", subject, 1)
    assert told.reason.startswith(reason)


async def test_who_shows_a_trusted_certificate_without_its_key_is_told_of(tmp_path: Path, server: Server) -> None:
    """A certificate is no secret: anybody has seen it on the wire."""
    theirs = certificate(rsa.generate_private_key(65537, 2048), "HMI")
    (tmp_path / "pki" / "trusted").mkdir(parents=True)
    (tmp_path / "pki" / "trusted" / "hmi.der").write_bytes(theirs)
    async with gate_before(server.port, tmp_path, is_low) as (gate, brain):
        thief = Own(theirs, rsa.generate_private_key(65537, 2048), "urn:hmi")
        raw = await Raw.connect(gate.address)
        raw.writer.write(hello())
        assert (await raw.chunk())[:4] == b"ACKF"
        asked = opening.request(opening.ISSUE, Mode.SIGN, b"n" * 32, 60_000, 0)
        raw.writer.write(opening.wrap(0, 1, 1, asked, POLICY, thief, opening.peer_of(gate.certificates.own.der)))
        assert (await raw.chunk())[:4] == b"ERRF"
        await brain.until(lambda: brain.of(TurnedAway))
        (told,) = brain.of(TurnedAway)
    assert told.subject == "CN=HMI"
    assert told.reason == "who shows that certificate sends what cannot be opened: a signature is not the certificate's"


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
