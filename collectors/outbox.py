"""The collector's side of the socket to the brain: what was handed in is delivered, in order, until the brain says that it has kept it.

In: observations (`heard`, `readings`), commands, outcomes, receipts; they wait here until they are acknowledged, and are sent again after
the connection was lost.  Out: frames on the brain's unix socket; the brain's own requests go to the ``receive`` callback.
The octets that may wait are bounded.  When there is no room the oldest bulk (observations) that is not on the wire is dropped and counted;
an urgent frame (`sentinel.model.exchange.URGENT`) is never dropped: it displaces bulk, and only when urgent frames alone fill the outbox is
a further one refused with `TransientError`.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentinel.clock import Clock, SystemClock
from sentinel.errors import TransientError
from sentinel.model.codec import CodecError, from_json, to_arrow, to_json
from sentinel.model.command import Command
from sentinel.model.exchange import BULK, URGENT, Ack, Failure, Hello, Mark, Polled, ReceiptOf
from sentinel.model.framing import MAX_PAYLOAD_OCTETS, Frame, FrameKind, FrameReader, FramingError
from sentinel.model.observation import Counters, Heard, Outage, TurnedAway
from sentinel.ports import Outcome

OUTBOX_OCTETS = 64 * 1024 * 1024
FLIGHT_OCTETS = 8 * 1024 * 1024  # of one lane, sent and not yet acknowledged; at least one entry is always let go
FLIGHT_ENTRIES = 4096  # so many that a held write does not wait for others to be kept
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.05, 1.0
_ENTRY_OVERHEAD_OCTETS = 64
_LONG_OCTETS = 1 << 16  # of an entry

Receive = Callable[[Frame], None]
Parts = tuple[tuple[FrameKind, bytes], ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    """Frames that are delivered together or not at all."""

    sequence: int  # of the last one
    pieces: tuple[bytes, ...]  # header and payload in turn: a payload may be long, and is not copied to stand behind its header
    octets: int


class _Lane:
    def __init__(self) -> None:
        self.waiting: deque[_Entry] = deque()
        self.flying: deque[_Entry] = deque()
        self.flying_octets = 0

    def next_entry(self) -> _Entry | None:
        """Moves one entry onto the wire, if there is one and room for it."""
        if not self.waiting:
            return None
        entry = self.waiting[0]
        if self.flying and (len(self.flying) >= FLIGHT_ENTRIES or self.flying_octets + entry.octets > FLIGHT_OCTETS):
            return None
        self.flying.append(self.waiting.popleft())
        self.flying_octets += entry.octets
        return entry

    def forget(self, sequence: int) -> int:
        """Octets of the entries that an acknowledgement covers."""
        freed = 0
        while self.flying and self.flying[0].sequence <= sequence:
            freed += self.flying.popleft().octets
        self.flying_octets -= freed
        return freed

    def land(self) -> None:
        """The connection is lost: what was flying waits again, in its order."""
        self.waiting.extendleft(reversed(self.flying))
        self.flying.clear()
        self.flying_octets = 0


class Outbox:
    """One per collector process.  `run` keeps the connection until it is cancelled; everything else may be called at any time."""

    def __init__(
        self,
        path: Path,
        process: str,
        receive: Receive | None = None,
        *,
        clock: Clock | None = None,
        limit_octets: int = OUTBOX_OCTETS,
    ) -> None:
        """``receive`` gets RULING, QUARANTINE, RELEASE and EXCERPT frames, in the event loop; it must return at once."""
        clock = clock or SystemClock()
        self._path = path
        self._hello = Hello(process=process, pid=os.getpid(), start=f"{os.getpid()}-{clock.now()}")
        self._receive = receive
        self._limit_octets = limit_octets
        self._octets = 0
        self._urgent_octets = 0
        self._sequence = 0
        self._urgent, self._bulk = _Lane(), _Lane()
        self._link: _Link | None = None
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._connected = asyncio.Event()
        self._accepted = self._refused = self._dropped = self._failed = 0

    @property
    def counters(self) -> Counters:
        """accepted and dropped count entries (a heard batch is one); failed counts connections that could not be made or were lost."""
        return Counters(accepted=self._accepted, refused=self._refused, dropped=self._dropped, failed=self._failed)

    @property
    def connected(self) -> asyncio.Event:
        """Set while the brain is there."""
        return self._connected

    async def send(self, kind: FrameKind, payload: bytes) -> int:
        """The frame's sequence.  Raises TransientError when there is no room, ValueError when no frame can carry the payload."""
        return self.put(((kind, payload),))

    async def heard(self, heard: Heard) -> int:
        return self.put(heard_frames(heard))

    async def readings(self, polled: Polled) -> int:
        metadata = _metadata(polled.source, polled.until, polled.counters)
        return self.put(((FrameKind.READINGS, to_arrow(polled.readings, metadata)),))

    async def command(self, command: Command) -> int:
        return self.put(((FrameKind.COMMAND, to_json(command)),))

    async def outcome(self, outcome: Outcome) -> int:
        return self.put(((FrameKind.OUTCOME, to_json(outcome)),))

    async def receipt(self, receipt: ReceiptOf) -> int:
        return self.put(((FrameKind.RECEIPT, to_json(receipt)),))

    async def outage(self, outage: Outage) -> int:
        return self.put(((FrameKind.OUTAGE, to_json(outage)),))

    async def turned_away(self, told: TurnedAway) -> int:
        return self.put(((FrameKind.TURNED_AWAY, to_json(told)),))

    def put(self, parts: Parts) -> int:
        """The same as `send` without a coroutine, for callers on a hot path; several parts travel as one entry."""
        if not all(kind in BULK or kind in URGENT for kind, _ in parts):
            raise ValueError("only what the brain acknowledges goes through the outbox")
        if any(len(payload) > MAX_PAYLOAD_OCTETS for _, payload in parts):
            self._refused += 1
            raise ValueError(f"a payload above {MAX_PAYLOAD_OCTETS} octets: hand it in in smaller batches")
        first = self._sequence + 1
        pieces = tuple(piece for at, (kind, payload) in enumerate(parts) for piece in (Frame(kind, first + at, payload).header(), payload))
        octets = sum(map(len, pieces)) + _ENTRY_OVERHEAD_OCTETS
        urgent = parts[0][0] in URGENT
        self._make_room(octets, urgent)
        self._sequence += len(parts)
        lane = self._urgent if urgent else self._bulk
        lane.waiting.append(_Entry(self._sequence, pieces, octets))
        self._octets += octets
        self._urgent_octets += octets if urgent else 0
        self._accepted += 1
        self._emptied.clear()
        self._pump()
        return self._sequence

    def answer(self, request: Frame, kind: FrameKind, payload: bytes) -> None:
        """Replies to one of the brain's frames (EXCERPT, FAILURE).  Kept nowhere: a brain that is gone waits for no answer."""
        if self._link and self._link.transport:
            self._link.transport.write(Frame(kind, request.sequence, payload).encode())

    def refuse(self, request: Frame, problem: str) -> None:
        self.answer(request, FrameKind.FAILURE, to_json(Failure(problem=problem)))

    async def drained(self) -> None:
        """Returns once everything handed in has been acknowledged; wrap it in a timeout."""
        await self._emptied.wait()

    @asynccontextmanager
    async def open(self, farewell_s: float) -> AsyncIterator[None]:
        """Sends while the body runs; what then still waits gets so long to be acknowledged, unless the body failed."""
        sending = asyncio.create_task(self.run(), name="outbox")
        try:
            yield
            with suppress(TimeoutError):
                await asyncio.wait_for(self.drained(), farewell_s)
        finally:
            sending.cancel()
            await asyncio.wait({sending})
            if not sending.cancelled():
                sending.result()  # it never returns: our bug, and loud

    async def run(self) -> None:
        """Connects, and connects again after 50 ms to 1 s, until cancelled."""
        loop = asyncio.get_running_loop()
        delay_s = _FIRST_DELAY_S
        while True:
            try:
                _, link = await loop.create_unix_connection(lambda: _Link(self), str(self._path))
            except OSError:
                self._failed += 1
            else:
                delay_s = _FIRST_DELAY_S
                try:
                    await link.lost.wait()
                finally:
                    link.close()
                self._failed += 1
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, _LONGEST_DELAY_S)

    def _make_room(self, octets: int, urgent: bool) -> None:
        while self._octets + octets > self._limit_octets and self._bulk.waiting:
            self._octets -= self._bulk.waiting.popleft().octets
            self._dropped += 1
        displaced = self._urgent_octets if urgent else self._octets  # bulk on the wire does not count against an urgent frame
        if displaced + octets > self._limit_octets:
            self._refused += 1
            raise TransientError(f"outbox is full: {displaced} of {self._limit_octets} octets wait for the brain")

    def _pump(self) -> None:
        link = self._link
        if link is None or link.transport is None:
            return
        while entry := self._urgent.next_entry():
            _write(link.transport, entry)
        while not link.paused and (entry := self._bulk.next_entry()):
            _write(link.transport, entry)

    def _opened(self, link: "_Link") -> None:
        self._link = link
        assert link.transport is not None
        link.transport.write(Frame(FrameKind.HELLO, 0, to_json(self._hello)).encode())
        self._connected.set()
        self._pump()

    def _closed(self, link: "_Link") -> None:
        if self._link is link:
            self._link = None
            self._connected.clear()
            self._urgent.land()
            self._bulk.land()

    def _arrived(self, frame: Frame) -> None:
        if frame.kind is not FrameKind.ACK:
            if self._receive is not None:
                self._receive(frame)
            return
        ack = from_json(Ack, frame.payload)
        freed = (self._urgent if ack.urgent else self._bulk).forget(ack.sequence)
        self._octets -= freed
        self._urgent_octets -= freed if ack.urgent else 0
        if not (self._urgent.flying or self._urgent.waiting or self._bulk.flying or self._bulk.waiting):
            self._emptied.set()
        self._pump()


class _Link(asyncio.Protocol):
    """One connection to the brain."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._frames = FrameReader()
        self.transport: asyncio.Transport | None = None
        self.paused = False
        self.lost = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._outbox._opened(self)

    def data_received(self, octets: bytes) -> None:
        try:
            for frame in self._frames.feed(octets):
                self._outbox._arrived(frame)
        except (FramingError, CodecError):
            self.close()  # the brain does not speak our language: connecting again is the only way back into step

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._outbox._pump()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self._outbox._closed(self)
        self.lost.set()

    def close(self) -> None:
        if self.transport:
            self.transport.abort()


def _write(transport: asyncio.Transport, entry: _Entry) -> None:
    """Together, for the sake of system calls, or, where that would copy much, one piece after the other: a view is not copied to be cut."""
    if entry.octets < _LONG_OCTETS:
        transport.writelines(entry.pieces)
    else:
        for piece in entry.pieces:
            transport.write(memoryview(piece))


def heard_frames(heard: Heard) -> Parts:
    """What `Outbox.heard` hands to `Outbox.put`; touches no outbox, so it may be made in a thread."""
    metadata = _metadata(heard.source, heard.until, heard.counters)
    mark = Mark(source=heard.source, until=heard.until, counters=heard.counters)
    return (
        (FrameKind.HEARD_MESSAGES, to_arrow(heard.messages, metadata)),
        (FrameKind.HEARD_FLOWS, to_arrow(heard.flows, metadata)),
        *(((FrameKind.HEARD_DETAILS, to_arrow(heard.details, metadata)),) if len(heard.details) else ()),
        (FrameKind.HEARD, to_json(mark)),
    )


def _metadata(source: str, until: int, counters: Counters) -> dict[str, str]:
    return {"source": source, "until": str(until), "counters": to_json(counters).decode()}
