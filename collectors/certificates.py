"""An OPC UA application's own certificate, and whom it trusts: a directory laid out as such applications do (OPC 10000-12, 7.8).

    own/certificate.der  own/key.pem     made at the first start, when neither is there
    trusted/                             certificates (DER or PEM) of clients and of servers: put there by a person
    rejected/                            those that were shown and not trusted, by digest, for a person to look at; at most `MAX_REJECTED`

Trust is by identity: a certificate is trusted when it lies in ``trusted`` and its time is right.  Raises ConfigError at start for what
cannot be used, and nothing later: what cannot be read trusts nobody.
"""

import hashlib
import ipaddress
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sentinel.clock import Clock
from sentinel.durable import write_whole
from sentinel.errors import ConfigError
from sentinel.model.time import NS_PER_S

KEY_BITS = 2048
LASTS_DAYS = 3650  # a person replaces it; nobody is there to renew it by itself
MAX_REJECTED = 32
MAX_TRUSTED, _MAX_OCTETS = 1024, 16 * 1024
_LOOK_AGAIN_S = 1.0  # an unknown certificate makes us read the directory again, at most this often

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Own:
    der: bytes
    key: rsa.RSAPrivateKey
    uri: str  # the application's, as the certificate says it

    @property
    def thumbprint(self) -> bytes:
        return hashlib.sha1(self.der, usedforsecurity=False).digest()


class Certificates:
    """``role`` (gate, poll) and ``name`` are what a certificate made here says; ``host`` its IP address, empty for a client."""

    def __init__(self, directory: Path, role: str, name: str, host: str, clock: Clock) -> None:
        self._directory, self._clock = directory, clock
        self._trusted: set[bytes] = set()
        self._read_s = -_LOOK_AGAIN_S
        self._rejected = 0
        try:
            for part in ("own", "trusted", "rejected"):
                (directory / part).mkdir(mode=0o700, parents=True, exist_ok=True)
            self._rejected = len(list((directory / "rejected").iterdir()))
            self.own = self._load() if (directory / "own" / "certificate.der").exists() else self._make(role, name, host)
        except OSError as error:
            raise ConfigError("certificates", f"{directory} cannot be used: {error.strerror or error}") from error
        self._read()

    def why_not(self, certificate: x509.Certificate, der: bytes) -> str | None:
        """Why a certificate is not trusted; None where it is.  What is unknown is kept for a person."""
        digest = hashlib.sha256(der).digest()
        if digest not in self._trusted and self._clock.monotonic_s() - self._read_s >= _LOOK_AGAIN_S:
            self._read()
        name = certificate.subject.rfc4514_string()[:200]
        if digest not in self._trusted:
            self._keep_rejected(digest, der)
            return f"the certificate {digest.hex()[:16]} of {name!r} is not trusted"
        now = datetime.fromtimestamp(self._clock.now() / NS_PER_S, UTC)
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            return f"the certificate {digest.hex()[:16]} of {name!r} is out of its time"
        return None

    def _read(self) -> None:
        self._read_s = self._clock.monotonic_s()
        folder = self._directory / "trusted"
        try:
            files = sorted(folder.iterdir())[:MAX_TRUSTED]
        except OSError as error:
            log.warning("%s cannot be read: %s", folder, error)
            files = []
        self._trusted = {digest for file in files if (digest := _digest_in(file)) is not None}

    def _keep_rejected(self, digest: bytes, der: bytes) -> None:
        file = self._directory / "rejected" / f"{digest.hex()}.der"
        if self._rejected >= MAX_REJECTED or file.exists():
            return
        try:
            file.write_bytes(der)
            self._rejected += 1
        except OSError as error:
            log.warning("%s cannot be written: %s", file, error)

    def _load(self) -> Own:
        own = self._directory / "own"
        try:
            der = (own / "certificate.der").read_bytes()
            certificate = x509.load_der_x509_certificate(der)
            key = serialization.load_pem_private_key((own / "key.pem").read_bytes(), None)
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            uri = names.get_values_for_type(x509.UniformResourceIdentifier)[0]
        except (ValueError, TypeError, IndexError, x509.ExtensionNotFound) as error:
            raise ConfigError("certificates", f"{own}: {error}") from error
        if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificate.public_key():
            raise ConfigError("certificates", f"{own}: the key is not the certificate's, or not RSA")
        return Own(der, key, uri)

    def _make(self, role: str, name: str, host: str) -> Own:
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        uri, now = f"urn:sentinel:{role}:{name}", datetime.fromtimestamp(self._clock.now() / NS_PER_S, UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Sentinel {role} {name}")])
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
        if host:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=True,
            key_encipherment=True,
            data_encipherment=True,
            key_agreement=False,
            key_cert_sign=True,  # a self-signed certificate is its own issuer (OPC 10000-6, 6.2.2)
            crl_sign=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=LASTS_DAYS))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        der = certificate.public_bytes(serialization.Encoding.DER)
        own = self._directory / "own"
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        write_whole(own / "key.pem", pem)
        write_whole(own / "certificate.der", der)  # last: what is there is whole
        return Own(der, key, uri)


def _digest_in(file: Path) -> bytes | None:
    """Of the certificate in a file; None where there is none."""
    try:
        with file.open("rb") as source:
            octets = source.read(_MAX_OCTETS)
        pem = octets.lstrip().startswith(b"-----BEGIN")
        certificate = x509.load_pem_x509_certificate(octets) if pem else x509.load_der_x509_certificate(octets)
    except (OSError, ValueError) as error:
        log.warning("%s is not used: %s", file, error)
        return None
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()
