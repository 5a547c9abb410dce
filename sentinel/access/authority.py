"""The embedded certificate authority: a root, an issuing authority below it, their revocation lists, and the appliance's own certificate.

In: a directory (mode 0700, keys 0600) and the instant.  Out: certificates and the PEM files that a TLS server loads.  The root's key is
needed only on the first start; it may be moved away afterwards.  Raises ConfigError when the directory holds half an authority.
"""

import contextlib
import fcntl
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sentinel.access import certificates as c
from sentinel.access.seal import sign
from sentinel.durable import write_whole
from sentinel.errors import ConfigError
from sentinel.model.ids import Digest
from sentinel.model.time import Instant

DAY_S = 86_400.0
ROOT_LASTS_S = 20 * 366 * DAY_S
ISSUING_LASTS_S = 10 * 366 * DAY_S
SERVER_LASTS_S = 90 * DAY_S
SERVER_RENEWED_S = 30 * DAY_S  # before it ends
CRL_LASTS_S = 30 * DAY_S  # long: a list that ran out would lock everybody out, and an air-gapped box may stand still for weeks

ROOT, ISSUING, CHAIN, CRL, ROOT_CRL = "root.pem", "issuing.pem", "ca.pem", "crl.pem", "root-crl.pem"
ROOT_KEY, ISSUING_KEY = "root.key", "issuing.key"
SERVER, SERVER_KEY = "server.pem", "server.key"


class Authority:
    """Opens the authority of a directory, or founds it there."""

    def __init__(self, directory: Path, now: Instant) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory = directory
        with self._alone():
            if not (directory / ISSUING).exists():
                self._found(now)
        self._issuing = c.Issuer(self._certificate(ISSUING), self._key(ISSUING_KEY))
        if self._issuing.certificate.public_key() != self._issuing.key.public_key():
            raise ConfigError(str(directory), f"{ISSUING_KEY} is not the key of {ISSUING}")
        self._root = self._certificate(ROOT)

    @property
    def chain_path(self) -> Path:
        return self.directory / CHAIN

    @property
    def crl_path(self) -> Path:
        return self.directory / CRL

    def chain(self) -> bytes:
        """Issuing authority and root, PEM."""
        return c.pem(self._issuing.certificate) + c.pem(self._root)

    def root(self) -> bytes:
        """PEM."""
        return c.pem(self._root)

    def fingerprint(self) -> Digest:
        """Of the root: what a person compares before trusting this appliance for the first time."""
        return c.fingerprint(c.der(self._root))

    def issue(self, name: str, roles: Iterable[str], key: ec.EllipticCurvePublicKey, now: Instant, lasts_s: float) -> x509.Certificate:
        """A client's certificate with one URI per role."""
        uris = [c.uri(role, c.checked_name(name)) for role in sorted(roles)]
        return c.leaf(name, uris, (), key, self._issuing, now, lasts_s, server=False)

    def sign_crl(self, revoked: Sequence[tuple[int, Instant]], now: Instant) -> None:
        """Write the list anew: the issuing authority's, beside the root's own."""
        ours = c.revocation_list(self._issuing, revoked, now, CRL_LASTS_S)
        write_whole(self.crl_path, ours + (self.directory / ROOT_CRL).read_bytes())

    def seal(self, octets: bytes) -> tuple[bytes, bytes]:
        """(signature, certificates down to the root): the appliance's own word, by the key that its server shows.

        Raises ConfigError before `server_certificate` was called for the first time.
        """
        signer = self._certificate(SERVER)
        return sign(octets, self._key(SERVER_KEY)), c.pem(signer) + self.chain()

    def server_certificate(self, name: str, hosts: Sequence[str], now: Instant) -> tuple[Path, Path]:
        """(certificate and chain, key): the appliance's own, made anew when it ends soon, answers for other hosts or is not ours."""
        path, key_path = self.directory / SERVER, self.directory / SERVER_KEY
        wanted = sorted({name, "localhost", "127.0.0.1", "::1", *hosts})
        with self._alone():
            if not (path.exists() and key_path.exists() and self._is_current(path, wanted, now)):
                key = c.new_key()
                made = c.leaf(name, (c.uri("appliance", name),), wanted, key.public_key(), self._issuing, now, SERVER_LASTS_S, server=True)
                write_whole(key_path, c.key_pem(key))
                write_whole(path, c.pem(made) + c.pem(self._issuing.certificate))
        return path, key_path

    def _is_current(self, path: Path, hosts: list[str], now: Instant) -> bool:
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
            certificate.verify_directly_issued_by(self._issuing.certificate)
            if certificate.public_key() != self._key(SERVER_KEY).public_key():  # killed between the two files
                return False
            names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except Exception:  # noqa: BLE001  whatever is wrong with it, a new one is made
            return False
        stated = [*names.get_values_for_type(x509.DNSName), *(str(a) for a in names.get_values_for_type(x509.IPAddress))]
        left_s = (c.instant_of(certificate.not_valid_after_utc) - now) / 1e9
        return sorted(stated) == hosts and SERVER_RENEWED_S < left_s <= SERVER_LASTS_S

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time: the appliance and `sentinel enrol` may both be the first."""
        with (self.directory / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _found(self, now: Instant) -> None:
        root_key, key = c.new_key(), c.new_key()
        root = c.Issuer(c.authority("Sentinel root", root_key, None, now, ROOT_LASTS_S), root_key)
        issuing = c.Issuer(c.authority("Sentinel issuing authority", key, root, now, ISSUING_LASTS_S), key)
        write_whole(self.directory / ROOT_KEY, c.key_pem(root_key))
        write_whole(self.directory / ROOT, c.pem(root.certificate))
        write_whole(self.directory / ROOT_CRL, c.revocation_list(root, (), now, ROOT_LASTS_S))
        write_whole(self.directory / ISSUING_KEY, c.key_pem(key))
        write_whole(self.chain_path, c.pem(issuing.certificate) + c.pem(root.certificate))
        write_whole(self.crl_path, c.revocation_list(issuing, (), now, CRL_LASTS_S) + (self.directory / ROOT_CRL).read_bytes())
        write_whole(self.directory / ISSUING, c.pem(issuing.certificate))  # last: it says that the authority is whole

    def _certificate(self, name: str) -> x509.Certificate:
        try:
            return x509.load_pem_x509_certificate((self.directory / name).read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(str(self.directory / name), f"the authority's certificate cannot be read: {error}") from error

    def _key(self, name: str) -> ec.EllipticCurvePrivateKey:
        path = self.directory / name
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(str(path), f"the authority's key cannot be read: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigError(str(path), "the authority's key is not an EC key")
        return key
