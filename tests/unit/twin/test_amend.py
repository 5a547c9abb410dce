import difflib

import pytest

from sentinel.errors import ConfigError
from sentinel.twin.amend import amend, written
from sentinel.twin.plant import load_plant
from sentinel.twin.units import unit


def test_only_the_lines_of_what_changed_change(plant_text: str) -> None:
    new = amend(load_plant(plant_text), {"T101.area": (0.2557, 0.0027), "T201.ambient": (20.476, 0.39), "B301.per_flow": (2.9, 0.035)})
    moved = [line for line in difflib.ndiff(plant_text.splitlines(), new.splitlines()) if line.startswith("+ ")]
    assert len(moved) == 3
    assert "area: 0.2557 m^2 +- 1.1 %, height: 2.0 m" in moved[0]
    assert "T101" in moved[0]
    assert "ambient: 20.476 degC +- 0.39 K" in moved[1]
    assert "per_flow: 2.9 W/K/(L/min) +- 1.2 %" in moved[2]
    values = {one.name: one.value for one in load_plant(new).parameters}
    assert values["T201.ambient"] == pytest.approx(293.626)
    assert values["T102.area"] == 0.25


def test_a_value_below_its_key_or_in_quotes_is_found(plant_text: str) -> None:
    other = plant_text.replace("{type: tank, area: 0.25 m^2 +- 2 %,", '{type: tank, area:\n    "0.25 m^2 +- 2 %",', 1)
    assert 'area:\n    "0.3 m^2 +- 1 %", height' in amend(load_plant(other), {"T101.area": (0.3, 0.003)})


def test_two_places_that_could_be_meant_are_refused(plant_text: str) -> None:
    twice = plant_text.replace("height: 2.0 m, level: 1.2 m}", "height: 2.0 m, level: 1.2 m}  # area: 0.25 m^2 +- 2 % until 2019", 1)
    with pytest.raises(ConfigError, match="could be meant"):
        amend(load_plant(twice), {"T101.area": (0.3, 0.003)})


@pytest.mark.parametrize(
    ("name", "value", "spread", "text"),
    [
        ("m^2", 0.25, 0.005, "0.25 m^2 +- 2 %"),
        ("degC", 20.0, 1.0, "20 degC +- 1 K"),
        ("%", 50.0, 2.0, "50 % +- 2 %"),
        ("1", 0.5, 0.05, "0.5 +- 10 %"),
        ("kW", -3.0, 0.3, "-3 kW +- 10 %"),
    ],
)
def test_quantities_are_written_as_they_are_read(name: str, value: float, spread: float, text: str) -> None:
    assert written(unit(name), value, spread) == text
