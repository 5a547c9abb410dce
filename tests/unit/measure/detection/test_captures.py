import gzip
from pathlib import Path

import numpy as np
import pytest

from sentinel.errors import InputError
from sentinel.measure.detection.bench import main
from sentinel.measure.detection.captures import assess_captures, judged, labelled_frames
from sentinel.model.time import Instant
from sentinel.triage.fold import Triage
from tests.data import data_file
from tests.observations import START, at, detection

_MODSENTINEL = "network/modbus-modsentinel/run1_"


def test_labels_with_and_without_a_header(tmp_path: Path) -> None:
    plain, headed = tmp_path / "a.csv", tmp_path / "b.csv.gz"
    plain.write_text("1;0\r\n2;1\r\n3;1\r\n")
    headed.write_bytes(gzip.compress(b"frame,malicious,tampered\n1,0,0\n2,1,0\n9,0,1\n"))
    assert labelled_frames(plain) == {2, 3}
    assert labelled_frames(headed) == {2, 9}


@pytest.mark.parametrize(
    ("text", "told"), [("", "holds no labels"), ("1;0\nx;1\n", r"a\.csv:2: expected frame;label"), ("frame,a\n1\n", r"a\.csv:2")]
)
def test_what_is_no_label_file_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=told):
        labelled_frames(path)


def test_one_label_file_for_each_capture(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 captures to test and 0 label files"):
        assess_captures([], [tmp_path / "a.pcap"], [])
    with pytest.raises(SystemExit):
        main(["--dataset", "skab", "--train", "a", "--test", "b", "--labels", "c"])


def test_seconds_attacks_and_delays_by_hand() -> None:
    times = np.array([[frame, at(frame / 2)] for frame in range(4000)])
    triage = Triage()
    triage.fold(
        [detection(21.5, "actor:10.0.0.66", frames=(43, 44), frame=43), detection(150.0, "actor:10.0.0.9", frames=(300,), frame=300)]
    )
    series, delays = judged(times, frozenset({40, 41, 60, 2400}), triage.findings)
    assert [i for i, each in enumerate(series.labels) if each] == [*range(20, 31), 1200]
    assert [i for i, each in enumerate(series.alarms) if each] == [21, 22, 150]
    assert delays == [1.5, None]
    assert Instant(START) == times[0, 1]


@pytest.mark.data
def test_a_labelled_capture_walks_the_road() -> None:
    test = data_file(_MODSENTINEL + "modbus_reader_only.pcap")
    figures = assess_captures([], [test], [data_file(_MODSENTINEL + "modbus_reader_only_labels.csv.gz")])
    assert figures["event_recall"] == 1.0
    assert 0.0 <= figures["first_finding_s"][0]["first_finding_s"] <= 1.0
    assert figures["false_alarms_per_day"] == 0.0
