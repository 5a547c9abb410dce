from pathlib import Path

import pytest

from sentinel.clock import ManualClock
from sentinel.errors import InputError
from sentinel.respond.enforcers.journal import Journal, verify


def written(path: Path, *events: str) -> None:
    journal = Journal(path, ManualClock())
    for event in events:
        journal.write(event, target="10.0.0.66")
    journal.close()


def test_lines_are_chained_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    written(path, "start", "quarantine")
    written(path, "start", "release")
    assert verify(path) == 4
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_changed_or_removed_line_is_named(tmp_path: Path, line: int) -> None:
    path = tmp_path / "j.jsonl"
    written(path, "one", "two", "three", "four")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:line], lines[line].replace("10.0.0.66", "10.0.0.20"), *lines[line + 1 :]]))
    with pytest.raises(InputError, match=f"j.jsonl:{line + 2}: the chain breaks"):
        verify(path)
    path.write_text("".join([*lines[:line], *lines[line + 1 :]]))
    with pytest.raises(InputError, match=f"j.jsonl:{line + 1}: the chain breaks"):
        verify(path)


def test_a_torn_line_is_kept_and_recorded(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    written(path, "one", "two")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    written(path, "three")
    assert verify(path) == 4
    assert '"event": "torn"' in path.read_text().splitlines()[2]
    path.write_bytes(whole[:-20] + b"\n" + b"garbage\n")
    with pytest.raises(InputError, match=":3: not a line"):
        verify(path)
