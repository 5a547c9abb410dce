"""The brain's side of the socket: what collectors deliver becomes typed values for one sink, and is acknowledged once the sink has kept it.

In: frames of `sentinel.model.framing` on a unix socket (0600 in a directory of 0700).
Out, to the sink: `Heard`, `Polled`, `Command`, `Outcome`, `Outage`, `Receipt` and `Presence`.  The sink returns as soon as a value is
kept: judging goes on elsewhere and comes back by `rule`.  It is called from two workers per collector, so that a command never waits
behind a batch of observations; order is kept within each of the two lanes (`sentinel.model.exchange`).
Nothing is acknowledged before the sink has returned.  A sink that raises `TransientError` gets the value again, when the collector has
connected anew; any other exception is our bug: logged, counted as failed, and not repeated, for one bad value must not block the road.
What had arrived when a collector vanished is still kept.  A sender whose frames contradict the protocol is cut off and counted as refused.
"""

import asyncio
import fcntl
import logging
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from sentinel.clock import Clock, SystemClock
from sentinel.errors import ConfigError, PermanentError, TransientError
from sentinel.model.action import Receipt
from sentinel.model.codec import CodecError, from_arrow, from_json, to_json
from sentinel.model.command import Command
from sentinel.model.exchange import (
    BULK,
    URGENT,
    Ack,
    ExcerptOrder,
    Failure,
    Hello,
    Mark,
    Polled,
    Presence,
    QuarantineOrder,
    ReceiptOf,
    ReleaseOrder,
)
from sentinel.model.framing import MAX_PAYLOAD_OCTETS, Frame, FrameKind, FrameReader, FramingError
from sentinel.model.ids import CommandId
from sentinel.model.observation import Counters, Flows, Heard, Messages, Outage, Readings
from sentinel.model.time import Instant
from sentinel.ports import Outcome, Ruling, Sink

LINKS = 64  # collectors of one appliance, with room for those that come back before their old connection is noticed
HELLO_S = 5.0
ANSWER_S = 5.0
HELD_COMMANDS = 4096  # the oldest are forgotten first: their deadline is long over
SENDERS = 1024
_QUEUED_OCTETS = {True: 32 * 1024 * 1024, False: 3 * MAX_PAYLOAD_OCTETS}  # by lane; an honest sender's window is far below
_THREAD_OCTETS = 256 * 1024  # an Arrow payload above this is unpacked beside the event loop

log = logging.getLogger(__name__)


class RefusalError(ValueError):
    """The sender's fault."""


@dataclass(slots=True)
class _Sender:
    """One life of a process, over all its connections: by these it is known what was sent twice."""

    start: str
    kept: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})  # by lane


class Intake:
    """Serves from `start` (or ``async with``) until `close`."""

    def __init__(self, path: Path, sink: Sink, clock: Clock | None = None) -> None:
        self._path = path
        self._sink = sink
        self._clock = clock or SystemClock()
        self._server: asyncio.Server | None = None
        self._locked: int | None = None
        self._links: dict[str, _Link] = {}
        self._open: set[_Link] = set()
        self._senders: dict[str, _Sender] = {}
        self._held: dict[CommandId, str] = {}  # the process of the gate: the ruling may have to take a newer connection
        self._accepted = self._refused = self._dropped = self._failed = 0
        self._changed = asyncio.Condition()

    @property
    def counters(self) -> Counters:
        """accepted: values the sink kept; refused: senders cut off; dropped: frames sent twice; failed: values the sink raised on."""
        return Counters(accepted=self._accepted, refused=self._refused, dropped=self._dropped, failed=self._failed)

    @property
    def present(self) -> tuple[str, ...]:
        return tuple(sorted(self._links))

    async def start(self) -> None:
        """Raises ConfigError when the directory or the socket cannot be made, or another brain listens there."""
        directory = self._path.parent
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if stat.S_IMODE(directory.stat().st_mode) & 0o077:
                directory.chmod(0o700)
            self._lock()
            mask = os.umask(0o177)
            try:
                loop = asyncio.get_running_loop()
                self._server = await loop.create_unix_server(lambda: _Link(self), str(self._path))
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
        """Tells the gate that holds the command.  False: nobody holds it (any more)."""
        link = self._links.get(self._held.pop(ruling.command, ""))
        return link is not None and link.send(FrameKind.RULING, to_json(ruling))

    async def quarantine(self, process: str, order: QuarantineOrder, timeout_s: float = ANSWER_S) -> Receipt:
        """Raises TransientError when the gate is away or silent, PermanentError when it refuses; so do `release` and `excerpt`."""
        return from_json(ReceiptOf, await self._ask(process, FrameKind.QUARANTINE, to_json(order), timeout_s)).receipt

    async def release(self, process: str, order: ReleaseOrder, timeout_s: float = ANSWER_S) -> Receipt:
        return from_json(ReceiptOf, await self._ask(process, FrameKind.RELEASE, to_json(order), timeout_s)).receipt

    async def excerpt(self, process: str, order: ExcerptOrder, timeout_s: float = ANSWER_S) -> bytes:
        """A capture excerpt (pcap octets) of the frames that the sensor still has."""
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

    async def _came(self, link: "_Link", hello: Hello) -> _Sender:
        """Registers a collector; of two that call themselves alike the newer one is believed."""
        while older := self._links.get(hello.process):
            older.cut()
            await older.ended()  # what it still delivers comes before what the newer one re-sends
        self._links[hello.process] = link
        sender = self._senders.get(hello.process)
        if sender is None or sender.start != hello.start:
            self._senders.pop(hello.process, None)
            sender = self._senders[hello.process] = _Sender(hello.start)
            while len(self._senders) > SENDERS:
                del self._senders[next(iter(self._senders))]
        await self._announce(hello, present=True)
        return sender

    async def _went(self, link: "_Link", hello: Hello) -> None:
        if self._links.get(hello.process) is link:
            del self._links[hello.process]
            await self._announce(hello, present=False)

    async def _announce(self, hello: Hello, *, present: bool) -> None:
        async with self._changed:
            self._changed.notify_all()
        await self._keep(Presence(process=hello.process, start=hello.start, present=present, at=self._clock.now()))

    async def _keep(self, value: Any) -> bool:
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

    def _hold(self, command: CommandId, process: str) -> None:
        self._held[command] = process
        while len(self._held) > HELD_COMMANDS:
            del self._held[next(iter(self._held))]


class _Link(asyncio.Protocol):
    """One connection of one collector: a reader that only sorts into lanes, and a worker per lane."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._frames = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._hello: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        self._lanes: dict[bool, asyncio.Queue[Frame | None]] = {True: asyncio.Queue(), False: asyncio.Queue()}
        self._queued_octets = {True: 0, False: 0}
        self._sequence = 0
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._life: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        if len(self._intake._open) >= LINKS:
            self._intake._refused += 1
            transport.abort()
            return
        self._intake._open.add(self)
        self._life = asyncio.get_running_loop().create_task(self._live())

    def data_received(self, octets: bytes) -> None:
        try:
            for frame in self._frames.feed(octets):
                self._sort(frame)
        except (FramingError, CodecError, RefusalError) as error:
            self._refuse(error)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(TransientError("the collector vanished before it answered"))
        self._end_lanes()

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def finish(self) -> None:
        """Takes no more, keeps and acknowledges what has arrived, then closes."""
        if self._transport is not None:
            self._transport.pause_reading()
        self._end_lanes()

    def _end_lanes(self) -> None:
        if not self._hello.done():
            self._hello.set_exception(RefusalError("it left without a HELLO"))
        for lane in self._lanes.values():
            lane.put_nowait(None)

    async def ended(self) -> None:
        if self._life is not None:
            await asyncio.wait({self._life})

    def send(self, kind: FrameKind, payload: bytes) -> bool:
        if self._transport is None or self._transport.is_closing():
            return False
        self._sequence += 1
        self._transport.write(Frame(kind, self._sequence, payload).encode())
        return True

    async def ask(self, kind: FrameKind, payload: bytes) -> bytes:
        if not self.send(kind, payload):
            raise TransientError("the collector is not connected")
        sequence = self._sequence
        self._asked[sequence] = asyncio.get_running_loop().create_future()
        try:
            return await self._asked[sequence]
        finally:
            del self._asked[sequence]

    def _sort(self, frame: Frame) -> None:
        if not self._hello.done():
            if frame.kind is not FrameKind.HELLO:
                raise RefusalError(f"{frame.kind.name} before HELLO")
            hello = from_json(Hello, frame.payload)
            if not hello.process or len(hello.process) > 64 or not hello.process.isprintable():
                raise RefusalError("a process name has 1 to 64 printable characters")
            self._hello.set_result(hello)
        elif frame.kind in URGENT or frame.kind in BULK:
            urgent = frame.kind in URGENT
            self._queued_octets[urgent] += len(frame.payload)
            if self._queued_octets[urgent] > _QUEUED_OCTETS[urgent]:
                raise RefusalError("more octets on their way than the protocol allows")
            self._lanes[urgent].put_nowait(frame)
        elif frame.kind in (FrameKind.EXCERPT, FrameKind.FAILURE):
            self._answered(frame)
        else:
            raise RefusalError(f"a collector does not send {frame.kind.name}")

    def _answered(self, frame: Frame) -> None:
        waiting = self._asked.get(frame.sequence)
        if waiting is None or waiting.done():
            return  # too late: whoever asked has given up
        if frame.kind is FrameKind.FAILURE:
            waiting.set_exception(PermanentError(from_json(Failure, frame.payload).problem))
        else:
            waiting.set_result(frame.payload)

    def _refuse(self, error: Exception) -> None:
        self._intake._refused += 1
        named = self._hello.done() and not self._hello.cancelled() and self._hello.exception() is None
        log.warning("%s is cut off: %s", self._hello.result().process if named else "an unnamed process", error)
        self.cut()

    async def _live(self) -> None:
        try:
            try:
                hello = await asyncio.wait_for(self._hello, HELLO_S)
            except TimeoutError:
                self._refuse(RefusalError(f"no HELLO within {HELLO_S:g} s"))
                return
            except RefusalError as error:
                log.info("a connection to the intake ended: %s", error)
                return
            sender = await self._intake._came(self, hello)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._work(sender, True))
                    group.create_task(self._work(sender, False))
            finally:
                await self._intake._went(self, hello)
        finally:
            if self._transport is not None:
                self._transport.close()
            self._intake._open.discard(self)

    async def _work(self, sender: _Sender, urgent: bool) -> None:
        parts: dict[FrameKind, Frame] = {}
        while True:
            frame = await self._lanes[urgent].get()
            if frame is None:
                return
            self._queued_octets[urgent] -= len(frame.payload)
            if frame.sequence <= sender.kept[urgent]:
                self._intake._dropped += 1
                self._acknowledge(sender, urgent)
                continue
            try:
                value = await self._value(frame, parts)
            except (CodecError, RefusalError) as error:
                self._refuse(error)
                return
            if value is None:
                continue
            if not await self._intake._keep(value.receipt if isinstance(value, ReceiptOf) else value):
                self.cut()  # the collector connects again and re-sends everything that was not acknowledged
                return
            sender.kept[urgent] = frame.sequence
            self._acknowledge(sender, urgent)
            if isinstance(value, ReceiptOf) and value.request in self._asked and not self._asked[value.request].done():
                self._asked[value.request].set_result(frame.payload)

    def _acknowledge(self, sender: _Sender, urgent: bool) -> None:
        self.send(FrameKind.ACK, to_json(Ack(sequence=sender.kept[urgent], urgent=urgent)))

    async def _value(self, frame: Frame, parts: dict[FrameKind, Frame]) -> Any:
        """None while a heard batch is not complete."""
        kind = frame.kind
        if kind is FrameKind.COMMAND:
            command = from_json(Command, frame.payload)
            self._intake._hold(command.id, self._hello.result().process)
            return command
        if kind is FrameKind.OUTCOME:
            outcome = from_json(Outcome, frame.payload)
            self._intake._held.pop(outcome.command, None)
            return outcome
        if kind is FrameKind.OUTAGE:
            return from_json(Outage, frame.payload)
        if kind is FrameKind.RECEIPT:
            return from_json(ReceiptOf, frame.payload)
        if kind is FrameKind.READINGS:
            readings, metadata = await _unpack(Readings, frame)
            mark = _mark_of(metadata)
            return Polled(source=mark.source, until=mark.until, readings=readings, counters=mark.counters)
        if kind is not FrameKind.HEARD:
            if kind in parts or (kind is FrameKind.HEARD_FLOWS and FrameKind.HEARD_MESSAGES not in parts):
                raise RefusalError(f"{kind.name} out of order")
            parts[kind] = frame
            return None
        if len(parts) != 2:
            raise RefusalError("HEARD without its messages and flows")
        messages, metadata = await _unpack(Messages, parts.pop(FrameKind.HEARD_MESSAGES))
        flows, _ = await _unpack(Flows, parts.pop(FrameKind.HEARD_FLOWS))
        mark = from_json(Mark, frame.payload)
        if metadata.get("source") != mark.source:
            raise RefusalError("HEARD and its messages name different sources")
        return Heard(source=mark.source, until=mark.until, messages=messages, flows=flows, counters=mark.counters)


async def _unpack(kind: Any, frame: Frame) -> tuple[Any, dict[str, str]]:
    if len(frame.payload) > _THREAD_OCTETS:
        return await asyncio.to_thread(from_arrow, kind, frame.payload)
    columns, metadata = from_arrow(kind, frame.payload)
    return columns, metadata


def _mark_of(metadata: dict[str, str]) -> Mark:
    """The metadata of a READINGS frame; its values are text, `until` a decimal number."""
    try:
        until, counters = Instant(int(metadata["until"])), from_json(Counters, metadata["counters"])
        return Mark(source=metadata["source"], until=until, counters=counters)
    except (KeyError, ValueError) as error:
        raise RefusalError(f"READINGS without a usable {error}") from error
