"""The fluids of the Tennessee Eastman process as expressions: what eight species weigh, hold and exert at a temperature.

J. J. Downs and E. F. Vogel, "A plant-wide industrial process control problem", Computers & Chemical Engineering 17 (1993) 245-255, and the
program given out with it.  The tables are in the published units (lb, ft^3, 10^6 Btu, mmHg, degC); the functions take and give SI.
A, B and C are gases that never condense; D to H are held as liquid, with a vapour in equilibrium over it (Raoult).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sentinel.twin.component import Own, State, Variable
from sentinel.twin.elementary import exponential
from sentinel.twin.expression import Expression, clip, constant, maximum, root, total
from sentinel.twin.units import unit


@dataclass(frozen=True, slots=True)
class Species:
    """`liquid` and `gas`: heat capacity by powers of degC, 10^6 Btu/lb per 1/1.8 K; `vaporisation`: 10^6 Btu/lb."""

    molar_mass: float  # lb/lb mol
    liquid: tuple[float, float, float]
    gas: tuple[float, float, float]
    vaporisation: float
    density: tuple[float, float, float]  # by powers of degC, lb/ft^3
    antoine: tuple[float, float, float] | None = None  # ln(p / mmHg) = a + b / (t + c)


SPECIES: Mapping[str, Species] = {
    "A": Species(2.0, (1.0e-6, 0.0, 0.0), (3.411e-6, 7.18e-10, 6.0e-13), 1.0e-6, (1.0, 0.0, 0.0)),
    "B": Species(25.4, (1.0e-6, 0.0, 0.0), (0.3799e-6, 1.08e-9, -3.98e-13), 1.0e-6, (1.0, 0.0, 0.0)),
    "C": Species(28.0, (1.0e-6, 0.0, 0.0), (0.2491e-6, 1.36e-11, -3.93e-14), 1.0e-6, (1.0, 0.0, 0.0)),
    "D": Species(32.0, (0.960e-6, 8.70e-9, 4.81e-11), (0.3567e-6, 8.51e-10, -3.12e-13), 86.7e-6,
                 (23.3, -0.0700, -0.0002), (15.92, -1444.0, 259.0)),
    "E": Species(46.0, (0.573e-6, 2.41e-9, 1.82e-11), (0.3463e-6, 8.96e-10, -3.27e-13), 160.0e-6,
                 (33.9, -0.0957, -0.000152), (16.35, -2114.0, 265.5)),
    "F": Species(48.0, (0.652e-6, 2.18e-9, 1.94e-11), (0.3930e-6, 1.02e-9, -3.12e-13), 160.0e-6,
                 (32.8, -0.0995, -0.000233), (16.35, -2114.0, 265.5)),
    "G": Species(62.0, (0.515e-6, 5.65e-10, 3.82e-12), (0.170e-6, 0.0, 0.0), 225.0e-6,
                 (49.9, -0.0191, -0.000425), (16.43, -2748.0, 232.9)),
    "H": Species(76.0, (0.471e-6, 8.70e-10, 2.62e-12), (0.150e-6, 0.0, 0.0), 209.0e-6,
                 (50.5, -0.0541, -0.000150), (17.21, -3318.0, 249.6)),
}  # fmt: skip
GASES = ("A", "B", "C")
LIQUIDS = ("D", "E", "F", "G", "H")
ALL = (*GASES, *LIQUIDS)

LB_MOL = constant(453.59237, "mol")
LB_MOL_PER_HOUR = LB_MOL / constant(1.0, "h")
MILLION_BTU = constant(1e6, "Btu")
GAS_CONSTANT = constant(998.9, "mmHg*ft^3/K") / LB_MOL
GAS_CONSTANT_ENERGY = 3.57696e-6 * MILLION_BTU / (LB_MOL * constant(1.0, "K"))  # the same, as the energy balance has it
ATMOSPHERE = constant(760.0, "mmHg")
STANDARD_VOLUME = constant(359.0, "ft^3") / LB_MOL
SCALE_POUND = 0.454 / 0.45359237  # the published instruments take a pound for 0.454 kg
ROUND_FOOT = 35.3145 * 0.028316846592  # and 35.3145 cubic feet for a cubic metre
# What a vessel runs empty or floods at, far beyond the shutdown limits: below it shares fade to zero, so that what is not there cannot flow
# out, and no time constant falls below a step.
LEAST = constant(0.5, "kmol")
MOST = 1000.0  # kmol: more than fits
LEAST_CAPACITY = constant(75.0, "kJ/K")
LEAST_DENSITY = 1.0  # lb/ft^3
LEAST_VOLUME = constant(1.0, "m^3")
FLOW, SHARE = "kmol/h", "1"


def celsius(temperature: Expression) -> Expression:
    """As a plain number."""
    return (temperature - constant(0.0, "degC")) / constant(1.0, "K")


def molar_mass(name: str) -> Expression:
    return constant(SPECIES[name].molar_mass, "g/mol")


def _molar_heat(name: str, per_pound: Expression | float) -> Expression:
    """A tabulated 10^6 Btu/lb as energy per amount."""
    return per_pound * (SPECIES[name].molar_mass * (MILLION_BTU / LB_MOL))


def _integral(name: str, table: tuple[float, float, float], t: Expression, more: float = 0.0) -> Expression:
    a, b, c = (1.8 * value / (power + 1) for power, value in enumerate(table))
    return _molar_heat(name, t * (a + t * (b + t * c)) + more)


def _capacity(name: str, table: tuple[float, float, float], t: Expression) -> Expression:
    a, b, c = (1.8 * value for value in table)
    return _molar_heat(name, a + t * (b + t * c)) / constant(1.0, "K")


def liquid_enthalpy(name: str, t: Expression) -> Expression:
    """Per amount, above the liquid at 0 degC; `t` in degC, a plain number."""
    return _integral(name, SPECIES[name].liquid, t)


def liquid_capacity(name: str, t: Expression) -> Expression:
    return _capacity(name, SPECIES[name].liquid, t)


def gas_enthalpy(name: str, t: Expression) -> Expression:
    return _integral(name, SPECIES[name].gas, t, SPECIES[name].vaporisation)


def gas_capacity(name: str, t: Expression) -> Expression:
    """At constant pressure."""
    return _capacity(name, SPECIES[name].gas, t)


def liquid_volume(name: str, t: Expression) -> Expression:
    """Of an amount."""
    a, b, c = SPECIES[name].density
    return molar_mass(name) / (maximum(a + t * (b + t * c), LEAST_DENSITY) * constant(1.0, "lb/ft^3"))


def vapour_pressure(name: str, t: Expression) -> Expression:
    antoine = SPECIES[name].antoine
    if antoine is None:
        raise ValueError(f"{name} does not condense")
    a, b, c = antoine
    return exponential(a + constant(b) / (t + c)) * constant(1.0, "mmHg")


def holdups(stays: str) -> dict[str, State]:
    stops = (lambda _: constant(0.0, "kmol"), lambda _: constant(MOST, "kmol"))
    return {name: State(unit="kmol", says=f"{name} {stays}", bounds=(-1e6, 1e6), start=name, stops=stops) for name in ALL}


def stream(prefix: str, says: str, flow_of: Callable[[Own, str], Expression], heat: Callable[[Own], Expression]) -> dict[str, Variable]:
    """A stream that a vessel lets out: eight molar flows, and the enthalpy that goes with them."""
    flows = {f"{prefix}_{name}": Variable(unit=FLOW, says=f"{name} in {says}", equation=_of(flow_of, name)) for name in ALL}
    return {**flows, f"{prefix}_heat": Variable(unit="kW", says=f"enthalpy in {says}", equation=heat)}


def each(
    prefix: str, unit_name: str, says: str, value_of: Callable[[Own, str], Expression], names: Sequence[str] = ALL
) -> dict[str, Variable]:
    """A variable per species."""
    return {f"{prefix}_{name}": Variable(unit=unit_name, says=f"{says} {name}", equation=_of(value_of, name)) for name in names}


def offered(prefix: str) -> dict[str, str]:
    """What a wire asks for that takes such a stream."""
    return {**{f"{prefix}_{name}": FLOW for name in ALL}, f"{prefix}_heat": "kW"}


def added(own: Own, prefix: str, names: Sequence[str] = ALL) -> Expression:
    return total([own.variable(f"{prefix}_{name}") for name in names], unit(FLOW).dimension)


def enthalpy_flow(own: Own, prefix: str, temperature: Expression, enthalpy: Callable[[str, Expression], Expression]) -> Expression:
    t = celsius(temperature)
    return total([own.variable(f"{prefix}_{name}") * enthalpy(name, t) for name in ALL], unit("kW").dimension)


def pressure_driven(coefficient: Expression, high: Expression, low: Expression, mass: Expression) -> Expression:
    """Molar flow of a gas of a mean molar mass through a restriction; nothing flows back."""
    return coefficient * root(high - low) / maximum(mass, constant(1.0, "g/mol"))


def lagged(signal: str, lag: str = "lag") -> Callable[[Own], Expression]:
    """A valve that follows its demand with a time constant."""
    return lambda own: (clip(own.signal(signal), 0.0, 1.0) - own.state(signal)) / own.parameter(lag)


def opening(signal: str, says: str) -> State:
    return State(unit="%", says=says, bounds=(-1.0, 101.0), start=lambda own: clip(own.signal(signal), 0.0, 1.0))


def gauge(pressure: Callable[[Own], Expression]) -> Variable:
    return Variable(unit="kPa", says="pressure over one atmosphere", equation=lambda own: pressure(own) - ATMOSPHERE)


def _of(value_of: Callable[[Own, str], Expression], name: str) -> Callable[[Own], Expression]:
    return lambda own: value_of(own, name)
