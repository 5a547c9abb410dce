"""The whole bench over files in a set's form that a small process wrote: found, measured, refused where it must be."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentinel.errors import InputError
from sentinel.measure.detection.bench import main, sets_in
from sentinel.measure.detection.process import assess

_KEYS = {
    "dataset", "event_recall", "event_precision", "event_f1", "delay_p50_s", "delay_p90_s", "false_alarms_per_day", "false_alarms_ci",
    "time_in_alarm", "vus_pr", "auc_pr", "score", "baselines", "fit_s", "score_s",
}  # fmt: skip


def _plant(path: Path, rows: int, seed: int, attack: tuple[int, int] | None = None, flag: bool = True) -> Path:
    """A tank whose level follows what flows in, with a day's rhythm; during the attack the shown speed of the pump stands still."""
    chance = np.random.default_rng(seed)
    lines = ["DATETIME,LEVEL,INFLOW,PUMP,ATT_FLAG"]
    level = 2.0
    shown = 5.0
    for row in range(rows):
        inflow = 10.0 + 3.0 * np.sin(row * 2 * np.pi / 24) + 0.2 * chance.normal()
        level += 0.2 * (inflow - 10.0) - 0.1 * (level - 2.0)
        attacked = attack is not None and attack[0] <= row < attack[1]
        shown = shown if attacked else 0.5 * inflow + 0.05 * chance.normal()
        lines.append(f"01/01/14 {row % 24:02d},{level:.3f},{inflow:.3f},{shown:.3f},{int(attacked and flag)}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("plant")
    return _plant(folder / "train.csv", 4000, 1), _plant(folder / "test.csv", 1500, 2, (900, 960))


def test_an_attack_is_found_and_measured(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--dataset", "batadal", "--train", str(files[0]), "--test", str(files[1]), "--json"]) == 0
    figures: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(figures) >= _KEYS
    assert figures["event_recall"] == 1.0
    assert figures["event_precision"] >= 0.5  # what the attack leaves behind may be told once more
    assert figures["score"] > 0.9
    assert figures["baselines"]["always_on"]["best_score_in_hindsight"] == pytest.approx(0.75)
    assert figures["auc_pr"] > figures["baselines"]["random"]["auc_pr"]
    main(["--dataset", "batadal", "--train", str(files[0]), "--test", str(files[1])])
    assert "beside always_on" in capsys.readouterr().out


def test_equal_files_give_equal_figures(files: tuple[Path, Path]) -> None:
    once, again = (assess("batadal", files[:1], files[1:]) for _ in range(2))
    timed = {"fit_s", "score_s"}
    assert {k: v for k, v in once.items() if k not in timed} == {k: v for k, v in again.items() if k not in timed}


def test_training_on_an_attack_is_refused(files: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="must be normal operation alone"):
        assess("batadal", files[1:], files[1:])


def test_too_few_rows_are_refused(tmp_path: Path, files: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="needs at least"):
        assess("batadal", [_plant(tmp_path / "short.csv", 50, 1)], files[1:])


def test_without_an_event_there_is_no_recall(tmp_path: Path, files: tuple[Path, Path]) -> None:
    figures = assess("batadal", files[:1], [_plant(tmp_path / "calm.csv", 600, 3)])
    assert (figures["event_recall"], figures["vus_pr"], figures["score"]) == (None, None, None)
    assert figures["false_alarms_ci"][1] > 0


def test_a_folder_without_sets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds none of"):
        sets_in(tmp_path)
