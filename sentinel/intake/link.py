"""One connection of one collector: a reader that only sorts frames into lanes, and a worker per lane that has them kept."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

from sentinel.errors import PermanentError, TransientError
from sentinel.intake.values import BulkValues, RefusalError, urgent_value
from sentinel.model.codec import CodecError, from_json, to_json
from sentinel.model.command import Command, Origin
from sentinel.model.exchange import BULK, URGENT, Ack, Failure, Hello, ReceiptOf
from sentinel.model.framing import MAX_PAYLOAD_OCTETS, Frame, FrameKind, FrameReader, FramingError
from sentinel.model.ids import CommandId
from sentinel.ports import Outcome

HELLO_S = 5.0
URGENT_AT_ONCE = 4096  # commands and outcomes of one collector that the sink is keeping: none waits for the disk of another
_QUEUED_OCTETS = {True: 32 * 1024 * 1024, False: 3 * MAX_PAYLOAD_OCTETS}  # by lane; an honest sender's window is far below

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Sender:
    """One life of a process, over all its connections: by these it is known what was sent twice."""

    start: str
    bulk: int = 0  # everything up to it is kept
    urgent: int = 0
    begun: deque[int] = field(default_factory=deque)  # urgent sequences on their way into the sink, in order
    beyond: set[int] = field(default_factory=set)  # those of them that are kept while an earlier one is not
    left_s: float = 0.0  # when its last connection ended

    def kept(self, sequence: int) -> None:
        self.beyond.add(sequence)
        while self.begun and self.begun[0] in self.beyond:
            self.urgent = self.begun.popleft()
            self.beyond.discard(self.urgent)


class Door(Protocol):
    """What a link asks of the intake behind it."""

    def admit(self, link: "Link") -> bool: ...

    def leave(self, link: "Link") -> None: ...

    async def came(self, link: "Link", hello: Hello) -> Sender: ...

    async def went(self, link: "Link", hello: Hello) -> None: ...

    async def keep(self, value: Any) -> bool: ...

    def hold(self, command: CommandId, process: str) -> None: ...

    def settled(self, command: CommandId) -> None: ...

    def next_sequence(self) -> int: ...

    def count_refused(self) -> None: ...

    def count_repeated(self) -> None: ...


class Link(asyncio.Protocol):
    def __init__(self, door: Door) -> None:
        self._door = door
        self._frames = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._hello: asyncio.Future[Hello] = asyncio.get_running_loop().create_future()
        self._process = "an unnamed process"
        self._lanes: dict[bool, asyncio.Queue[Frame | None]] = {True: asyncio.Queue(), False: asyncio.Queue()}
        self._queued_octets = {True: 0, False: 0}
        self._asked: dict[int, asyncio.Future[bytes]] = {}
        self._failed = False  # nothing more is begun
        self._life: asyncio.Task[None] | None = None

    # --- the connection ---

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        if self._door.admit(self):
            self._life = asyncio.get_running_loop().create_task(self._live())
        else:
            transport.abort()

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

    async def ended(self) -> None:
        if self._life is not None:
            await asyncio.wait({self._life})

    def send(self, kind: FrameKind, payload: bytes) -> int | None:
        """Its sequence; None when the collector is gone."""
        if self._transport is None or self._transport.is_closing():
            return None
        sequence = self._door.next_sequence()
        self._transport.write(Frame(kind, sequence, payload).encode())
        return sequence

    async def ask(self, kind: FrameKind, payload: bytes) -> bytes:
        sequence = self.send(kind, payload)
        if sequence is None:
            raise TransientError("the collector is not connected")
        self._asked[sequence] = asyncio.get_running_loop().create_future()
        try:
            return await self._asked[sequence]
        finally:
            del self._asked[sequence]

    # --- sorting ---

    def _sort(self, frame: Frame) -> None:
        if not self._hello.done():
            if frame.kind is not FrameKind.HELLO:
                raise RefusalError(f"{frame.kind.name} before HELLO")
            hello = from_json(Hello, frame.payload)
            if not hello.process or len(hello.process) > 64 or not hello.process.isprintable():
                raise RefusalError("a process name has 1 to 64 printable characters")
            self._process = hello.process
            self._hello.set_result(hello)
        elif frame.kind in URGENT or frame.kind in BULK:
            urgent = frame.kind in URGENT
            self._queued_octets[urgent] += len(frame.payload)
            if self._queued_octets[urgent] > _QUEUED_OCTETS[urgent]:
                raise RefusalError("more octets on their way than the protocol allows")
            self._lanes[urgent].put_nowait(frame)
        elif frame.kind is FrameKind.EXCERPT:
            self._answer(frame.sequence, frame.payload)
        elif frame.kind is FrameKind.FAILURE:
            self._answer(frame.sequence, PermanentError(from_json(Failure, frame.payload).problem))
        else:
            raise RefusalError(f"a collector does not send {frame.kind.name}")

    def _answer(self, request: int | None, answer: bytes | Exception) -> None:
        waiting = self._asked.get(request) if request is not None else None
        if waiting is None or waiting.done():
            return  # whoever asked has given up
        if isinstance(answer, Exception):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)

    def _refuse(self, error: Exception) -> None:
        self._failed = True
        self._door.count_refused()
        log.warning("%s is cut off: %s", self._process, error)
        self.cut()

    def _end_lanes(self) -> None:
        if self._life is not None and not self._hello.done():
            self._hello.set_exception(RefusalError("it left without a HELLO"))
        for lane in self._lanes.values():
            lane.put_nowait(None)

    # --- keeping ---

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
            sender = await self._door.came(self, hello)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._work_urgent(sender))
                    group.create_task(self._work_bulk(sender))
            finally:
                await self._door.went(self, hello)
        finally:
            if self._transport is not None:
                self._transport.close()
            self._door.leave(self)

    async def _next(self, urgent: bool) -> Frame | None:
        """None at the end."""
        frame = await self._lanes[urgent].get()
        if frame is not None:
            self._queued_octets[urgent] -= len(frame.payload)
        return None if self._failed else frame

    async def _work_bulk(self, sender: Sender) -> None:
        values = BulkValues()
        while frame := await self._next(False):
            if frame.sequence <= sender.bulk:
                self._door.count_repeated()
            else:
                try:
                    value = await values.value(frame)
                except (CodecError, RefusalError) as error:
                    self._refuse(error)
                    return
                if value is None:
                    continue
                if not await self._door.keep(value):
                    self._give_up()
                    return
                sender.bulk = frame.sequence
            self._acknowledge(sender.bulk, urgent=False)

    async def _work_urgent(self, sender: Sender) -> None:
        """Values go into the sink in order, but none waits until an earlier one is out of it, except an outcome for its command."""
        sender.begun.clear()  # what a lost connection left unkept comes again
        room = asyncio.Semaphore(URGENT_AT_ONCE)
        commands: dict[CommandId, asyncio.Event] = {}
        async with asyncio.TaskGroup() as group:
            while frame := await self._next(True):
                if frame.sequence <= sender.urgent or frame.sequence in sender.beyond:
                    self._door.count_repeated()
                    if frame.sequence > sender.urgent:
                        sender.begun.append(frame.sequence)
                        sender.kept(frame.sequence)
                    self._acknowledge(sender.urgent, urgent=True)
                    continue
                try:
                    value = urgent_value(frame)
                except CodecError as error:
                    self._refuse(error)
                    return
                await room.acquire()
                kept = asyncio.Event()
                if isinstance(value, Command):
                    if value.origin is Origin.GATE:
                        self._door.hold(value.id, self._process)
                    commands[value.id] = kept
                elif isinstance(value, Outcome):
                    self._door.settled(value.command)
                sender.begun.append(frame.sequence)
                group.create_task(self._keep_urgent(sender, frame, value, kept, commands, room))

    async def _keep_urgent(
        self,
        sender: Sender,
        frame: Frame,
        value: Any,
        kept: asyncio.Event,
        commands: dict[CommandId, asyncio.Event],
        room: asyncio.Semaphore,
    ) -> None:
        try:
            if isinstance(value, Outcome) and value.command in commands:
                await commands[value.command].wait()
            if self._failed or not await self._door.keep(value.receipt if isinstance(value, ReceiptOf) else value):
                self._give_up()
                return
        finally:
            kept.set()
            room.release()
            if isinstance(value, Command):
                commands.pop(value.id, None)
        sender.kept(frame.sequence)
        self._acknowledge(sender.urgent, urgent=True)
        if isinstance(value, ReceiptOf):
            self._answer(value.request, frame.payload)

    def _give_up(self) -> None:
        """The collector connects again and re-sends everything that was not acknowledged."""
        self._failed = True
        self.cut()

    def _acknowledge(self, sequence: int, *, urgent: bool) -> None:
        self.send(FrameKind.ACK, to_json(Ack(sequence=sequence, urgent=urgent)))
