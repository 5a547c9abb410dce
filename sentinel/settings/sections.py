"""The sections of a settings file, and what their options may be.

A field's default is the embedded default and its ``doc`` becomes the sample file's comment.
"""

from dataclasses import dataclass, field
from typing import Any

_DAY_S = 86_400.0


def option(default: Any, doc: str, *, among: tuple[str, ...] = (), within: tuple[float, float] | None = None) -> Any:
    """One of `among` where it names any; within the lowest and the highest that make sense.  What a process bounds itself is bounded alike
    here, so that it is refused with its line."""
    return field(default=default, metadata={"doc": doc, "among": among, "within": within})


@dataclass(frozen=True, slots=True, kw_only=True)
class Appliance:
    """The box itself."""

    name: str = option("sentinel", "how this appliance calls itself in certificates and exports")
    directory: str = option("var", "where records, evidence, certificates and sockets live; relative to this file")
    plant: str = option("", "the plant file (YAML); empty = no twin: nothing is judged, everything is still heard")
    log: str = option("info", "debug, info, warning or error", among=("debug", "info", "warning", "error"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """The baseline."""

    lasts_s: float = option(
        _DAY_S, "how long the baseline learns before it becomes active: a day has most of what a plant does", within=(1.0, 366 * _DAY_S)
    )
    baseline: str = option("", "a baseline file made by `sentinel learn`, relative to this file; with it the baseline is active at once")
    quarantine_s: float = option(
        604800.0, "how long a candidate learns beside the baseline before people may promote it", within=(1.0, 366 * _DAY_S)
    )
    promote_within: float = option(
        0.0, "standard deviations a week by which a candidate may differ and be promoted without people; 0 = never", within=(0.0, 1.0)
    )
    false_alarms_per_week: float = option(
        1.0, "the false-alarm budget of the whole plant that thresholds are calibrated to", within=(0.001, 10_000.0)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The API: TLS 1.3, client certificates."""

    host: str = option("127.0.0.1", "address to listen on")
    port: int = option(8443, "port of the API", within=(1, 65_535))
    enrol_port: int = option(8444, "port where a one-time code and a signing request become a certificate; 0 = closed", within=(0, 65_535))


@dataclass(frozen=True, slots=True, kw_only=True)
class Court:
    """The sandbox that judges commands on the twin."""

    members: int = option(256, "futures per judgement", within=(16, 4096))
    horizon_s: float = option(600.0, "how far each future goes", within=(1.0, _DAY_S))
    hold_timeout_ms: float = option(150.0, "a held write gets `undecided` after this", within=(1.0, 60_000.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What the tags showed and where the twin was, kept in columns."""

    keep: bool = option(True, "false = no history: nothing of it is written")
    max_megabytes: float = option(2000.0, "the oldest goes when all of it takes more than this on disk", within=(10.0, 1e6))
    max_days: float = option(90.0, "the oldest goes after this", within=(0.01, 3660.0))
    states_every_s: float = option(10.0, "the twin's states are kept once in this time", within=(1.0, _DAY_S))


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforce:
    """What happens to approved actions."""

    enforcer: str = option("dry_run", "dry_run (only says what it would do), gate or nftables", among=("dry_run", "gate", "nftables"))
    namespace: str = option("", "network namespace in which nftables is driven; empty = the appliance's own")
    lasts_s: float = option(3600.0, "an action expires by itself after this; at most a day", within=(1.0, _DAY_S))
    never_cut: tuple[str, ...] = option((), "addresses that no action may ever cut, beside safety-instrumented ones")


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A passive ear on mirror ports or own interfaces (needs CAP_NET_RAW)."""

    name: str = option("capture", "how its process and observations are called")
    interfaces: tuple[str, ...] = option((), "interfaces to hear")
    namespace: str = option("", "network namespace of the interfaces")
    workers: int = option(1, "processes that share the traffic, each conversation in one of them; 1 to 64", within=(1, 64))
    recent_megabytes: float = option(
        1000.0, "recent packets kept on disk, from which findings get their evidence; 0 = none; per worker", within=(0.0, 1e6)
    )
    recent_hours: float = option(24.0, "the oldest of them go after this", within=(0.01, 8784.0))

    def processes(self) -> tuple[str, ...]:
        """The names of its workers: each is a source of its own."""
        return (self.name,) if self.workers == 1 else tuple(f"{self.name}-{number}" for number in range(1, self.workers + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """An inline gate: reads pass, writes wait for their verdict."""

    name: str = option("gate", "how its process and observations are called")
    protocol: str = option(
        "modbus", "modbus (Modbus/TCP) or opcua (a terminating endpoint with a certificate of its own)", among=("modbus", "opcua")
    )
    listen: str = option("127.0.0.1:1502", "address:port that clients talk to")
    upstream: str = option("", "address:port of the server behind it")
    transparent: bool = option(
        False, "on the route to the server: clients keep its address, it sees theirs; `python -m collectors.gate.transparent` says how"
    )
    certificates: str = option(
        "", "of opcua: the directory of own, trusted and rejected certificates, relative to the appliance's; empty = gates/NAME"
    )
    deadline_ms: float = option(
        200.0, "a held write is forwarded or refused at the latest after this, by its tag's `on_deadline`", within=(1.0, 60_000.0)
    )
    unknown_tag: str = option(
        "refuse", "forward or refuse at the deadline, for addresses that the plant file does not name", among=("forward", "refuse")
    )
    observe: bool = option(True, "report what passes as observations; false where a capture hears the same traffic")
    namespace: str = option("", "network namespace in which it listens")


@dataclass(frozen=True, slots=True, kw_only=True)
class PollModbus:
    """Active, read-only polling of a Modbus/TCP server, for the twin and the value envelopes."""

    name: str = option("poll-modbus", "how its process is called")
    server: str = option("", "address:port")
    period_s: float = option(1.0, "every tag once in this time", within=(0.01, _DAY_S))
    source: str = option("", "own address to poll from; empty = the system's choice")
    namespace: str = option("", "network namespace in which it runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpcuaClient:
    """How a poll opens its channel to an OPC UA server, and as whom."""

    policy: str = option(
        "",
        "security policy of OPC UA: Basic256Sha256, Aes128_Sha256_RsaOaep or Aes256_Sha256_RsaPss; empty = none",
        among=("", "Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"),
    )
    mode: str = option("SignAndEncrypt", "with a policy: Sign or SignAndEncrypt", among=("Sign", "SignAndEncrypt"))
    certificates: str = option(
        "", "with a policy: own, trusted and rejected certificates, relative to the appliance's directory; empty = polls/NAME"
    )
    user: str = option("", "with a policy: who logs in; empty = anonymous")
    password_file: str = option("", "with a user: a file of mode 0600 that holds the password, relative to this file")


@dataclass(frozen=True, slots=True, kw_only=True)
class PollOpcua(OpcuaClient):
    """An OPC UA subscription to the plant file's nodes."""

    name: str = option("poll-opcua", "how its process is called")
    url: str = option("", "opc.tcp://address:port/path")
    period_ms: float = option(500.0, "publishing and sampling interval", within=(10.0, 3_600_000.0))
    namespace: str = option("", "network namespace in which it runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveform(OpcuaClient):
    """One sensor's waveforms: files (WAV, npz) that a data acquisition system writes to a directory, or an array on an OPC UA server."""

    name: str = option("waveform", "how its process is called")
    sensor: str = option("", "how the sensor is called in findings")
    directory: str = option("", "where the files appear, relative to this file; they are read, and left there")
    url: str = option("", "instead of a directory: opc.tcp://address:port/path")
    node: str = option("", "with a url: the node whose value is the array of the newest samples")
    rate_hz: float = option(0.0, "with a url: its sampling rate; 0 = rate_node says it", within=(0.0, 1e6))
    rate_node: str = option("", "with a url: the node whose value is the sampling rate in Hz")
    frame_s: float = option(1.0, "length of a frame: one spectrum each", within=(0.05, 60.0))
    period_s: float = option(2.0, "between looks into the directory; with a url, the publishing interval", within=(0.1, 3600.0))
