"""A site's settings as a whole, and what must fit together in them."""

import ipaddress
import re
import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass

from sentinel.errors import ConfigError
from sentinel.settings.sections import (
    Api,
    Appliance,
    Capture,
    Court,
    Enforce,
    Gate,
    History,
    Learning,
    PollModbus,
    PollOpcua,
    Waveform,
)

_PROCESS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")  # stands in file names of the run directory
_RESERVED = ("brain", "court", "enforcer", "supervisor", "wire")  # the appliance's own processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    appliance: Appliance = Appliance()
    learning: Learning = Learning()
    api: Api = Api()
    court: Court = Court()
    history: History = History()
    enforce: Enforce = Enforce()
    capture: tuple[Capture, ...] = ()
    gate: tuple[Gate, ...] = ()
    poll_modbus: tuple[PollModbus, ...] = ()
    poll_opcua: tuple[PollOpcua, ...] = ()
    waveform: tuple[Waveform, ...] = ()

    def __post_init__(self) -> None:
        for capture in self.capture:
            if 0 < capture.recent_megabytes < 2:
                raise ConfigError("capture.recent_megabytes", f"{capture.recent_megabytes:g}: 0, or at least 2")
        names = [name for part in self.capture for name in part.processes()] + [part.name for part in self.gate]
        names += [part.name for part in self.poll_modbus] + [part.name for part in self.poll_opcua]
        names += [part.name for part in self.waveform]
        for name in names:
            if not _PROCESS_NAME.fullmatch(name) or name in _RESERVED:
                raise ConfigError(
                    "name", f"{name!r} cannot name a process: 1 to 32 letters, digits, dashes, and not {', '.join(_RESERVED)}"
                )
            if names.count(name) > 1:
                raise ConfigError("name", f"two processes are called {name!r}; give each its own name")
        for gate in self.gate:
            if self.court.hold_timeout_ms >= gate.deadline_ms:
                raise ConfigError(
                    "court.hold_timeout_ms",
                    f"{self.court.hold_timeout_ms:g} ms is not below the deadline_ms of gate {gate.name!r}: rulings would come too late",
                )
            if gate.protocol == "opcua" and gate.transparent:
                raise ConfigError("gate.transparent", f"gate {gate.name!r} speaks opcua: it has a certificate and an address of its own")
        polls: tuple[PollOpcua | Waveform, ...] = (*self.poll_opcua, *self.waveform)
        for poll in polls:
            if poll.user and not poll.policy:
                raise ConfigError("user", f"{poll.name!r} would log in without a policy: whoever listens could read the password")
            if bool(poll.user) is not bool(poll.password_file):
                raise ConfigError("password_file", f"{poll.name!r} has one of user and password_file: both are needed")
        if self.enforce.enforcer == "gate" and not self.gate:
            raise ConfigError("enforce.enforcer", "'gate' needs a [[gate]] section")
        for address in self.enforce.never_cut:
            try:
                ipaddress.ip_address(address)
            except ValueError as error:
                raise ConfigError("enforce.never_cut", f"{address!r} is not an IP address") from error

    def controllers(self) -> tuple[str, ...]:
        """Addresses of the servers behind gates and polls."""
        servers = [gate.upstream for gate in self.gate] + [poll.server for poll in self.poll_modbus]
        servers += [urllib.parse.urlsplit(subscription.url).netloc for subscription in self.poll_opcua]
        return _addresses(servers)

    def tagged_servers(self) -> tuple[str, ...]:
        """Whose values and writes carry the plant's tags where they are heard: the controllers, and the gates before them.  Empty =
        everybody's: no controller is named, or a gate listens on addresses that are not."""
        listening = [gate.listen for gate in self.gate]
        if any(not _addresses([endpoint]) for endpoint in listening):
            return ()
        return _addresses(listening) + self.controllers() if self.controllers() else ()

    def own_addresses(self) -> tuple[str, ...]:
        """Where the gates listen and the polls come from, as far as the settings say."""
        return _addresses([gate.listen for gate in self.gate] + [f"{poll.source}:0" for poll in self.poll_modbus])


def _addresses(endpoints: Iterable[str]) -> tuple[str, ...]:
    """The IP addresses among "address:port" texts, each once; what is no address is the collector's to refuse."""
    found: dict[str, None] = {}
    for endpoint in endpoints:
        host = endpoint.rpartition(":")[0].strip("[]")
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            continue
        if not address.is_unspecified:
            found[str(address)] = None
    return tuple(found)
