import argparse
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from sentinel.access import Access, Identity, Refusal
from sentinel.access import certificates as c
from sentinel.clock import SystemClock
from sentinel.commands import check, enrol
from sentinel.errors import InputError
from sentinel.model.record import Credential
from sentinel.records import Records
from tests.unit.access.test_access import a_request


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "sentinel.toml").write_text('[appliance]\ndirectory = "box"\n')
    return tmp_path


def run(module: object, site: Path, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)  # type: ignore[attr-defined]
    status: int = module.run(parser.parse_args([*arguments, "--config", str(site / "sentinel.toml")]))  # type: ignore[attr-defined]
    return status


def identity_of(site: Path, certificate: Path) -> Identity | Refusal:
    records = Records(site / "box" / "records", SystemClock())
    try:
        access = Access(site / "box" / "authority", records, SystemClock())
        return access.identify(c.der(x509.load_pem_x509_certificate(certificate.read_bytes())))
    finally:
        records.close()


def test_a_certificate_is_written_and_counts(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(enrol, site, "alice", "--role", "responder", "--role", "viewer", "--dir", str(site / "out")) == 0
    for name in ("alice.key", "alice.pem", "ca.pem"):
        assert stat.S_IMODE((site / "out" / name).stat().st_mode) == 0o600
    who = identity_of(site, site / "out" / "alice.pem")
    assert isinstance(who, Identity)
    assert (who.name, who.roles) == ("alice", {"responder", "viewer"})
    key = serialization.load_pem_private_key((site / "out" / "alice.key").read_bytes(), None)
    assert key.public_key() == x509.load_pem_x509_certificate((site / "out" / "alice.pem").read_bytes()).public_key()
    assert (
        f"curl --cacert {site}/out/ca.pem --cert {site}/out/alice.pem --key {site}/out/alice.key https://127.0.0.1:8443/me"
        in capsys.readouterr().out
    )
    with pytest.raises(InputError, match="is not overwritten"):
        run(enrol, site, "alice", "--role", "viewer", "--dir", str(site / "out"))


def test_a_code_is_printed_and_works(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(enrol, site, "bob", "--role", "approver", "--code") == 0
    code = capsys.readouterr().out.splitlines()[0].rsplit(" ", 1)[1]
    assert not list(site.glob("*.key"))
    records = Records(site / "box" / "records", SystemClock())
    issued = Access(site / "box" / "authority", records, SystemClock()).redeem(code, a_request(c.new_key()))
    records.close()
    assert issued.credential.name == "bob"


def test_all_certificates_of_a_name_end(site: Path) -> None:
    for directory in ("one", "two"):
        run(enrol, site, "alice", "--role", "viewer", "--dir", str(site / directory))
    assert run(enrol, site, "alice", "--revoke") == 0
    for directory in ("one", "two"):
        assert isinstance(identity_of(site, site / directory / "alice.pem"), Refusal)
    with pytest.raises(InputError, match="has no certificate that could be revoked"):
        run(enrol, site, "alice", "--revoke")


def test_what_cannot_be_enrolled_leaves_nothing_behind(site: Path) -> None:
    with pytest.raises(InputError, match="at least one role"):
        run(enrol, site, "alice", "--dir", str(site / "out"))
    with pytest.raises(InputError, match="is not a name"):
        run(enrol, site, "../alice", "--role", "viewer", "--dir", str(site / "out"))
    records = Records(site / "box" / "records", SystemClock())
    assert records.count(Credential) == 0
    records.close()
    assert not list(site.rglob("alice*"))


def test_check_is_content_with_what_is_whole(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(enrol, site, "alice", "--role", "viewer", "--dir", str(site))
    capsys.readouterr()
    assert run(check, site) == 0
    assert capsys.readouterr().out.startswith("audit chain: 1 rows")


def test_check_names_the_first_broken_row(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("alice", "bob", "carol"):
        run(enrol, site, name, "--role", "viewer", "--dir", str(site))
    path = site / "box" / "records" / "records.db"
    octets = bytearray(path.read_bytes())
    octets[octets.find(b'"target":"bob"') + 10] ^= 0x02
    path.write_bytes(octets)
    assert run(check, site) == 1
    assert "audit row 2: its hash is not the hash of its record" in capsys.readouterr().err


def test_check_names_the_evidence_that_was_altered(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = Records(site / "box" / "records", SystemClock())
    excerpt = records.keep_excerpt(b"octets")
    records.close()
    (site / "box" / "records" / "evidence" / excerpt.digest[:2] / excerpt.digest).write_bytes(b"others")
    assert run(check, site) == 1
    assert f"evidence {excerpt.digest}: the file's content has another digest" in capsys.readouterr().err


def test_check_without_a_database_makes_none(site: Path) -> None:
    with pytest.raises(InputError, match="there is no such database"):
        run(check, site)
    assert not (site / "box").exists()


def test_check_names_a_table_that_cannot_be_read(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A page of zeros where a table's rows were."""
    records = Records(site / "box" / "records", SystemClock())
    records.keep_excerpt(b"octets")
    records.close()
    path = site / "box" / "records" / "records.db"
    octets = bytearray(path.read_bytes())
    page = octets.index(b'"kind":"pcapng"') // 4096 * 4096
    octets[page : page + 4096] = bytes(4096)
    path.write_bytes(octets)
    assert run(check, site) == 1
    assert "excerpts: cannot be read: database disk image is malformed" in capsys.readouterr().err


def test_what_cannot_be_written_is_issued_to_nobody(site: Path) -> None:
    (site / "taken").write_text("a file, not a directory")
    with pytest.raises(InputError, match="cannot be written"):
        run(enrol, site, "alice", "--role", "viewer", "--dir", str(site / "taken"))
    with pytest.raises(InputError, match="at least one role"):
        run(enrol, site, "alice", "--dir", str(site / "out"))
    assert list((site / "out").iterdir()) == []
    (site / "sentinel.toml").write_text('[appliance]\ndirectory = "box"\n[api]\nenrol_port = 0\n')
    with pytest.raises(InputError, match="no door"):
        run(enrol, site, "alice", "--role", "viewer", "--code")
    records = Records(site / "box" / "records", SystemClock())
    assert records.count(Credential) == 0
    records.close()
