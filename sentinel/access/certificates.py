"""X.509 as this appliance writes and reads it: EC P-256, one SPIFFE URI per role in the subject alternative name (RFC 5280, SPIFFE ID 1).

In and out: `cryptography` objects and plain values; nothing here touches a disk or reads a clock.
"""

import hashlib
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sentinel.errors import InputError
from sentinel.model.ids import Digest
from sentinel.model.time import NS_PER_S, Instant

DOMAIN = "sentinel"
DEVICE = "device"
BACKDATED_S = 300.0  # another clock may be a little behind ours
MAX_CSR_OCTETS = 8 * 1024

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")


def checked_name(name: str) -> str:
    """Raises InputError: a name stands in URIs, file names and the audit log."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is not a name: 1 to 64 letters, digits, dots, dashes and underscores")
    return name


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_digest(key: ec.EllipticCurvePublicKey) -> Digest:
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Digest(hashlib.sha256(spki).hexdigest())


def fingerprint(der: bytes) -> Digest:
    return Digest(hashlib.sha256(der).hexdigest())


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


def when(instant: int) -> datetime:
    return datetime.fromtimestamp(instant // NS_PER_S, UTC)


def instant_of(moment: datetime) -> Instant:
    return Instant(round(moment.timestamp()) * NS_PER_S)


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Sentinel"), x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


@dataclass(frozen=True, slots=True)
class Issuer:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def authority(name: str, key: ec.EllipticCurvePrivateKey, by: Issuer | None, now: Instant, lasts_s: float) -> x509.Certificate:
    """A certificate authority; without ``by`` it signs itself.  An issuing one may sign leaves only (path length 0)."""
    subject = _common_name(name)
    builder = _builder(subject, by.certificate.subject if by else subject, key.public_key(), now, lasts_s)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0 if by else 1), critical=True)
    builder = builder.add_extension(_usage(authority=True), critical=True)
    return _signed(builder, key.public_key(), by.key if by else key)


def leaf(
    name: str,
    uris: Sequence[str],
    hosts: Sequence[str],
    key: ec.EllipticCurvePublicKey,
    by: Issuer,
    now: Instant,
    lasts_s: float,
    *,
    server: bool,
) -> x509.Certificate:
    """A client's certificate, or a server's with the hosts that it answers for."""
    alternatives: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    alternatives += [_host(host) for host in hosts]
    usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = _builder(_common_name(name), by.certificate.subject, key, now, lasts_s)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(authority=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return _signed(builder, key, by.key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: Instant, lasts_s: float
) -> x509.CertificateBuilder:
    start = when(now) - timedelta(seconds=BACKDATED_S)
    builder = x509.CertificateBuilder(subject_name=subject, issuer_name=issuer, public_key=key, serial_number=x509.random_serial_number())
    return builder.not_valid_before(start).not_valid_after(when(now) + timedelta(seconds=lasts_s))


def _signed(builder: x509.CertificateBuilder, key: ec.EllipticCurvePublicKey, by: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key())
    return builder.add_extension(identifier, critical=False).sign(by, hashes.SHA256())


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def revocation_list(by: Issuer, revoked: Sequence[tuple[int, Instant]], now: Instant, lasts_s: float) -> bytes:
    """PEM; ``revoked`` are (serial number, when)."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(by.certificate.subject)
    builder = builder.last_update(when(now) - timedelta(seconds=BACKDATED_S)).next_update(when(now) + timedelta(seconds=lasts_s))
    for serial, at in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when(at)).build()
        builder = builder.add_revoked_certificate(entry)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key())
    # RFC 5280 5.2.3: rises with every list; the instant does, and two of one nanosecond would say the same
    builder = builder.add_extension(identifier, critical=False).add_extension(x509.CRLNumber(max(now, 0)), critical=False)
    return builder.sign(by.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def public_key_of_request(text: bytes) -> ec.EllipticCurvePublicKey:
    """The key of a PKCS #10 request in PEM whose holder proves that it has it; nothing else of the request is taken.

    Raises InputError when it is none, is not signed by its own key, or holds another kind of key than EC P-256.
    """
    if len(text) > MAX_CSR_OCTETS:
        raise InputError(f"a certificate request of more than {MAX_CSR_OCTETS} octets")
    try:
        request = x509.load_pem_x509_csr(text)
        key = request.public_key()
        valid = request.is_signature_valid
    except (ValueError, TypeError, InvalidSignature, x509.UnsupportedGeneralNameType) as error:
        raise InputError("the certificate request is not a PKCS #10 request in PEM") from error
    except Exception as error:  # UnsupportedAlgorithm and the parser's own kinds: an attacker chooses these octets
        raise InputError(f"the certificate request cannot be used: {type(error).__name__}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InputError("the key of the certificate request is not EC P-256")
    if not valid:
        raise InputError("the certificate request is not signed by its own key")
    return key


def uri(role: str, name: str) -> str:
    return f"spiffe://{DOMAIN}/{role}/{name}"


def names_in(certificate: x509.Certificate) -> tuple[str, frozenset[str]]:
    """(name, roles) as the URIs of a client's certificate say.  Raises InputError when they do not agree or there are none."""
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError) as error:
        raise InputError("the certificate has no subject alternative name") from error
    names, roles = set(), set()
    for text in alternatives.get_values_for_type(x509.UniformResourceIdentifier):
        scheme, _, domain, *path = text.split("/")
        if scheme != "spiffe:" or domain != DOMAIN or len(path) != 2:
            raise InputError(f"the certificate names {text}, which is not of this appliance")
        roles.add(path[0])
        names.add(path[1])
    if len(names) != 1:
        raise InputError("the certificate must name exactly one person or device")
    return names.pop(), frozenset(roles)
