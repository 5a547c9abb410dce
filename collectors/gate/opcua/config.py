"""What the OPC UA gate is told beside what every inline gate is."""

import ipaddress
from dataclasses import dataclass

from collectors.endpoint import address_of
from collectors.gate.config import InlineConfig
from sentinel.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class OpcuaGateConfig(InlineConfig):
    certificates: str = ""  # directory of `collectors.certificates`; empty: one beside the quarantine file
    message_octets: int = 1024 * 1024  # of a request, its chunks together: what every connection may fill the memory with
    answer_octets: int = 16 * 1024 * 1024  # of an answer
    chunks: int = 1024  # of one message
    held_per_connection: int = 16  # a further one gets its tags' declared choice at once
    sessions: int = 1024  # whose nonces are known, over all connections; the oldest is forgotten first
    lifetime_s: float = 3600.0  # of a channel's token, at most

    def __post_init__(self) -> None:
        InlineConfig.__post_init__(self)
        for key, low, high in (
            ("message_octets", 65_536, 1 << 26),
            ("answer_octets", 65_536, 1 << 28),
            ("chunks", 1, 65_536),
            ("held_per_connection", 1, 1024),
            ("sessions", 1, 65_536),
            ("lifetime_s", 1.0, 86_400.0),
        ):
            self._bound(key, low, high)
        if self.transparent:
            raise ConfigError("transparent", "an OPC UA gate has a certificate and an address of its own")
        ipaddress.ip_address(address_of("listen", self.listen)[0])
