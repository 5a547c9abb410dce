from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sentinel.detect.process_model import BLOCK_ROWS, CLEAR_ROWS, LIVE, Memory, ProcessModel, Shape, in_alarm
from sentinel.detect.pyod_models import MSPC
from sentinel.detect.trimming import without_wild
from sentinel.detect.upkeep import MAX_OFFSET, Course

_ROWS = 4000


def _process(rows: int, seed: int) -> Any:
    """Four tags of one slow state, and one that stands still."""
    chance = np.random.default_rng(seed)
    state = np.zeros(rows)
    for i in range(1, rows):
        state[i] = 0.95 * state[i - 1] + chance.normal()
    tags = [gain * state + 0.1 * chance.normal(size=rows) for gain in (1.0, -2.0, 0.5, 3.0)]
    return np.column_stack([*tags, np.full(rows, 7.0)])


@pytest.fixture(scope="module")
def model() -> ProcessModel:
    learnt = ProcessModel()
    learnt.fit(_process(_ROWS, 1), false_alarms_per_week=1.0, row_s=60.0)
    return learnt


def test_fresh_normal_rows_keep_the_budget(model: ProcessModel) -> None:
    weeks = 20_000 * 60.0 / 604_800.0
    alarms = in_alarm(model.score(_process(20_000, 2)).ratio, model.calm)
    episodes = int((np.diff(alarms.astype(int)) == 1).sum())
    assert episodes <= 8 * weeks  # the chance of more under one a week is below one in a thousand


def test_a_broken_relation_a_lasting_shift_and_a_wild_tag_are_found_and_named(model: ProcessModel) -> None:
    for change, tag in ((0.8, 0), (5.0, 2)):
        rows = _process(300, 3)
        rows[100:, tag] += change
        scored = model.score(rows)
        assert scored.ratio[:100].max() < 1.0
        at = int(np.argmax(scored.ratio > 1.0))
        assert 100 <= at < 110
        part = model.statistic(int(scored.parts[at].argmax()))
        assert part[0] in {"tag", "distance", "level"}
        assert part[1] in {tag, None}


def test_a_stream_scores_as_the_file_does(model: ProcessModel) -> None:
    rows = _process(60, 4)
    whole = model.score(rows).ratio
    memory, parts = Memory(), []
    for low, high in ((0, 1), (1, 2), (2, 17), (17, 18), (18, 60)):
        parts.append(model.score(rows[low:high], memory=memory).ratio)
    assert np.allclose(np.concatenate(parts), whole)
    expected, off = model.explain(memory)
    assert np.allclose(expected, rows[-1, :4], atol=0.5)
    assert np.abs(off).max() < 5.0


def test_it_rests_as_arrays(model: ProcessModel) -> None:
    rows = _process(50, 5)
    again = ProcessModel.of(model.arrays())
    assert np.array_equal(again.score(rows).ratio, model.score(rows).ratio)
    with pytest.raises(ValueError, match="do not fit together"):
        ProcessModel.of({**model.arrays(), "limits": np.ones(3)})


def test_a_tag_that_never_moved_is_left_to_its_limits(model: ProcessModel) -> None:
    assert model.tags.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("rows", [np.zeros((20, 3)), np.full((500, 2), np.nan), np.zeros((500, 3)), np.zeros(500)])
def test_nothing_to_learn_from_is_refused(rows: Any) -> None:
    with pytest.raises(ValueError, match="needs at least"):
        ProcessModel().fit(rows, 1.0, 1.0)


def test_few_rows_are_worth_fewer_lags() -> None:
    short = ProcessModel()
    short.fit(np.random.default_rng(1).normal(size=(130, 40)), 1.0, 1.0)
    assert short.lags == 0


def test_a_tag_that_drifts_is_held_against_its_own_level() -> None:
    chance = np.random.default_rng(6)
    drift = np.cumsum(chance.normal(size=3000)) * 0.05
    rows = np.column_stack([drift + 0.01 * chance.normal(size=3000), chance.normal(size=3000)])
    shape = Shape(lags=0, tag_scales=(), distance_scales=(0.3,), level_scales=(0.1,), folds=1, margin=6.0, follows_trends=True)
    model = ProcessModel(shape)
    model.fit(rows[:400], 1.0, 1.0)
    assert model.drifting.tolist() == [True, False]
    assert model.score(rows).ratio.max() < 1.0
    rows[2000:, 1] += 6.0
    assert model.score(rows).ratio[2000:2060].max() > 1.0


def test_what_comes_back_from_far_away_is_its_aftermath_and_no_other_tag_is_excused() -> None:
    """A tag eight deviations off comes back to 2.3: calm again; the same without a past, or in another tag, are told."""
    chance, rows = np.random.default_rng(6), 900
    values = chance.normal(size=(rows, 3))
    model = ProcessModel(Shape(lags=0, tag_scales=(), distance_scales=(), level_scales=(0.1,), folds=1, margin=2.0, aftermath=0.3))
    model.fit(values[:400], 1.0, 1.0)
    back, fresh, other = values.copy(), values.copy(), values.copy()
    back[450:500, 0] += 8.0
    back[500:, 0] += 2.3
    fresh[500:, 0] += 2.3
    other[450:500, 0] += 8.0
    other[500:, 1] += 2.3
    settled = slice(540, 620)
    assert (model.score(values).ratio < 1.0).all()
    assert (model.score(back).ratio[460:500] > 1.0).all()
    assert (model.score(back).ratio[settled] > 1.0).mean() < 0.1
    assert (model.score(fresh).ratio[settled] > 1.0).mean() > 0.9
    assert (model.score(other).ratio[settled] > 1.0).mean() > 0.9
    memory = Memory()
    parts = [model.score(back[low:high], memory=memory).ratio for low, high in ((0, 1), (1, 470), (470, 505), (505, rows))]
    assert np.allclose(np.concatenate(parts), model.score(back).ratio)


def test_four_wild_rows_do_not_spoil_a_run_in() -> None:
    chance = np.random.default_rng(8)
    clean = chance.normal(size=(400, 3)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 1.0]])
    resting = np.where(np.arange(400) % 100 == 0, 50.0, 0.0)
    wild = np.column_stack([clean, resting])
    wild[200:204, :2] += 200.0
    freed = without_wild(wild)
    assert np.abs(freed[:, :2]).max() < 6.0
    assert np.array_equal(freed[:, 2:], wild[:, 2:])
    wild[200:220, 0] += 200.0
    assert np.array_equal(without_wild(wild)[:, 0], wild[:, 0])  # a twentieth of the rows is how this plant lives


def test_a_floor_is_the_smallest_deviation_of_a_feature() -> None:
    chance = np.random.default_rng(7)
    rows = np.column_stack([chance.normal(size=5000), 1e-3 * chance.normal(size=5000)])
    far = np.array([[0.0, 1.0]])
    with_floor, without = (MSPC(floor=floor).partial_fit(rows) for floor in (np.array([0.0, 0.5]), None))
    assert float(with_floor.decision_function(far)[0]) == pytest.approx(2.0 / np.sqrt(2.0), rel=0.05)
    assert float(without.decision_function(far)[0]) > 500.0


def test_an_alarm_ends_when_it_stayed_calm() -> None:
    ratio = np.array([0.1, 1.2, 0.7, 0.9, *([0.2] * (CLEAR_ROWS + 2))])
    assert in_alarm(ratio, 0.5).tolist() == [False, True, True, True, *([True] * CLEAR_ROWS), False, False]


def test_gaps_and_numbers_that_are_none_cost_no_alarm_and_hide_nothing(model: ProcessModel) -> None:
    rows = _process(3000, 7)
    gone = np.random.default_rng(8).random(rows.shape) < 0.05
    rows[gone] = np.nan
    rows[5, 1], rows[700], rows[900:1000, 3] = np.inf, np.nan, -np.inf
    scored = model.score(rows)
    assert np.isfinite(scored.parts).all()
    assert scored.ratio.max() < 1.0
    rows[2000:, 0] += 0.8
    found = model.score(rows).ratio[2000:2100]
    assert (found > 1.0).mean() > 0.5


def test_a_distance_with_gaps_is_that_of_what_was_measured(model: ProcessModel) -> None:
    """By the marginal distribution, worked out apart: the covariance of what was measured, inverted."""
    rows = _process(3, 9)
    rows[2, [0, 2]], rows[1, 3] = np.nan, np.nan
    course = Course.of(4)
    kept = model._walk(model._standard(rows[:, :4]), None, course)
    moments = model.moments
    z = (kept.stack[0] - moments.mean) / moments.deviation
    known = kept.known[0]
    assert known.tolist() == [False, True, False, True, True, True, True, False, True, True, True, True]
    covariance = np.linalg.inv(moments.precision)
    apart = z[known] @ np.linalg.inv(covariance[np.ix_(known, known)]) @ z[known]
    assert z @ moments.precision @ z == pytest.approx(apart)


def test_a_dead_instrument_is_left_out_after_a_while_and_comes_back(model: ProcessModel) -> None:
    rows = _process(1200, 10)
    before = in_alarm(model.score(rows).ratio, model.calm)
    rows[400:800, 1] = rows[400, 1]
    alarms = in_alarm(model.score(rows).ratio, model.calm)
    assert alarms[400:460].any()
    assert not alarms[560:800].any()
    assert (alarms[:400] == before[:400]).all()
    rows[900:, 1] += 2.0
    assert model.score(rows).ratio[900:920].max() > 1.0


def test_slow_drift_is_followed_no_faster_and_no_further_than_allowed() -> None:
    """An hour a row: a hundredth of the span a week is normal ageing; the same distance within a day is not."""
    learnt = ProcessModel()
    learnt.fit(_process(_ROWS, 1), false_alarms_per_week=0.1, row_s=3600.0)
    rows, span = _process(3000, 11), np.ptp(_process(_ROWS, 1), axis=0)
    slow = rows + np.arange(3000)[:, None] / 168.0 * 0.01 * span * np.array([1, -1, 0, 0, 0])
    memory = Memory()
    assert in_alarm(learnt.score(slow, memory=memory).ratio, learnt.calm).mean() < 0.1
    frozen = ProcessModel.of(learnt.arrays())
    frozen.bounds = replace(frozen.bounds, step=np.zeros(4))
    assert in_alarm(frozen.score(slow).ratio, learnt.calm).mean() > 0.8
    assert memory.course is not None
    walked = memory.course.offset * learnt.deviation / span[:4]
    assert walked[0] - walked[1] > 0.1
    assert (np.abs(walked) <= MAX_OFFSET + 1e-9).all()
    fast = rows.copy()
    fast[1000:, 0] += np.minimum(np.arange(2000) / 24.0, 1.0) * 0.18 * span[0]
    assert learnt.score(fast).ratio[1000:1030].max() > 1.0


def test_an_episode_in_what_is_learnt_is_set_aside() -> None:
    clean, poisoned = ProcessModel(), ProcessModel()
    rows = _process(_ROWS, 12)
    clean.fit(rows, 1.0, 60.0)
    assert clean.set_aside == 0
    rows[2000:2040, 0] += 5.0
    poisoned.fit(rows, 1.0, 60.0)
    assert 40 <= poisoned.set_aside <= 8 * BLOCK_ROWS
    attacked = _process(300, 13)
    attacked[100:, 0] += 1.0
    assert poisoned.score(attacked).ratio[:100].max() < 1.0 < poisoned.score(attacked).ratio[100:110].max()


def test_a_plant_that_lives_in_episodes_keeps_them() -> None:
    rows = _process(_ROWS, 14)
    for at in range(0, _ROWS, 400):
        rows[at : at + 60, 0] += 5.0
    model = ProcessModel()
    model.fit(rows, 1.0, 60.0)
    assert model.set_aside == 0


def _followed_by_itself(rows: int, seed: int) -> Any:
    """A temperature that swings slowly, read to a hundredth of its swing, and two tags that know nothing of it."""
    chance = np.random.default_rng(seed)
    return np.column_stack([np.sin(np.arange(rows) / 400.0) + 0.01 * chance.normal(size=rows), chance.normal(size=(rows, 2))])


def test_a_slow_ramp_that_the_seconds_before_explain_is_found_by_its_lasting_error() -> None:
    led = _followed_by_itself(1800, 6)
    led[600:, 0] += np.arange(1200) * 0.012
    first = []
    for shape in (LIVE, Shape()):
        model = ProcessModel(shape)
        model.fit(_followed_by_itself(10_000, 5), false_alarms_per_week=1.0, row_s=1.0)
        ratio = model.score(led).ratio
        assert ratio[:600].max() < 1.0
        first.append(int(np.argmax(ratio > 1.0)) or len(ratio))
    assert first[0] < 680, "a deviation off, which is eighty times what the tag is read to"
    assert first[1] > first[0] + 60
