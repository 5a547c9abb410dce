"""Readings as they come from real plants, through all layers that look at values: what is no number teaches and alarms nobody, order and
copies do not matter, and what is missing, late, coarse or constant neither raises an alarm nor hides one."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sentinel.detect.limits import Limits
from sentinel.detect.liveness import Liveness
from sentinel.detect.residual import Residual
from sentinel.detect.strokes import Strokes
from sentinel.model.observation import Readings
from sentinel.model.protocol import Quality
from sentinel.model.tags import Tag, TagMap, TagRole
from sentinel.model.time import Instant
from sentinel.pipeline import Analysis
from tests.observations import at

_TAGS = TagMap(
    (
        *(Tag(name=name, role=TagRole.PROCESS_VALUE, unit="m", low=0, high=9) for name in ("A", "B", "C")),
        Tag(name="V", role=TagRole.STATUS, unit="%", low=-5, high=105),
    )
)
_VALVE = TagMap((Tag(name="V", role=TagRole.OUTPUT, unit="%", low=0, high=100),))
_LEARNT_S, _CALM_S, _ODD_S = 300, 420, 540
_PERIOD_S, _STROKE_S = 10, 5.0  # of the valve: half a period open, half closed

Row = tuple[float, str, float, Quality]  # second, tag, value
Rows = list[Row]


def _rows(second: int) -> Rows:
    """A and B move together, C by itself; V opens and closes.  From `_CALM_S` on A and B fall apart, A leaves its range, V is faster."""
    chance, rows = np.random.default_rng((5, second)), []
    odd = second >= _CALM_S
    for place in range(4):
        now = second + place / 4
        a = 4.0 + math.sin(now / 11.0)
        b = a + 0.02 * chance.normal() + (1.5 if odd else 0.0)
        rows += [(now, "A", a + 0.02 * chance.normal() + (6.0 if odd else 0.0)), (now + 0.01, "B", b)]
        rows.append((now + 0.02, "C", 5.0 + 0.1 * chance.normal()))
        since = now % _PERIOD_S
        way = min(since * (1.5 if odd else 1.0) / _STROKE_S, 1.0)
        opens = now % (2 * _PERIOD_S) < _PERIOD_S
        rows.append((now + 0.03, "V", 100.0 * (way if opens else 1.0 - way) + 0.3 * chance.normal()))
    return [(time, tag, round(value, 4), Quality.GOOD) for time, tag, value in rows]


def _columns(rows: Rows) -> Readings:
    names = ("A", "B", "C", "V")
    return Readings.of(
        names=names,
        time=[at(row[0]) for row in rows],
        seen=[at(row[0]) for row in rows],
        tag=[names.index(row[1]) for row in rows],
        value=[row[2] for row in rows],
        quality=[row[3] for row in rows],
    )


def _lived(change: Callable[[int, Rows], Rows] = lambda second, rows: rows) -> tuple[Analysis, dict[str, list[str]]]:
    """The analysis after all seconds; what each layer told, before and after `_CALM_S`."""
    analysis = Analysis(tag_map=_TAGS, detectors=[Limits(_TAGS), Liveness(_TAGS), Residual(_TAGS), Strokes(_VALVE)])
    told: dict[str, list[str]] = {"calm": [], "odd": []}
    for second in range(_ODD_S):
        if second == _LEARNT_S:
            analysis.activate()
        rows = change(second, _rows(second))
        for finding in analysis.readings("poll", _columns(rows), Instant(at(second + 1))):
            told["odd" if second >= _CALM_S else "calm"] += sorted({each.detector for each in finding.detections})
    return analysis, told


def _state(analysis: Analysis) -> Any:
    parts = analysis.baseline().detectors
    return {
        name: {key: np.asarray(value).tolist() if key != "actuators" else value for key, value in part.items()}
        for name, part in parts.items()
    }


@pytest.fixture(scope="module")
def plain() -> tuple[Analysis, dict[str, list[str]]]:
    return _lived()


def test_what_is_odd_is_told_by_every_layer_and_what_is_not_by_none(plain: tuple[Analysis, dict[str, list[str]]]) -> None:
    _, told = plain
    assert told["calm"] == []
    assert {"limits", "residual", "strokes"} <= set(told["odd"])


def _beside(value: float, quality: Quality) -> Callable[[int, Rows], Rows]:
    def change(second: int, rows: Rows) -> Rows:
        return [each for time, tag, kept, good in rows for each in ((time, tag, kept, good), (time + 0.005, tag, value, quality))]

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_beside(math.nan, Quality.GOOD), id="NaN"),
        pytest.param(_beside(math.inf, Quality.GOOD), id="infinite"),
        pytest.param(_beside(-math.inf, Quality.GOOD), id="negative infinite"),
        pytest.param(_beside(1e300, Quality.BAD), id="bad"),
        pytest.param(lambda second, rows: [rows[i] for i in np.random.default_rng(second).permutation(len(rows))], id="reordered"),
    ],
)
def test_what_is_no_reading_or_comes_in_another_order_changes_nothing(
    change: Callable[[int, Rows], Rows], plain: tuple[Analysis, dict[str, list[str]]]
) -> None:
    analysis, told = _lived(change)
    assert told == plain[1]
    assert analysis.findings == plain[0].findings
    assert _state(analysis) == _state(plain[0])


def test_a_copy_of_every_reading_changes_no_finding(plain: tuple[Analysis, dict[str, list[str]]]) -> None:
    analysis, told = _lived(lambda second, rows: [row for row in rows for _ in range(2)])
    assert told == plain[1]
    assert analysis.findings == plain[0].findings


def _late(second: int, rows: Rows) -> Rows:
    """The first readings of the second before come once more, far too late."""
    return rows + (_rows(second - 1)[:6] if second else [])


def test_late_readings_are_counted_and_change_no_finding(plain: tuple[Analysis, dict[str, list[str]]]) -> None:
    analysis, told = _lived(_late)
    assert analysis.progress().late_rows == 6 * (_ODD_S - 1)
    assert {key: sorted(set(each)) for key, each in told.items()} == {key: sorted(set(each)) for key, each in plain[1].items()}


def _missing(second: int, rows: Rows) -> Rows:
    kept = np.random.default_rng((9, second)).random(len(rows)) > 0.05
    return [row for row, stays in zip(rows, kept, strict=True) if stays]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_missing, id="missing"),
        pytest.param(lambda second, rows: [(t, tag, round(value, 1), good) for t, tag, value, good in rows], id="quantised"),
        pytest.param(lambda second, rows: [(t, tag, 5.0 if tag == "C" else value, good) for t, tag, value, good in rows], id="constant"),
    ],
)
def test_gaps_coarse_steps_and_a_constant_tag_neither_raise_an_alarm_nor_hide_one(change: Callable[[int, Rows], Rows]) -> None:
    _, told = _lived(change)
    assert told["calm"] == []
    assert {"limits", "residual", "strokes"} <= set(told["odd"])
