"""Trials on the Tennessee Eastman process: its live plant is one of its own, is followed by the twin, and says what does harm."""

import pytest

from sentinel.demo.wiring import PLANT_FILE, read_interface
from sentinel.measure.eastman import PLANT, EastmanPlant, Jury, draw, live, loops
from sentinel.measure.stage import LivePlant, Stage
from sentinel.measure.trials import Trial
from sentinel.measure.truth import limits_of
from sentinel.twin.engine import compile_model
from sentinel.twin.plant import load_plant
from sentinel.twin.snapshot import Grade

INTERFACE = read_interface(PLANT)


def test_the_base_layer_is_the_plant_file_s() -> None:
    found = {loop.name: loop for loop in loops()}
    assert len(found) == 19
    assert (found["JACKET"].sp, found["JACKET"].op, found["JACKET"].reset_s) == ("REACTOR-TEMP", "XMV10", 1452.0)
    assert found["JACKET"].gain < 0 < found["REACTOR-TEMP"].gain
    assert found["D-FLOW"].reset_s is None


def test_a_plant_lives_near_the_base_case_and_the_same_way_twice() -> None:
    one, other = (live(7, INTERFACE, ((10.0, "PRODUCT.SP", 23.2),)) for _ in range(2))
    for lived in (one, other):
        lived.run(900.0)
    assert one.plant.values() == other.plant.values()
    assert live(8, INTERFACE).plant.values() != live(7, INTERFACE).plant.values()
    assert one.plant.truth("XMEAS7") == pytest.approx(2705.0, abs=120.0)
    assert one.plant.truth("XMEAS9") == pytest.approx(120.4, abs=1.0)
    assert one.plant.registers.value("PRODUCT.SP") == pytest.approx(23.2, abs=1e-3)


def test_an_output_moves_in_manual_only() -> None:
    plant = EastmanPlant(3, INTERFACE)
    plant.registers.put("XMV10", 90.0)
    plant.step()
    assert plant.values()["XMV10"] < 60.0
    plant.registers.put("JACKET.AUTO", 0.0)
    plant.registers.put("XMV10", 90.0)
    plant.step()
    assert plant.values()["XMV10"] == pytest.approx(90.0)


def test_the_plant_says_what_does_harm() -> None:
    lived = live(11, INTERFACE)
    lived.run(600.0)
    jury = Jury(lived.plant, limits_of(load_plant(PLANT).invariants), 600.0)
    nothing = Trial(kind="single", steps=((0.0, "PRODUCT.SP", 22.9),))
    hot = Trial(kind="by_hand", steps=((0.0, "JACKET.AUTO", 0.0), (5.0, "XMV10", 0.0)))
    assert not jury.truth(nothing).is_harmful
    found = jury.truth(hot)
    assert found.why in ("reactor-pressure", "reactor-temperature")
    assert found.time_s is not None
    assert 5.0 < found.time_s < 600.0
    empty = jury.truth(Trial(kind="single", steps=((3.0, "SEP-LEVEL.SP", -60.0),)))
    assert (empty.why, empty.time_s) == ("separator-empty", pytest.approx(330.0, abs=60.0))
    assert lived.plant.time_s == 600.0, "the plant itself is left alone"


def test_trials_are_drawn_from_a_seed_and_can_be_written() -> None:
    group = draw(0, 5, INTERFACE)
    assert group == draw(0, 5, INTERFACE) != draw(1, 5, INTERFACE)
    assert len(group.trials) == 10
    for trial in group.trials:
        assert all(INTERFACE.tags.by_name[tag].writable for _, tag, _ in trial.steps)


@pytest.mark.parametrize(("widest", "grade"), [(0.5, Grade.IN_STEP), (1e-9, Grade.LOST)])
def test_futures_as_wide_as_the_instruments_agree_with_everything_and_so_with_nothing(
    monkeypatch: pytest.MonkeyPatch, widest: float, grade: Grade
) -> None:
    monkeypatch.setattr("sentinel.twin.sync.WIDEST", widest)
    reference = read_interface()
    lived = LivePlant.of_reference(5, reference)
    lived.run(60.0)
    stage = Stage(compile_model(load_plant(PLANT_FILE)), lived, members=64)
    stage.follow(100.0)
    assert stage.sync.health.grade is grade, stage.sync.health.reason
