"""The one writer: a thread that appends what others hand it, seals what is full, and lets the oldest go.

`add` never waits: when the queue is full the oldest readings are dropped and counted.  `flush` returns when everything that
was accepted before is on disk, or counted as failed.  A directory has one writer at a time.
"""

import contextlib
import fcntl
import logging
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from sentinel.clock import Clock
from sentinel.errors import ConfigError
from sentinel.history.journal import Blocks, Journal
from sentinel.history.segments import TORN, journal_path, list_journals, list_segments, seal, sweep
from sentinel.model.observation import Counters, Readings
from sentinel.model.time import Instant, after

_log = logging.getLogger(__name__)

QUEUE_VALUES = 500_000  # five seconds of the fastest plant that we are built for
BLOCK_VALUES = 100_000
GATHER_S = 0.5  # so long readings gather into a block: a block costs a disk's time
SEGMENT_VALUES = 1_000_000
SEGMENT_S = 3600.0
_SWEEP_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Of what is kept: ``octets`` of sealed files, beside one journal of at most `SEGMENT_VALUES`."""

    octets: int
    age_s: float


class History:
    """Raises ConfigError when another writer has the directory, or it cannot be used."""

    def __init__(self, directory: Path, clock: Clock, bounds: Bounds, *, segment_values: int = SEGMENT_VALUES) -> None:
        self._directory = directory
        self._clock = clock
        self._bounds = bounds
        self._segment_values = segment_values
        self._waiting: deque[Readings] = deque()
        self._queued = self._accepted = self._dropped = self._failed = self._written = self._torn = 0
        self._flushing = 0
        self._closing = self._ended = False
        self._changed = threading.Condition()
        with contextlib.ExitStack() as undo:
            try:
                directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._lock = undo.enter_context((directory / "writer.lock").open("w"))
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._number = self._recover()
                self._journal = Journal(journal_path(directory, self._number))
            except BlockingIOError as error:
                raise ConfigError(str(directory), "another writer keeps its history here") from error
            except OSError as error:
                raise ConfigError(str(directory), f"no history can be kept here: {error.strerror or error}") from error
            undo.pop_all()  # the lock is held until `close`
        self._begun_s = self._swept_s = clock.monotonic_s()
        self._thread = threading.Thread(target=self._work, name="history", daemon=True)
        self._thread.start()

    # -- for others

    def add(self, readings: Readings) -> None:
        """From any thread.  Raises RuntimeError when the thread has died of a bug of ours: that is to be loud."""
        if self._ended and not self._closing:
            raise RuntimeError("the history's writer has died")
        with self._changed:
            if self._closing:
                self._dropped += len(readings)
                return
            for start in range(0, len(readings), BLOCK_VALUES):
                part = readings.take(slice(start, start + BLOCK_VALUES)) if len(readings) > BLOCK_VALUES else readings
                self._waiting.append(part)
                self._queued += len(part)
                self._accepted += len(part)
            while self._queued > QUEUE_VALUES:
                gone = self._waiting.popleft()
                self._queued -= len(gone)
                self._accepted -= len(gone)
                self._dropped += len(gone)
            self._changed.notify_all()

    def flush(self) -> int:
        """How many values are on disk by now, of all that this writer was given."""
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._written + self._failed >= self._accepted or self._ended)
            self._flushing -= 1
            return self._written

    def counters(self) -> Counters:
        """Of values; ``refused`` are blocks of an earlier run that were torn, and set aside."""
        with self._changed:
            return Counters(accepted=self._accepted, refused=self._torn, dropped=self._dropped, failed=self._failed)

    def close(self) -> None:
        """After everything that was accepted is on disk and sealed."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._lock.close()

    # -- in the thread

    def _work(self) -> None:
        try:
            self._keep()
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()  # nobody waits for one who is gone

    def _keep(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing, timeout=_SWEEP_S)
                self._changed.wait_for(lambda: self._queued >= BLOCK_VALUES or self._flushing or self._closing, timeout=GATHER_S)
                taken = self._take()
                ends = self._closing and not taken
            if taken:
                self._write(taken)
            self._tend(seals=ends)
            if ends:
                self._journal.close()
                return

    def _take(self) -> list[Readings]:
        taken: list[Readings] = []
        size = 0
        while self._waiting and size + len(self._waiting[0]) <= max(BLOCK_VALUES, len(self._waiting[0])):
            taken.append(self._waiting.popleft())
            size += len(taken[-1])
        self._queued -= size
        return taken

    def _write(self, taken: list[Readings]) -> None:
        block = Readings.concat(taken)
        try:
            self._journal.append(block)
            written, failed = len(block), 0
        except OSError as error:  # a full disk: what comes later may fit again
            _log.error("%d values of history were not kept: %s", len(block), error)
            written, failed = 0, len(block)
        with self._changed:
            self._written += written
            self._failed += failed
            self._changed.notify_all()

    def _tend(self, *, seals: bool) -> None:
        now_s = self._clock.monotonic_s()
        due = self._journal.values >= self._segment_values or now_s - self._begun_s >= SEGMENT_S
        try:
            if self._journal.values and (due or seals):
                self._seal()
                self._begun_s = now_s
                self._sweep()
            elif now_s - self._swept_s >= _SWEEP_S:
                self._swept_s = now_s
                self._sweep()
        except OSError as error:  # the journal is as it was; the next round tries again
            _log.error("history could not be sealed or shortened: %s", error)

    def _seal(self) -> None:
        """The journal goes only when its segment is there and its follower has begun: whoever reads meanwhile finds one or the other."""
        old = self._journal
        seal(self._directory, self._number, Blocks(old.path))
        self._journal = Journal(journal_path(self._directory, self._number + 1))
        self._number += 1
        old.close()
        old.path.unlink()

    def _sweep(self) -> None:
        sweep(self._directory, self._bounds.octets, Instant(after(self._clock.now(), -self._bounds.age_s)))

    def _recover(self) -> int:
        """Seals what a killed writer left; gives the number of the next journal."""
        sealed = {segment.number for segment in list_segments(self._directory)}
        journals = list_journals(self._directory)
        for leftover in self._directory.glob(".*"):  # half a segment, under the name it was written by
            leftover.unlink()
        for number, path in journals:
            if number not in sealed:
                blocks = Blocks(path)
                seal(self._directory, number, blocks)
                if blocks.torn:
                    self._set_aside(path, blocks.good)
            path.unlink()
        return max([*sealed, *(number for number, _ in journals)], default=0) + 1

    def _set_aside(self, path: Path, good: int) -> None:
        self._torn += 1
        with path.open("rb") as file:
            file.seek(good)
            rest = file.read(1 << 26)
        path.with_suffix(TORN).write_bytes(rest)
        _log.warning("%s is torn after %d octets: %d octets are set aside as %s", path.name, good, len(rest), path.with_suffix(TORN).name)
