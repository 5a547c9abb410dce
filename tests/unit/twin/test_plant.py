"""What a person can get wrong in a plant file, and what the twin says to it."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.errors import ConfigError
from sentinel.model.detection import Severity
from sentinel.twin.plant import Plant, load_plant


def line_of(text: str, fragment: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if fragment in line)


def test_the_reference_plant_is_read_whole(plant: Plant) -> None:
    assert plant.name == "reference"
    assert len(plant.parts) == 11
    assert len(plant.states) == 11
    assert len(plant.tags.tags) == 51
    assert {one.tag.name for one in plant.inputs} == {tag.name for tag in plant.tags.tags if tag.writable}
    assert len(plant.sensors) == 17
    by_name = {one.name: one for one in plant.invariants}
    overfill = by_name["T101-overfill"]
    assert (overfill.limit, overfill.is_upper, overfill.unit.name, overfill.severity) == (1.6, True, "m", Severity.CRITICAL)
    assert by_name["T201-boil"].limit == pytest.approx(80.0)
    parameters = {one.name: one for one in plant.parameters}
    assert parameters["T101.area"].spread == pytest.approx(0.005)
    assert "T101.height" not in parameters  # known exactly: a constant


@pytest.mark.parametrize(
    ("find", "put", "says"),
    [
        ("T101: {type: tank", "T101: {type: tenk", "unknown component type 'tenk', did you mean 'tank'"),
        (
            "area: 0.25 m^2 +- 2 %, height: 2.0 m, level: 1.2 m",
            "area: 0.25 m +- 2 %, height: 2.0 m, level: 1.2 m",
            "expected a unit like 'm^2'",
        ),
        ("level: 1.2 m}", "level: 1.2 m, colour: red}", "unknown key 'colour'"),
        ("level: 0.8 m}", "level: 0.8}", "has no unit, expected one like 'm'"),
        ("area: 0.25 m^2 +- 2 %, height: 2.0 m, level: 1.2 m", "height: 2.0 m, level: 1.2 m", "key 'area' is missing"),
        ("type: pump, to: T101", "type: pump, to: T1O1", "unknown component 'T1O1', did you mean 'T101'"),
        ("type: pump, to: T101", "type: pump, to: SP301", "which has no level in m; expected the tank it fills"),
        ("type: pump, to: T101", "type: pump, to: [T101]", "expected component, found a list"),
        ("speed: LIC101}", "speed: LIC1O1}", "unknown controller or tag 'LIC1O1', did you mean 'LIC101'"),
        ("speed: LIC101}", "speed: LT101}", "tag LT101 is not writable"),
        ("speed: SIC301.SP", "speed: LIC101.SP", "LIC101.SP is in 'm', expected a signal like 'rpm'"),
        ("run: P101.RUN, speed", "run: LIC101.SP, speed", "expected a mode"),
        ("lag: 1.5 s, run", "lag: -1.5 s, run", "must be more than 0"),
        ("kp: 120 %/m", "kp: 120 %/K", "expected a unit like '%/m'"),
        ("action: reverse}\n  LIC102", "action: backward}\n  LIC102", "unknown action 'backward'"),
        ("pv: LT101", "pv: LT1O1", "unknown tag 'LT1O1', did you mean 'LT101'"),
        ("pv: LT101", "pv: LIC101.SP", "expected process_value"),
        ("sp: LIC101.SP", "sp: TIC201.SP", "is in 'degC', but LT101 is in 'm'"),
        ("when: LT101 > LIC101.HH", "when: LT101 > TIC201.HH", "does not measure what LT101 does"),
        ("when: LT101 > LIC101.HH", "when: LT101 >", "expected 'TAG > TAG'"),
        ("trip: [FV102]", "trip: [C12]", "it has no run signal to trip"),
        ("trip: [FV102]", "trip: [FV1O2]", "did you mean 'FV102'"),
        ("always: LT101 <= 1.60 m", "always: LT101 <= 1.60 K", "expected a unit like 'm'"),
        ("always: LT101 <= 1.60 m", "always: level <= 1.60 m", "unknown tag 'level'"),
        (
            "severity: critical, impact: T0879, says: T101 must",
            "severity: dreadful, impact: T0879, says: T101 must",
            "unknown severity 'dreadful'",
        ),
        ("at_most: 6 starts of P101", "at_most: 6 starts of P1O1", "unknown component 'P1O1', did you mean 'P101'"),
        ("at_most: 6 starts of P101", "at_most: 6 starts of C12", "C12 is a pipe: it has no run signal that starts it"),
        ("at_most: 6 starts of P101", "at_most: 0 starts of P101", "expected '6 starts of P101'"),
        ("at_most: 6 starts of P101", "always: LT101 <= 1 m, at_most: 6 starts of P101", "expected one of 'always' and 'at_most'"),
        ("impact: T0828", "impact: X0828", "not an ATT&CK technique id"),
        ("of: T101.level", "of: T101.lvl", "a tank has no 'lvl', did you mean 'level'"),
        ("of: T101.level", "of: T201.temperature", "but LT101 is in 'm'"),
        ("role: setpoint, unit: m, range: [0.4, 1.5]", "role: setpoint, unit: m, range: [1.5, 0.4]", "low < high"),
        ("role: setpoint, unit: m, range: [0.4, 1.5]", "role: setpiont, unit: m, range: [0.4, 1.5]", "did you mean 'setpoint'"),
        (
            "role: setpoint, unit: m, range: [0.4, 1.5]",
            "role: setpoint, unit: furlongish, range: [0.4, 1.5]",
            "unit 'furlongish' is not known",
        ),
        ("start: 1.2, says: level setpoint of T101", "start: 9, says: level setpoint of T101", "outside the range"),
        ("start: 1.2, says: level setpoint of T101", "says: level setpoint of T101", "key 'start' is missing"),
        ("table: holding, address: 1,", "table: holding, address: 0,", "holding 0 of unit 1 already belongs to LIC101.SP"),
        ('"ns=2;s=LT102"', '"ns=2;s=LT101"', "already belongs to LT101"),
        ("table: input, address: 0", "table: input, address: 70000", "a whole number from 0 to 65535"),
        ("method: rk4", "method: euler", "unknown method 'euler'"),
        ("step: 0.5 s", "step: 0 s", "expected 0.001 s to 60 s"),
        ("bypass: BYPASS", "bypass: BYPAS", "did you mean 'BYPASS'"),
        ("plant: reference", "plnt: reference", "unknown key 'plnt', did you mean 'plant'"),
    ],
)
def test_a_mistake_is_refused_with_its_line_and_what_was_expected(plant_text: str, find: str, put: str, says: str) -> None:
    assert find in plant_text, f"the reference plant no longer says {find!r}"
    text = plant_text.replace(find, put, 1)
    with pytest.raises(ConfigError) as caught:
        load_plant(text)
    assert says in caught.value.problem
    source, _, line = caught.value.where.rpartition(":")
    assert source == "plant"
    at = plant_text[: plant_text.index(find)].count("\n") + 1
    # an owner is named where the fault is a relation: the key, its map, or the interlock's own line
    assert abs(int(line) - at) <= find.count("\n") + 1 or "bypass" in says.lower()


LOOP = """
plant: loop
components:
  T1: {type: tank, area: 1 m^2, height: 2 m, level: 1 m}
  V1: {type: valve, from: T1, coefficient: 1 L/s/m^0.5, suction: 1 m, stroke: 5 s, run: V.RUN, position: V.POS}
interlocks:
  I1: {when: F1 > 0.1 L/s, trip: [V1]}
tags:
  F1: {role: process_value, unit: L/s, range: [0, 2], of: V1.flow}
  V.RUN: {role: mode, unit: "1", range: [0, 1], writable: true, start: 1}
  V.POS: {role: setpoint, unit: "%", range: [0, 100], writable: true, start: 50}
"""


def test_an_interlock_that_reads_what_it_trips_is_an_algebraic_loop() -> None:
    with pytest.raises(ConfigError, match="algebraic loop: I1") as caught:
        load_plant(LOOP)
    assert caught.value.where == f"plant:{line_of(LOOP, 'I1:')}"


def test_variables_that_need_each_other_are_an_algebraic_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    from sentinel.twin import reader
    from sentinel.twin.component import Kind, Variable, Wire

    mirror = Kind(
        name="mirror",
        says="shows what it is wired to",
        variables={"shown": Variable(unit="m", says="the other's", equation=lambda own: own.wired("of").variable("shown"))},
        wires={"of": Wire(says="another mirror", offers={"shown": "m"})},
    )
    monkeypatch.setattr(reader, "CATALOGUE", (mirror,))
    text = (
        "plant: p\ncomponents:\n  A: {type: mirror, of: B}\n  B: {type: mirror, of: A}\n"
        "tags:\n  L: {role: process_value, unit: m, range: [0, 1], of: A.shown}\n"
    )
    with pytest.raises(ConfigError, match=r"algebraic loop: A\.shown -> B\.shown -> A\.shown") as caught:
        load_plant(text)
    assert caught.value.where == "plant:3"


def test_a_file_that_is_not_there_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_plant(tmp_path / "none.yaml")
    (tmp_path / "octets.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_plant(tmp_path / "octets.yaml")


@settings(max_examples=60)
@given(st.data())
def test_any_line_lost_or_cut_gives_a_plant_or_a_config_error(plant_text: str, data: st.DataObject) -> None:
    lines = plant_text.splitlines()
    row = data.draw(st.integers(0, len(lines) - 1))
    keep = data.draw(st.integers(0, len(lines[row])))
    lines[row] = lines[row][:keep]
    with contextlib.suppress(ConfigError):  # anything else that is raised fails the test
        load_plant("\n".join(lines))
