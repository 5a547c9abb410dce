import sqlite3
from pathlib import Path

import pytest
from alembic.runtime.migration import MigrationContext
from sqlmodel import SQLModel

from sentinel.clock import ManualClock
from sentinel.errors import ConfigError, InputError
from sentinel.model.codec import to_json
from sentinel.model.finding import Finding
from sentinel.records import Records, migrate
from sentinel.records.database import _engine
from tests.unit.records.values import action, finding


def columns(path: Path) -> dict[str, list[tuple[str, str, int]]]:
    with sqlite3.connect(path) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table' ORDER BY name")]
        found = {table: [(c[1], c[2], c[3]) for c in connection.execute(f'PRAGMA table_info("{table}")')] for table in tables}
    connection.close()
    return found


def indexed(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='index' AND name NOT LIKE 'sqlite%'")}
    connection.close()
    return found


def test_an_empty_database_becomes_what_the_tables_say(tmp_path: Path) -> None:
    Records(tmp_path, ManualClock()).close()
    migrated = columns(tmp_path / "records.db")
    plain = _engine(tmp_path / "plain.db", reading=False)
    SQLModel.metadata.create_all(plain)
    plain.dispose()
    declared = columns(tmp_path / "plain.db")
    assert set(migrated) - set(declared) == {"alembic_version"}
    assert {table: sorted(migrated[table]) for table in declared} == {table: sorted(of) for table, of in declared.items()}
    assert indexed(tmp_path / "records.db") == indexed(tmp_path / "plain.db")


def test_a_database_of_the_first_version_comes_along_with_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    engine = _engine(path, reading=False)
    migrate.upgrade(engine, str(path), to="0001")
    with engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == "0001"
    engine.dispose()
    old = [(finding("f1", last_seen=5), 5), (finding("f2", last_seen=1), 1), (action("a1", changed=3), 3)]
    with sqlite3.connect(path) as connection:
        for value, at in old:
            body = to_json(value).decode()
            if isinstance(value, Finding):
                row = (value.id, at, body, "open", 4, value.cause, "\n10.0.0.66\n")
                connection.execute("INSERT INTO findings (key, at, body, state, severity, cause, assets) VALUES (?,?,?,?,?,?,?)", row)
            else:
                connection.execute(
                    "INSERT INTO actions (key, at, body, state, target) VALUES (?,?,?,?,?)", (value.id, at, body, "proposed", "x")
                )
    connection.close()
    records = Records(tmp_path, ManualClock())
    try:
        assert [(change.revision, change.value.id) for change in records.changes_since(0)] == [(1, "f2"), (2, "a1"), (3, "f1")]
        records.keep(finding("f3"))
        assert records.revision() == 4
        assert records.find(Finding, "f1") == old[0][0]
        assert list(records.problems()) == []
    finally:
        records.close()


def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    Records(tmp_path, ManualClock()).close()
    before = columns(tmp_path / "records.db")
    Records(tmp_path, ManualClock()).close()
    assert columns(tmp_path / "records.db") == before


def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    Records(tmp_path, ManualClock()).close()
    with sqlite3.connect(tmp_path / "records.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    connection.close()
    octets = (tmp_path / "records.db").read_bytes()
    with pytest.raises(
        ConfigError, match=rf"records.db: the database is of version 0999, newer than this code \({migrate.newest_version()}\)"
    ):
        Records(tmp_path, ManualClock())
    assert (tmp_path / "records.db").read_bytes() == octets


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "records.db").write_bytes(b"not a database at all" * 1000)
    with pytest.raises(InputError, match=r"records.db: cannot be opened as a SQLite database"):
        Records(tmp_path, ManualClock())
