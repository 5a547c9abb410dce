import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sentinel.errors import InputError
from sentinel.measure.detection.waveforms import assess_waveforms, stretches
from tests.data import DATA
from tests.unit.collectors.waveform.machine import FAST, RATE_HZ, SLOW, sound, to_wav


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("recordings")
    for number in range(4):
        to_wav(directory / f"normal{number}.wav", sound(150.0, number, rpm=SLOW if number % 2 else FAST))
    to_wav(directory / "normal_test.wav", sound(90.0, 50))
    to_wav(directory / "anomaly_test.wav", sound(90.0, 51, worn=0.02, begins_s=-30.0))
    to_wav(directory / "later.wav", sound(120.0, 52, worn=0.02, begins_s=60.0))
    (directory / "later.csv").write_text("begin_s,end_s\n60,120\n")
    (directory / "normal_test.csv").write_text("")
    return directory


def test_the_command_prints_what_was_asked(recordings: Path) -> None:
    command = [sys.executable, "-m", "sentinel", "bench", "detect", "--dataset", "waveform", "--json"]
    command += ["--train", *(str(recordings / f"normal{number}.wav") for number in range(4))]
    command += ["--test", *(str(recordings / name) for name in ("normal_test.wav", "later.wav"))]
    command += ["--labels", *(str(recordings / name) for name in ("normal_test.csv", "later.csv"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["dataset"] == "waveform"
    assert (figures["event_recall"], figures["event_precision"], figures["false_alarms_per_day"]) == (1.0, 1.0, 0.0)
    assert 0.0 < figures["delay_p50_s"] < 30.0
    assert figures["vus_pr"] > figures["baselines"]["norm"]["vus_pr"]


def test_a_name_tells_what_no_label_does(recordings: Path) -> None:
    train = [recordings / f"normal{number}.wav" for number in range(4)]
    figures = assess_waveforms(train, [recordings / "normal_test.wav", recordings / "anomaly_test.wav"], [])
    assert figures["event_recall"] == 1.0
    assert figures["auc_pr"] > 0.95


def test_what_does_not_fit_is_refused_with_its_name(recordings: Path, tmp_path: Path) -> None:
    train = [recordings / f"normal{number}.wav" for number in range(4)]
    other = to_wav(tmp_path / "other.wav", sound(5.0, 1, rate_hz=8000), 8000)
    with pytest.raises(InputError, match=r"other\.wav: another sampling rate or other channels"):
        assess_waveforms(train, [other], [])
    with pytest.raises(InputError, match=r"anomaly_test\.wav: a training file says"):
        assess_waveforms([*train, recordings / "anomaly_test.wav"], [recordings / "later.wav"], [])
    with pytest.raises(InputError, match="--labels: 1 files for 2"):
        assess_waveforms(train, [other, other], [recordings / "later.csv"])
    short = to_wav(tmp_path / "short.wav", np.zeros(RATE_HZ // 100))
    with pytest.raises(InputError, match=r"short\.wav: is shorter than a frame"):
        assess_waveforms(train, [short], [])


CWRU = DATA / "process" / "cwru"


@pytest.mark.skipif(not CWRU.is_dir(), reason="needs the real recordings beside the checkout")
def test_real_bearings_are_told_from_a_good_one() -> None:
    train, *_ = normal = sorted(CWRU.glob("*Normal*.npz"))
    faults = sorted(set(CWRU.glob("*.npz")) - set(normal))
    figures = assess_waveforms([train], faults, [])
    assert figures["channels"] == ["DE"]
    assert (figures["event_recall"], figures["event_precision"]) == (1.0, 1.0)
    assert figures["time_in_alarm"] > 0.99


@pytest.mark.parametrize(("text", "line"), [("1\n", ":1"), ("1,2\nx,y\n", ":2"), ("3,2\n", ":1"), ("-1,2\n", ":1")])
def test_labels_that_are_none_are_refused_with_their_line(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    if text == "1\n":  # may be a header
        assert stretches(path) == []
        return
    with pytest.raises(InputError, match=f"labels.csv{line}"):
        stretches(path)
