"""Where something listens, as configurations write it."""

import ipaddress

from sentinel.errors import ConfigError


def address_of(key: str, text: str) -> tuple[str, int]:
    """("10.0.0.10", 502) of "10.0.0.10:502" or "[::1]:502".  Names are refused: an asset is known by its address."""
    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port)
    except ValueError as error:
        raise ConfigError(key, f"{text!r} is not address:port") from error
    if not 0 <= number <= 65535:
        raise ConfigError(key, f"{text!r}: a port is 0 to 65535")
    return str(address), number


def plain_address(text: str) -> str:
    """An address in the one spelling that the gate compares: no zone, no IPv4 inside IPv6.  Raises ValueError."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
