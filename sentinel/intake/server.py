"""The listening side: who is connected, who holds which command, and what goes back to a collector."""

import asyncio
import fcntl
import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sentinel.clock import Clock, SystemClock
from sentinel.errors import ConfigError, TransientError
from sentinel.intake.link import Link, Sender
from sentinel.model.action import Receipt
from sentinel.model.codec import from_json, load_arrow, to_json
from sentinel.model.exchange import ExcerptOrder, Hello, Presence, QuarantineOrder, ReceiptOf, ReleaseOrder
from sentinel.model.framing import FrameKind
from sentinel.model.ids import CommandId
from sentinel.model.observation import Counters, Readings
from sentinel.ports import Outcome, Ruling, Sink

LINKS = 64  # collectors of one appliance, with room for those that come back before their old connection is noticed
ANSWER_S = 5.0
HELD_COMMANDS = 4096  # the oldest are forgotten first: their deadline is long over
SENDERS = 1024

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Hold:
    process: str  # the gate: the ruling may have to take a newer connection
    since_s: float
    ruled: bool = False


class Intake:
    """Serves from `start` (or ``async with``) until `close`."""

    def __init__(self, path: Path, sink: Sink, clock: Clock | None = None) -> None:
        self._path = path
        self._sink = sink
        self._clock = clock or SystemClock()
        self._server: asyncio.Server | None = None
        self._locked: int | None = None
        self._links: dict[str, Link] = {}
        self._open: set[Link] = set()
        self._senders: dict[str, Sender] = {}
        self._held: dict[CommandId, _Hold] = {}  # until their outcome comes
        self._accepted = self._refused = self._dropped = self._failed = 0
        self._changed = asyncio.Condition()
        self._sequence: int = self._clock.now()  # above every earlier brain's, so that a late answer never fits a later question

    @property
    def counters(self) -> Counters:
        """accepted: values the sink kept; refused: senders cut off; dropped: frames sent twice; failed: values the sink raised on."""
        return Counters(accepted=self._accepted, refused=self._refused, dropped=self._dropped, failed=self._failed)

    @property
    def present(self) -> tuple[str, ...]:
        return tuple(sorted(self._links))

    async def start(self) -> None:
        """Raises ConfigError when the directory or the socket cannot be made, or another brain listens there."""
        await asyncio.to_thread(load_arrow, Readings)  # or a write that is held meanwhile is not ruled in time
        directory = self._path.parent
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if stat.S_IMODE(directory.stat().st_mode) & 0o077:
                directory.chmod(0o700)
            self._lock()
            mask = os.umask(0o177)
            try:
                loop = asyncio.get_running_loop()
                self._server = await loop.create_unix_server(lambda: Link(self), str(self._path))
            finally:
                os.umask(mask)
        except OSError as error:
            raise ConfigError(str(self._path), f"cannot listen: {error}") from error

    async def close(self) -> None:
        if self._server is None:
            return
        self._server.close()
        links = list(self._open)
        for link in links:
            link.finish()
        await asyncio.gather(*(link.ended() for link in links))
        self._server = None
        self._path.unlink(missing_ok=True)
        self._unlock()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def rule(self, ruling: Ruling) -> bool:
        """Tells the gate that holds the command, once.  False: nobody holds it (any more)."""
        hold = self._held.get(ruling.command)
        if hold is None or hold.ruled:
            return False
        hold.ruled = True
        link = self._links.get(hold.process)
        return link is not None and link.send(FrameKind.RULING, to_json(ruling)) is not None

    async def quarantine(self, process: str, order: QuarantineOrder, timeout_s: float = ANSWER_S) -> Receipt:
        """Raises TransientError when the gate is away or silent, PermanentError when it refuses; so do `release` and `excerpt`."""
        return from_json(ReceiptOf, await self._ask(process, FrameKind.QUARANTINE, to_json(order), timeout_s)).receipt

    async def release(self, process: str, order: ReleaseOrder, timeout_s: float = ANSWER_S) -> Receipt:
        return from_json(ReceiptOf, await self._ask(process, FrameKind.RELEASE, to_json(order), timeout_s)).receipt

    async def excerpt(self, process: str, order: ExcerptOrder, timeout_s: float = ANSWER_S) -> bytes:
        """A capture excerpt (pcapng octets) of the frames that the sensor still has."""
        return await self._ask(process, FrameKind.EXCERPT, to_json(order), timeout_s)

    async def wait_present(self, process: str) -> None:
        """Returns once that collector is connected; wrap it in a timeout."""
        async with self._changed:
            await self._changed.wait_for(lambda: process in self._links)

    async def wait_absent(self, process: str) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: process not in self._links)

    async def _ask(self, process: str, kind: FrameKind, payload: bytes, timeout_s: float) -> bytes:
        link = self._links.get(process)
        if link is None:
            raise TransientError(f"{process} is not connected")
        try:
            return await asyncio.wait_for(link.ask(kind, payload), timeout_s)
        except TimeoutError as error:
            raise TransientError(f"{process} gave no answer within {timeout_s:g} s") from error

    def _lock(self) -> None:
        """A killed brain leaves its socket behind, a living one must not be robbed of it: the lock ends with the process."""
        self._locked = os.open(self._path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._unlock()
            raise ConfigError(str(self._path), "another process listens here already") from error
        self._path.unlink(missing_ok=True)

    def _unlock(self) -> None:
        if self._locked is not None:
            os.close(self._locked)
            self._locked = None

    async def came(self, link: "Link", hello: Hello) -> Sender:
        """Registers a collector; of two that call themselves alike the newer one is believed."""
        while older := self._links.get(hello.process):
            older.cut()
            await older.ended()  # what it still delivers comes before what the newer one re-sends
        self._links[hello.process] = link
        sender = self._senders.get(hello.process)
        if sender is None or sender.start != hello.start:
            if sender is not None:
                await self._settle_for(hello.process, sender.left_s)
            self._senders.pop(hello.process, None)
            sender = self._senders[hello.process] = Sender(hello.start)
            while len(self._senders) > SENDERS:
                del self._senders[next(iter(self._senders))]
        await self._announce(hello, present=True)
        return sender

    async def _settle_for(self, process: str, left_s: float) -> None:
        """A new life of a gate: what its earlier one held and told no outcome of was not forwarded, for it tells before it forwards."""
        for command in [command for command, hold in self._held.items() if hold.process == process]:
            held_ms = 1000 * max(0.0, left_s - self._held.pop(command).since_s)
            reason = "the gate ended while it held the write: not forwarded"
            outcome = Outcome(command=command, forwarded=False, ruled=False, held_ms=held_ms, reason=reason, at=self._clock.now())
            await self.keep(outcome)

    async def went(self, link: "Link", hello: Hello) -> None:
        if sender := self._senders.get(hello.process):
            sender.left_s = self._clock.monotonic_s()
        if self._links.get(hello.process) is link:
            del self._links[hello.process]
            await self._announce(hello, present=False)

    async def _announce(self, hello: Hello, *, present: bool) -> None:
        async with self._changed:
            self._changed.notify_all()
        await self.keep(Presence(process=hello.process, start=hello.start, present=present, at=self._clock.now()))

    async def keep(self, value: Any) -> bool:
        """False: the sender shall send it again."""
        try:
            await self._sink(value)
        except TransientError as error:
            self._failed += 1
            log.warning("a %s could not be kept yet: %s", type(value).__name__, error)
            return False
        except Exception:
            self._failed += 1
            log.exception("a %s could not be kept", type(value).__name__)
        else:
            self._accepted += 1
        return True

    def hold(self, command: CommandId, process: str) -> None:
        self._held[command] = _Hold(process, self._clock.monotonic_s())
        while len(self._held) > HELD_COMMANDS:
            del self._held[next(iter(self._held))]

    def settled(self, command: CommandId) -> None:
        self._held.pop(command, None)

    def admit(self, link: Link) -> bool:
        if len(self._open) >= LINKS:
            self._refused += 1
            return False
        self._open.add(link)
        return True

    def leave(self, link: Link) -> None:
        self._open.discard(link)

    def next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence

    def count_refused(self) -> None:
        self._refused += 1

    def count_repeated(self) -> None:
        self._dropped += 1
