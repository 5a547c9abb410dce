"""The security policies that the gate speaks: what each signs and encrypts with (OPC 10000-7, SecurityPolicy facets; OPC 10000-6, 6.7).

Pure but for the randomness of RSA padding.  Everything here raises `ChannelError` for octets that are not what the other side must send,
with one status whatever the cause: an attacker learns nothing from which check failed.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hmac import HMAC

from collectors.gate.opcua.transport import SECURITY_CHECKS_FAILED, ChannelError

BLOCK_OCTETS = 16  # of AES
MAC_OCTETS = 32  # of HMAC-SHA256
NONCE_OCTETS = 32  # SecureChannelNonceLength of all three policies
NONE = "http://opcfoundation.org/UA/SecurityPolicy#None"
_RSA_SHA256 = b"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
_RSA_PSS = b"http://opcfoundation.org/UA/security/rsa-pss-sha2-256"
_OAEP = b"http://www.w3.org/2001/04/xmlenc#rsa-oaep"
_OAEP_SHA256 = b"http://opcfoundation.org/UA/security/rsa-oaep-sha2-256"


class Mode(IntEnum):
    """MessageSecurityMode (OPC 10000-4, 7.20)."""

    NONE = 1
    SIGN = 2
    SIGN_AND_ENCRYPT = 3


def _oaep(of: type[hashes.HashAlgorithm]) -> padding.OAEP:
    return padding.OAEP(mgf=padding.MGF1(of()), algorithm=of(), label=None)


ENCRYPTIONS: dict[bytes, padding.OAEP] = {_OAEP: _oaep(hashes.SHA1), _OAEP_SHA256: _oaep(hashes.SHA256)}  # by their URI
_OVERHEAD = {_OAEP: 42, _OAEP_SHA256: 66}  # octets of an RSA block that padding takes: twice the hash and two (RFC 8017, 7.1.1)


@dataclass(frozen=True, slots=True)
class Policy:
    uri: str
    key_octets: int  # of the symmetric encryption
    signature: bytes  # URI of the asymmetric signature
    encryption: bytes  # URI of the asymmetric encryption
    pad: Callable[[], padding.PKCS1v15 | padding.PSS]

    def sign(self, key: RSAPrivateKey, octets: bytes) -> bytes:
        return key.sign(octets, self.pad(), hashes.SHA256())

    def verify(self, key: RSAPublicKey, octets: bytes, signature: bytes) -> None:
        try:
            key.verify(signature, octets, self.pad(), hashes.SHA256())
        except InvalidSignature as error:
            raise ChannelError(SECURITY_CHECKS_FAILED, "a signature is not the certificate's") from error


_URI = "http://opcfoundation.org/UA/SecurityPolicy#"
POLICIES = {
    policy.uri: policy
    for policy in (
        Policy(_URI + "Basic256Sha256", 32, _RSA_SHA256, _OAEP, padding.PKCS1v15),
        Policy(_URI + "Aes128_Sha256_RsaOaep", 16, _RSA_SHA256, _OAEP, padding.PKCS1v15),
        Policy(_URI + "Aes256_Sha256_RsaPss", 32, _RSA_PSS, _OAEP_SHA256, lambda: padding.PSS(padding.MGF1(hashes.SHA256()), 32)),
    )
}


def plain_block(key: RSAPublicKey, encryption: bytes) -> int:
    return key.key_size // 8 - _OVERHEAD[encryption]


def encrypt(key: RSAPublicKey, encryption: bytes, octets: bytes) -> bytes:
    """In blocks, each encrypted for itself (OPC 10000-6, 6.7.2.5)."""
    step = plain_block(key, encryption)
    return b"".join(key.encrypt(octets[at : at + step], ENCRYPTIONS[encryption]) for at in range(0, len(octets), step))


def decrypt(key: RSAPrivateKey, encryption: bytes, octets: bytes) -> bytes:
    step = key.key_size // 8
    if not octets or len(octets) % step:
        raise ChannelError(SECURITY_CHECKS_FAILED, f"{len(octets)} encrypted octets are no blocks of {step}")
    try:
        return b"".join(key.decrypt(octets[at : at + step], ENCRYPTIONS[encryption]) for at in range(0, len(octets), step))
    except ValueError as error:
        raise ChannelError(SECURITY_CHECKS_FAILED, "it cannot be decrypted with the gate's key") from error


def expand(secret: bytes, seed: bytes, size: int) -> bytes:
    """P_SHA256 (RFC 5246, clause 5)."""
    made, link = b"", seed
    while len(made) < size:
        link = hmac.digest(secret, link, "sha256")
        made += hmac.digest(secret, link + seed, "sha256")
    return made[:size]


class Keys:
    """The symmetric keys of one direction under one token (OPC 10000-6, 6.7.5)."""

    __slots__ = ("_cipher", "_mac")

    def __init__(self, policy: Policy, secret: bytes, seed: bytes) -> None:
        octets = expand(secret, seed, MAC_OCTETS + policy.key_octets + BLOCK_OCTETS)
        self._mac = HMAC(octets[:MAC_OCTETS], hashes.SHA256())  # a copy of it costs a fifth of what one of the standard library's does
        key = octets[MAC_OCTETS : MAC_OCTETS + policy.key_octets]
        self._cipher = Cipher(
            algorithms.AES(key), modes.CBC(octets[-BLOCK_OCTETS:])
        )  # the vector is the same for every chunk: the standard's

    def mac(self, octets: bytes) -> bytes:
        mac = self._mac.copy()
        mac.update(octets)
        return mac.finalize()

    def encrypt(self, octets: bytes) -> bytes:
        cipher = self._cipher.encryptor()
        return cipher.update(octets) + cipher.finalize()

    def decrypt(self, octets: bytes) -> bytes:
        cipher = self._cipher.decryptor()
        return cipher.update(octets) + cipher.finalize()
