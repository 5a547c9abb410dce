"""The sections of a settings file, and what their options may be.

A field's default is the embedded default and its ``doc`` becomes the sample file's comment.
"""

from dataclasses import dataclass, field
from typing import Any


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


_POLICIES, _MODES = ("", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"), ("Sign", "SignAndEncrypt")
CHOICES: dict[str, tuple[str, ...]] = {
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
BOUNDS = {  # lowest and highest that make sense; what a process bounds itself is bounded alike here, so that it is refused with its line
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
