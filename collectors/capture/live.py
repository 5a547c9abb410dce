"""The capture process: live rings in, `Heard` out to the brain; answers for evidence with the frames it still has.

Kernels are compiled before a ring is opened, so that no packet waits for a compiler.  One thread hears and decodes (the kernels run
without the interpreter lock), the event loop talks to the brain.  Packets of several interfaces are put in order of time within a round.
"""

import asyncio
import contextlib
import logging
import select
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from collectors.capture.mask import masked
from collectors.capture.packets import DTYPES, PacketBatch
from collectors.capture.pcapng import Packet, to_pcapng
from collectors.capture.recent import RecentFrames
from collectors.capture.ring import Ring
from collectors.capture.sensor import Sensor
from collectors.capture.warm import warm
from collectors.outbox import Outbox
from collectors.released import retain
from sentinel.clock import Clock, SystemClock
from sentinel.errors import ConfigError, TransientError
from sentinel.model.codec import CodecError, from_json, load_arrow
from sentinel.model.exchange import ExcerptOrder
from sentinel.model.framing import Frame, FrameKind
from sentinel.model.observation import Heard, Messages
from sentinel.model.time import NS_PER_MS, Instant

log = logging.getLogger(__name__)

_POLL_MS = 50
_MERGE_OCTETS = 8 << 20  # of a round over several interfaces
_REQUESTS = 256  # for evidence, that wait
_RETAINED_OCTETS = 32 << 20  # the columns of some blocks, and their way to the brain


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureConfig:
    name: str = "capture"  # of the process and of its observations
    intake: str  # the brain's socket
    interfaces: tuple[str, ...]
    # What is handed over at once costs some milliseconds however little it is: long blocks, and time to fill them.  The ring holds what
    # comes in blocks * retire_ms at least, whatever keeps this process from reading it.
    block_octets: int = 2 << 20
    blocks: int = 32  # per interface
    retire_ms: int = 50  # a block that is not full is handed over after this
    fanout_group: int | None = None  # of the first interface, each further one has the next: processes of one group share the packets
    recent: str = ""  # directory of the recent frames that evidence is cut from; empty = none are kept
    recent_octets: int = 1 << 30
    recent_s: float = 86_400.0
    lag_ms: int = 250  # while nothing is heard the watermark stays this far behind the clock
    farewell_s: float = 2.0  # for what the brain has not acknowledged when the capture is asked to end

    def __post_init__(self) -> None:
        if not self.interfaces:
            raise ConfigError("interfaces", "at least one interface is needed")
        if len(set(self.interfaces)) != len(self.interfaces):
            raise ConfigError("interfaces", "an interface is named twice")
        page = 4096
        for key, low, high in (
            ("block_octets", 1 << 16, 1 << 24),
            ("blocks", 2, 1024),
            ("retire_ms", 1, 1000),
            ("recent_octets", 1 << 20, 1 << 40),
            ("recent_s", 1.0, 366 * 86_400.0),
            ("lag_ms", 20, 60_000),
            ("farewell_s", 0.0, 60.0),
        ):
            if not low <= getattr(self, key) <= high:
                raise ConfigError(key, f"{getattr(self, key)!r} is not between {low:g} and {high:g}")
        if self.block_octets % page:
            raise ConfigError("block_octets", f"{self.block_octets} is no multiple of {page}")


class Ear:
    """The rings, the sensor, and the frames that are kept.  `hear` runs in a thread, one call at a time."""

    def __init__(self, config: CaptureConfig, clock: Clock) -> None:
        self._clock = clock
        self._lag_ns = config.lag_ms * NS_PER_MS
        self.sensor = Sensor(config.name)
        self.recent: RecentFrames | None = None
        self.frames = 0  # the ordinal of the last one
        self._poll = select.poll()
        self._rings: dict[int, Ring] = {}
        try:
            for number, interface in enumerate(config.interfaces):
                group = None if config.fanout_group is None else (config.fanout_group + number) % (1 << 16)
                ring = Ring(interface, number, config.block_octets, config.blocks, config.retire_ms, group)
                self._rings[ring.fileno()] = ring
                self._poll.register(ring, select.POLLIN)
            if config.recent:
                heard_at = [(ring.interface, ring.link) for ring in self._rings.values()]
                self.recent = RecentFrames(Path(config.recent), heard_at, clock, limit_octets=config.recent_octets, limit_s=config.recent_s)
                self.frames = self.recent.last_frame
        except ConfigError:
            self.close()
            raise

    def hear(self) -> list[Heard]:
        """Wait a little for packets; what they completed, or the watermark moved on when there were none."""
        ready = self._poll.poll(_POLL_MS)
        heard: list[Heard] = []
        for descriptor, event in ready:
            if event & (select.POLLERR | select.POLLHUP):
                self._rings[descriptor].raise_error()
        for ring in self._rings.values():
            self.sensor.drop(ring.drops())
        before = self.frames
        if len(self._rings) == 1:
            ring = next(iter(self._rings.values()))
            for batch in ring.batches(self.frames + 1):
                heard.append(self._take(batch))
        else:
            heard += self._hear_merged()
        if self.frames == before:
            heard.append(self.sensor.flush(Instant(self._clock.now() - self._lag_ns)))
        return heard

    def finish(self) -> Heard:
        return self.sensor.close()

    def close(self) -> None:
        for ring in self._rings.values():
            ring.close()
        self._rings.clear()
        if self.recent is not None:
            self.recent.close()
            self.recent = None

    def _take(self, batch: PacketBatch) -> Heard:
        self.frames += len(batch)
        if self.recent is not None:
            self.recent.keep(batch)
        return self.sensor.feed(batch)

    def _hear_merged(self) -> list[Heard]:
        parts: list[PacketBatch] = []
        for ring in self._rings.values():
            size = 0
            for batch in ring.batches(1):
                start, end = int(batch.off.min()), int((batch.off + batch.cap).max())
                moved: dict[str, Any] = {name: getattr(batch, name) for name in DTYPES} | {"off": batch.off - start}
                parts.append(PacketBatch(octets=batch.octets[start:end].copy(), **moved))
                size += end - start
                if size > _MERGE_OCTETS:
                    break
        return [self._take(merged(parts, self.frames + 1))] if parts else []


def merged(parts: list[PacketBatch], first_frame: int) -> PacketBatch:
    """Several batches as one, in order of time; equal times keep the order of the parts."""
    shifts = np.cumsum([0, *(len(part.octets) for part in parts)])
    columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in DTYPES}
    columns["off"] = np.concatenate([part.off + shift for part, shift in zip(parts, shifts, strict=False)])
    order = np.argsort(columns["time"], kind="stable")
    columns = {name: np.ascontiguousarray(array[order]) for name, array in columns.items()}
    columns["frame"] = np.arange(first_frame, first_frame + len(order), dtype=np.int64)
    return PacketBatch(octets=np.concatenate([part.octets for part in parts]), **columns)


async def answer_excerpt(outbox: Outbox, recent: RecentFrames | None, source: str, request: Frame) -> None:
    """EXCERPT asks for frames; the answer is a pcapng of those that are still here, passwords masked, or FAILURE."""
    if request.kind is not FrameKind.EXCERPT:
        outbox.refuse(request, f"a capture does not understand {request.kind.name}")
        return
    try:
        order = from_json(ExcerptOrder, request.payload)
    except CodecError as error:
        outbox.refuse(request, str(error))
        return
    listed = set(order.frames)

    def cut() -> list[Packet]:
        return [] if recent is None else masked(recent.excerpt(order.frames, order.since, order.until, context=True))

    packets = await asyncio.to_thread(cut)
    found = listed & {packet.frame for packet in packets}
    if not found or (order.anew and min(listed) not in found):
        outbox.refuse(request, "these frames are no longer kept")
        return
    context = f" and {len(packets) - len(found)} before them" if len(packets) > len(found) else ""
    comment = f"finding {order.finding}: {len(found)} of {len(listed)} frames{context}, heard by {source}"
    outbox.answer(request, FrameKind.EXCERPT, to_pcapng(packets, comment))


async def run(config: CaptureConfig, stop: asyncio.Event, clock: Clock | None = None, hearing: asyncio.Event | None = None) -> None:
    """Until ``stop``; ``hearing`` is set once the rings stand.  Raises ConfigError for interfaces that cannot be heard."""
    await asyncio.to_thread(_prepare)
    ear = Ear(config, clock or SystemClock())
    requests: asyncio.Queue[Frame] = asyncio.Queue(_REQUESTS)
    outbox = Outbox(Path(config.intake), config.name, lambda request: _receive(outbox, requests, request), clock=clock)
    log.info("%s hears %s", config.name, ", ".join(config.interfaces))
    if hearing is not None:
        hearing.set()
    until, dropped = Instant(0), 0
    with contextlib.closing(ear):
        async with outbox.open(config.farewell_s), _answering(outbox, ear.recent, config.name, requests):
            while not stop.is_set():
                for heard in await asyncio.to_thread(ear.hear):
                    if heard.until > until or len(heard.messages) or len(heard.flows):
                        await _hand_over(outbox, heard)
                    until = heard.until
                    if heard.counters.dropped > dropped:
                        log.warning("%s has lost %d packets so far", config.name, heard.counters.dropped)
                        dropped = heard.counters.dropped
            await _hand_over(outbox, ear.finish())


def _prepare() -> None:
    """Everything that takes long the first time happens before a packet waits for it."""
    retain(_RETAINED_OCTETS)
    warm()
    load_arrow(Messages)


def _receive(outbox: Outbox, requests: asyncio.Queue[Frame], request: Frame) -> None:
    try:
        requests.put_nowait(request)
    except asyncio.QueueFull:
        outbox.refuse(request, f"{_REQUESTS} requests wait already")


@contextlib.asynccontextmanager
async def _answering(outbox: Outbox, recent: RecentFrames | None, source: str, requests: asyncio.Queue[Frame]) -> AsyncIterator[None]:
    """One request after the other, beside the hearing."""

    async def answer() -> None:
        while True:
            await answer_excerpt(outbox, recent, source, await requests.get())

    task = asyncio.create_task(answer(), name="excerpts")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()  # it never returns: our bug, and loud


async def _hand_over(outbox: Outbox, heard: Heard) -> None:
    try:
        await outbox.heard(heard)
    except TransientError as error:  # bulk is dropped and counted by the outbox; a blind spot shows in its counters
        log.warning("observations were lost: %s", error)
