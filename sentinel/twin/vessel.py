"""What vessels of the Tennessee Eastman process share: species held, one temperature, gas over a liquid in equilibrium.

The published energy of a holdup is a state there and is solved for its temperature at each step; here the temperature is the state and its
rate follows by the chain rule: capacity * dT/dt = energy in - energy out - sum of enthalpy_i * dn_i/dt.  The same solution, no iteration.
"""

from collections.abc import Callable, Mapping

from sentinel.twin.component import Equation, Own, State, Variable
from sentinel.twin.eastman import (
    ALL,
    GAS_CONSTANT,
    GASES,
    LEAST,
    LEAST_CAPACITY,
    LEAST_VOLUME,
    LIQUIDS,
    SHARE,
    celsius,
    each,
    gauge,
    liquid_capacity,
    liquid_enthalpy,
    liquid_volume,
    molar_mass,
    vapour_pressure,
)
from sentinel.twin.expression import Expression, constant, maximum, total
from sentinel.twin.units import unit

COLDEST_C, HOTTEST_C = 0.0, 250.0
Property = Callable[[str, Expression], Expression]  # of a species at a temperature in degC


def temperature(says: str) -> State:
    return warmth(says, "temperature")


def warmth(says: str, start: str) -> State:
    """A temperature that rests where no equation of the process means anything any more, beyond every shutdown limit."""
    stops = (lambda _: constant(COLDEST_C, "degC"), lambda _: constant(HOTTEST_C, "degC"))
    return State(unit="degC", says=says, bounds=(-1e6, 1e6), start=start, stops=stops)


def warming(species: tuple[str, ...], enthalpy: Property, capacity: Property, power: Equation) -> Equation:
    """dT/dt from the net `power` that comes in and what the rates `rate_X` already bring."""

    def rate(own: Own) -> Expression:
        t = celsius(own.state("temperature"))
        brought = total([enthalpy(name, t) * own.variable(f"rate_{name}") for name in species], unit("kW").dimension)
        heat = total([own.state(name) * capacity(name, t) for name in species], unit("J/K").dimension)
        return (power(own) - brought) / maximum(heat, LEAST_CAPACITY)

    return rate


def warming_liquid(species: tuple[str, ...], power: Equation) -> Equation:
    return warming(species, liquid_enthalpy, liquid_capacity, power)


def liquid_share(species: tuple[str, ...]) -> Mapping[str, Variable]:
    def share(own: Own, name: str) -> Expression:
        return own.state(name) / own.variable("liquid_amount")

    def amount(own: Own) -> Expression:
        return maximum(total([own.state(name) for name in species], unit("kmol").dimension), LEAST)

    def volume(own: Own) -> Expression:
        t = celsius(own.state("temperature"))
        return total([own.state(name) * liquid_volume(name, t) for name in species], unit("m^3").dimension)

    return {
        "liquid_amount": Variable(unit="kmol", says="liquid", equation=amount),
        "liquid_volume": Variable(unit="m^3", says="liquid", equation=volume),
        **each("x", SHARE, "share in the liquid of", share, species),
    }


def liquid_level(zero_ft3: float, span_ft3: float) -> Variable:
    """As the published instrument shows it."""
    zero, span = constant(zero_ft3, "ft^3"), constant(span_ft3, "ft^3")
    return Variable(unit="%", says="level shown", equation=lambda own: (own.variable("liquid_volume") - zero) / span)


def equilibrium() -> Mapping[str, Variable]:
    """Of a vessel whose parameter `volume` holds the gas A to C and the liquid D to H with its vapour."""

    def partial(own: Own, name: str) -> Expression:
        at = own.state("temperature")
        if name in GASES:
            return own.state(name) * GAS_CONSTANT * at / own.variable("gas_volume")
        return vapour_pressure(name, celsius(at)) * own.variable(f"x_{name}")

    def pressure(own: Own) -> Expression:
        return total([own.variable(f"p_{name}") for name in ALL], unit("kPa").dimension)

    def mean_molar_mass(own: Own) -> Expression:
        return total([own.variable(f"y_{name}") * molar_mass(name) for name in ALL], unit("g/mol").dimension)

    return {
        **liquid_share(LIQUIDS),
        "gas_volume": Variable(
            unit="m^3",
            says="gas over the liquid",
            equation=lambda own: maximum(own.parameter("volume") - own.variable("liquid_volume"), LEAST_VOLUME),
        ),
        **each("p", "kPa", "partial pressure of", partial),
        "pressure": Variable(unit="kPa", says="absolute", equation=pressure),
        "gauge": gauge(lambda own: own.variable("pressure")),
        **each(
            "y",
            SHARE,
            "share in the gas of",
            lambda own, name: own.variable(f"p_{name}") / maximum(own.variable("pressure"), constant(1.0, "Pa")),
        ),
        "molar_mass": Variable(unit="g/mol", says="mean, of the gas", equation=mean_molar_mass),
    }
