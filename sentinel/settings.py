"""What a site sets: one TOML file, read once, refused as a whole when anything in it is not understood.

Every section is a frozen dataclass; a field's default is the embedded default and its ``doc`` becomes the sample file's comment, so that
the sample cannot drift.  A section in double brackets may stand several times: one process each.
"""

import difflib
import ipaddress
import re
import tomllib
import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sentinel.errors import ConfigError


def option(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True, kw_only=True)
class Appliance:
    """The box itself."""

    name: str = option("sentinel", "how this appliance calls itself in certificates and exports")
    directory: str = option("var", "where records, evidence, certificates and sockets live; relative to this file")
    plant: str = option("", "the plant file (YAML); empty = no twin: nothing is judged, everything is still heard")
    log: str = option("info", "debug, info, warning or error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """The baseline."""

    lasts_s: float = option(3600.0, "how long the baseline learns before it becomes active")
    baseline: str = option("", "a baseline file made by `sentinel learn`, relative to this file; with it the baseline is active at once")
    quarantine_s: float = option(604800.0, "how long a candidate learns beside the baseline before people may promote it")
    promote_within: float = option(
        0.0, "standard deviations a week by which a candidate may differ and be promoted without people; 0 = never"
    )
    false_alarms_per_week: float = option(1.0, "the false-alarm budget of the whole plant that thresholds are calibrated to")


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The API: TLS 1.3, client certificates."""

    host: str = option("127.0.0.1", "address to listen on")
    port: int = option(8443, "port of the API")
    enrol_port: int = option(8444, "port where a one-time code and a signing request become a certificate; 0 = closed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Court:
    """The sandbox that judges commands on the twin."""

    members: int = option(256, "futures per judgement")
    horizon_s: float = option(600.0, "how far each future goes")
    hold_timeout_ms: float = option(150.0, "a held write gets `undecided` after this")


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the tags showed and where the twin was, kept in columns."""

    keep: bool = option(True, "false = no history: nothing of it is written")
    max_megabytes: float = option(2000.0, "the oldest goes when all of it takes more than this on disk")
    max_days: float = option(90.0, "the oldest goes after this")
    states_every_s: float = option(10.0, "the twin's states are kept once in this time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforce:
    """What happens to approved actions."""

    enforcer: str = option("dry_run", "dry_run (only says what it would do), gate or nftables")
    namespace: str = option("", "network namespace in which nftables is driven; empty = the appliance's own")
    lasts_s: float = option(3600.0, "an action expires by itself after this; at most a day")
    never_cut: tuple[str, ...] = option((), "addresses that no action may ever cut, beside safety-instrumented ones")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A passive ear on mirror ports or own interfaces (needs CAP_NET_RAW)."""

    name: str = option("capture", "how its process and observations are called")
    interfaces: tuple[str, ...] = option((), "interfaces to hear")
    namespace: str = option("", "network namespace of the interfaces")
    workers: int = option(1, "processes that share the traffic, each conversation in one of them; 1 to 64")
    recent_megabytes: float = option(1000.0, "recent packets kept on disk, from which findings get their evidence; 0 = none; per worker")
    recent_hours: float = option(24.0, "the oldest of them go after this")

    def processes(self) -> tuple[str, ...]:
        """The names of its workers: each is a source of its own."""
        return (self.name,) if self.workers == 1 else tuple(f"{self.name}-{number}" for number in range(1, self.workers + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """An inline gate: reads pass, writes wait for their verdict."""

    name: str = option("gate", "how its process and observations are called")
    protocol: str = option("modbus", "modbus (Modbus/TCP) or opcua (a terminating endpoint with a certificate of its own)")
    listen: str = option("127.0.0.1:1502", "address:port that clients talk to")
    upstream: str = option("", "address:port of the server behind it")
    transparent: bool = option(
        False, "on the route to the server: clients keep its address, it sees theirs; `python -m collectors.gate.transparent` says how"
    )
    certificates: str = option(
        "", "of opcua: the directory of own, trusted and rejected certificates, relative to the appliance's; empty = gates/NAME"
    )
    deadline_ms: float = option(200.0, "a held write is forwarded or refused at the latest after this, by its tag's `on_deadline`")
    unknown_tag: str = option("refuse", "forward or refuse at the deadline, for addresses that the plant file does not name")
    observe: bool = option(True, "report what passes as observations; false where a capture hears the same traffic")
    namespace: str = option("", "network namespace in which it listens")


@dataclass(frozen=True, slots=True, kw_only=True)
class PollModbus:
    """Active, read-only polling of a Modbus/TCP server, for the twin and the value envelopes."""

    name: str = option("poll-modbus", "how its process is called")
    server: str = option("", "address:port")
    period_s: float = option(1.0, "every tag once in this time")
    source: str = option("", "own address to poll from; empty = the system's choice")
    namespace: str = option("", "network namespace in which it runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class PollOpcua:
    """An OPC UA subscription to the plant file's nodes."""

    name: str = option("poll-opcua", "how its process is called")
    url: str = option("", "opc.tcp://address:port/path")
    period_ms: float = option(500.0, "publishing and sampling interval")
    policy: str = option("", "security policy: Basic256Sha256, Aes128_Sha256_RsaOaep or Aes256_Sha256_RsaPss; empty = none")
    mode: str = option("SignAndEncrypt", "with a policy: Sign or SignAndEncrypt")
    certificates: str = option(
        "", "with a policy: own, trusted and rejected certificates, relative to the appliance's directory; empty = polls/NAME"
    )
    user: str = option("", "with a policy: who logs in; empty = anonymous")
    password_file: str = option("", "with a user: a file of mode 0600 that holds the password, relative to this file")
    namespace: str = option("", "network namespace in which it runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveform:
    """One sensor's waveforms: files (WAV, npz) that a data acquisition system writes to a directory, or an array on an OPC UA server."""

    name: str = option("waveform", "how its process is called")
    sensor: str = option("", "how the sensor is called in findings")
    directory: str = option("", "where the files appear, relative to this file; they are read, and left there")
    url: str = option("", "instead of a directory: opc.tcp://address:port/path")
    node: str = option("", "with a url: the node whose value is the array of the newest samples")
    rate_hz: float = option(0.0, "with a url: its sampling rate; 0 = rate_node says it")
    rate_node: str = option("", "with a url: the node whose value is the sampling rate in Hz")
    frame_s: float = option(1.0, "length of a frame: one spectrum each")
    period_s: float = option(2.0, "between looks into the directory; with a url, the publishing interval")
    policy: str = option("", "with a url: security policy: Basic256Sha256, Aes128_Sha256_RsaOaep or Aes256_Sha256_RsaPss; empty = none")
    mode: str = option("SignAndEncrypt", "with a policy: Sign or SignAndEncrypt")
    certificates: str = option(
        "", "with a policy: own, trusted and rejected certificates, relative to the appliance's directory; empty = polls/NAME"
    )
    user: str = option("", "with a policy: who logs in; empty = anonymous")
    password_file: str = option("", "with a user: a file of mode 0600 that holds the password, relative to this file")


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
            for key, value, low, high in (
                ("workers", capture.workers, 1, 64),
                ("recent_megabytes", capture.recent_megabytes, 0, 1e6),
                ("recent_hours", capture.recent_hours, 0.01, 8784),
            ):
                if not low <= value <= high:
                    raise ConfigError(f"capture.{key}", f"{value:g} is not between {low:g} and {high:g}")
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


_SINGLE: dict[str, type] = {
    "appliance": Appliance,
    "learning": Learning,
    "api": Api,
    "court": Court,
    "history": History,
    "enforce": Enforce,
}
_SEVERAL: dict[str, type] = {"capture": Capture, "gate": Gate, "poll_modbus": PollModbus, "poll_opcua": PollOpcua, "waveform": Waveform}
_POLICIES, _MODES = ("", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"), ("Sign", "SignAndEncrypt")
_CHOICES: dict[str, tuple[str, ...]] = {
    "appliance.log": ("debug", "info", "warning", "error"),
    "enforce.enforcer": ("dry_run", "gate", "nftables"),
    "gate.protocol": ("modbus", "opcua"),
    "gate.unknown_tag": ("forward", "refuse"),
    "poll_opcua.policy": _POLICIES,
    "poll_opcua.mode": _MODES,
    "waveform.policy": _POLICIES,
    "waveform.mode": _MODES,
}
_DAY_S = 86_400.0
_BOUNDS = {  # lowest and highest that make sense; what a process bounds itself is bounded alike here, so that it is refused with its line
    "learning.lasts_s": (1.0, 366 * _DAY_S),
    "learning.quarantine_s": (1.0, 366 * _DAY_S),
    "learning.promote_within": (0.0, 1.0),
    "learning.false_alarms_per_week": (0.001, 10_000.0),
    "api.port": (1, 65_535),
    "api.enrol_port": (0, 65_535),
    "court.members": (16, 4096),
    "court.horizon_s": (1.0, _DAY_S),
    "court.hold_timeout_ms": (1.0, 60_000.0),
    "history.max_megabytes": (10.0, 1e6),
    "history.max_days": (0.01, 3660.0),
    "history.states_every_s": (1.0, _DAY_S),
    "enforce.lasts_s": (1.0, _DAY_S),
    "gate.deadline_ms": (1.0, 60_000.0),
    "poll_modbus.period_s": (0.01, _DAY_S),
    "poll_opcua.period_ms": (10.0, 3_600_000.0),
    "waveform.frame_s": (0.05, 60.0),
    "waveform.rate_hz": (0.0, 1e6),
    "waveform.period_s": (0.1, 3600.0),
}


def read(path: Path) -> Settings:
    """Raises ConfigError "file:line" on a syntax error, an unknown section or key (with the nearest name), or a value of the wrong kind."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(str(path), "there is no such file; `sentinel sample-config` prints one to begin with") from error
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), f"is not a text file: {error}") from error
    return parse(text, str(path))


def parse(text: str, where: str) -> Settings:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        raise ConfigError(f"{where}:{found.group(1) if found else '?'}", str(error)) from error
    known = _SINGLE | _SEVERAL
    built: dict[str, Any] = {}
    for section, content in document.items():
        line = _line_of(text, section)
        if section not in known:
            raise ConfigError(f"{where}:{line}", f"unknown section [{section}]{_nearest(section, known)}")
        several = section in _SEVERAL
        tables = content if isinstance(content, list) else [content]
        if several != isinstance(content, list) or not all(isinstance(table, dict) for table in tables):
            form = f"[[{section}]]" if several else f"[{section}]"
            raise ConfigError(f"{where}:{line}", f"{section} is written as {form}")
        parts = tuple(_section(section, known[section], table, text, where, index) for index, table in enumerate(tables))
        built[section] = parts if several else parts[0]
    try:
        return Settings(**built)
    except ConfigError as error:
        raise ConfigError(where, f"{error.where}: {error.problem}") from error


def _section(section: str, kind: type, table: dict[str, Any], text: str, where: str, index: int) -> Any:
    names = [f.name for f in fields(kind)]
    for key in table:
        if key not in names:
            raise ConfigError(f"{where}:{_line_of(text, section, key, index)}", f"unknown key {key!r} in [{section}]{_nearest(key, names)}")
    try:
        value: Any = TypeAdapter(kind).validate_python(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        raise ConfigError(f"{where}:{_line_of(text, section, key, index)}", f"{section}.{key}: {first['msg']}") from error
    for key in names:
        choices = _CHOICES.get(f"{section}.{key}")
        if choices and getattr(value, key) not in choices:
            problem = f"{section}.{key} is {getattr(value, key)!r}, not one of {', '.join(choices)}"
            raise ConfigError(f"{where}:{_line_of(text, section, key, index)}", problem)
        bounds = _BOUNDS.get(f"{section}.{key}")
        if bounds and not bounds[0] <= getattr(value, key) <= bounds[1]:
            problem = f"{section}.{key} is {getattr(value, key):g}, not between {bounds[0]:g} and {bounds[1]:g}"
            raise ConfigError(f"{where}:{_line_of(text, section, key, index)}", problem)
    return value


def _nearest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), 1, 0.4)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def _line_of(text: str, section: str, key: str | None = None, index: int = 0) -> int:
    """Where a person finds it: the section's header, or the key below the header's (index + 1)th occurrence."""
    header, seen = None, -1
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if match := re.match(r"\[\[?\s*([^\]\s]+)\s*\]\]?", stripped):
            inside = match.group(1) == section
            seen += inside
            header = number if inside and seen == index else None if header is None or key is not None else header
        elif key is not None and header is not None and re.match(rf"[\"']?{re.escape(key)}[\"']?\s*=", stripped):
            return number
        if key is None and header is not None:
            return header
    return header or 1


def sample() -> str:
    """A complete file: every option with its sentence, defaults commented out."""
    lines = ["# Settings of a Sentinel appliance.  What is commented out is the default."]
    for section, kind in (_SINGLE | _SEVERAL).items():
        lines += ["", f"# {kind.__doc__}"]
        several = section in _SEVERAL
        lines.append(f"#[[{section}]]" if several else f"[{section}]")
        for f in fields(kind):
            lines.append(f"# {f.metadata['doc']}")
            lines.append(f"#{f.name} = {_toml(f.default)}")
    return "\n".join(lines) + "\n"


def write(settings: Settings) -> str:
    """The settings as a file, only what differs from the defaults: what the demo hands to the appliance."""
    lines: list[str] = []
    for section in (*_SINGLE, *_SEVERAL):
        value = getattr(settings, section)
        for part in value if section in _SEVERAL else (value,):
            lines.append(f"[[{section}]]" if section in _SEVERAL else f"[{section}]")
            lines += [f"{f.name} = {_toml(getattr(part, f.name))}" for f in fields(part) if getattr(part, f.name) != f.default]
            lines.append("")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return repr(value)
