"""What the gate is told: the JSON of one process, written by whoever starts it."""

from dataclasses import dataclass

from collectors.endpoint import address_of
from collectors.gate import transparent
from sentinel.errors import ConfigError
from sentinel.model.modbus import SERVER_DEVICE_FAILURE
from sentinel.model.tags import OnDeadline, Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineConfig:
    """What a gate is told whatever it speaks."""

    name: str = "gate"  # of the process and of its observations
    intake: str  # the brain's socket
    directory: str  # the run directory, for the quarantine file
    listen: str  # address:port
    upstream: str  # address:port of the server behind the gate
    transparent: bool = False  # on the route to the server: `collectors.gate.transparent`
    deadline_ms: float = 200.0
    unknown_tag: OnDeadline = OnDeadline.REFUSE  # at the deadline, for points that no tag names
    observe: bool = True
    observe_ms: float = 75.0  # how long observations gather before they are decoded
    connections: int = 256
    connections_per_address: int = 64
    held: int = 256  # writes that wait at once, one per connection at most; a further one gets its tags' declared choice at once
    patience_s: float = 10.0  # with a client that begins a request and does not end it, or takes no answers; its own time-out is 0.5 to 2 s
    farewell_s: float = 2.0  # for what the brain has not acknowledged when the gate is asked to end
    tags: tuple[Tag, ...] = ()

    def __post_init__(self) -> None:
        for key, low, high in (
            ("deadline_ms", 1.0, 60_000.0),
            ("observe_ms", 1.0, 10_000.0),
            ("connections", 1, 4096),
            ("connections_per_address", 1, 4096),
            ("held", 1, 4096),
            ("patience_s", 0.05, 3600.0),
            ("farewell_s", 0.0, 60.0),
        ):
            self._bound(key, low, high)
        listen = address_of("listen", self.listen)
        if listen == address_of("upstream", self.upstream) and listen[1]:
            raise ConfigError("upstream", f"{self.upstream} is where the gate itself listens")
        if self.transparent:
            transparent.check(self.listen, self.upstream)

    def _bound(self, key: str, low: float, high: float) -> None:
        if not low <= getattr(self, key) <= high:
            raise ConfigError(key, f"{getattr(self, key)!r} is not between {low:g} and {high:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateConfig(InlineConfig):
    # 1 to 3 would say that the request itself is wrong, 5 that it will be done yet, 6 that it should be tried again: 4, "an unrecoverable
    # error occurred while the server was attempting to perform the requested action" (Application Protocol V1.1b3, clause 7), is the one
    # that clients report to a person and do not retry by themselves.
    refusal: int = SERVER_DEVICE_FAILURE
    waiting_octets: int = 16384  # behind a held write, per connection; then the client is not read from

    def __post_init__(self) -> None:
        InlineConfig.__post_init__(self)
        self._bound("refusal", 1, 255)
        self._bound("waiting_octets", 260, 1 << 20)
