"""Files as their sets define them are read; anything else is refused with file and line."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from sentinel.errors import InputError
from sentinel.measure.detection.datasets import READERS, batadal, held, same_tags, skab, tep

_BATADAL = "DATETIME, L_T1, S_PU1,ATT_FLAG\n06/01/14 00,0.50,1,0\n06/01/14 01,0.61,0,-999\n06/01/14 02,0.7,0,1\n"
_SKAB = "datetime;Current;Pressure;anomaly;changepoint\n2020-03-09 10:14:33;1.33;0.05;0.0;0.0\n2020-03-09 10:14:34;1.35;;1.0;0.0\n"


def _file(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def test_batadal(tmp_path: Path) -> None:
    table = batadal(_file(tmp_path, "dataset.csv.gz", _BATADAL))
    assert table.tags == ("L_T1", "S_PU1")
    assert table.labels.tolist() == [False, False, True]
    assert table.hours is not None
    assert table.hours.tolist() == [0, 1, 2]
    assert table.digits.tolist() == [2, 0]
    assert (table.row_s, table.missing) == (3600.0, 0)


def test_skab_counts_what_is_missing(tmp_path: Path) -> None:
    rows = "".join(f"2020-03-09 10:15:{i:02d};1.4;0.{i:02d};0.0;0.0\n" for i in range(30))
    table = skab(_file(tmp_path, "1.csv", _SKAB + rows))
    assert table.tags == ("Current", "Pressure")
    assert np.array_equal(table.values[1], [1.35, np.nan], equal_nan=True)
    assert held(table.values)[1].tolist() == [1.35, 0.05]
    assert table.missing == 1
    assert table.labels.tolist() == [False, True, *([False] * 30)]
    free = skab(_file(tmp_path, "free.csv", "datetime;Current;Pressure\n2020-03-09 10:14:33;1.33;0.05\n"))
    assert not free.labels.any()


def test_tep_upright_and_on_its_side(tmp_path: Path) -> None:
    values = np.arange(52 * 170).reshape(170, 52)
    upright = "\n".join("  ".join(f"{value:.4e}" for value in row) for row in values)
    side = "\n".join("  ".join(f"{value:.4e}" for value in row) for row in values.T)
    fault = tep(_file(tmp_path, "d04_te.dat", upright))
    normal = tep(_file(tmp_path, "d00.dat", side))
    assert np.array_equal(fault.values, normal.values)
    assert (int(fault.labels.argmax()), bool(normal.labels.any())) == (160, False)
    assert tep(_file(tmp_path, "d04.dat.gz", upright)).labels.all()
    assert fault.tags[50] == "XMV(10)"


@pytest.mark.parametrize(
    ("kind", "name", "text", "told"),
    [
        ("batadal", "a.csv", "", r"a\.csv:1: the header"),
        ("batadal", "a.csv", _BATADAL.replace(",", ";"), r"a\.csv:1: the header is not DATETIME,\.\.\.,ATT_FLAG"),
        ("batadal", "a.csv", _BATADAL.replace("0.61,0", "0.61"), r"a\.csv:3: 3 fields, the header has 4"),
        ("batadal", "a.csv", _BATADAL.replace("0.61", "much"), r"a\.csv:3: L_T1 is 'much', which is no number"),
        ("batadal", "a.csv", _BATADAL.replace("06/01/14 01", "yesterday"), r"a\.csv:3: 'yesterday' is no date and hour"),
        ("batadal", "a.csv", _BATADAL.split("\n", maxsplit=1)[0] + "\n", r"a\.csv: holds no rows"),
        ("batadal", "a.csv", _BATADAL.replace("S_PU1", "L_T1"), r"a\.csv:1: a tag stands twice"),
        ("batadal", "a.csv", _BATADAL.replace("0.61", "nan"), r"a\.csv: 17% of its values are missing"),
        ("skab", "a.csv", _SKAB.replace("datetime", "time"), r"a\.csv:1: the header is not datetime;"),
        ("tep", "a.dat", "1 2 3", r"a\.dat: the name .* tells its fault"),
        ("tep", "d01.dat", "1 2 3", r"d01\.dat:1: 3 values, a row .* has 52"),
        ("tep", "d00.dat", "\n".join(["1 2 3"] * 51 + ["1 2"]), r"d00\.dat:52: 2 values, the first line has 3"),
        ("skab", "a.csv.gz", "", r"a\.csv\.gz:1: the header"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(tmp_path: Path, kind: str, name: str, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        READERS[kind](_file(tmp_path, name, text))


def test_files_that_are_no_text_or_no_archive(tmp_path: Path) -> None:
    broken = tmp_path / "a.csv.gz"
    broken.write_bytes(b"no archive")
    binary = tmp_path / "b.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, told in ((broken, "cannot be read"), (binary, "is no text"), (tmp_path / "none.csv", "cannot be read")):
        with pytest.raises(InputError, match=told):
            skab(path)


def test_files_of_unlike_tags_do_not_belong_together(tmp_path: Path) -> None:
    one = batadal(_file(tmp_path, "a.csv", _BATADAL))
    other = batadal(_file(tmp_path, "b.csv", _BATADAL.replace("S_PU1", "S_PU9")))
    with pytest.raises(InputError, match=r"b\.csv: its tags are not those of .*a\.csv: S_PU1, S_PU9"):
        same_tags([one, other])
