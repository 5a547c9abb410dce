"""Certificates whose names are chosen, so that chains can be what no authority would make of them."""

from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_SINCE = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def issued(subject: str, *, by: str) -> bytes:
    """DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(_name(by), _name(subject), key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(_SINCE).not_valid_after(_SINCE + timedelta(days=3650))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
