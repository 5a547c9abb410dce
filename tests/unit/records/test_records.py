import dataclasses
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentinel.clock import ManualClock
from sentinel.errors import InputError, TransientError
from sentinel.model.action import Action
from sentinel.model.asset import Asset
from sentinel.model.command import Command
from sentinel.model.finding import Finding, FindingState
from sentinel.model.ids import AssetId, CommandId, Digest, FindingId
from sentinel.model.record import Invitation, Label, Tally
from sentinel.model.time import Instant
from sentinel.records import Change, Records
from sentinel.records.shelves import CATALOGUE
from tests.unit.records.values import EVERY, A, action, finding

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@pytest.mark.parametrize(("value", "key"), EVERY, ids=lambda v: type(v).__name__ if not isinstance(v, str) else "")
def test_what_is_kept_is_found_again_after_a_restart(tmp_path: Path, value: Any, key: str) -> None:
    first = Records(tmp_path, ManualClock())
    first.keep(finding()) if isinstance(value, Label) else None
    first.keep(value)
    first.close()
    again = Records(tmp_path, ManualClock())
    try:
        assert again.find(type(value), key) == value
        assert value in again.page(type(value)).items
    finally:
        again.close()


def test_every_shelf_has_a_value_here() -> None:
    assert {type(value) for value, _ in EVERY} == set(CATALOGUE)


def test_keeping_again_replaces_and_counts_once(records: Records) -> None:
    records.keep(finding(), finding(frame_count=9))
    assert records.count(Finding) == 1
    kept = records.find(Finding, "f")
    assert kept is not None
    assert kept.frame_count == 9


def test_all_or_nothing(records: Records) -> None:
    stray = Label(finding=FindingId("nobody"), state=FindingState.CLOSED, by="alice", at=Instant(1))
    with pytest.raises(LookupError, match="nobody"):
        records.keep(finding(), stray)
    assert records.find(Finding, "f") is None
    records.keep(finding())  # the writer goes on
    assert records.find(Finding, "f") is not None


def test_a_job_that_fails_leaves_its_neighbours_alone(records: Records) -> None:
    stray = Label(finding=FindingId("nobody"), state=FindingState.CLOSED, by="alice", at=Instant(1))
    futures = [records.submit(finding(f"f{i}") if i != 5 else stray) for i in range(10)]
    failed = [i for i, future in enumerate(futures) if future.exception(timeout=5)]
    assert failed == [5]
    assert records.count(Finding) == 9


def test_what_a_person_said_outlives_the_fold(records: Records) -> None:
    records.keep(finding())
    records.keep(Label(finding=FindingId("f"), state=FindingState.DISMISSED, by="alice", at=Instant(7)))
    records.keep(finding(frame_count=50))
    kept = records.find(Finding, "f")
    assert kept is not None
    assert (kept.state, kept.frame_count) == (FindingState.DISMISSED, 50)
    assert [f.id for f in records.page(Finding, where={"state": "dismissed"}).items] == ["f"]


def test_an_asset_keeps_its_first_sight(records: Records) -> None:
    records.keep(Asset(id=A, first_seen=Instant(10), last_seen=Instant(20)))
    records.keep(Asset(id=A, first_seen=Instant(30), last_seen=Instant(40)))
    kept = records.find(Asset, A)
    assert kept is not None
    assert (kept.first_seen, kept.last_seen) == (10, 40)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(TEXT, min_size=1, max_size=12, unique=True), size=st.integers(1, 5))
def test_pages_give_everything_once_in_order(tmp_path_factory: pytest.TempPathFactory, names: list[str], size: int) -> None:
    records = Records(tmp_path_factory.mktemp("pages"), ManualClock())
    try:
        records.keep(*(finding(name, last_seen=Instant(i // 3)) for i, name in enumerate(names)))
        seen: list[Finding] = []
        cursor = None
        while True:
            page = records.page(Finding, limit=size, cursor=cursor)
            assert len(page.items) <= size
            seen += page.items
            cursor = page.next
            if cursor is None:
                break
        assert sorted(f.id for f in seen) == sorted(names)
        assert [f.last_seen for f in seen] == sorted((f.last_seen for f in seen), reverse=True)
    finally:
        records.close()


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXT)
def test_any_text_is_just_a_text(records: Records, text: str) -> None:
    records.keep(finding(text, cause=text, title=text, assets=(AssetId(text),)))
    kept = records.find(Finding, text)
    assert kept is not None
    assert kept.title == text
    assert records.page(Finding, where={"cause": text}).items


@pytest.mark.parametrize("text", ["", "x", "' OR 1=1 --", "MTIz", "é", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTkgeA"])
def test_a_foreign_cursor_is_refused(records: Records, text: str) -> None:
    with pytest.raises(InputError, match="cursor"):
        records.page(Finding, cursor=text)


def test_strict_tables_refuse_a_text_for_a_number(records: Records, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "records" / "records.db") as connection:
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO assets (key, at, body) VALUES ('x', 'yesterday', '{}')")
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        strict = connection.execute("SELECT name FROM pragma_table_list WHERE schema='main' AND type='table' AND NOT strict").fetchall()
    connection.close()
    assert {name for (name,) in strict} <= {"alembic_version", "sqlite_schema", "sqlite_master"}


def test_files_are_for_the_owner_only(records: Records) -> None:
    records.keep(finding())
    for path in [records.directory, *records.directory.iterdir()]:
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_changes_are_told_in_the_order_of_their_revisions(records: Records) -> None:
    told: list[Change] = []
    enough = threading.Event()

    def listen(change: Change) -> None:
        told.append(change)
        if len(told) == 3:
            enough.set()

    end = records.subscribe(listen)
    records.keep(finding(), Asset(id=A, first_seen=Instant(1), last_seen=Instant(1)), action())
    records.keep(Label(finding=FindingId("f"), state=FindingState.CONFIRMED, by="alice", at=Instant(7)))
    assert enough.wait(5)
    end()
    assert [(change.revision, type(change.value)) for change in told] == [(1, Finding), (2, Action), (3, Finding)]
    assert [change.revision for change in records.changes_since(0)] == [2, 3]  # the finding as it is now, once
    assert records.changes_since(3) == []


def test_a_code_is_spent_once_however_many_try(records: Records, clock: ManualClock) -> None:
    now = clock.now()
    code = Digest("cd" * 32)
    records.keep(Invitation(code=code, name="bob", roles=("viewer",), made=now, expires=Instant(now + 10), made_by="x"))
    results: list[Invitation | None] = []
    threads = [threading.Thread(target=lambda: results.append(records.spend(code, now))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([result for result in results if result]) == 1
    assert records.spend(code, now) is None


def test_a_code_that_is_too_old_is_not_spent(records: Records, clock: ManualClock) -> None:
    code, now = Digest("cd" * 32), clock.now()
    records.keep(Invitation(code=code, name="bob", roles=("viewer",), made=now, expires=Instant(now + 10), made_by="x"))
    assert records.spend(code, Instant(now + 10)) is None
    assert records.spend(code, Instant(now - 1)) is None
    assert records.spend(code, Instant(now + 9)) is not None


def test_closed_records_refuse(tmp_path: Path) -> None:
    records = Records(tmp_path, ManualClock())
    records.close()
    with pytest.raises(TransientError, match="closed"):
        records.keep(finding())


def test_a_locked_database_is_an_error_not_a_loss(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process holds the write lock longer than we wait: the writer says so, and goes on when it is free."""
    other = sqlite3.connect(records.directory / "records.db", isolation_level=None)
    records._writer.submit(lambda connection: connection.exec_driver_sql("PRAGMA busy_timeout=50").close()).result()
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransientError, match="cannot be written"):
        records.keep(finding())
    other.execute("ROLLBACK")
    other.close()
    records.keep(finding())
    assert records.find(Finding, "f") is not None


_WRITER = """
import sys
from pathlib import Path
from sentinel.clock import SystemClock
from sentinel.records import Records
from tests.unit.records.values import finding
records = Records(Path(sys.argv[1]), SystemClock())
i = 0
while True:
    entry = records.audit.append("test", "write", str(i))
    records.keep(finding(f"f{i}"))
    entry.result()
    print(i, flush=True)
    i += 1
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    child = subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=root)
    assert child.stdout is not None
    acknowledged = -1
    for line in child.stdout:
        acknowledged = int(line)
        if acknowledged >= 40:
            os.kill(child.pid, signal.SIGKILL)
            break
    rest = child.stdout.read().split()
    child.stdout.close()
    assert child.wait(10) == -signal.SIGKILL
    acknowledged = max([acknowledged, *map(int, rest)])
    records = Records(tmp_path, ManualClock())
    try:
        missing = [i for i in range(acknowledged + 1) if records.find(Finding, f"f{i}") is None]
        assert missing == []
        chain = records.audit.verify()
        assert chain.broken is None
        assert chain.rows > acknowledged
        assert list(records.problems()) == []
    finally:
        records.close()


def test_two_processes_write_one_chain(tmp_path: Path) -> None:
    """`sentinel enrol` beside the running appliance."""
    first, second = Records(tmp_path, ManualClock()), Records(tmp_path, ManualClock())
    try:
        for i in range(20):
            (first if i % 2 else second).audit.append("test", "write", str(i)).result()
            (second if i % 2 else first).keep(finding(f"f{i}"))
        chain = first.audit.verify()
        assert (chain.broken, chain.rows) == (None, 20)
        assert [change.revision for change in first.changes_since(0)] == list(range(1, 21))
    finally:
        first.close()
        second.close()


def test_telemetry_alone_does_not_wait_for_the_disk(records: Records) -> None:
    """The level is the connection's own; what is asked for by a finding must be there again after a tally."""
    levels = []

    def look(connection: Any) -> None:
        levels.append(connection.exec_driver_sql("PRAGMA synchronous").scalar_one())

    records.keep(Tally(source="gate", start=Instant(1)))
    records._writer.submit(look, durable=False).result()
    records.keep(finding())
    records._writer.submit(look, durable=True).result()
    assert levels == [1, 2]  # NORMAL, FULL


def test_a_row_that_was_altered_is_named(records: Records, tmp_path: Path) -> None:
    records.keep(finding())
    with sqlite3.connect(tmp_path / "records" / "records.db") as connection:
        connection.execute("UPDATE findings SET body = replace(body, 'high', 'loud') WHERE key = 'f'")
        connection.execute("UPDATE findings SET body = replace(body, '\"severity\":4', '\"severity\":9') WHERE key = 'f'")
    connection.close()
    problems = list(records.problems())
    assert len(problems) == 1
    assert "findings" in problems[0]
    assert "severity" in problems[0]


def test_many_at_once_are_kept_as_one_by_one(records: Records) -> None:
    """A flood of commands is one statement; the newest of a key stands, and what comes between them is kept as ever."""
    commands: list[Any] = [value for value, _ in EVERY if isinstance(value, Command)]
    many = [dataclasses.replace(commands[0], id=CommandId(f"c-{number}")) for number in range(500)]
    again = dataclasses.replace(many[7], operation="mask_write_register")
    records.keep(*many, finding(), *many[:3], again)
    assert records.count(Command) == 500
    assert {one.id: one for one in records.each(Command)} == {one.id: one for one in (*many, again)}
    assert records.count(Finding) == 1
