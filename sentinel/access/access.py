"""Who is allowed in: issue, invite, redeem, revoke, and identify a certificate on every request.

In: certificates, requests for them, one-time codes.  Out: an `Identity`, or a refusal that says why.  What is issued is kept through the
`Register`; a certificate that the register does not know is nobody's.  Raises InputError for what a person got wrong.
"""

import base64
import dataclasses
import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from sentinel.access import certificates as c
from sentinel.access.authority import DAY_S, Authority
from sentinel.access.policy import Party, Role
from sentinel.clock import Clock
from sentinel.errors import InputError
from sentinel.model.ids import Digest
from sentinel.model.record import Credential, Invitation
from sentinel.model.time import NS_PER_S, Instant, after, iso

T = TypeVar("T")

PERSON_LASTS_S = 7 * DAY_S
LONGEST_S = 366 * DAY_S
CODE_LASTS_S = 15 * 60.0
_CODE_OCTETS = 10  # 80 bits, sixteen characters to type
_CACHE_LIMIT = 1024


class Register(Protocol):
    """Where credentials and invitations are kept."""

    def keep(self, *values: Any) -> None: ...

    def find(self, kind: type[T], key: str) -> T | None: ...

    def each(self, kind: type[T], *, where: Mapping[str, Any] | None = None) -> Iterator[T]: ...

    def spend(self, code: Digest, now: Instant) -> Invitation | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who is on the other side of a TLS connection, as of the instant that was asked."""

    name: str
    device: bool
    roles: frozenset[Role]
    serial: str
    fingerprint: Digest
    key: Digest
    expires: Instant

    @property
    def party(self) -> Party:
        return Party(name=self.name, key=self.key)


@dataclass(frozen=True, slots=True)
class Refusal:
    reason: str


@dataclass(frozen=True, slots=True)
class Issued:
    """``certificate``: the person's own, PEM; ``authorities``: the issuing authority's and the root's, PEM."""

    credential: Credential
    certificate: bytes
    authorities: bytes


class Access:
    def __init__(self, directory: Path, register: Register, clock: Clock) -> None:
        self._register = register
        self._clock = clock
        self.authority = Authority(directory, clock.now())
        self._parsed: dict[bytes, tuple[str, str, frozenset[str], Digest, Digest, Instant, Instant]] = {}

    # on every request

    def identify(self, der: bytes) -> Identity | Refusal:
        """Asks the register each time: a revocation counts from the next request on, on open connections too."""
        try:
            serial, name, roles, fingerprint, key, start, end = self._parse(der)
        except InputError as error:
            return Refusal(str(error))
        credential = self._register.find(Credential, serial)
        now = self._clock.now()
        if credential is None or credential.fingerprint != fingerprint:
            return Refusal("the certificate is not one that this appliance keeps a record of")
        if credential.revoked is not None:
            return Refusal(f"the certificate was revoked at {iso(credential.revoked)}")
        if not start <= now < end:
            return Refusal(f"the certificate is valid from {iso(start)} to {iso(end)}")
        granted = frozenset(Role(role) for role in roles & set(credential.roles) if role in set(Role))
        return Identity(
            name=name, device=credential.device, roles=granted, serial=serial, fingerprint=fingerprint, key=key, expires=Instant(end)
        )

    def _parse(self, der: bytes) -> tuple[str, str, frozenset[str], Digest, Digest, Instant, Instant]:
        known = self._parsed.get(der)
        if known is None:
            try:
                certificate = x509.load_der_x509_certificate(der)
                key = certificate.public_key()
            except Exception as error:  # an attacker chooses these octets
                raise InputError("the certificate cannot be read") from error
            if not isinstance(key, ec.EllipticCurvePublicKey):
                raise InputError("the certificate holds another kind of key than this appliance issues")
            name, roles = c.names_in(certificate)
            start, end = c.instant_of(certificate.not_valid_before_utc), c.instant_of(certificate.not_valid_after_utc)
            known = (f"{certificate.serial_number:x}", name, roles, c.fingerprint(der), c.key_digest(key), start, end)
            if len(self._parsed) >= _CACHE_LIMIT:
                self._parsed.clear()
            self._parsed[der] = known
        return known

    # enrolment

    def invite(self, name: str, roles: Iterable[str], by: str, *, device: bool = False) -> tuple[str, Invitation]:
        """(code, invitation): the code is shown once and kept only as a digest."""
        code = base64.b32encode(secrets.token_bytes(_CODE_OCTETS)).decode()
        now = self._clock.now()
        invitation = Invitation(
            code=code_digest(code),
            name=c.checked_name(name),
            device=device,
            roles=checked_roles(roles, device=device),
            made=now,
            expires=after(now, CODE_LASTS_S),
            made_by=by,
        )
        self._register.keep(invitation)
        return "-".join(code[i : i + 4] for i in range(0, len(code), 4)), invitation

    def redeem(self, code: str, request: bytes) -> Issued:
        """A code and a certificate request (PKCS #10, PEM) for a certificate.  The code is used up as soon as the request is a good one."""
        key = c.public_key_of_request(request)
        invitation = self._register.spend(code_digest(code), self._clock.now())
        if invitation is None:
            raise InputError("the code is unknown, used or too old")
        return self.issue(
            invitation.name, invitation.roles, key, by=f"code of {invitation.made_by}", device=invitation.device, lasts_s=PERSON_LASTS_S
        )

    def issue(
        self,
        name: str,
        roles: Iterable[str],
        key: ec.EllipticCurvePublicKey,
        *,
        by: str,
        device: bool = False,
        lasts_s: float = PERSON_LASTS_S,
    ) -> Issued:
        """Raises InputError for a role that does not exist, a time that is too long, or a key that belongs to somebody else."""
        granted = checked_roles(roles, device=device)
        if not 0 < lasts_s <= LONGEST_S:
            raise InputError(f"a certificate lasts more than 0 and at most {LONGEST_S / DAY_S:.0f} days, not {lasts_s / DAY_S:g}")
        digest = c.key_digest(key)
        for other in self._register.each(Credential, where={"public_key": digest}):
            if other.name != c.checked_name(name):
                raise InputError(f"this key belongs to {other.name} already")
        now = self._clock.now()
        certificate = self.authority.issue(name, (c.DEVICE,) if device else granted, key, now, lasts_s)
        credential = Credential(
            serial=f"{certificate.serial_number:x}",
            name=name,
            device=device,
            roles=granted,
            fingerprint=c.fingerprint(c.der(certificate)),
            key=digest,
            issued=now,
            expires=c.instant_of(certificate.not_valid_after_utc),
            issued_by=by,
        )
        self._register.keep(credential)
        return Issued(credential, c.pem(certificate), self.authority.chain())

    # revocation

    def revoke(self, serial: str, by: str, reason: str) -> Credential | None:
        """None when there is no such certificate.  The register is first: it counts on the very next request; the list follows."""
        credential = self._register.find(Credential, serial)
        if credential is None:
            return None
        if credential.revoked is None:
            credential = dataclasses.replace(credential, revoked=self._clock.now(), revoked_by=by, reason=reason)
            self._register.keep(credential)
        self.refresh_crl()
        return credential

    def refresh_crl(self) -> None:
        """Sign the revocation list anew; the appliance does so every hour, so that it never runs out."""
        now = self._clock.now()
        revoked = self._register.each(Credential, where={"revoked": 1})
        entries = [(int(each.serial, 16), each.revoked) for each in revoked if each.revoked is not None and each.expires > now - _GRACE_NS]
        self.authority.sign_crl(entries, now)


_GRACE_NS = round(DAY_S) * NS_PER_S  # an ended certificate stays on the list for a day: clocks differ


def code_digest(code: str) -> Digest:
    """Dashes, spaces and case do not matter."""
    plain = code.replace("-", "").replace(" ", "").upper()
    return Digest(hashlib.sha256(plain.encode("utf-8", "replace")).hexdigest())


def checked_roles(roles: Iterable[str], *, device: bool) -> tuple[str, ...]:
    granted: Sequence[str] = sorted(set(roles))
    unknown = [role for role in granted if role not in set(Role)]
    if unknown:
        raise InputError(f"unknown role {unknown[0]!r}; roles are {', '.join(Role)}")
    if device and granted:
        raise InputError("a device has no roles")
    if not device and not granted:
        raise InputError(f"at least one role is needed: {', '.join(Role)}")
    return tuple(granted)
