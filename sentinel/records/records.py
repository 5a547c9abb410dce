"""What the appliance keeps: ``keep(value)`` and ``find(kind, key)`` for every type of the vocabulary that has a shelf.

Blocking calls wait for the commit and belong into threads; an event loop uses `submit` or `kept`.  What was acknowledged survives the death
of the process.  Raises TransientError when the disk or the queue cannot take more, LookupError when a record refers to nothing.
"""

import asyncio
import dataclasses
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, and_, desc, func, or_, select
from sqlalchemy.exc import DatabaseError

from sentinel.clock import Clock
from sentinel.model.action import Action
from sentinel.model.codec import CodecError, from_json
from sentinel.model.finding import Finding
from sentinel.model.ids import Digest, VerdictId
from sentinel.model.record import Excerpt, Invitation
from sentinel.model.time import NS_PER_S, Instant
from sentinel.records import retention
from sentinel.records.audit_log import AuditLog
from sentinel.records.database import integrity_problems, open_database
from sentinel.records.evidence import EvidenceFiles, dropped_at, first_damaged
from sentinel.records.shelves import CATALOGUE
from sentinel.records.statements import Change, conditions, from_cursor, put, put_all, revision_query, to_cursor
from sentinel.records.tables import InvitationRow
from sentinel.records.writer import Writer

T = TypeVar("T")

DATABASE, ANCHOR, EVIDENCE = "records.db", "audit.anchor", "evidence"
EVIDENCE_LIMIT_OCTETS = 4 * 1024 * 1024 * 1024
MAX_PAGE = 1000
_DROPPED_AT_ONCE = 100
_HOUR_NS = 3600 * NS_PER_S

# The columns of these tables, as SQLAlchemy sees them.
_invitations: Any = InvitationRow

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """``next`` is the cursor of the following page, None at the end."""

    items: tuple[T, ...]
    next: str | None


Listener = Callable[[Change], None]


class Records:
    """Everything below one directory: the database, the audit log's anchor, the evidence files."""

    def __init__(self, directory: Path, clock: Clock, *, evidence_limit_octets: int = EVIDENCE_LIMIT_OCTETS) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory = directory
        self._clock = clock
        self._writing, self._reading = open_database(directory / DATABASE)
        self._writer = Writer(self._writing)
        self.audit = AuditLog(self._writer, self._reading, directory / ANCHOR, clock)
        self._files = EvidenceFiles(directory / EVIDENCE)
        self._evidence_limit_octets = evidence_limit_octets
        self._evidence_lock = threading.Lock()
        self._evidence_octets = self._files.octets()
        self._evidence_cursor: str | None = None  # before it everything was dropped
        self._listeners: list[Listener] = []

    def close(self) -> None:
        """After everything that was submitted is kept."""
        self._writer.close()
        self._reading.dispose()
        self._writing.dispose()

    def waiting(self) -> int:
        """Writes that are not committed yet."""
        return self._writer.waiting()

    # keeping

    def submit(self, *values: Any) -> "Future[None]":
        """All of them or none, in one transaction; the future is done after the commit.  Never waits."""
        kinds = [(CATALOGUE[kind], tuple(alike)) for kind, alike in groupby(values, type)]
        durable = not all(shelf.telemetry for shelf, _ in kinds)
        outcome: Future[None] = Future()

        def run(connection: Connection) -> list[Change]:
            return [change for shelf, alike in kinds for change in put_all(connection, shelf, alike)]

        def finish(done: "Future[list[Change]]") -> None:
            error = done.exception()
            outcome.set_exception(error) if error else outcome.set_result(None)

        outcome.set_running_or_notify_cancel()
        self._writer.submit(run, durable=durable, done=self._tell).add_done_callback(finish)
        return outcome

    def keep(self, *values: Any) -> None:
        self.submit(*values).result()

    async def kept(self, *values: Any) -> None:
        await asyncio.wrap_future(self.submit(*values))

    def spend(self, code: Digest, now: Instant) -> Invitation | None:
        """The invitation of this code, now used; None when there is none, it is used already or too old.  Only one caller gets it."""

        def run(connection: Connection) -> Invitation | None:
            body = connection.execute(select(_invitations.body).where(_invitations.key == code)).scalar_one_or_none()
            invitation = from_json(Invitation, body) if body else None
            if invitation is None or invitation.used is not None or not invitation.made <= now < invitation.expires:
                return None
            used = dataclasses.replace(invitation, used=now)
            put(connection, CATALOGUE[Invitation], used)
            return used

        return self._writer.submit(run).result()

    def sweep(self) -> dict[str, int]:
        """Let go of what is older or more than `retention.BOUNDS` says; the counts are logged by whoever calls."""
        now = self._clock.now()
        return self._writer.submit(lambda connection: retention.sweep(connection, now)).result()

    # finding

    def find(self, kind: type[T], key: str) -> T | None:
        table: Any = CATALOGUE[kind].table
        with self._reading.connect() as connection:
            body = connection.execute(select(table.body).where(table.key == key)).scalar_one_or_none()
        return from_json(kind, body) if body is not None else None

    def page(
        self,
        kind: type[T],
        *,
        limit: int = 100,
        cursor: str | None = None,
        newest_first: bool = True,
        by: str = "at",
        where: Mapping[str, Any] | None = None,
    ) -> Page[T]:
        """``where``: column to value; ``severity_from`` = at least, ``asset`` = takes part.  ``by``: the column that orders them.

        Raises InputError on a foreign cursor.
        """
        shelf = CATALOGUE[kind]
        table: Any = shelf.table
        limit = max(1, min(limit, MAX_PAGE))
        order = getattr(table, by)
        query = select(order.label("place"), table.key, table.body)
        for condition in conditions(table, where or {}):
            query = query.where(condition)
        if cursor is not None:
            place, key = from_cursor(cursor, by)
            beyond, tie = (order < place, table.key < key) if newest_first else (order > place, table.key > key)
            query = query.where(or_(beyond, and_(order == place, tie)))
        ordered = (desc(order), desc(table.key)) if newest_first else (order, table.key)
        with self._reading.connect() as connection:
            rows = connection.execute(query.order_by(*ordered).limit(limit + 1)).all()
        items = tuple(from_json(kind, row.body) for row in rows[:limit])
        following = to_cursor(by, rows[limit - 1].place, rows[limit - 1].key) if len(rows) > limit else None
        return Page(items, following)

    def each(self, kind: type[T], *, where: Mapping[str, Any] | None = None) -> Iterator[T]:
        """All of them, oldest first, a page at a time."""
        cursor = None
        while True:
            page = self.page(kind, limit=MAX_PAGE, cursor=cursor, newest_first=False, where=where)
            yield from page.items
            cursor = page.next
            if cursor is None:
                return

    def count(self, kind: type[Any], *, where: Mapping[str, Any] | None = None) -> int:
        table: Any = CATALOGUE[kind].table
        query = select(func.count()).select_from(table)
        for condition in conditions(table, where or {}):
            query = query.where(condition)
        with self._reading.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def hours(self, kind: type[Any], by: str) -> dict[str, set[int]]:
        """Of each value of a column, the whole hours since 1970 of which there are records."""
        table: Any = CATALOGUE[kind].table
        found: dict[str, set[int]] = {}
        with self._reading.connect() as connection:
            for value, hour in connection.execute(select(getattr(table, by), table.at // _HOUR_NS).distinct()):
                found.setdefault(value, set()).add(int(hour))
        return found

    # changes

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """``listener`` is called in the writer's thread after each commit; the result ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def revision(self) -> int:
        with self._reading.connect() as connection:
            value = connection.execute(revision_query()).scalar_one_or_none()
        return int(value or 0)

    def changes_since(self, revision: int, limit: int = MAX_PAGE) -> list[Change]:
        """Findings and actions as they are now that changed after a revision, in that order; the oldest ``limit`` of them."""
        kinds: tuple[type[Finding] | type[Action], ...] = (Finding, Action)
        changes: list[Change] = []
        with self._reading.connect() as connection:
            for kind in kinds:
                table: Any = CATALOGUE[kind].table
                newer = select(table.revision, table.body).where(table.revision > revision)
                rows = connection.execute(newer.order_by(table.revision).limit(limit))
                changes += [Change(row.revision, from_json(kind, row.body)) for row in rows]
        return sorted(changes, key=lambda change: change.revision)[:limit]

    def _tell(self, changes: list[Change]) -> None:
        for listener in tuple(self._listeners):
            for change in changes:
                listener(change)

    # evidence

    def keep_excerpt(self, octets: bytes, kind: str = "pcapng", of: Digest | VerdictId | None = None) -> Excerpt:
        """File and row; the oldest files go when the directory would grow beyond its limit.  Raises InputError when one is too large."""
        now = self._clock.now()
        with self._evidence_lock:  # the file, too: what is written here must not be what is dropped there
            digest = self._files.write(octets)
            excerpt = Excerpt(digest=digest, kind=kind, octets=len(octets), at=now, of=of)
            known = self.find(Excerpt, digest)
            if known is not None and known.dropped is None:
                return known
            self.keep(excerpt)
            self._evidence_octets += excerpt.octets
            if self._evidence_octets > self._evidence_limit_octets:
                self._drop_oldest(now)
        return excerpt

    def evidence(self, digest: str) -> bytes | None:
        """None = never kept, or dropped.  Raises InputError when the file was altered, or for what is no digest."""
        return self._files.read(digest)

    def evidence_file(self, digest: str) -> Path:
        """Where `evidence` lies while it is kept."""
        return self._files.path_of(digest)

    def _drop_oldest(self, now: Instant) -> None:
        """Pages from the oldest on that may still be kept, so that a full store costs what it drops, not what it has ever held."""
        dropped = 0
        while self._evidence_octets > self._evidence_limit_octets:
            page = self.page(Excerpt, limit=_DROPPED_AT_ONCE, cursor=self._evidence_cursor, newest_first=False)
            gone = []
            for excerpt in page.items:
                if self._evidence_octets <= self._evidence_limit_octets:
                    break
                if excerpt.dropped is None:
                    gone.append(excerpt)
                    self._evidence_octets -= excerpt.octets
            if gone:
                self.keep(*(dropped_at(excerpt, now) for excerpt in gone))
                for excerpt in gone:
                    self._files.remove(excerpt.digest)
                dropped += len(gone)
            if self._evidence_octets > self._evidence_limit_octets:
                self._evidence_cursor = page.next
                if page.next is None:
                    break  # what is older than others only because the clock was set back is found from the beginning, next time
        if dropped:
            _log.warning("evidence is full: %d oldest files dropped", dropped)

    # checking

    def problems(self) -> Iterator[str]:
        """What is broken, in words: the file, the audit chain (its first row), rows that do not decode, evidence missing or altered."""
        yield from integrity_problems(self.directory / DATABASE)
        chain = self.audit.verify()
        if chain.broken is not None:
            yield f"audit row {chain.broken}: {chain.problem}"
        for kind, shelf in CATALOGUE.items():
            try:
                for _ in self.each(kind):
                    pass
            except CodecError as error:
                yield f"{shelf.table.__tablename__}: {error}"
            except DatabaseError as error:
                yield f"{shelf.table.__tablename__}: cannot be read: {error.orig}"
        try:
            damaged = first_damaged(self._files, lambda: list(self.each(Excerpt)))
        except (CodecError, DatabaseError):
            return  # named above: the list of what should be there cannot be read
        if damaged:
            yield damaged
