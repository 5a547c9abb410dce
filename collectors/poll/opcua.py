"""Subscribes to the plant file's nodes on an OPC UA server (Part 4, 5.13 and 5.14); reads values and never writes one.

In: a `SubscribeConfig`.  Out: `Polled` batches, and `TurnedAway` for a server that nobody has trusted.  What a value becomes is its
`Reader`'s business: here one reading of a tag, whose `time` is the server's SourceTimestamp, `seen` its receipt, the quality the severity
of its StatusCode (Part 4, 7.39: the two top bits).
When the connection is lost every tag gets one reading of quality BAD, and the subscription is made anew once the server is back.
"""

import asyncio
import logging
import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from asyncua import Client, ua

from collectors.outbox import Outbox
from collectors.pause import pause
from collectors.poll.rows import Row, instant_of, polled, quality_of
from collectors.poll.security import Introduction, Security, UntrustedError
from sentinel.clock import Clock, SystemClock
from sentinel.errors import ConfigError, InputError, TransientError
from sentinel.model.observation import Counters
from sentinel.model.protocol import Quality
from sentinel.model.tags import Tag
from sentinel.model.time import Instant

KEEP_ALIVE_COUNT = 10  # publishing intervals without news after which the server says that it lives; the default would be hours
LIFETIME_COUNT = 60  # at least three times the keep-alive count (Part 4, 5.14.2.2)
QUEUE = 16  # values that a monitored item keeps between two publications; 1, the default, loses what happens in a gap
WATCHDOG_S = 5.0  # the default of 1 s takes a slow controller for a dead one
TIMEOUT_S = 4.0
FIRST_DELAY_S, LONGEST_DELAY_S = 0.2, 5.0
BATCH_S = 0.1
QUIET_S = 0.5
FAREWELL_S = 2.0
_EVENTS = 4096
_DOWN = (OSError, TimeoutError, ua.UaError)
# What the library raises, beside its own errors, on answers that it did not expect: a server that lies must not end the process.
_NONSENSE = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError, struct.error)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeConfig:
    name: str = "poll-opcua"
    intake: str
    url: str
    period_ms: float = 500.0
    security: Security = Security()
    tags: tuple[Tag, ...]

    def __post_init__(self) -> None:
        check_server(self.url, self.period_ms)
        if not any(tag.opcua for tag in self.tags):
            raise ConfigError("tags", "no tag has an OPC UA node")
        for tag in self.tags:
            if tag.opcua:
                node_id(f"tags.{tag.name}.opcua", tag.opcua)


def check_server(url: str, period_ms: float) -> None:
    if not url.startswith("opc.tcp://"):
        raise ConfigError("url", f"{url!r} does not begin with opc.tcp://")
    if not 10 <= period_ms <= 3_600_000:
        raise ConfigError("period_ms", f"{period_ms!r} is not between 10 and 3600000")


def node_id(where: str, text: str) -> str:
    """As the library writes it.  Raises ConfigError, which names ``where``."""
    try:
        return str(ua.NodeId.from_string(text).to_string())
    except (ua.UaError, ValueError) as error:
        raise ConfigError(where, f"{text!r} is not a node id") from error


class Server(Protocol):
    """The part of a configuration that says whom to ask."""

    @property
    def name(self) -> str: ...

    @property
    def url(self) -> str: ...

    @property
    def period_ms(self) -> float: ...

    @property
    def security(self) -> Security: ...


class Reader(Protocol):
    @property
    def names(self) -> Mapping[str, str]:
        """Node id to the name that the reader knows it by, in the order of subscription."""

    def rows(self, name: str, value: Any, now: Instant) -> list[Row]:
        """Of a value as it came; raises InputError for one that is of no use."""

    def lost(self, name: str, now: Instant) -> list[Row]:
        """The node does not exist, or its server is away."""


class Scalars:
    """Each node is a tag, each value one reading."""

    def __init__(self, tags: Iterable[Tag]) -> None:
        self.names = {node_id(f"tags.{tag.name}.opcua", tag.opcua): tag.name for tag in tags if tag.opcua}

    def rows(self, name: str, value: Any, now: Instant) -> list[Row]:
        content = value.Value.Value if value.Value is not None else None
        quality = quality_of(value.StatusCode.value if value.StatusCode is not None else 0)
        number = float(content) if isinstance(content, bool | int | float) else math.nan
        is_known = math.isfinite(number)
        at = instant_of(value.SourceTimestamp) or now
        return [(at, name, number if is_known else math.nan, quality if is_known else Quality.BAD)]

    def lost(self, name: str, now: Instant) -> list[Row]:
        return [(now, name, math.nan, Quality.BAD)]


@contextmanager
def _library() -> Iterator[None]:
    """Around calls of the library alone, for in our own code the same errors are our bugs."""
    try:
        yield
    except _NONSENSE as error:
        raise ConnectionError(f"what the server says makes no sense: {type(error).__name__} {error}".rstrip()) from error


class Subscriber:
    def __init__(self, config: Server, reader: Reader, outbox: Outbox, clock: Clock) -> None:
        self._config, self._reader, self._outbox, self._clock = config, reader, outbox, clock
        self._introduction = Introduction(config.security, config.name, config.url, clock)
        self._names = reader.names
        self._rows: list[Row] = []
        self._seen: list[int] = []
        self._said: dict[str, str] = {}  # of each node, the last reason of a refusal: the same one again is only counted
        self._told_s = clock.monotonic_s()
        self._accepted = self._refused = self._failed = 0

    @property
    def counters(self) -> Counters:
        """accepted: values; refused: values of no use, nodes that we may not subscribe to; failed: connections lost or not made."""
        return Counters(accepted=self._accepted, refused=self._refused, failed=self._failed)

    async def run(self, stop: asyncio.Event) -> None:
        delay_s = FIRST_DELAY_S
        while not stop.is_set():
            accepted = self._accepted
            try:
                await self._subscribe(stop)
            except _DOWN as error:
                self._failed += 1
                if not isinstance(error, UntrustedError):
                    log.warning("%s is away: %s", self._config.url, error or type(error).__name__)
                elif error.told is not None:
                    log.warning("%s is not read: %s", self._config.url, error)
                    await self._outbox.turned_away(error.told)
            if stop.is_set():
                break
            self._lose_all()
            await self._tell()
            delay_s = FIRST_DELAY_S if self._accepted > accepted else min(2 * delay_s, LONGEST_DELAY_S)
            await pause(stop, delay_s)
        await self._tell()

    async def _subscribe(self, stop: asyncio.Event) -> None:
        """Until ``stop``; raises one of _DOWN when the connection is lost."""
        client = Client(self._config.url, timeout=TIMEOUT_S, watchdog_intervall=WATCHDOG_S)
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def on_loss(error: Exception) -> None:
            if not lost.done():
                lost.set_exception(ConnectionError(str(error) or type(error).__name__))

        client.connection_lost_callback = on_loss
        with _library():
            await self._introduction.prepare(client)
            await client.connect()
        try:
            parameters = ua.CreateSubscriptionParameters()
            parameters.RequestedPublishingInterval = self._config.period_ms
            parameters.RequestedMaxKeepAliveCount = KEEP_ALIVE_COUNT
            parameters.RequestedLifetimeCount = LIFETIME_COUNT
            with _library():
                subscription = await client.create_subscription(parameters, None, queue_maxsize=_EVENTS)
                nodes = [client.get_node(node) for node in self._names]
                handles = await subscription.subscribe_data_change(nodes, queuesize=QUEUE, sampling_interval=self._config.period_ms)
            self._note_refused(handles)
            while not stop.is_set():
                with _library():
                    event = await subscription.next_event(timeout=BATCH_S)
                if lost.done():
                    lost.result()
                if event is not None and hasattr(event, "data"):
                    self._take(event)
                elif event is not None:
                    raise ConnectionError(f"the server ended the subscription: {event}")
                if self._is_due():
                    await self._tell()
        finally:
            lost.cancel()
            with suppress(*_DOWN), _library():
                await asyncio.wait_for(client.disconnect(), TIMEOUT_S)

    def _note_refused(self, handles: Any) -> None:
        for name, handle in zip(self._names.values(), handles, strict=True):
            if isinstance(handle, ua.StatusCode):
                self._refused += 1
                log.warning("%s cannot be subscribed to: %s", name, handle.name)
                self._add(self._reader.lost(name, self._clock.now()))

    def _take(self, event: Any) -> None:
        value = event.data.monitored_item.Value
        name = self._names.get(event.node.nodeid.to_string())
        if name is None:
            return
        try:
            rows = self._reader.rows(name, value, self._clock.now())
        except InputError as error:
            self._refused += 1
            if str(error) != self._said.get(name):
                log.warning("%s: %s", name, error)
                self._said[name] = str(error)
            return
        self._accepted += 1
        self._add(rows)

    def _lose_all(self) -> None:
        now = self._clock.now()
        for name in self._names.values():
            self._add(self._reader.lost(name, now))

    def _add(self, rows: list[Row]) -> None:
        self._rows += rows
        self._seen += [self._clock.now()] * len(rows)

    def _is_due(self) -> bool:
        since_s = self._clock.monotonic_s() - self._told_s
        return since_s >= (BATCH_S if self._rows else QUIET_S)

    async def _tell(self) -> None:
        rows, seen = self._rows, self._seen
        self._rows, self._seen = [], []
        self._told_s = self._clock.monotonic_s()
        try:
            await self._outbox.readings(polled(self._config.name, self._clock.now(), rows, self.counters, seen))
        except TransientError as error:
            log.warning("readings are lost: %s", error)


async def run(config: SubscribeConfig, stop: asyncio.Event) -> None:
    await subscribe(config, Scalars(config.tags), config.intake, stop)


async def subscribe(server: Server, reader: Reader, intake: str, stop: asyncio.Event) -> None:
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # one error with its traceback per second while a server is down
    clock = SystemClock()
    outbox = Outbox(Path(intake), server.name, clock=clock)
    async with outbox.open(FAREWELL_S):
        await Subscriber(server, reader, outbox, clock).run(stop)
