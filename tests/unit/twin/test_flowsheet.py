import xml.etree.ElementTree as ET

import pytest

from sentinel.drawing.svg import Drawing
from sentinel.twin.components import CATALOGUE
from sentinel.twin.flowsheet import draw
from sentinel.twin.plant import Plant, load_plant
from sentinel.twin.symbols import SYMBOLS, draw_symbol

SMALL = """
plant: small
components:
  T1: {type: tank, area: 1 m^2, height: 2 m, level: 1 m}
tags:
  LT1: {role: process_value, unit: m, range: [0, 2], of: T1.level}
"""


def shown(plant: Plant) -> tuple[set[str], str]:
    """(what is marked in the picture, all of its text)."""
    root = ET.fromstring(draw(plant))
    return {mark for one in root.iter() if (mark := one.get("data-of"))}, "\n".join(root.itertext())


def test_everything_of_the_reference_plant_is_there(plant: Plant) -> None:
    marks, text = shown(plant)
    assert {f"component {name}" for name in plant.parts} <= marks
    assert {f"controller {one.name}" for one in plant.controllers} <= marks
    assert {f"interlock {one.name}" for one in plant.interlocks} <= marks
    for one in plant.invariants:
        assert f"{one.limit:g} {'starts' if one.counts else one.tag.unit} · {one.name}" in text
    for sensor in plant.sensors:
        assert f"{sensor.tag.name} · {sensor.tag.low:g} to {sensor.tag.high:g}" in text
    for line in ("P101 to T101", "T101 to C12", "C12 to T102", "P201 to H201", "H201 to T201", "B301 to CL301"):
        assert line in text
    for signal in ("T101 to LIC101", "LIC101 to P101", "T101 to LAHH101", "LAHH101 to P101", "LALL102 to FV102"):
        assert signal in text


def test_equal_plants_are_equal_octets(plant: Plant, plant_text: str) -> None:
    assert draw(load_plant(plant_text)) == draw(plant)


def test_a_plant_without_controllers(plant_text: str) -> None:
    marks, _ = shown(load_plant(SMALL))
    assert marks == {"component T1"}


def test_names_are_escaped(plant_text: str) -> None:
    hostile = load_plant(SMALL.replace("plant: small", "plant: small\ntitle: '<script>alert(1)</script>'"))
    assert "<script>" not in draw(hostile)


@pytest.mark.parametrize("kind", [kind.name for kind in CATALOGUE] + ["reactor_of_a_kind_to_come"])
def test_every_kind_has_a_symbol_or_a_box_with_its_name(kind: str) -> None:
    picture = Drawing(100, 100, "x")
    draw_symbol(picture, kind, 50, 50)
    assert picture.parts
    if kind not in SYMBOLS:
        assert kind[:9] in picture.document()
