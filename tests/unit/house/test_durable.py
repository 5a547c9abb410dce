import stat
from pathlib import Path

import pytest

from sentinel.durable import write_whole


def test_a_file_is_replaced_whole_and_stays_private(tmp_path: Path) -> None:
    path = tmp_path / "key"
    for octets in (b"first, and longer", b"second"):
        write_whole(path, octets)
        assert path.read_bytes() == octets
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["key"]


def test_other_rights_are_given_by_name(tmp_path: Path) -> None:
    write_whole(tmp_path / "baseline", b"x", 0o644)
    assert stat.S_IMODE((tmp_path / "baseline").stat().st_mode) == 0o644


def test_what_cannot_be_placed_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "taken", b"x")
    assert [found.name for found in tmp_path.iterdir()] == ["taken"]
