"""The process layer on the data sets of others, thresholds from training data alone; what it reaches may only rise."""

import tomllib
from pathlib import Path

import pytest

from sentinel.measure.detection.bench import sets_in
from sentinel.measure.detection.process import assess
from tests.data import DATA, data_file

pytestmark = pytest.mark.data

_FLOORS = tomllib.loads(Path(__file__).with_name("floors.toml").read_text())


@pytest.mark.parametrize("kind", ["batadal", "tep", "skab"])
def test_a_process_set_is_judged_as_well_as_it_was(kind: str) -> None:
    data_file(f"process/{kind}")
    floor = _FLOORS[kind]
    figures = assess(*next(job[:3] for job in sets_in(DATA) if job[0] == kind))
    assert figures["score"] >= floor["score"]
    assert figures.get("far", 0.0) <= floor.get("far", 1.0)
    assert figures["event_recall"] >= floor["event_recall"]
    assert figures["false_alarms_per_day"] <= floor["false_alarms_per_day"]
    assert figures["vus_pr"] >= floor["vus_pr"]
    trivial = max(figures["baselines"][name]["vus_pr"] for name in ("always_on", "random", "norm", "isolation_forest"))
    assert figures["vus_pr"] > trivial
