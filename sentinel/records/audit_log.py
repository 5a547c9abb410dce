"""The audit log: who did what, in a chain that cannot be rewritten unnoticed.

Entries are chained by SHA-256: each hash covers the previous hash and the canonical JSON of its own entry.  Beside the database an anchor
file holds the newest sequence and hash, so that a lost tail is noticed too.  A clock that steps back is an entry of its own; the sequence
only rises.  In: plain values.  Out: a future per entry, done when it is on disk.
"""

import hashlib
import json
import logging
import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, desc, insert, select

from sentinel.clock import Clock
from sentinel.errors import InputError
from sentinel.model.ids import Digest
from sentinel.model.record import AuditEntry
from sentinel.model.time import Instant, iso
from sentinel.records.tables import AuditRow
from sentinel.records.writer import Writer

GENESIS = Digest("0" * 64)
CLOCK_STEPPED_BACK = "clock.stepped_back"
MAX_TEXT = 512  # characters of one field: a longer one is cut, so that nobody fills the disk with a name
_audit: Any = AuditRow  # its columns, as SQLAlchemy sees them
_FIELDS = frozenset({"sequence", "at", "actor", "action", "target", "outcome", "details"})

_log = logging.getLogger(__name__)


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def chain_hash(previous: str, record: str) -> Digest:
    return Digest(hashlib.sha256(f"{previous}{record}".encode()).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainCheck:
    """``broken`` is the sequence of the first row that does not fit; None = the chain holds over all ``rows``."""

    rows: int
    head: Digest
    broken: int | None = None
    problem: str | None = None


class AuditLog:
    def __init__(self, writer: Writer, reading: Engine, anchor: Path, clock: Clock) -> None:
        self._writer = writer
        self._reading = reading
        self._anchor = anchor
        self._clock = clock

    def append(self, actor: str, action: str, target: str = "", outcome: str = "ok", **details: Any) -> "Future[AuditEntry]":
        """Raises TransientError when the records are too far behind.  ``details`` must be JSON-able."""
        now = self._clock.now()
        text = tuple(_plain(part) for part in (actor, action, target, outcome))
        canonical(details)  # what cannot be kept is the caller's bug: raised here, not in the writer's thread
        return self._writer.submit(lambda connection: _append(connection, now, text, details), done=self._set_anchor)

    def find(self, sequence: int) -> AuditEntry | None:
        with self._reading.connect() as connection:
            row = connection.execute(select(_audit.record, _audit.previous, _audit.hash).where(_audit.sequence == sequence)).one_or_none()
        return _entry(row) if row else None

    def newest(self, action: str) -> AuditEntry | None:
        """The last entry of this action."""
        query = select(_audit.record, _audit.previous, _audit.hash).where(_audit.action == action).order_by(desc(_audit.sequence)).limit(1)
        with self._reading.connect() as connection:
            row = connection.execute(query).one_or_none()
        return _entry(row) if row else None

    def page(self, before: int | None = None, limit: int = 100) -> list[AuditEntry]:
        """Newest first."""
        query = select(_audit.record, _audit.previous, _audit.hash).order_by(desc(_audit.sequence)).limit(limit)
        if before is not None:
            query = query.where(_audit.sequence < before)
        with self._reading.connect() as connection:
            return [_entry(row) for row in connection.execute(query)]

    def verify(self) -> ChainCheck:
        path = self._reading.url.database
        assert path is not None
        return verify_file(Path(path), self._anchor)

    def _set_anchor(self, entry: AuditEntry) -> None:
        _write_anchor(self._anchor, entry.sequence, entry.hash)


def _plain(text: str) -> str:
    """Bounded, and without lone surrogates, which have no UTF-8."""
    text = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
    return text.encode("utf-8", "backslashreplace").decode()


def _append(connection: Connection, now: Instant, text: tuple[str, ...], details: dict[str, Any]) -> AuditEntry:
    last = connection.execute(select(_audit.sequence, _audit.hash, _audit.at).order_by(desc(_audit.sequence)).limit(1)).one_or_none()
    sequence, previous, newest = (last.sequence, Digest(last.hash), last.at) if last else (0, GENESIS, now)
    if now < newest:
        stepped = {"from": iso(newest), "to": iso(now)}
        entry = _insert(connection, sequence + 1, now, ("sentinel", CLOCK_STEPPED_BACK, "clock", "recorded"), stepped, previous)
        sequence, previous = entry.sequence, entry.hash
    return _insert(connection, sequence + 1, now, text, details, previous)


def _insert(
    connection: Connection, sequence: int, at: Instant, text: tuple[str, ...], details: dict[str, Any], previous: Digest
) -> AuditEntry:
    actor, action, target, outcome = text
    body = {"sequence": sequence, "at": at, "actor": actor, "action": action, "target": target, "outcome": outcome, "details": details}
    record = canonical(body)
    row = {"sequence": sequence, "at": at, "actor": actor, "action": action, "record": record, "previous": previous}
    row["hash"] = chain_hash(previous, record)
    connection.execute(insert(AuditRow).values(**row))
    return AuditEntry(**body, previous=previous, hash=Digest(row["hash"]))  # type: ignore[arg-type]


def _entry(row: Any) -> AuditEntry:
    body = json.loads(row.record)
    return AuditEntry(**body, previous=Digest(row.previous), hash=Digest(row.hash))


def _write_anchor(path: Path, sequence: int, head: str) -> None:
    line = f"{sequence:020d} {head}\n".encode()  # of fixed size: one write replaces the other
    try:
        if path.exists():
            _pwrite(path, line)
        else:  # never seen empty: neither by a reader nor after a kill between its making and its first line
            beside = path.with_name(f"{path.name}.new")
            _pwrite(beside, line)
            beside.replace(path)
    except OSError:
        _log.exception("the audit anchor %s cannot be written", path)


def _pwrite(path: Path, octets: bytes) -> None:
    handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.pwrite(handle, octets, 0)
    finally:
        os.close(handle)


def read_anchor(path: Path) -> tuple[int, str]:
    """(sequence, hash); (0, genesis) when there is none yet.  Raises InputError when it is not an anchor."""
    try:
        sequence, head = path.read_text(encoding="ascii").split()
        return int(sequence), head
    except FileNotFoundError:
        return 0, GENESIS
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not an audit anchor: {error}") from error


def verify_file(database: Path, anchor: Path) -> ChainCheck:
    """Walk the chain in a database file, as it lies on disk.  The anchor is read first: entries may be added meanwhile."""
    try:
        anchored, anchor_head = read_anchor(anchor)
    except InputError as error:
        return ChainCheck(rows=0, head=GENESIS, broken=1, problem=str(error))
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        count, head, at_anchor = 0, GENESIS, GENESIS
        for row in _rows(connection):
            problem = row if isinstance(row, str) else _row_problem(count + 1, head, row)
            if problem:
                return ChainCheck(rows=count, head=head, broken=count + 1, problem=problem)
            count, head = count + 1, Digest(row[5])
            if count == anchored:
                at_anchor = head
    finally:
        connection.close()
    if anchored > count:
        problem = f"the log ends at row {count}, but row {anchored} had been written"
        return ChainCheck(rows=count, head=head, broken=count + 1, problem=problem)
    if at_anchor != anchor_head:
        return ChainCheck(rows=count, head=head, broken=anchored, problem="the row is not the one that the anchor names")
    return ChainCheck(rows=count, head=head)


def _rows(connection: sqlite3.Connection) -> Iterator[Any]:
    """The rows in order; a text where the file could not be read on."""
    try:
        yield from connection.execute("SELECT sequence, at, actor, action, record, hash, previous FROM audit ORDER BY sequence")
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        yield f"the row cannot be read: {error}"


def _row_problem(expected: int, head: str, row: tuple[int, int, str, str, str, str, str]) -> str | None:
    sequence, at, actor, action, record, stated, previous = row
    if sequence != expected:
        return f"row {expected} is missing: the next one is {sequence}"
    if previous != head:
        return "its previous hash is not the hash of the row before"
    if chain_hash(previous, record) != stated:
        return "its hash is not the hash of its record"
    try:
        body = json.loads(record)
    except ValueError as error:
        return f"its record is no JSON: {error}"
    columns = {"sequence": sequence, "at": at, "actor": actor, "action": action}
    if not isinstance(body, dict) or set(body) != _FIELDS or any(body[name] != shown for name, shown in columns.items()):
        return "its columns do not say what its record says"
    return None
