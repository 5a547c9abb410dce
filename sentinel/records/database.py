"""The SQLite file: one engine that writes (immediate transactions) and one that only reads.

Write-ahead log: readers never wait for the writer.  Raises InputError for a file that is no SQLite database.
"""

import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool, QueuePool

from sentinel.errors import InputError
from sentinel.records import migrate

BUSY_TIMEOUT_MS = 5_000  # another process of the box (enrolment on the command line) may be writing
JOURNAL_SIZE_LIMIT_OCTETS = 64 * 1024 * 1024
_READERS = 8


def open_database(path: Path) -> tuple[Engine, Engine]:
    """(writing, reading), migrated to this code's version.  The file is made with mode 0600."""
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    try:
        writing = _engine(path, reading=False)
        migrate.upgrade(writing, str(path))
    except DatabaseError as error:
        raise InputError(f"{path}: cannot be opened as a SQLite database: {error.orig}") from error
    return writing, _engine(path, reading=True)


def _engine(path: Path, *, reading: bool) -> Engine:
    pool: dict[str, Any] = {"poolclass": QueuePool, "pool_size": _READERS, "max_overflow": 32} if reading else {"poolclass": NullPool}
    engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False}, **pool)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
        for pragma in (
            f"busy_timeout={BUSY_TIMEOUT_MS}",  # first: the next one may meet a lock
            "journal_mode=WAL",
            "foreign_keys=ON",
            "recursive_triggers=ON",  # so that INSERT OR REPLACE meets the audit log's DELETE trigger
            "trusted_schema=OFF",
            f"journal_size_limit={JOURNAL_SIZE_LIMIT_OCTETS}",
            "query_only=ON" if reading else "synchronous=FULL",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def integrity_problems(path: Path) -> list[str]:
    """What SQLite itself finds wrong with the file; empty = nothing."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        try:
            rows = connection.execute("PRAGMA integrity_check(20)").fetchall()
        except sqlite3.DatabaseError as error:
            return [str(error)]
        finally:
            connection.commit()
    connection.close()
    return [row[0] for row in rows if row[0] != "ok"]
