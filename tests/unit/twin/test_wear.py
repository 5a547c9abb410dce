"""What wears is followed beyond the spread of what was built, but only where the twin has seen it go, and no faster than it can."""

import numpy as np
import pytest

from sentinel.demo.wiring import read_interface
from sentinel.errors import ConfigError
from sentinel.measure.stage import BEGINNING, LivePlant, Stage
from sentinel.model.time import NS_PER_S, Instant
from sentinel.twin.engine import Model, compile_model
from sentinel.twin.ensemble import PARAMETER_LIMIT
from sentinel.twin.learnt import Learnt
from sentinel.twin.plant import load_plant
from sentinel.twin.wear import WORN, Wear
from tests.unit.twin.conftest import PLANT_FILE

HOUR_S = 3600.0


@pytest.fixture(scope="module")
def row(model: Model) -> int:
    return [one.name for one in model.plant.parameters].index("P101.max_flow")


def test_a_pump_may_lose_a_hundredth_an_hour_until_it_is_broken(model: Model, row: int) -> None:
    wear = Wear.of(model.plant)
    for hours, left in ((-1.0, 1.0), (0.0, 1.0), (1.0, 0.99), (10.0, 0.9), (100.0, 1.0 - WORN)):
        low = wear.lowest(hours * HOUR_S)
        assert low[row, 0] == pytest.approx(-PARAMETER_LIMIT + np.log(left) / 0.03)
        assert np.delete(low, row) == pytest.approx(-PARAMETER_LIMIT), "nothing else of this plant wears"


def test_what_is_worn_may_be_new_again_after_a_gap(model: Model, row: int) -> None:
    """Two standard deviations of what is begun with reach from the worn pump to an overhauled one."""
    count = len(model.plant.parameters)
    mean, declared = np.zeros(count), np.broadcast_to(np.linspace(-2.0, 2.0, 9), (count, 9))
    mean[row] = -6.0
    learnt = Learnt(mean, np.full(count, 0.2), Instant(0))
    moved = learnt.moved(np.array(declared), Wear.of(model.plant).lowest(20 * HOUR_S))
    assert moved[row, -1] == pytest.approx(0.0)
    assert moved[row, 0] == pytest.approx(Wear.of(model.plant).lowest(20 * HOUR_S)[row, 0]), "and no further than it can be worn"
    assert np.delete(moved, row, axis=0)[:, -1] == pytest.approx(1.0)


@pytest.mark.parametrize("given", ["-1 %/h", "1 %/h +- 1 %"])
def test_wear_is_a_bound(given: str) -> None:
    text = PLANT_FILE.read_text()
    with pytest.raises(ConfigError, match="it is the most that is lost"):
        load_plant(text.replace("wear: 1 %/h", f"wear: {given}"))
    assert load_plant(text.replace(", wear: 1 %/h", "")).parameters[0].wear_per_s == 0.0


@pytest.mark.parametrize("hours", [0.0, 20.0])
def test_a_pump_that_gives_a_sixth_less_is_believed_where_it_was_seen_to_wear(row: int, hours: float) -> None:
    """At first sight the same pump is a plant file that is wrong."""
    model = compile_model(load_plant(PLANT_FILE.read_text().replace("max_flow: 4.22 L/s", f"max_flow: {4.22 * 1.2:g} L/s")))
    mean = np.zeros(len(model.plant.parameters))
    mean[row] = -6.0
    learnt = Learnt(mean, np.full(len(mean), 0.3), Instant(BEGINNING - round(hours * HOUR_S) * NS_PER_S))
    stage = Stage(model, LivePlant.of_reference(3, read_interface(PLANT_FILE)), learnt=learnt)
    stage.follow(120.0)
    assert stage.sync.health.is_in_step is (hours > 0.0), stage.sync.health.reason
    if hours:
        assert stage.sync.parameters()["P101.max_flow"][0] == pytest.approx(-6.0, abs=1.5)


def test_an_overhauled_pump_is_followed_by_a_twin_that_knew_the_worn_one(model: Model, row: int) -> None:
    mean = np.zeros(len(model.plant.parameters))
    mean[row] = -6.0
    learnt = Learnt(mean, np.full(len(mean), 0.3), Instant(BEGINNING - 20 * 3600 * NS_PER_S))
    stage = Stage(model, LivePlant.of_reference(3, read_interface(PLANT_FILE)), learnt=learnt)
    stage.follow(60.0)
    assert stage.sync.health.is_in_step, stage.sync.health.reason
    assert abs(stage.sync.parameters()["P101.max_flow"][0]) < 2.0
