import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.detect.calibrate import Budget, block_maxima, threshold
from sentinel.detect.pyod_models import MSPC
from sentinel.detect.residual import Residual
from sentinel.model.detection import Severity
from sentinel.model.tags import Tag, TagMap, TagRole
from sentinel.model.window import Window
from tests.observations import readings, window
from tests.unit.detect.test_limits import write

_TAGS = TagMap(tuple(Tag(name=name, role=TagRole.PROCESS_VALUE, unit="m", low=0, high=9) for name in ("A", "B", "C")))


def _second(second: int, chance: np.random.Generator, shift: float = 0.0, *, residuals: bool = False) -> Window:
    a = 1.0 + 0.1 * chance.normal()
    rows = readings((second + 0.1, "A", a), (second + 0.2, "B", 2 * a + 0.01 * chance.normal() + shift), (second + 0.3, "C", 5.0))
    return window(second, residuals=rows) if residuals else window(second, readings=rows)


@pytest.mark.parametrize("residuals", [False, True])
def test_a_broken_relation_between_tags_is_found_though_each_is_in_its_range(residuals: bool) -> None:
    chance, model = np.random.default_rng(1), Residual(_TAGS)
    for second in range(600):
        model.learn(_second(second, chance, residuals=residuals))
    model.activate()
    assert [found for second in range(600, 1200) for found in model.score(_second(second, chance, residuals=residuals))] == []
    said = [found for second in range(1200, 1230) for found in model.score(_second(second, chance, 0.15, residuals=residuals))]
    assert said
    assert set(said[0].tags) <= {"A", "B"}
    assert said[0].score > said[0].threshold

    again = Residual(_TAGS)
    again.restore(model.state())
    chance = np.random.default_rng(7)
    repeated = [found for second in range(30) for found in again.score(_second(second, chance, 0.3, residuals=residuals))]
    assert repeated


def test_a_write_lowers_the_voice_and_does_not_silence_it() -> None:
    """Whoever writes a harmless setpoint every few minutes must not keep the process layer quiet."""
    chance, model = np.random.default_rng(1), Residual(_TAGS)
    for second in range(600):
        model.learn(_second(second, chance))
    model.activate()
    model.score(window(600, commands=(write(600, "LIC101.SP", 1.0),)))
    said = [found for second in range(601, 640) for found in model.score(_second(second, chance, 0.15))]
    assert said
    assert {found.severity for found in said} == {Severity.LOW}
    assert "where the others say" in said[0].why


def test_a_long_learning_keeps_bounded_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentinel.detect.residual.MAX_ROWS", 1000)
    chance, model = np.random.default_rng(1), Residual(_TAGS)
    for second in range(3000):
        model.learn(_second(second, chance))
    assert len(model._rows) <= 1000
    model.activate()
    assert [found for second in range(3000, 3300) for found in model.score(_second(second, chance))] == []
    assert [found for second in range(3300, 3330) for found in model.score(_second(second, chance, 0.15))]


def test_too_little_to_learn_from_stays_silent() -> None:
    chance, model = np.random.default_rng(1), Residual(_TAGS)
    for second in range(20):
        model.learn(_second(second, chance))
    model.activate()
    assert model.score(_second(21, chance, 9.0)) == ()
    assert model.state() == {"tags": []}


def test_a_tag_that_is_no_longer_read_stops_the_judgement() -> None:
    chance, model = np.random.default_rng(1), Residual(_TAGS)
    for second in range(300):
        model.learn(_second(second, chance))
    model.activate()
    assert [found for second in range(300, 400) for found in model.score(window(second, readings=readings((second, "A", 99.0))))] == []


def test_one_tag_that_is_no_longer_read_does_not_blind_the_others() -> None:
    names = ("A", "B", "C", "D")
    tags = TagMap(tuple(Tag(name=name, role=TagRole.PROCESS_VALUE, unit="m", low=0, high=9) for name in names))
    chance, model = np.random.default_rng(1), Residual(tags)

    def second(at: int, *, without: str = "", shift: float = 0.0) -> Window:
        a = 1.0 + 0.1 * chance.normal()
        values = [a, 2 * a + 0.01 * chance.normal() + shift, 3 * a + 0.01 * chance.normal(), 4 * a + 0.01 * chance.normal()]
        return window(
            at, readings=readings(*((at + 0.1, name, value) for name, value in zip(names, values, strict=True) if name != without))
        )

    for at in range(600):
        model.learn(second(at))
    model.activate()
    assert [found for at in range(600, 900) for found in model.score(second(at, without="D"))] == []
    said = [found for at in range(900, 930) for found in model.score(second(at, without="D", shift=0.2))]
    assert said
    assert "D" not in {tag for found in said for tag in found.tags}


def test_drift_that_was_followed_half_its_way_is_told_once_and_survives_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand times as fast as in a plant, where it takes weeks."""
    monkeypatch.setattr("sentinel.detect.process_model.RECALIBRATION", 20.0)
    chance, model = np.random.default_rng(1), Residual(_TAGS)
    for second in range(600):
        model.learn(_second(second, chance))
    model.activate()
    said = [found for second in range(600, 9000) for found in model.score(_second(second, chance, (second - 600) * 1e-4))]
    drifted = [found for found in said if found.cause == "process:drift"]
    assert len({tag for found in drifted for tag in found.tags}) == sum(len(found.tags) for found in drifted) > 0
    assert all(found.severity is Severity.LOW for found in drifted)
    assert model._model is not None
    assert model._memory is not None
    before = model._model.drift(model._memory)
    model.score(_second(9100, chance, 0.84))
    assert np.allclose(model._model.drift(model._memory), before, atol=0.01)


@given(st.lists(st.integers(2, 30), min_size=1, max_size=5))
def test_moments_do_not_depend_on_the_batches(sizes: list[int]) -> None:
    rows = np.random.default_rng(3).normal(size=(sum(sizes), 4))
    whole, parts = MSPC().partial_fit(rows), MSPC()
    for part in np.split(rows, np.cumsum(sizes)[:-1]):
        parts.partial_fit(part)
    assert np.allclose(whole.decision_function(rows), parts.decision_function(rows))
    assert np.allclose(MSPC.of(whole.arrays()).decision_function(rows), whole.decision_function(rows))


def test_it_is_a_pyod_detector() -> None:
    rows = np.random.default_rng(3).normal(size=(500, 4))
    fitted = MSPC().fit(rows)
    assert fitted.predict(np.vstack([np.zeros(4), np.full(4, 9.0)])).tolist() == [0, 1]
    shares = fitted.contributions(np.array([0.0, 0.0, 7.0, 0.0]))
    assert math.isclose(shares.sum(), 1.0)
    assert shares.argmax() == 2


def test_a_threshold_keeps_its_budget_on_fresh_noise() -> None:
    chance = np.random.default_rng(5)
    learnt = block_maxima(np.arange(60_000), chance.normal(size=60_000), 60)
    limit = threshold(learnt, 1e-3)
    fresh = block_maxima(np.arange(3_000_000), chance.normal(size=3_000_000), 60)
    assert (fresh > limit).mean() < 2e-3
    assert threshold([1.0, 2.0], 1e-3) == math.inf


def test_the_budget_is_shared() -> None:
    budget = Budget(alarms_per_week=2.0)
    assert math.isclose(budget.probability_per_block("residual", 604_800.0 / 100), 2.0 * 0.4 / 100)
    assert budget.probability_per_block("residual", 10.0, 5) < budget.probability_per_block("residual", 10.0)
