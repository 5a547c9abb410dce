"""Seals: the appliance signs what it states, and anybody who trusts its root can tell.

In: octets and the appliance's own key.  Out: an ECDSA signature over SHA-256 (FIPS 186-5; the nonce by RFC 6979, so that equal octets get
equal signatures), and the certificates that it is checked with.  A seal outlives the certificate: what counts is that it was valid when it
was made.
"""

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from sentinel.access import certificates as c
from sentinel.errors import InputError
from sentinel.model.ids import Digest
from sentinel.model.time import Instant

MAX_SIGNER_OCTETS = 16 * 1024


def sign(octets: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.sign(octets, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def check(octets: bytes, signature: bytes, signer: bytes, at: Instant, root: bytes | None = None) -> Digest:
    """The fingerprint of the root that the signer's certificates lead to, or of their last one where no ``root`` (PEM) is given.

    Raises InputError where the signature is not the signer's, a certificate was not issued by the next or not valid ``at`` that instant, or
    the last one not by the given root.
    """
    chain = _certificates(signer, "the signer's certificates")
    key = chain[0].public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise InputError("the signer's key is not an EC key")
    try:
        key.verify(signature, octets, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise InputError("the signature does not fit what was signed") from error
    trusted = _certificates(root, "the trusted root") if root is not None else []
    for certificate, issuer in zip(chain, (*chain[1:], *trusted[-1:]), strict=False):
        if certificate == issuer:
            continue
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise InputError(f"{_named(certificate)} was not issued by {_named(issuer)}") from error
    for certificate in chain:
        if not c.instant_of(certificate.not_valid_before_utc) <= at <= c.instant_of(certificate.not_valid_after_utc):
            raise InputError(f"{_named(certificate)} was not valid when this was signed")
    return c.fingerprint(c.der((trusted or chain)[-1]))


def _named(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()


def _certificates(octets: bytes, what: str) -> list[x509.Certificate]:
    if len(octets) > MAX_SIGNER_OCTETS:
        raise InputError(f"{what}: more than {MAX_SIGNER_OCTETS} octets")
    try:
        return x509.load_pem_x509_certificates(octets)
    except ValueError as error:
        raise InputError(f"{what}: cannot be read as PEM: {error}") from error
