import json
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentinel.clock import ManualClock
from sentinel.records import Records
from sentinel.records.audit_log import CLOCK_STEPPED_BACK, GENESIS, MAX_TEXT, chain_hash, verify_file

ROWS = 30


@pytest.fixture
def written(tmp_path: Path, clock: ManualClock) -> Path:
    """A closed database with ROWS entries."""
    records = Records(tmp_path / "w", clock)
    for i in range(ROWS):
        clock.advance(1)
        records.audit.append("alice", "findings.read", f"/findings/target-{i:03d}", "allow", method="GET", number=i)
    records.close()
    return tmp_path / "w"


def check(directory: Path) -> tuple[int | None, str | None]:
    found = verify_file(directory / "records.db", directory / "audit.anchor")
    return found.broken, found.problem


def altered(directory: Path, *statements: str) -> None:
    """As somebody with the file would, past the triggers."""
    with sqlite3.connect(directory / "records.db") as connection:
        connection.execute("DROP TRIGGER audit_refuses_update")
        connection.execute("DROP TRIGGER audit_refuses_delete")
        for statement in statements:
            assert connection.execute(statement).rowcount
    connection.close()


def test_the_chain_holds_and_is_what_it_says(written: Path) -> None:
    assert check(written) == (None, None)
    with sqlite3.connect(written / "records.db") as connection:
        rows = connection.execute("SELECT record, previous, hash FROM audit ORDER BY sequence").fetchall()
    connection.close()
    previous = GENESIS
    for number, (record, stated_previous, stated) in enumerate(rows, start=1):
        assert (stated_previous, stated) == (previous, chain_hash(previous, record))
        assert json.loads(record)["sequence"] == number
        previous = stated
    assert len(rows) == ROWS


@pytest.mark.parametrize("row", [0, 7, ROWS - 1])
def test_one_byte_in_the_file_names_its_row(written: Path, row: int) -> None:
    path = written / "records.db"
    octets = bytearray(path.read_bytes())
    at = octets.find(f"target-{row:03d}".encode())
    assert at > 0
    octets[at] ^= 0x01
    path.write_bytes(octets)
    broken, problem = check(written)
    assert broken == row + 1
    assert problem is not None
    assert "hash" in problem


@pytest.mark.parametrize(
    ("statement", "row", "says"),
    [
        ("UPDATE audit SET record = replace(record, 'alice', 'mallory') WHERE sequence = 5", 5, "hash of its record"),
        ("UPDATE audit SET actor = 'mallory' WHERE sequence = 5", 5, "columns"),
        ("UPDATE audit SET at = at + 1 WHERE sequence = 5", 5, "columns"),
        ("UPDATE audit SET previous = hash WHERE sequence = 5", 5, "previous"),
        ("UPDATE audit SET hash = previous WHERE sequence = 5", 5, "hash of its record"),
        ("DELETE FROM audit WHERE sequence = 5", 5, "missing"),
        ("DELETE FROM audit WHERE sequence = 1", 1, "missing"),
        ("DELETE FROM audit WHERE sequence > 20", 21, "ends at row 20"),
        ("DELETE FROM audit", 1, "ends at row 0"),
    ],
)
def test_what_is_edited_is_named(written: Path, statement: str, row: int, says: str) -> None:
    altered(written, statement)
    broken, problem = check(written)
    assert broken == row
    assert problem is not None
    assert says in problem


def test_a_chain_that_was_written_anew_does_not_fit_the_anchor(written: Path) -> None:
    """Edit a row and recompute every hash after it: the anchor still names the old head."""
    connection = sqlite3.connect(written / "records.db")
    connection.execute("DROP TRIGGER audit_refuses_update")
    previous = GENESIS
    for sequence, record in connection.execute("SELECT sequence, record FROM audit ORDER BY sequence").fetchall():
        text = record.replace("/findings/target-003", "/findings/target-999")
        head = chain_hash(previous, text)
        connection.execute("UPDATE audit SET record=?, previous=?, hash=? WHERE sequence=?", (text, previous, head, sequence))
        previous = head
    connection.commit()
    connection.close()
    assert check(written) == (ROWS, "the row is not the one that the anchor names")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_byte_of_the_audit_rows_is_noticed(written: Path, data: st.DataObject) -> None:
    """Wherever it is flipped inside a row's text, a row is named, and it is that row or one that it made unreadable."""
    path = written / "records.db"
    original = path.read_bytes()
    row = data.draw(st.integers(0, ROWS - 1))
    start = original.find(f'"sequence":{row + 1},'.encode())
    record_start = original.rfind(b'{"action"', 0, start)
    at = data.draw(st.integers(record_start, start + 10))
    octets = bytearray(original)
    octets[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        path.write_bytes(octets)
        broken, _ = check(written)
    finally:
        path.write_bytes(original)
    assert broken == row + 1


def test_the_log_refuses_to_be_changed(records: Records) -> None:
    records.audit.append("alice", "x").result()
    connection = sqlite3.connect(records.directory / "records.db")
    for statement in ("UPDATE audit SET actor = 'mallory'", "DELETE FROM audit"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()


def test_a_clock_that_steps_back_is_an_entry_and_the_sequence_rises(records: Records, clock: ManualClock) -> None:
    records.audit.append("alice", "one").result()
    clock.advance(-3600)
    entry = records.audit.append("alice", "two").result()
    clock.advance(1)
    records.audit.append("alice", "three").result()
    entries = list(reversed(records.audit.page()))
    assert [(each.sequence, each.action) for each in entries] == [(1, "one"), (2, CLOCK_STEPPED_BACK), (3, "two"), (4, "three")]
    assert entries[2] == entry
    assert entries[1].details["from"] > entries[1].details["to"]
    assert records.audit.verify().broken is None


def test_pages_go_back_without_gaps(records: Records) -> None:
    for i in range(7):
        records.audit.append("alice", "x", str(i)).result()
    first = records.audit.page(limit=3)
    second = records.audit.page(before=first[-1].sequence, limit=3)
    assert [entry.sequence for entry in first + second] == [7, 6, 5, 4, 3, 2]
    assert records.audit.find(3) == second[-2]
    assert records.audit.find(99) is None


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=40))
def test_any_text_is_kept_and_verifies(records: Records, text: str) -> None:
    """Lone surrogates, control characters, quotes: an attacker chooses a path."""
    records.audit.append(text, text, text, text, note=text).result()
    assert records.audit.verify().broken is None
    records.audit.page(limit=1)


def test_a_field_is_bounded(records: Records) -> None:
    entry = records.audit.append("a" * 10_000, "x").result()
    assert len(entry.actor) == MAX_TEXT


def test_details_that_are_no_json_are_the_callers_fault(records: Records) -> None:
    with pytest.raises((TypeError, ValueError)):
        records.audit.append("alice", "x", "", "ok", value=float("nan"))
    with pytest.raises(TypeError):
        records.audit.append("alice", "x", "", "ok", value=object())


@pytest.mark.parametrize("text", ["", "x", "12", "12 34 56", "\x00\xff"])
def test_a_damaged_anchor_is_said(written: Path, text: str) -> None:
    (written / "audit.anchor").write_text(text, encoding="latin-1")
    broken, problem = check(written)
    assert broken == 1
    assert problem is not None
    assert "anchor" in problem


def test_a_file_that_is_cut_is_named(written: Path) -> None:
    path = written / "records.db"
    octets = path.read_bytes()
    first = octets.find(b"target-")
    path.write_bytes(octets[: first - first % 4096] + bytes(4096) + octets[first - first % 4096 + 4096 :])
    broken, problem = check(written)
    assert broken is not None
    assert problem is not None
