"""The state is found from the first readings, also where most of it is shown by nothing and the loops are cascades."""

import numpy as np
import pytest

from sentinel.demo.wiring import read_interface
from sentinel.measure import eastman
from sentinel.measure.stage import BEGINNING, Stage
from sentinel.twin.compiled import Model
from sentinel.twin.engine import compile_model
from sentinel.twin.estimate import estimates
from sentinel.twin.plant import load_plant
from sentinel.twin.snapshot import Grade

SETTLED_S = 600.0


@pytest.fixture(scope="module")
def model() -> Model:
    return compile_model(load_plant(eastman.PLANT))


def staged(model: Model, number: int) -> Stage:
    """A plant with constants of its own, moved away from where the plant file begins."""
    interface = read_interface(eastman.PLANT)
    group = eastman.draw(number, 11, interface)
    live = eastman.live(group.seed, interface, group.history)
    live.run(SETTLED_S)
    return Stage(model, live, BEGINNING)


@pytest.mark.parametrize("number", range(4))
def test_the_tennessee_eastman_plant_is_found_in_ten_seconds_and_followed(model: Model, number: int) -> None:
    stage = staged(model, number)
    for second, worst in ((10, 0.03), (60, 0.01), (120, 0.005)):
        stage.follow(SETTLED_S + second)
        assert stage.sync.health.grade is Grade.IN_STEP, stage.sync.health.reason
        tags = stage.live.plant.interface.tags.by_name
        for one in estimates(model, stage.snapshot()):
            if one.tag.startswith("XMEAS"):
                span = tags[one.tag].high - tags[one.tag].low
                wrong = abs(one.value - stage.live.plant.truth(one.tag)) / span
                assert wrong < worst, f"{one.tag} is {100 * wrong:.2f} % of its span off after {second} s"


def test_an_inner_loop_begins_from_the_setpoint_that_its_outer_loop_gives_it_now(model: Model) -> None:
    """Proportional loops never forget a wrong beginning."""
    stage = staged(model, 1)
    stage.follow(SETTLED_S + 5.0)
    snapshot, read = stage.snapshot(), stage.live.plant.values()
    for row, controller in enumerate(model.plant.controllers):
        output = 100.0 * np.mean(snapshot.controllers[:, 2 * row + 1])
        assert output == pytest.approx(read[controller.op], abs=3.0), controller.name
