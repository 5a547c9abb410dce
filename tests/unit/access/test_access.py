import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentinel.access import Access, Identity, Refusal, Role
from sentinel.access import certificates as c
from sentinel.access.access import CODE_LASTS_S, Issued
from sentinel.access.authority import CRL_LASTS_S, DAY_S, Authority
from sentinel.clock import ManualClock
from sentinel.errors import ConfigError, InputError
from sentinel.model.record import Credential, Invitation
from sentinel.model.time import after
from sentinel.records import Records


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def records(tmp_path: Path, clock: ManualClock) -> Iterator[Records]:
    made = Records(tmp_path / "records", clock)
    yield made
    made.close()


@pytest.fixture
def access(tmp_path: Path, records: Records, clock: ManualClock) -> Access:
    return Access(tmp_path / "authority", records, clock)


def a_request(key: ec.EllipticCurvePrivateKey, name: str = "anybody") -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return x509.CertificateSigningRequestBuilder(subject).sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def identified(access: Access, issued: Issued) -> Identity | Refusal:
    return access.identify(c.der(x509.load_pem_x509_certificate(issued.certificate)))


def issued_to(access: Access, name: str = "alice", *roles: str) -> Issued:
    return access.issue(name, roles or ("viewer",), c.new_key().public_key(), by="test")


def test_keys_are_for_the_owner_only_and_the_authority_is_found_again(tmp_path: Path, clock: ManualClock, access: Access) -> None:
    for path in (tmp_path / "authority").glob("*.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "authority").stat().st_mode) == 0o700
    assert Authority(tmp_path / "authority", clock.now()).fingerprint() == access.authority.fingerprint()


def test_it_works_on_with_the_roots_key_moved_away(tmp_path: Path, records: Records, clock: ManualClock, access: Access) -> None:
    (tmp_path / "authority" / "root.key").unlink()
    again = Access(tmp_path / "authority", records, clock)
    assert isinstance(identified(again, issued_to(again)), Identity)
    again.refresh_crl()


def test_half_an_authority_is_refused(tmp_path: Path, records: Records, clock: ManualClock, access: Access) -> None:
    (tmp_path / "authority" / "issuing.key").write_bytes(c.key_pem(c.new_key()))
    with pytest.raises(ConfigError, match=r"issuing\.key is not the key of issuing\.pem"):
        Access(tmp_path / "authority", records, clock)
    (tmp_path / "authority" / "issuing.key").write_text("rubbish")
    with pytest.raises(ConfigError, match=r"issuing\.key: the authority's key cannot be read"):
        Access(tmp_path / "authority", records, clock)


def test_a_certificate_says_who_and_what_for(access: Access) -> None:
    issued = issued_to(access, "alice", "viewer", "analyst")
    certificate = x509.load_pem_x509_certificate(issued.certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == ["spiffe://sentinel/analyst/alice", "spiffe://sentinel/viewer/alice"]
    who = identified(access, issued)
    assert isinstance(who, Identity)
    assert (who.name, who.roles, who.device) == ("alice", {Role.VIEWER, Role.ANALYST}, False)


def test_an_independent_verifier_accepts_the_chain(access: Access, clock: ManualClock) -> None:
    chain = x509.load_pem_x509_certificates(access.authority.chain())
    leaf = x509.load_pem_x509_certificate(issued_to(access).certificate)
    verifier = PolicyBuilder().store(Store([chain[1]])).time(c.when(clock.now())).build_client_verifier()
    assert verifier.verify(leaf, [chain[0]]).chain[-1] == chain[1]


def test_a_device_has_no_roles(access: Access) -> None:
    issued = access.issue("gate-1", (), c.new_key().public_key(), by="test", device=True)
    who = identified(access, issued)
    assert isinstance(who, Identity)
    assert (who.device, who.roles) == (True, frozenset())
    with pytest.raises(InputError, match="device has no roles"):
        access.issue("gate-1", ("viewer",), c.new_key().public_key(), by="test", device=True)


@pytest.mark.parametrize(
    ("name", "roles", "days", "says"),
    [
        ("alice", ("king",), 1, "unknown role 'king'"),
        ("alice", (), 1, "at least one role"),
        ("", ("viewer",), 1, "is not a name"),
        ("a/b", ("viewer",), 1, "is not a name"),
        ("../../etc/passwd", ("viewer",), 1, "is not a name"),
        ("alice\n", ("viewer",), 1, "is not a name"),
        ("a" * 65, ("viewer",), 1, "is not a name"),
        ("alice", ("viewer",), 400, "at most 366 days"),
        ("alice", ("viewer",), 0, "at most 366 days"),
        ("alice", ("viewer",), float("nan"), "at most 366 days"),
    ],
)
def test_what_cannot_be_issued(access: Access, records: Records, name: str, roles: tuple[str, ...], days: float, says: str) -> None:
    with pytest.raises(InputError, match=says):
        access.issue(name, roles, c.new_key().public_key(), by="test", lasts_s=days * DAY_S)
    assert records.count(Credential) == 0


def test_one_key_is_one_person(access: Access) -> None:
    key = c.new_key().public_key()
    access.issue("alice", ("responder",), key, by="test")
    access.issue("alice", ("responder",), key, by="test")  # renewal
    with pytest.raises(InputError, match="this key belongs to alice already"):
        access.issue("bob", ("approver",), key, by="test")


def test_revocation_counts_at_once(access: Access, clock: ManualClock) -> None:
    issued = issued_to(access)
    assert isinstance(identified(access, issued), Identity)
    assert access.revoke(issued.credential.serial, "root", "lost") is not None
    answer = identified(access, issued)
    assert isinstance(answer, Refusal)
    assert "revoked" in answer.reason
    assert access.revoke("beef", "root", "lost") is None


def test_the_list_names_the_revoked_and_lasts_long(access: Access, clock: ManualClock) -> None:
    first, second = issued_to(access), issued_to(access, "bob")
    access.revoke(first.credential.serial, "root", "lost")
    crl = x509.load_pem_x509_crl(access.authority.crl_path.read_bytes())
    assert crl.get_revoked_certificate_by_serial_number(int(first.credential.serial, 16)) is not None
    assert crl.get_revoked_certificate_by_serial_number(int(second.credential.serial, 16)) is None
    assert crl.next_update_utc is not None
    assert crl.next_update_utc - c.when(clock.now()) == timedelta(seconds=CRL_LASTS_S)
    number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    clock.advance(3600)
    access.refresh_crl()
    later = x509.load_pem_x509_crl(access.authority.crl_path.read_bytes())
    assert later.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number > number
    clock.advance(30 * DAY_S)
    access.refresh_crl()  # the certificate has ended by itself: no need to name it
    assert len(x509.load_pem_x509_crl(access.authority.crl_path.read_bytes())) == 0


def test_an_open_connection_ends_with_its_certificate(access: Access, clock: ManualClock) -> None:
    issued = issued_to(access)
    clock.advance(8 * DAY_S)
    answer = identified(access, issued)
    assert isinstance(answer, Refusal)
    assert "valid from" in answer.reason


def test_a_code_is_a_certificate_once(access: Access, records: Records, clock: ManualClock) -> None:
    code, invitation = access.invite("bob", ["approver"], "root")
    assert all(code.replace("-", "") not in str(kept) for kept in records.each(Invitation))
    key = c.new_key()
    issued = access.redeem(f" {code.lower()} ", a_request(key, "root"))
    who = identified(access, issued)
    assert isinstance(who, Identity)
    assert (who.name, who.roles) == ("bob", {Role.APPROVER})  # not what the request asked for
    assert who.key == c.key_digest(key.public_key())
    with pytest.raises(InputError, match="unknown, used or too old"):
        access.redeem(code, a_request(c.new_key()))
    assert invitation.expires == after(invitation.made, CODE_LASTS_S)


def test_a_code_ends_after_a_quarter_of_an_hour(access: Access, clock: ManualClock) -> None:
    code, _ = access.invite("bob", ["viewer"], "root")
    clock.advance(CODE_LASTS_S)
    with pytest.raises(InputError, match="too old"):
        access.redeem(code, a_request(c.new_key()))


def test_a_bad_request_does_not_use_up_the_code(access: Access) -> None:
    code, _ = access.invite("bob", ["viewer"], "root")
    with pytest.raises(InputError, match="PKCS #10"):
        access.redeem(code, b"rubbish")
    access.redeem(code, a_request(c.new_key()))


def test_only_a_good_request_is_taken() -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateSigningRequestBuilder(subject)
    pem = serialization.Encoding.PEM
    for request in (
        builder.sign(rsa.generate_private_key(65537, 2048), hashes.SHA256()),
        builder.sign(ed25519.Ed25519PrivateKey.generate(), None),
        builder.sign(ec.generate_private_key(ec.SECP384R1()), hashes.SHA256()),
    ):
        with pytest.raises(InputError, match="not EC P-256"):
            c.public_key_of_request(request.public_bytes(pem))
    with pytest.raises(InputError, match="more than"):
        c.public_key_of_request(b"a" * 10_000)
    good = a_request(c.new_key())
    other = x509.load_pem_x509_csr(a_request(c.new_key()))
    der = bytearray(x509.load_pem_x509_csr(good).public_bytes(serialization.Encoding.DER))
    spki = slice(der.find(b"\x03\x42\x00\x04"), der.find(b"\x03\x42\x00\x04") + 68)
    der[spki] = b"\x03\x42\x00" + other.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )  # somebody else's key, our signature
    stolen = x509.load_der_x509_csr(bytes(der)).public_bytes(pem)
    with pytest.raises(InputError, match="not signed by its own key"):
        c.public_key_of_request(stolen)


@settings(max_examples=40)
@given(st.data())
def test_any_octets_as_a_request_are_refused_or_a_key(data: st.DataObject) -> None:
    octets = bytearray(_REQUEST)
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        c.public_key_of_request(bytes(octets))
    except InputError:
        return


_REQUEST = a_request(c.new_key())


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(octets=st.binary(max_size=300))
def test_any_octets_as_a_certificate_are_nobody(access: Access, octets: bytes) -> None:
    assert isinstance(access.identify(octets), Refusal)


def test_the_servers_certificate_is_renewed_in_time_and_kept_until_then(access: Access, clock: ManualClock) -> None:
    path, _ = access.authority.server_certificate("box", ("10.1.2.3",), clock.now())
    first = path.read_bytes()
    clock.advance(10 * DAY_S)
    access.authority.server_certificate("box", ("10.1.2.3",), clock.now())
    assert path.read_bytes() == first
    clock.advance(55 * DAY_S)
    access.authority.server_certificate("box", ("10.1.2.3",), clock.now())
    second = path.read_bytes()
    assert second != first
    access.authority.server_certificate("box", ("10.9.9.9",), clock.now())
    assert path.read_bytes() != second
    names = x509.load_pem_x509_certificate(path.read_bytes()).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "10.9.9.9" in {str(address) for address in names.get_values_for_type(x509.IPAddress)}


def test_a_servers_key_without_its_certificate_is_replaced(tmp_path: Path, access: Access, clock: ManualClock) -> None:
    path, key_path = access.authority.server_certificate("box", (), clock.now())
    first = path.read_bytes()
    key_path.write_bytes(c.key_pem(c.new_key()))  # as after a kill between the two files
    access.authority.server_certificate("box", (), clock.now())
    assert path.read_bytes() != first


@pytest.mark.parametrize("uris", [[], ["spiffe://elsewhere/viewer/alice"], ["https://sentinel/viewer/alice"], ["spiffe://sentinel/alice"],
                                  ["spiffe://sentinel/viewer/alice", "spiffe://sentinel/viewer/bob"]])  # fmt: skip
def test_a_certificate_that_names_nobody_or_two(access: Access, clock: ManualClock, uris: list[str]) -> None:
    key = c.new_key()
    issuer = access.authority._issuing
    certificate = c.leaf("x", uris, (), key.public_key(), issuer, clock.now(), 3600, server=False)
    assert isinstance(access.identify(c.der(certificate)), Refusal)
