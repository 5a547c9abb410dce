"""How a poll opens a channel to an OPC UA server: with which policy and mode, whom it trusts, who it says it is (OPC 10000-4, 5.5 to 5.7).

The policy and the mode are the configuration's: a server that offers less is not read, whoever it is.  Its certificate has to lie in
``trusted``; one that does not is kept in ``rejected``, where a person finds it.  A password goes only where the channel has a policy.
"""

import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from asyncua import Client, ua
from asyncua.crypto.security_policies import (
    SecurityPolicy,
    SecurityPolicyAes128Sha256RsaOaep,
    SecurityPolicyAes256Sha256RsaPss,
    SecurityPolicyBasic256Sha256,
)
from cryptography import x509

from collectors.certificates import Certificates
from collectors.endpoint import plain_address
from collectors.turned_away import Knocks, plain
from sentinel.clock import Clock
from sentinel.errors import ConfigError
from sentinel.model.ids import AssetId
from sentinel.model.observation import TurnedAway

POLICIES: dict[str, type[SecurityPolicy]] = {
    one.URI.rpartition("#")[2]: one
    for one in (SecurityPolicyBasic256Sha256, SecurityPolicyAes128Sha256RsaOaep, SecurityPolicyAes256Sha256RsaPss)
}
MODES = {"Sign": ua.MessageSecurityMode.Sign, "SignAndEncrypt": ua.MessageSecurityMode.SignAndEncrypt}
MAX_PASSWORD_OCTETS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """As the configuration says it.  ``policy`` empty: none; ``certificates``: a directory as `collectors.certificates` lays it out."""

    policy: str = ""
    mode: str = "SignAndEncrypt"
    certificates: str = ""
    user: str = ""
    password_file: str = ""

    def __post_init__(self) -> None:
        if self.policy and self.policy not in POLICIES:
            raise ConfigError("policy", f"{self.policy!r} is not one of {', '.join(POLICIES)}")
        if self.mode not in MODES:
            raise ConfigError("mode", f"{self.mode!r} is not one of {', '.join(MODES)}")
        if self.policy and not self.certificates:
            raise ConfigError("certificates", "a policy needs a directory of certificates")
        if self.user and not self.policy:
            raise ConfigError("user", "a password goes nowhere without a policy: whoever listens would read it")
        if bool(self.user) is not bool(self.password_file):
            raise ConfigError("password_file", "a user has a file with the password, and a file belongs to a user")


class UntrustedError(ConnectionError):
    """The server is another one than a person has trusted; ``told`` is what the brain hears of it, None when it has just heard."""

    def __init__(self, reason: str, told: TurnedAway | None) -> None:
        super().__init__(reason)
        self.told = told


class Introduction:
    """Raises ConfigError at start for a directory or a file that cannot be used."""

    def __init__(self, security: Security, name: str, url: str, clock: Clock) -> None:
        self._security, self._name, self._clock = security, name, clock
        self._server = AssetId(plain_address(urlsplit(url).hostname or ""))
        self._knocks = Knocks()
        self._certificates = Certificates(Path(security.certificates), "poll", name, "", clock) if security.policy else None
        if security.user:
            _password(Path(security.password_file))

    async def prepare(self, client: Client) -> None:
        """Before it connects.  Raises UntrustedError, and what the library raises where no server answers or offers what is wanted."""
        if self._certificates is None:
            return
        security, directory = self._security, Path(self._security.certificates) / "own"
        policy, mode = POLICIES[security.policy], MODES[security.mode]
        client.application_uri = self._certificates.own.uri
        # Nobody has signed what a server says of its endpoints: it names a certificate, and whoever holds its key is asked after.
        offered = client.find_endpoint(await client.connect_and_get_server_endpoints(), mode, policy.URI)
        server = self._trusted(offered.ServerCertificate or b"")
        own, key = directory / "certificate.der", directory / "key.pem"
        await client.set_security(policy, own, key, server_certificate=server, mode=mode)
        if security.user:
            client.set_user(security.user)
            client.set_password(_password(Path(security.password_file)))

    def _trusted(self, shown: bytes) -> bytes:
        """The server's own certificate, the first of those that it shows."""
        assert self._certificates is not None
        try:
            certificate = x509.load_der_x509_certificate(_first(shown))
        except ValueError as error:
            raise self._untrusted("", f"its certificate cannot be read: {error}") from error
        reason = self._certificates.why_not(certificate, _first(shown))
        if reason is not None:
            raise self._untrusted(certificate.subject.rfc4514_string(), reason)
        return _first(shown)

    def _untrusted(self, subject: str, reason: str) -> UntrustedError:
        times = self._knocks.count(self._server, self._clock.monotonic_s())
        told = TurnedAway(
            gate=self._name,
            source=self._server,
            target=self._server,
            at=self._clock.now(),
            subject=plain(subject),
            reason=plain(reason),
            times=times,
            is_server=True,
        )
        return UntrustedError(plain(reason), told if times else None)


def _first(shown: bytes) -> bytes:
    """Of certificates in a row, each a DER sequence with a length of two octets (OPC 10000-6, 6.2.6)."""
    return shown[: 4 + int.from_bytes(shown[2:4], "big")] if shown[:2] == b"\x30\x82" else shown


def _password(file: Path) -> str:
    """Raises ConfigError for a file that others can read, or that holds none."""
    try:
        if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError("password_file", f"{file} is open to others: its mode has to be 0600")
        with file.open("rb") as source:
            text = source.read(MAX_PASSWORD_OCTETS + 1).decode().rstrip("\r\n")
    except OSError as error:
        raise ConfigError("password_file", f"{file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError("password_file", f"{file} is not UTF-8") from error
    if not 0 < len(text.encode()) <= MAX_PASSWORD_OCTETS:
        raise ConfigError("password_file", f"{file} does not hold one line of at most {MAX_PASSWORD_OCTETS} octets")
    return text
