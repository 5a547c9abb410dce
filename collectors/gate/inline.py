"""What every inline gate does, whatever it speaks: admits clients, holds writes until their ruling or deadline, obeys the brain, tells it.

In: RULING, QUARANTINE and RELEASE from the brain; connections and held writes from the protocol's own half, a subclass that makes the
connections' two sides and judges requests.  Out: `Command`, `Outcome`, `ReceiptOf` and `Heard` to the brain.
"""

import asyncio
import logging
import resource
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from collectors.endpoint import address_of, plain_address
from collectors.gate import transparent
from collectors.gate.config import InlineConfig
from collectors.gate.observe import Tap
from collectors.gate.orders import Orders
from collectors.gate.records import ObserverConfig
from collectors.outbox import Outbox
from collectors.pause import pause
from sentinel.clock import Clock, SystemClock
from sentinel.errors import ConfigError, TransientError
from sentinel.model.codec import CodecError, from_json, to_json
from sentinel.model.command import Command, command_id
from sentinel.model.exchange import QuarantineOrder, ReleaseOrder
from sentinel.model.framing import Frame, FrameKind
from sentinel.model.ids import AssetId, CommandId, Digest
from sentinel.model.observation import Counters
from sentinel.model.protocol import Protocol as Spoken
from sentinel.model.tags import OnDeadline, TagMap
from sentinel.model.time import Instant
from sentinel.ports import Outcome, Ruling

CONNECT_S = 3.0
_OWN_DESCRIPTORS = 64  # files, pipes, the brain
_NO_SERVER = "the connection to the server, or to the client, was lost"

log = logging.getLogger(__name__)


class Client(Protocol):
    """A client's connection, as the gate deals with it.  ``address`` is the client's, ``flow`` the number of the connection."""

    flow: int
    address: AssetId

    def called(self) -> tuple[str, int]: ...

    def can_forward(self, held: Any) -> bool: ...

    def settle(self, held: Any, forward: bool) -> None: ...

    def inspect(self) -> str | None: ...

    def expel(self, reason: str) -> None: ...

    def close(self) -> None: ...

    def reset(self) -> None: ...


@dataclass(slots=True, eq=False, kw_only=True)
class Held:
    """A write that waits for its ruling or its deadline, since ``since_s`` of the monotonic clock."""

    command: Command
    client: Client
    since_s: float
    choice: OnDeadline  # what the deadline brings
    timer: asyncio.TimerHandle | None = None


C = TypeVar("C", bound=Client)


class InlineGate(ABC, Generic[C]):
    """`run` serves until ``stop`` is set; everything happens in its event loop."""

    speaks: ClassVar[Spoken]

    def __init__(self, config: InlineConfig, clock: Clock | None = None) -> None:
        self._config = config
        self._clock = clock or SystemClock()
        self._tags = TagMap(config.tags)
        self._host, self._port = address_of("upstream", config.upstream)
        self._server_asset = AssetId(plain_address(self._host))
        self.outbox = Outbox(Path(config.intake), config.name, self._receive, clock=self._clock)
        self._observed = self._make_tap() if config.observe else None
        self.tap = self._observed.hear if self._observed else _nothing
        self._orders = Orders(config.name, Path(config.directory), self._clock, self._tell, self._start, self)
        self._clients: dict[int, C] = {}
        self._per_address: Counter[AssetId] = Counter()
        self._flow = 0
        self._held: dict[CommandId, Held] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self.accepted = self._refused = self._failed = 0
        self.address: tuple[str, int] = ("", 0)
        self.listening = asyncio.Event()

    @property
    def counters(self) -> Counters:
        """accepted: requests that went to the server; refused: requests and connections that did not; failed: servers not reached."""
        return Counters(accepted=self.accepted, refused=self._refused, failed=self._failed)

    async def run(self, stop: asyncio.Event) -> None:
        """Raises ConfigError when it cannot listen or cannot use its directory."""
        _allow_descriptors(self._config.connections)
        self._orders.recall()
        loop = asyncio.get_running_loop()
        host, port = address_of("listen", self._config.listen)
        where: dict[str, Any] = {"host": host, "port": port}
        try:
            if self._config.transparent:
                where = {"sock": transparent.listening(host, port)}
            server = await loop.create_server(self._new_client, backlog=self._config.connections, **where)
        except OSError as error:
            raise ConfigError("listen", f"{self._config.listen} cannot be used: {error.strerror}") from error
        self.address = server.sockets[0].getsockname()[:2]
        log.info("%s listens on %s:%d before %s:%d", self._config.name, *self.address, self._host, self._port)
        self._start(self.outbox.run())
        self._start(self._inspect(stop))
        quiet = asyncio.Event()
        observing = asyncio.create_task(self._observed.run(quiet)) if self._observed else None
        self.listening.set()
        try:
            await stop.wait()
        finally:
            server.close()
            for held in list(self._held.values()):
                self._resolve(held, held.choice is OnDeadline.FORWARD, ruled=False, reason=f"the gate ends: {held.choice} is declared")
            for client in list(self._clients.values()):
                client.close()
            self._orders.end()
            if observing is not None:
                await asyncio.sleep(0)  # the connections' last words
                quiet.set()
                await observing
            with suppress(TimeoutError):
                await asyncio.wait_for(self.outbox.drained(), self._config.farewell_s)
            for client in list(self._clients.values()):
                client.reset()  # what it has not taken by now it never will
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _make_tap(self) -> Tap:
        config = ObserverConfig(
            name=f"{self._config.name}-observer",
            source=self._config.name,
            intake=self._config.intake,
            server=self._server_asset,
            port=self._port,
            protocol=self.speaks,
            connections=self._config.connections,
            farewell_s=self._config.farewell_s,
        )
        return Tap(config, self._clock, self._config.observe_ms / 1000, lambda outage: self._tell(FrameKind.OUTAGE, to_json(outage)))

    # --- connections ---

    @abstractmethod
    def _new_client(self) -> Any:
        """A protocol that asks `admit` once it is connected."""

    @abstractmethod
    def _admitted(self, client: C) -> None: ...

    def next_flow(self) -> int:
        self._flow += 1
        return self._flow

    def admit(self, client: C, peer: str) -> bool:
        client.address = address = AssetId(plain_address(peer))
        meant = client.called() == (self._host, self._port) or not self._config.transparent
        barred = not meant or self._orders.bar(address)
        if barred or self._per_address[address] >= self._config.connections_per_address or not self._has_place(address):
            self._refused += 1
            if self._observed:
                self._observed.refused(address)
            return False
        self._clients[client.flow] = client
        self._per_address[address] += 1
        if self._observed:
            self._observed.opened(client.flow, address)
        self._admitted(client)
        return True

    def _has_place(self, address: AssetId) -> bool:
        """In a full gate the address with the most connections gives its newest one to an address that has fewer even then."""
        if len(self._clients) < self._config.connections:
            return True
        crowd, most = max(self._per_address.items(), key=lambda item: item[1])
        if most < self._per_address[address] + 2:
            return False
        newest = max((client for client in self._clients.values() if client.address == crowd), key=lambda client: client.flow)
        self._refused += 1
        log.warning("the gate is full: a connection of %s, which has %d, makes room for %s", crowd, most, address)
        newest.expel("its place is given to a client that has fewer")
        self.left(newest, reset=True)
        return True

    def left(self, client: C, *, reset: bool) -> None:
        if self._clients.pop(client.flow, None) is None:
            return
        self._per_address[client.address] -= 1
        if not self._per_address[client.address]:
            del self._per_address[client.address]
        if self._observed:
            self._observed.closed(client.flow, reset=reset)

    def broken(self, client: C, problem: str) -> None:
        self._refused += 1
        log.warning("connection of %s is closed: %s", client.address, problem)

    async def _inspect(self, stop: asyncio.Event) -> None:
        """Cuts what makes no progress, within one to two times the patience."""
        while not stop.is_set():
            await pause(stop, self._config.patience_s)
            for client in list(self._clients.values()):
                if problem := client.inspect():
                    self._refused += 1
                    log.warning("connection of %s is cut: %s", client.address, problem)
                    client.reset()

    # --- writes ---

    def hold(self, held: Held, arrived_s: float, problem: str = "") -> bool | None:
        """None: it waits now.  Else what its declared choice says at once, because of a ``problem``: True = forward it."""
        loop = asyncio.get_running_loop()
        waited_s = loop.time() - arrived_s
        left_s = self._config.deadline_ms / 1000 - waited_s
        if len(self._held) >= self._config.held:
            problem = f"{len(self._held)} writes are held already"
        elif left_s <= 0:
            problem = f"waited behind other requests for {waited_s * 1000:.0f} ms"
        if problem:
            forward = held.choice is OnDeadline.FORWARD
            self._refused += not forward
            self._report(held.command, forward, ruled=False, since_s=held.since_s, reason=f"{problem}: {held.choice} is declared")
            return forward
        held.timer = loop.call_later(left_s, self._overdue, held)
        self._held[held.command.id] = held
        return None

    def _identity(self, client: C, frame: Digest) -> tuple[Instant, CommandId]:
        """When a command was seen, and its name, which no held one has."""
        seen = self._clock.now()
        while (identity := command_id(seen, client.address, self._server_asset, frame)) in self._held:
            seen = Instant(seen + 1)
        return seen, identity

    def abandon(self, held: Held, reason: str) -> None:
        if self._take(held):
            self._report(held.command, False, ruled=False, since_s=held.since_s, reason=reason)

    def _overdue(self, held: Held) -> None:
        reason = f"no ruling within {self._config.deadline_ms:g} ms: {held.choice} is declared"
        self._resolve(held, held.choice is OnDeadline.FORWARD, ruled=False, reason=reason)

    def _rule(self, ruling: Ruling) -> None:
        held = self._held.get(ruling.command)
        if held is not None:  # else: too late, its outcome is on its way
            self._resolve(held, ruling.forward, ruled=True, reason=ruling.reason)

    def _resolve(self, held: Held, forward: bool, *, ruled: bool, reason: str) -> None:
        """Told before it is done: if the gate is killed between the two, the records claim too much and never too little."""
        if not self._take(held):
            return
        forwarded = forward and held.client.can_forward(held)
        self._refused += not forwarded
        lost = forward and not forwarded
        self._report(held.command, forwarded, ruled=ruled, since_s=held.since_s, reason=f"{reason}; {_NO_SERVER}" if lost else reason)
        held.client.settle(held, forwarded)

    def _take(self, held: Held) -> bool:
        """True once only."""
        if held.timer is not None:
            held.timer.cancel()
        return self._held.pop(held.command.id, None) is not None

    def _report(self, command: Command, forwarded: bool, *, ruled: bool, since_s: float, reason: str) -> None:
        held_ms = (self._clock.monotonic_s() - since_s) * 1000
        outcome = Outcome(command=command.id, forwarded=forwarded, ruled=ruled, held_ms=held_ms, reason=reason, at=self._clock.now())
        self._tell(FrameKind.OUTCOME, to_json(outcome))

    def _tell(self, kind: FrameKind, payload: bytes) -> None:
        """A full outbox must not stop the plant: what could not be kept is counted there as refused."""
        try:
            self.outbox.put(((kind, payload),))
        except TransientError as error:
            log.warning("a %s is not recorded: %s", kind.name, error)

    # --- the brain's requests ---

    def _receive(self, frame: Frame) -> None:
        try:
            if frame.kind is FrameKind.RULING:
                self._rule(from_json(Ruling, frame.payload))
            elif frame.kind is FrameKind.QUARANTINE:
                self._start(self._orders.cut(frame.sequence, from_json(QuarantineOrder, frame.payload)))
            elif frame.kind is FrameKind.RELEASE:
                self._start(self._orders.release(frame.sequence, from_json(ReleaseOrder, frame.payload)))
            else:
                self.outbox.refuse(frame, f"a gate knows no {frame.kind.name}")
        except CodecError as error:
            self.outbox.refuse(frame, str(error))

    # --- what the orders ask of the connections ---

    def expel(self, address: AssetId) -> tuple[int, int]:
        """(connections that are reset, held writes that are discarded)."""
        cut = [client for client in self._clients.values() if client.address == address]
        writes = sum(held.client in cut for held in self._held.values())
        for client in cut:
            client.expel("its client is quarantined")
        return len(cut), writes

    def standing(self, address: AssetId) -> int:
        return self._per_address[address]

    def _start(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of the gate failed", exc_info=error)


def _allow_descriptors(connections: int) -> None:
    """Each client has a connection to the server beside its own; as many again may wait to be turned away.  Raises ConfigError."""
    need = 3 * connections + _OWN_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and need > hard:
        raise ConfigError("connections", f"{connections} need {need} file descriptors, the system allows {hard}")
    if soft != resource.RLIM_INFINITY and need > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))


def _nothing(flow: int, from_client: bool, octets: bytes) -> None:
    """Nobody observes."""
