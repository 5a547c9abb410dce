import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.twin.units import ONE, UnitError, quantity, unit


@pytest.mark.parametrize(
    ("text", "expected", "value", "spread"),
    [
        ("0.25 m^2 +- 2 %", "m^2", 0.25, 0.005),
        ("4.0 L/s", "m^3/s", 0.004, 0.0),
        ("80 degC", "K", 353.15, 0.0),
        ("20 degC +- 1 K", "degC", 293.15, 1.0),
        ("12000 rpm", "rad/s", 1256.6370614359173, 0.0),
        ("3.0 W/K/(L/min) +- 3 %", "W/K/(L/min)", 180000.0, 5400.0),
        ("120 %/m", "1/m", 1.2, 0.0),
        ("50 % +- 2 %", "%", 0.5, 0.02),
        ("3.162 L/s/m^0.5", "L/s/m^0.5", 0.003162, 0.0),
        ("1.5", "1", 1.5, 0.0),
    ],
)
def test_a_quantity_becomes_si(text: str, expected: str, value: float, spread: float) -> None:
    given_quantity = quantity(text, expected)
    assert given_quantity.value == pytest.approx(value, rel=1e-12)
    assert given_quantity.spread == pytest.approx(spread, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "expected", "says"),
    [
        ("4 bar", "L/s", "expected a unit like 'L/s'"),
        ("4", "L/s", "has no unit"),
        ("4 L/parsnip", "L/s", "not known"),
        ("four L/s", "L/s", "expected a number with a unit"),
        ("20 degC +- 2 %", "degC", "give it in K"),
        ("4 m +- 2 s", "m", "the spread is in s"),
        ("4 m +- -2 %", "m", "negative"),
        ("4 __import__('os')", "m", "is not a unit"),
        ("1e99 m", "m", "sensible"),
        ("4 m; 5 m", "m", "is not a unit"),
        ("4 m^9^9^9^9", "m", "is not a unit"),
        ("4 (((m)))", "m", "is not a unit"),
        ("4 m/" + "s*" * 50 + "s", "m", "is not a unit"),
    ],
)
def test_what_is_wrong_with_a_quantity_is_said(text: str, expected: str, says: str) -> None:
    with pytest.raises(UnitError, match=says):
        quantity(text, expected)


@settings(max_examples=100)
@given(st.text(alphabet="mKsLWg%/^*() .0123456789+-eE°dCrp", max_size=24))
def test_any_text_is_a_quantity_or_a_unit_error(text: str) -> None:
    try:
        result = quantity(text, "m")
    except UnitError:
        return
    assert math.isfinite(result.value)
    assert result.unit.dimension == unit("m").dimension


def test_units_convert_both_ways() -> None:
    celsius = unit("degC")
    assert celsius.from_si(celsius.to_si(45.0)) == pytest.approx(45.0)
    assert unit("%").dimension == ONE
    assert str(unit("L/s/m^0.5").dimension) == "m^5/2 s^-1"
