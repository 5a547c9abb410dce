"""The one writer: a thread that commits what others hand it, many jobs per transaction.

In: jobs (a function of the open connection).  Out: a future per job, done only after the commit that holds it.  A job that fails is rolled
back alone.  A transaction in which any job asks for it is on disk before its futures are done; one of pure telemetry is in the
operating system's hands (it survives the death of the process, not of the power supply).
"""

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from sentinel.errors import TransientError

_log = logging.getLogger(__name__)

T = TypeVar("T")

QUEUE_LIMIT = 20_000
JOBS_PER_TRANSACTION = 256


@dataclass(slots=True)
class _Job:
    run: Callable[[Connection], Any]
    durable: bool
    done: Callable[[Any], None] | None  # told of the result after the commit and before the future, in the writer's thread
    future: Future[Any] = field(default_factory=Future)
    result: Any = None


class Writer:
    """``committed`` is called in the writer's thread after each transaction, before the futures are done."""

    def __init__(self, engine: Engine, committed: Callable[[], None] | None = None) -> None:
        self._engine = engine
        self._jobs: queue.Queue[_Job | None] = queue.Queue(QUEUE_LIMIT)
        self._committed = committed
        self._closed = False
        self._synchronous = "FULL"
        self._thread = threading.Thread(target=self._work, name="records", daemon=True)
        self._thread.start()

    def submit(self, run: Callable[[Connection], T], *, durable: bool = True, done: Callable[[T], None] | None = None) -> "Future[T]":
        """Raises TransientError when the queue is full or closed: never waits."""
        if self._closed:
            raise TransientError("the records are closed")
        job = _Job(run, durable, done)
        try:
            self._jobs.put_nowait(job)
        except queue.Full as error:
            raise TransientError(f"the records are {QUEUE_LIMIT} writes behind") from error
        return job.future

    def waiting(self) -> int:
        return self._jobs.qsize()

    def close(self) -> None:
        """After everything that was submitted is written."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            self._thread.join()

    def _work(self) -> None:
        with self._engine.connect() as connection:
            open_ = True
            while open_:
                jobs = [self._jobs.get()]
                while len(jobs) < JOBS_PER_TRANSACTION and not self._jobs.empty():
                    jobs.append(self._jobs.get_nowait())
                open_ = None not in jobs
                self._transact(connection, [job for job in jobs if job is not None])
        while not self._jobs.empty():  # submitted while closing
            if job := self._jobs.get_nowait():
                job.future.set_exception(TransientError("the records are closed"))

    def _transact(self, connection: Connection, jobs: list[_Job]) -> None:
        jobs = [job for job in jobs if job.future.set_running_or_notify_cancel()]
        if not jobs:
            return
        kept = []
        try:
            self._choose_synchronous(connection, "FULL" if any(job.durable for job in jobs) else "NORMAL")
            with connection.begin():
                for job in jobs:
                    try:
                        with connection.begin_nested():
                            job.result = job.run(connection)
                        kept.append(job)
                    except OperationalError:
                        raise
                    except Exception as error:  # noqa: BLE001  the job's own fault: handed to whoever submitted it
                        job.future.set_exception(error)
        except Exception as error:  # noqa: BLE001  the transaction's fault (locked, disk full, damaged): all of it is refused
            for job in jobs:
                if not job.future.done():
                    refusal = TransientError(f"the records cannot be written: {error}")
                    refusal.__cause__ = error
                    job.future.set_exception(refusal)
            return
        if self._committed:
            self._committed()
        for job in kept:
            if job.done:
                try:
                    job.done(job.result)
                except Exception:  # noqa: BLE001  the row is kept; whoever listened is at fault, and is loud
                    _log.exception("a listener of the records failed")
            job.future.set_result(job.result)

    def _choose_synchronous(self, connection: Connection, level: str) -> None:
        if level != self._synchronous:
            driver: Any = connection.connection.driver_connection
            driver.execute(f"PRAGMA synchronous={level}").close()  # not allowed inside a transaction, so past SQLAlchemy's own
            self._synchronous = level
