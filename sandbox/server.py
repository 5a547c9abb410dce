"""The court in session: a unix socket, a queue with held commands first, one judge.

In: frames of `sandbox.protocol`.  Out: HELLO on each connection; a VERDICT or a FAILURE for each JUDGE, after BEGUN where it is heard; of
a held command the judgement first, as soon as it is known, and a second VERDICT when it is complete, for which nobody who holds another
one has to wait.  A connection that does not speak the protocol is told so and closed; nothing that arrives ends the process.  The queue is
bounded: what does not fit is refused at once.
"""

import asyncio
import gc
import heapq
import itertools
import logging
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from sandbox import protocol
from sandbox.config import BEGIN, END, READY, CourtConfig
from sandbox.isolation import Isolation, Layer, LayerReport, lock_down
from sandbox.judge import hearing, judge, undecided
from sandbox.replay import OutOfTimeError, Replay
from sentinel.clock import Clock, SystemClock
from sentinel.errors import ConfigError
from sentinel.model.codec import CodecError, to_json
from sentinel.model.command import Command, Origin, TagWrite
from sentinel.model.framing import Frame, FrameKind, FrameReader, FramingError
from sentinel.model.ids import AssetId, CommandId, Digest
from sentinel.model.time import Instant
from sentinel.model.verdict import Verdict
from sentinel.twin.engine import compile_model, initial
from sentinel.twin.plant import load_plant
from sentinel.twin.snapshot import Grade, Health, Snapshot

log = logging.getLogger("court")

MAX_WAITING = 256
MAX_BEGUN = 32  # verdicts that are given and not complete: a flood of refused writes must not fill the queue with what is owed to it
MAX_SNAPSHOTS = 8
MAX_CONNECTIONS = 16
_CHUNK = 65536
_LAST_RUN_BEGINS = 0.6  # of a case's limit: one that is long has the rest before the warden ends the court
_REHEARSAL_MEMBERS, _REHEARSAL_HORIZON_S = 16, 60.0
_NOT_ISOLATED = "the court is not isolated on this machine and takes nothing from the wire: only planned commands are judged"
_URGENT, _PATIENT, _BEGUN, _IDLE = 0, 1, 2, 3
_TRUSTED_ORIGINS = frozenset({Origin.API, Origin.PLANNER})  # values that our own processes made, not bytes from the wire


@dataclass(order=True, slots=True)
class Waiting:
    priority: int
    arrival: int
    since_s: float = field(compare=False)
    sequence: int = field(compare=False)
    snapshot: Digest = field(compare=False)
    request: protocol.Request | None = field(compare=False, default=None)  # None: make the snapshot's baseline ready
    writer: asyncio.StreamWriter | None = field(compare=False, default=None)
    hearing: "Iterator[Verdict | None] | None" = field(compare=False, default=None)  # begun: its first verdict is given
    took_s: float = field(compare=False, default=0.0)


class Court:
    """``tell`` reports BEGIN before and END after each case to whoever watches the time."""

    def __init__(self, config: CourtConfig, replay: Replay, takes_untrusted: bool, clock: Clock, tell: Callable[[bytes], object]) -> None:
        self._config = config
        self._replay = replay
        self._takes_untrusted = takes_untrusted
        self._clock = clock
        self._tell = tell
        self._snapshots: OrderedDict[Digest, Snapshot] = OrderedDict()
        self._queue: list[Waiting] = []
        self._arrivals = itertools.count()
        self._filled = asyncio.Event()
        self._connections = 0
        self._computed_s = time.process_time()
        replay.before_run = self._in_time

    def _in_time(self) -> None:
        """Before each rollout: a case that takes too long costs itself its verdict, and not the court its life."""
        limit_s = _LAST_RUN_BEGINS * self._config.case_limit_s
        if time.process_time() - self._computed_s > limit_s:
            raise OutOfTimeError(f"the case was not done after {limit_s:g} s of the processor")

    async def hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until it ends or stops making sense."""
        frames = FrameReader(protocol.MAX_REQUEST_OCTETS)
        self._connections += 1
        try:
            if self._connections > MAX_CONNECTIONS:
                writer.write(protocol.failure(0, "too many connections").encode())
                return
            writer.write(protocol.HELLO.encode())
            while octets := await reader.read(_CHUNK):
                for frame in frames.feed(octets):
                    self._take(frame, writer)
                await writer.drain()
        except FramingError as error:
            writer.write(protocol.failure(0, str(error)).encode())
        except ConnectionError as error:
            log.info("a connection ended: %s", error)
        finally:
            self._connections -= 1
            writer.close()

    def _take(self, frame: Frame, writer: asyncio.StreamWriter) -> None:
        try:
            if frame.kind is FrameKind.SNAPSHOT:
                self._keep(Snapshot.from_octets(frame.payload))
            elif frame.kind is FrameKind.JUDGE:
                request = protocol.request_of(frame)
                self._enqueue(_URGENT if request.urgent else _PATIENT, frame.sequence, request.snapshot, request, writer)
            else:
                writer.write(protocol.failure(frame.sequence, f"the court does not take {frame.kind.name} frames").encode())
        except CodecError as error:
            writer.write(protocol.failure(frame.sequence, str(error)).encode())

    def _keep(self, snapshot: Snapshot) -> None:
        objection = self._replay.objection(snapshot)
        if objection:
            raise CodecError(objection)
        name = snapshot.fingerprint()
        self._snapshots[name] = snapshot
        self._snapshots.move_to_end(name)
        while len(self._snapshots) > MAX_SNAPSHOTS:
            self._snapshots.popitem(last=False)
        self._enqueue(_IDLE, 0, name)

    def _enqueue(
        self,
        priority: int,
        sequence: int,
        snapshot: Digest,
        request: protocol.Request | None = None,
        writer: asyncio.StreamWriter | None = None,
    ) -> None:
        if len(self._queue) >= MAX_WAITING:
            if writer:
                writer.write(protocol.failure(sequence, f"{MAX_WAITING} cases wait already").encode())
            return
        arrival = next(self._arrivals)
        heapq.heappush(self._queue, Waiting(priority, arrival, self._clock.monotonic_s(), sequence, snapshot, request, writer))
        self._filled.set()

    async def work(self) -> None:
        """One case after the other; between two, the socket is read, so that a held command never waits behind more than one."""
        while True:
            await self._filled.wait()
            await asyncio.sleep(0)
            while self._queue:
                waiting = heapq.heappop(self._queue)
                self._computed_s = time.process_time()
                self._tell(BEGIN)
                reply = self._go_on(waiting) if waiting.hearing else self._serve(waiting)
                self._tell(END)
                if reply and waiting.writer and not waiting.writer.is_closing():
                    waiting.writer.write(reply.encode())
                await asyncio.sleep(0)
            self._filled.clear()

    def _serve(self, waiting: Waiting) -> Frame | None:
        snapshot = self._snapshots.get(waiting.snapshot)
        request = waiting.request
        if request is None:
            if snapshot is not None and waiting.snapshot == next(reversed(self._snapshots)):  # only the newest is worth it
                self._replay.without(snapshot, {})
            return None
        waited_s = self._clock.monotonic_s() - waiting.since_s
        if waited_s > request.patience_s:
            return protocol.failure(waiting.sequence, f"waited {1000 * waited_s:.0f} ms for its turn: too late to matter")
        if snapshot is None:
            return protocol.failure(waiting.sequence, "the snapshot it refers to is not here")
        command, now = request.command, self._clock.now()
        if not self._takes_untrusted and command.origin not in _TRUSTED_ORIGINS:
            verdict = undecided(command, snapshot, self._replay, _NOT_ISOLATED, self._config.seed, now)
            return protocol.answer(waiting.sequence, verdict)
        terms, seed = self._config.thresholds, self._config.seed
        if waiting.writer is not None and not waiting.writer.is_closing():
            waiting.writer.write(protocol.begun(waiting.sequence).encode())
        waiting.hearing = hearing(command, snapshot, self._replay, request.context, terms, seed, now)
        return self._go_on(waiting)

    def _go_on(self, waiting: Waiting) -> Frame | None:
        """A held command's hearing is interrupted where it may be; any other goes on to its complete verdict."""
        assert waiting.hearing is not None
        began_s, urgent = self._clock.monotonic_s(), waiting.priority != _PATIENT
        verdict: Verdict | None = None
        try:
            for said_now in waiting.hearing:
                verdict = said_now or verdict
                if urgent or (verdict is not None and verdict.complete):
                    break
        except OutOfTimeError as error:
            waiting.took_s += self._clock.monotonic_s() - began_s
            return self._give_up(waiting, verdict, str(error))
        waiting.took_s += self._clock.monotonic_s() - began_s
        if verdict is None or not verdict.complete:
            if waiting.priority != _BEGUN and sum(one.priority == _BEGUN for one in self._queue) >= MAX_BEGUN:
                waiting.hearing = None
            else:
                waiting.priority = _BEGUN
                heapq.heappush(self._queue, waiting)
        if verdict is None:
            return None
        said = protocol.answer(waiting.sequence, replace(verdict, took_ms=1000.0 * waiting.took_s))
        if waiting.hearing is None and waiting.writer is not None:
            waiting.writer.write(said.encode())
            return protocol.failure(waiting.sequence, f"{MAX_BEGUN} verdicts wait to be completed already: this one stays as it is")
        return said

    def _give_up(self, waiting: Waiting, verdict: Verdict | None, problem: str) -> Frame:
        """What was judged by then stands; where nothing was, the client says undecided, and why."""
        if verdict is not None and waiting.writer is not None:
            said = protocol.answer(waiting.sequence, replace(verdict, took_ms=1000.0 * waiting.took_s))
            waiting.writer.write(said.encode())
        return protocol.failure(waiting.sequence, problem)


def sit(config: CourtConfig, entered: tuple[LayerReport, ...], layers: Mapping[str, Layer], tell: Callable[[bytes], object]) -> None:
    """Load, compile, rehearse, listen, lock down, and only then answer.  Returns never, raises IsolationError or ConfigError."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="court: %(message)s")
    replay = Replay(model=compile_model(load_plant(config.plant)), members=config.members, horizon_s=config.horizon_s)
    rehearse(replay, config)
    asyncio.run(_sit(config, replay, entered, layers, tell))


async def _sit(
    config: CourtConfig, replay: Replay, entered: tuple[LayerReport, ...], layers: Mapping[str, Layer], tell: Callable[[bytes], object]
) -> None:
    """The socket is bound first, since no file can be made afterwards, and answers last, since nothing may be answered before."""
    courts: list[Court] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await courts[0].hear(reader, writer)

    if config.socket.exists() and not config.socket.is_socket():
        raise ConfigError(str(config.socket), "is a file, not a socket")
    config.socket.unlink(missing_ok=True)
    mask = os.umask(0o177)  # the socket is its owner's from its first moment
    try:
        server = await asyncio.start_unix_server(hear, config.socket, start_serving=False)
    except OSError as error:
        raise ConfigError(str(config.socket), f"cannot be listened on: {error}") from error
    finally:
        os.umask(mask)
    isolation = Isolation(layers=entered + lock_down(layers))
    courts.append(Court(config, replay, isolation.takes_untrusted, SystemClock(), tell))
    log.info("%s", isolation.describe())
    if not isolation.takes_untrusted:
        log.warning(_NOT_ISOLATED)
    await server.start_serving()
    gc.collect()
    gc.freeze()  # what was imported lives as long as the court: the collector need not look at it again
    log.info("in session, model %s", replay.model.digest[:16])
    tell(READY)
    await courts[0].work()


def rehearse(replay: Replay, config: CourtConfig) -> None:
    """Judge every writable tag once before the lock-down, so that whatever loads or builds itself on first use has done so.

    Few members and a short horizon: it is the code that is rehearsed, not the plant.
    """
    replay = Replay(model=replay.model, members=_REHEARSAL_MEMBERS, horizon_s=min(config.horizon_s, _REHEARSAL_HORIZON_S))
    health = Health(grade=Grade.IN_STEP, reason="rehearsal")
    snapshot = Snapshot.from_octets(replace(initial(replay.model, _REHEARSAL_MEMBERS), trusted=True, health=health).to_octets())
    for one in replay.plant.inputs:
        for value in (one.tag.low, one.tag.high):
            write = TagWrite(tag=one.tag.name, point="rehearsal", raw=value, value=value, unit=one.tag.unit)
            command = Command(
                id=CommandId("rehearsal"),
                origin=Origin.API,
                seen=snapshot.at,
                source=AssetId("rehearsal"),
                target=AssetId("rehearsal"),
                protocol="modbus",
                operation="rehearsal",
                writes=(write,),
                frame=Digest(""),
            )
            request = protocol.Request(command=command, snapshot=snapshot.fingerprint())
            asked = protocol.request_of(Frame(FrameKind.JUDGE, 0, to_json(request)))
            verdict = judge(asked.command, snapshot, replay, asked.context, config.thresholds, config.seed, Instant(0))
            protocol.verdict_of(protocol.answer(0, verdict), request, replay.model.digest)
