"""``sentinel bench detect``: the detectors on labelled data sets, as JSON or as a table.

``--dataset`` names the kind of the files, ``--train`` and ``--test`` the files; ``--all`` takes a folder laid out like the developers' data
and runs every set that is there.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentinel.errors import InputError
from sentinel.measure.detection.datasets import READERS

CAPTURE, WAVEFORM = "capture", "waveform"
Job = tuple[str, list[Path], list[Path], list[Path]]  # kind, training files, test files, label files
KINDS = (*READERS, CAPTURE, WAVEFORM)
_COLUMNS = (
    "score", "far", "event_recall", "event_precision", "event_f1", "delay_p50_s", "delay_p90_s", "false_alarms_per_day",
    "time_in_alarm", "vus_pr", "auc_pr", "fit_s", "score_s",
)  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="sentinel bench detect", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--dataset", choices=KINDS, metavar="KIND", help=f"of the files: {', '.join(KINDS)}")
    parser.add_argument("--train", nargs="+", type=Path, metavar="FILE", default=[], help="normal operation")
    parser.add_argument("--test", nargs="+", type=Path, metavar="FILE", default=[], help="with labels")
    parser.add_argument(
        "--labels", nargs="+", type=Path, metavar="FILE", default=[], help="capture, waveform: one for each of --test, in their order"
    )
    parser.add_argument("--all", type=Path, metavar="DIR", help="every set of a folder laid out like the developers' data")
    parser.add_argument("--robust", action="store_true", help="process sets again: coarser, drifting, with gaps, a dead sensor, poisoned")
    parser.add_argument("--json", action="store_true", help="one JSON object per set instead of a table")
    given = parser.parse_args(arguments)
    if given.all is None and not (given.dataset and given.test and (given.train or given.dataset == CAPTURE)):
        parser.error("give --dataset, --train and --test, or --all")
    if given.labels and given.dataset not in (CAPTURE, WAVEFORM):
        parser.error("--labels goes with --dataset capture or waveform: other sets carry their labels")
    from sentinel.measure.detection.captures import assess_captures
    from sentinel.measure.detection.process import assess, robustness  # PyOD takes seconds to load: not for a usage line
    from sentinel.measure.detection.waveforms import assess_waveforms

    jobs = sets_in(given.all) if given.all else [(given.dataset, given.train, given.test, given.labels)]
    for kind, train, test, labels in jobs:
        if given.robust:
            if kind not in (CAPTURE, WAVEFORM):
                disturbed = robustness(kind, train, test)
                print(json.dumps(disturbed) if given.json else _robust_text(disturbed), flush=True)
            continue
        if kind == CAPTURE:
            figures = assess_captures(train, test, labels)
        else:
            figures = assess_waveforms(train, test, labels) if kind == WAVEFORM else assess(kind, train, test)
        print(json.dumps(figures) if given.json else as_text(figures), flush=True)
    return 0


def sets_in(folder: Path) -> list[Job]:
    """What lies there; raises InputError where nothing does."""
    process, captures = folder / "process", folder / "network" / "modbus-modsentinel"
    labelled = [(path, captures / f"{path.name.partition('.')[0]}_labels.csv.gz") for path in _matching(captures, "*.pcap*")]
    labelled = [pair for pair in labelled if pair[1].exists()]
    found: list[Job] = [
        ("batadal", _matching(process, "batadal/dataset03*"), _matching(process, "batadal/*full_labels*"), []),
        ("tep", _matching(process, "tep/d00.dat*"), _matching(process, "tep/d??_te.dat*"), []),
        ("skab", _matching(process, "skab/anomaly-free*"), _matching(process, "skab/*/*.csv*"), []),
        (CAPTURE, [], [capture for capture, _ in labelled], [labels for _, labels in labelled]),
    ]
    jobs = [job for job in found if job[2] and (job[1] or job[0] == CAPTURE)]
    if not jobs:
        raise InputError(f"{folder}: holds none of process/batadal, process/tep, process/skab, network/modbus-modsentinel")
    return jobs


def _matching(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))


def as_text(figures: dict[str, Any]) -> str:
    lines = [f"{figures['dataset']}: {figures['rows']} rows in {len(figures['test'])} files"]
    lines += [f"  {name:22} {_words(figures.get(name))}" for name in _COLUMNS if name in figures]
    if figures.get("false_alarms_ci"):
        lines.append(f"  {'95 % of it':22} {' to '.join(_words(each) for each in figures['false_alarms_ci'])}")
    for attack in figures.get("first_finding_s", ()):
        lines.append(f"  first finding after     {_words(attack['first_finding_s'])} s in {attack['file']}")
    for name, values in figures["baselines"].items():
        lines.append(f"  beside {name:15} " + ", ".join(f"{key} {_words(value)}" for key, value in values.items()))
    return "\n".join(lines)


def _robust_text(found: dict[str, Any]) -> str:
    rows = [
        f"  {name:12} " + ", ".join(f"{key} {_words(value)}" for key, value in each.items()) for name, each in found["robustness"].items()
    ]
    return "\n".join([found["dataset"], *rows])


def _words(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4g}"
