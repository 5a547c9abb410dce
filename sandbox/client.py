"""The brain's side of the court: a `Verifier` over a unix socket that always answers.

In: snapshots as the twin makes them (`keep`), commands (`judge`, or `remember` for those that need no verdict) and what the gate did with
held ones (`settle`).  Out: a `Verdict`; undecided, with the reason, when there is no snapshot, no court, no answer in time, or an answer
that is none.
Connections come and go below the questions: what no court has begun with is asked of the next one, as long as somebody waits for it.
Everything that the court sends is treated as hostile.  `run` holds the connection and must be running.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from weakref import WeakValueDictionary

from sandbox.protocol import MAX_ANSWER_OCTETS, Context, Request, completes, problem_of, verdict_of
from sandbox.tried import Tried
from sentinel.clock import Clock
from sentinel.model.codec import CodecError, to_json
from sentinel.model.command import Command, Origin
from sentinel.model.framing import Frame, FrameKind, FrameReader, FramingError
from sentinel.model.ids import AssetId, Digest, VerdictId, short_id
from sentinel.model.verdict import Judgement, Verdict
from sentinel.ports import Outcome
from sentinel.twin.snapshot import Snapshot

log = logging.getLogger(__name__)

HELD_PATIENCE_S = 0.15  # the gate's deadline is 0.2 s; the ruling has to travel back
PATIENCE_S = 5.0
MAX_IN_FLIGHT = 64
MAX_COURTS = 2  # that one command is given to: what goes down with two of them before either has begun with it is given to no third
HELD_AT_ONCE = 2  # of one source: a judgement takes some 10 ms, so that a source that floods costs another one's write two of them
MAX_SNAPSHOTS = 8  # a command is judged from the last one before it, even when it is handed over late
_CONNECT_S = 1.0
_LEAST_PATIENCE_S = 0.001
_RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0)
_MAX_UNSENT_OCTETS = 8 * 1024 * 1024
_CHUNK = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Familiarity:
    """What the baseline knows of a command's source."""

    is_new: bool = False
    scanned: bool = False
    days_without: int = 0  # as `protocol.Context.source_days_without`


@dataclass(slots=True)
class _Asked:
    sequence: int
    request: Request
    snapshot: Snapshot
    until_s: float  # by the monotonic clock: nobody waits for it any more
    answer: "asyncio.Future[Verdict | str]"  # a text says why there is no verdict
    rest: "asyncio.Future[Verdict] | None" = None  # of a verdict that came incomplete: what completes it, or itself when nothing will
    courts: int = 0  # that it was given to
    is_begun: bool = False  # by the one that has it now
    lost: str = ""  # why the last one has it no more


class CourtClient:
    def __init__(
        self,
        socket: Path,
        clock: Clock,
        familiarity: Callable[[Command], Familiarity] = lambda _: Familiarity(),
        held_patience_s: float = HELD_PATIENCE_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._socket = socket
        self._clock = clock
        self._familiarity = familiarity
        self._held_patience_s = held_patience_s
        self._patience_s = patience_s
        self._snapshots: deque[tuple[Digest, Snapshot]] = deque(maxlen=MAX_SNAPSHOTS)  # oldest first
        self._sent: deque[Digest] = deque(maxlen=MAX_SNAPSHOTS)
        self._writer: asyncio.StreamWriter | None = None
        self._asked: dict[int, _Asked] = {}
        self._completing: OrderedDict[VerdictId, _Asked] = OrderedDict()
        self._judged: OrderedDict[VerdictId, tuple[Request, Snapshot]] = OrderedDict()
        self._turns: WeakValueDictionary[AssetId, asyncio.Semaphore] = WeakValueDictionary()  # of sources that have writes held
        self._sequence = 0
        self._has_met = False  # the court of this connection has said that it is in session
        self._tried = Tried()
        self.connected = asyncio.Event()  # to a court that has said it is in session, and as far as is known still is
        self.nonsense = 0  # answers that were none

    def keep(self, snapshot: Snapshot) -> None:
        """The state to judge from, from now on.  Sent at once: the court runs the plant without a command before one comes."""
        self._snapshots.append((snapshot.fingerprint(), snapshot))
        self._send(*self._snapshots[-1])

    def remember(self, command: Command) -> None:
        """A write that somebody tried; what is only asked ("what if") or planned has not been tried."""
        self._tried.note(command)

    def settle(self, outcome: Outcome) -> None:
        """What became of a held write: only a forwarded one counts as having reached the plant."""
        self._tried.settle(outcome)

    async def completed(self, verdict: Verdict) -> Verdict:
        """With all that it rests on.  The verdict itself when the court does not come to it: what was judged stands."""
        asked = self._completing.get(verdict.id)
        if verdict.complete or asked is None or asked.rest is None:
            return verdict
        try:
            async with asyncio.timeout(self._patience_s):
                return await asyncio.shield(asked.rest)
        except TimeoutError:
            return verdict
        finally:
            self._completing.pop(verdict.id, None)

    async def judge(self, command: Command) -> Verdict:
        """Of a held command as soon as the judgement is known: `completed` gives the rest.

        Held writes of one source take turns, for the court judges one command after the other.  Where there is no court, the next one is
        waited for as long as an answer would be.
        """
        began_s = self._clock.monotonic_s()
        is_held = command.origin is Origin.GATE
        patience_s = self._held_patience_s if is_held else self._patience_s
        turn = self._turns.setdefault(command.source, asyncio.Semaphore(HELD_AT_ONCE)) if is_held else contextlib.nullcontext()
        asked: _Asked | str | None = None
        verdict: Verdict | str
        try:
            async with asyncio.timeout(patience_s), turn:
                asked = self._ask(command, max(_LEAST_PATIENCE_S, patience_s - (self._clock.monotonic_s() - began_s)))
                self.remember(command)
                verdict = await self._answer(asked)
        except TimeoutError:
            if asked is None:
                self.remember(command)
                verdict = f"{HELD_AT_ONCE} writes of {command.source} are being judged, and its turn did not come"
            else:
                verdict = self._silence(asked)
            verdict += f" within {1000 * patience_s:.0f} ms"
        return self._undecided(command, verdict, began_s) if isinstance(verdict, str) else verdict

    async def again(self, first: Verdict, request: Request, snapshot: Snapshot) -> Verdict:
        """Of a wire tier: what was asked of the court, once more, from the same snapshot.  ``first``: what the court said."""
        began_s = self._clock.monotonic_s()
        asked = self._put(replace(request, urgent=False, patience_s=self._patience_s, refers=first.id, first=first), snapshot)
        verdict: Verdict | str
        try:
            async with asyncio.timeout(self._patience_s):
                verdict = await self._answer(asked)
        except TimeoutError:
            verdict = f"of the wire tier: {self._silence(asked)} within {self._patience_s:g} s"
        return self._undecided(request.command, verdict, began_s, first.id) if isinstance(verdict, str) else verdict

    def _silence(self, asked: _Asked | str) -> str:
        """Why there was no answer in time."""
        if isinstance(asked, str):
            return asked
        if not asked.courts:
            return "no court was in session"
        return f"{asked.lost}, and no other answered" if asked.lost else "the court did not answer"

    async def _answer(self, asked: _Asked | str) -> Verdict | str:
        """What is answered, or why nothing is; cancelled when whoever waits has no more patience."""
        if isinstance(asked, str):
            return asked
        try:
            verdict = await asked.answer
        finally:
            self._asked.pop(asked.sequence, None)
        if isinstance(verdict, Verdict):
            self._note(verdict, asked)
        return verdict

    def _note(self, verdict: Verdict, asked: _Asked) -> None:
        self._judged[verdict.id] = (asked.request, asked.snapshot)
        while len(self._judged) > MAX_IN_FLIGHT:
            self._judged.popitem(last=False)

    def case(self, verdict: VerdictId) -> tuple[Request, Snapshot] | None:
        """What one of the last verdicts rests on; None when the court did not give it, or too many came after it."""
        return self._judged.get(verdict)

    def _ask(self, command: Command, patience_s: float) -> _Asked | str:
        """What was asked, or why nothing could be."""
        if not self._snapshots:
            return "the twin has not given a snapshot yet"
        name, snapshot = self._meeting(command)
        urgent = command.origin is Origin.GATE
        known = self._familiarity(command)
        request = Request(
            command=command,
            snapshot=name,
            context=Context(
                steps=self._tried.before(command),
                source_is_new=known.is_new,
                source_scanned=known.scanned,
                source_days_without=known.days_without,
            ),
            urgent=urgent,
            patience_s=patience_s,
        )
        return self._put(request, snapshot)

    def _put(self, request: Request, snapshot: Snapshot) -> _Asked | str:
        if len(self._asked) >= MAX_IN_FLIGHT:
            return f"{MAX_IN_FLIGHT} commands wait for the court already"
        self._sequence += 1
        until_s = self._clock.monotonic_s() + request.patience_s
        asked = _Asked(self._sequence, request, snapshot, until_s, asyncio.get_running_loop().create_future())
        self._asked[self._sequence] = asked
        self._give(asked)
        return asked

    def _give(self, asked: _Asked) -> None:
        """To the court in session, if there is one; otherwise the next one gets it."""
        left_s = asked.until_s - self._clock.monotonic_s()
        self._send(asked.request.snapshot, asked.snapshot)
        if left_s > 0.0 and self._write(Frame(FrameKind.JUDGE, asked.sequence, to_json(replace(asked.request, patience_s=left_s)))):
            asked.courts += 1
            asked.lost = ""

    def _meeting(self, command: Command) -> tuple[Digest, Snapshot]:
        """The snapshot that a command meets: one that was taken after it would hold what it wrote, and compare it with itself."""
        if command.origin in (Origin.WIRE, Origin.GATE):
            earlier = [kept for kept in self._snapshots if kept[1].at <= command.seen]
            return earlier[-1] if earlier else self._snapshots[0]
        return self._snapshots[-1]

    def _send(self, name: Digest, snapshot: Snapshot) -> None:
        if self._writer is None or name in self._sent:
            return
        if self._writer.transport.get_write_buffer_size() > _MAX_UNSENT_OCTETS:
            return  # the court is busy; what it has not read yet is old already, and the next command sends again
        self._sequence += 1
        if self._write(Frame(FrameKind.SNAPSHOT, self._sequence, snapshot.to_octets())):
            self._sent.append(name)

    def _write(self, frame: Frame) -> bool:
        """False where no court is in session: a connection that a write fails on is none any more, and `run` finds it so."""
        if not self.connected.is_set():
            return False
        assert self._writer is not None
        self._writer.write(frame.encode())
        if self._writer.transport.is_closing():
            self.connected.clear()
        return self.connected.is_set()

    def _undecided(self, command: Command, reason: str, began_s: float, refers: VerdictId | None = None) -> Verdict:
        snapshot = self._meeting(command)[0] if self._snapshots else None
        return Verdict(
            id=VerdictId(short_id("verdict", command.id, reason, *((refers,) if refers else ()))),
            command=command.id,
            refers=refers,
            judgement=Judgement.UNDECIDED,
            reason=reason,
            snapshot=snapshot,
            model=self._snapshots[-1][1].digest if self._snapshots else None,
            judged=self._clock.now(),
            took_ms=1000.0 * (self._clock.monotonic_s() - began_s),
        )

    async def run(self) -> None:
        """Connect, listen, and connect again, until cancelled."""
        failures = 0
        while True:
            try:
                async with asyncio.timeout(_CONNECT_S):
                    reader, writer = await asyncio.open_unix_connection(self._socket)
            except (OSError, TimeoutError):
                failures += 1
            else:
                failures = 0 if await self._attend(reader, writer) else failures + 1
            await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)])

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One connection, until it ends.  False when nobody was there: a court that dies leaves connections that nobody takes."""
        self._writer, self._has_met = writer, False
        why, goes_on = "the court went away", False
        try:
            await self._listen(reader)
            goes_on = True
        except (FramingError, CodecError) as error:
            self.nonsense += 1
            why = f"the court does not speak the protocol: {error}"
            log.warning("%s", why)
        except ConnectionError as error:
            why = f"the connection to the court broke: {error}"
            goes_on = True
        finally:
            self.connected.clear()
            self._writer = None
            self._sent.clear()
            writer.close()
            for asked in (*self._asked.values(), *self._completing.values()):
                if asked.is_begun or asked.courts >= MAX_COURTS or not goes_on:
                    _resolve(asked, why)
                elif asked.courts:
                    asked.lost = why
            self._completing.clear()
        return self._has_met

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        frames = FrameReader(MAX_ANSWER_OCTETS)
        while octets := await reader.read(_CHUNK):
            for frame in frames.feed(octets):
                if self._has_met:
                    self._take(frame)
                else:
                    self._meet(frame)

    def _meet(self, frame: Frame) -> None:
        """The court says that it is in session: it gets what there is to judge from, and what waits, in the order in which it came."""
        if frame.kind is FrameKind.FAILURE:
            log.warning("the court does not take us: %s", problem_of(frame))
            return
        if frame.kind is not FrameKind.HELLO:
            raise CodecError(f"{frame.kind.name} before HELLO")
        self._has_met = True
        self.connected.set()
        if self._snapshots:
            self._send(*self._snapshots[-1])
        for asked in self._asked.values():
            if not asked.answer.done():
                self._give(asked)

    def _take(self, frame: Frame) -> None:
        """Raises CodecError on what no honest court would send."""
        if frame.kind not in (FrameKind.BEGUN, FrameKind.VERDICT, FrameKind.FAILURE) or not 0 <= frame.sequence <= self._sequence:
            raise CodecError(f"a {frame.kind.name} frame with sequence {frame.sequence}")
        begun = next((one for one in self._completing.values() if one.sequence == frame.sequence), None)
        if begun is not None:
            self._complete(begun, frame)
            return
        asked = self._asked.get(frame.sequence)
        if asked is None:
            if frame.kind is FrameKind.FAILURE:  # of a snapshot, or of a question that is no longer waited for
                log.warning("the court refuses: %s", problem_of(frame))
                self._sent.clear()
            return
        if frame.kind is FrameKind.BEGUN:
            asked.is_begun = True
            return
        if frame.kind is FrameKind.FAILURE:
            self._sent.clear()  # the snapshot may be what it lacks
            _resolve(asked, f"the court could not judge: {problem_of(frame)}")
            return
        try:
            verdict = verdict_of(frame, asked.request, asked.snapshot.digest)
        except CodecError as error:
            self.nonsense += 1
            _resolve(asked, f"the court's answer is not one: {error}")
            return
        if not verdict.complete:
            asked.rest = asyncio.get_running_loop().create_future()
            self._completing[verdict.id] = asked
            while len(self._completing) > MAX_IN_FLIGHT:
                _resolve(self._completing.popitem(last=False)[1], "too many others came after it")
        _resolve(asked, verdict)

    def _complete(self, asked: _Asked, frame: Frame) -> None:
        """What takes back what was said first is nonsense: the first verdict stands."""
        assert asked.rest is not None
        first = asked.answer.result()
        assert isinstance(first, Verdict)
        if frame.kind is FrameKind.FAILURE:
            log.info("a verdict is not completed: %s", problem_of(frame))
            _resolve(asked, "")
            return
        try:
            verdict = verdict_of(frame, asked.request, asked.snapshot.digest)
            problem = "" if completes(first, verdict) else "the second says something else than the first"
        except CodecError as error:
            verdict, problem = first, str(error)
        if problem:
            self.nonsense += 1
            log.warning("a verdict is not completed: %s", problem)
            verdict = first
        if not asked.rest.done():
            asked.rest.set_result(verdict)


def _resolve(asked: _Asked, answer: Verdict | str) -> None:
    """A text after a verdict: it stays as it is."""
    if not asked.answer.done():
        asked.answer.set_result(answer)
    elif asked.rest is not None and not asked.rest.done() and isinstance(first := asked.answer.result(), Verdict):
        asked.rest.set_result(first)
