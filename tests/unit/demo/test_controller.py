"""The controller's scan: loops, modes, interlocks."""

from dataclasses import replace

import pytest

from sentinel.demo.controller import INTERLOCKS, Controller
from sentinel.demo.physics import Actuators
from sentinel.demo.registers import Registers
from sentinel.demo.wiring import read_interface

INTERFACE = read_interface()
CALM = {"LT101": 1.2, "LT102": 0.8, "TT201": 60.0, "TT202": 80.0, "FT201": 1.0, "TT301": 45.0}


@pytest.fixture
def registers() -> Registers:
    registers = Registers(INTERFACE.tags)
    for tag, value in (INTERFACE.starts | CALM).items():
        registers.put(tag, value)
    return registers


@pytest.fixture
def controller(registers: Registers) -> Controller:
    return Controller(registers, Actuators(p101_speed=0.5, fv102=0.44, h201=0.53, fv301=0.6))


def test_at_its_setpoints_it_goes_on_as_it_began(registers: Registers, controller: Controller) -> None:
    for _ in range(50):
        asked = controller.scan()
    assert asked == replace(Actuators(), p101_speed=0.5, fv102=0.44, h201=0.53, fv301=0.6, sp301_rpm=6000.0)
    assert registers.value("LIC101.OP") == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("tag", "value", "actuator", "rises"),
    [
        ("LT101", 1.1, "p101_speed", True),
        ("LT102", 0.9, "fv102", True),
        ("TT201", 61.0, "h201", False),
        ("TT301", 46.0, "fv301", True),
    ],
)
def test_a_loop_acts_in_its_sense_first_at_once_then_more_and_more(
    registers: Registers, controller: Controller, tag: str, value: float, actuator: str, rises: bool
) -> None:
    rest = getattr(controller.scan(), actuator)
    registers.put(tag, value)
    first = getattr(controller.scan(), actuator)
    for _ in range(20):
        last = getattr(controller.scan(), actuator)
    assert (first > rest and last > first) if rises else (first < rest and last < first)


def test_gain_and_reset_are_as_declared(registers: Registers, controller: Controller) -> None:
    controller.scan()
    registers.put("LT101", 1.1)
    assert controller.scan().p101_speed == pytest.approx(0.5 + 0.12 + 0.12 * 0.1 / 60)
    for _ in range(600):
        asked = controller.scan()
    assert asked.p101_speed == pytest.approx(0.5 + 0.12 + 0.12 * 60.1 / 60)  # after the reset time as much again


def test_a_saturated_loop_does_not_wind_up(registers: Registers, controller: Controller) -> None:
    registers.put("LT101", 0.2)
    for _ in range(3000):
        assert controller.scan().p101_speed == 1.0
    registers.put("LT101", 1.25)
    assert controller.scan().p101_speed == pytest.approx(0.5 - 0.06, abs=0.01)


def test_manual_follows_its_register_and_the_way_back_is_bumpless(registers: Registers, controller: Controller) -> None:
    controller.scan()
    registers.put("LIC101.AUTO", 0)
    assert controller.scan().p101_speed == pytest.approx(0.5)  # into manual without a bump
    registers.put("LIC101.OP", 73.0)
    registers.put("LT101", 1.15)
    assert controller.scan().p101_speed == pytest.approx(0.73)
    registers.put("LIC101.AUTO", 1)
    assert controller.scan().p101_speed == pytest.approx(0.73, abs=0.001)


def test_in_automatic_a_written_output_lasts_until_the_next_scan(registers: Registers, controller: Controller) -> None:
    controller.scan()
    registers.put("LIC101.OP", 100.0)
    assert controller.scan().p101_speed == pytest.approx(0.5)
    assert registers.value("LIC101.OP") == pytest.approx(50.0)


_RUNS = {"P101": "p101_on", "P102": "p102_on", "H201": "h201_on", "SP301": "sp301_on"}


@pytest.mark.parametrize("lock", INTERLOCKS, ids=lambda lock: lock.alarm)
def test_an_interlock_trips_at_its_register_and_bypass_silences_it(registers: Registers, controller: Controller, lock: object) -> None:
    alarm, measured, limit = lock.alarm, lock.measured, lock.limit  # type: ignore[attr-defined]
    above, actuator = lock.above, _RUNS[lock.trips]  # type: ignore[attr-defined]
    assert getattr(controller.scan(), actuator)
    assert registers.value(alarm) == 0
    beyond = registers.value(limit) * (1.1 if above else 0.5)
    registers.put(measured, beyond)
    assert not getattr(controller.scan(), actuator)
    assert registers.value(alarm) == 1
    registers.put("BYPASS", 1)
    assert getattr(controller.scan(), actuator)
    assert registers.value(alarm) == 1
    registers.put("BYPASS", 0)
    registers.put(limit, beyond * (1.1 if above else 0.5))  # whoever moves the limit moves the interlock
    assert getattr(controller.scan(), actuator)
    assert registers.value(alarm) == 0


@pytest.mark.parametrize(
    ("coil", "actuator"),
    [
        ("P101.RUN", "p101_on"),
        ("P102.RUN", "p102_on"),
        ("P201.RUN", "p201_on"),
        ("H201.RUN", "h201_on"),
        ("SP301.RUN", "sp301_on"),
        ("P301.RUN", "p301_on"),
    ],
)
def test_a_run_coil_switches_its_machine(registers: Registers, controller: Controller, coil: str, actuator: str) -> None:
    assert getattr(controller.scan(), actuator)
    registers.put(coil, 0)
    assert not getattr(controller.scan(), actuator)


def test_a_speed_outside_its_range_is_obeyed(registers: Registers, controller: Controller) -> None:
    registers.put("SIC301.SP", 12_000)
    assert controller.scan().sp301_rpm == 12_000
