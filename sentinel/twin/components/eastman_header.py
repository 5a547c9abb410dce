"""The gas header before the reactor of the Tennessee Eastman process: three feeds, the stripper's vapour and the recycle mix."""

from sentinel.twin.component import Kind, Own, Parameter, Variable, Wire
from sentinel.twin.eastman import (
    ALL,
    GAS_CONSTANT,
    GAS_CONSTANT_ENERGY,
    LEAST,
    ROUND_FOOT,
    SHARE,
    STANDARD_VOLUME,
    each,
    enthalpy_flow,
    gas_capacity,
    gas_enthalpy,
    gauge,
    holdups,
    molar_mass,
    offered,
    pressure_driven,
    stream,
)
from sentinel.twin.expression import Expression, constant, maximum, total
from sentinel.twin.units import unit
from sentinel.twin.vessel import temperature, warming

_ENTERS = {"d_feed": "out", "e_feed": "out", "a_feed": "out", "stripper": "over", "compressor": "out"}  # wire -> its stream


def _inflow(own: Own, what: str) -> Expression:
    first, *others = (own.wired(wire).variable(f"{prefix}_{what}") for wire, prefix in _ENTERS.items())
    return total([first, *others], first.dimension)


def _rate(own: Own, name: str) -> Expression:
    return _inflow(own, name) - own.variable(f"out_{name}")


def _pressure(own: Own) -> Expression:
    return own.variable("amount") * GAS_CONSTANT * own.state("temperature") / own.parameter("volume")


def _internal(name: str, t: Expression) -> Expression:
    """A closed volume of gas holds its enthalpy less p V."""
    return gas_enthalpy(name, t) - GAS_CONSTANT_ENERGY * (t * constant(1.0, "K") + constant(0.0, "degC"))


def _flow(own: Own) -> Expression:
    downstream = own.wired("to").variable("pressure")
    return pressure_driven(own.parameter("outflow"), own.variable("pressure"), downstream, own.variable("molar_mass"))


KIND = Kind(
    name="eastman_header",
    says="gas header in which feeds, vapour and recycle mix",
    parameters={
        "volume": Parameter(unit="m^3", says="of the header"),
        "outflow": Parameter(unit="kg/h/kPa^0.5", says="mass flow to the reactor at a pressure difference of one unit"),
    },
    states={**holdups("in the header"), "temperature": temperature("well mixed")},
    derivatives={
        **{name: (lambda own, name=name: own.variable(f"rate_{name}")) for name in ALL},  # type: ignore[misc]
        "temperature": warming(
            ALL,
            _internal,
            lambda name, t: gas_capacity(name, t) - GAS_CONSTANT_ENERGY,
            lambda own: _inflow(own, "heat") - own.variable("out_heat"),
        ),
    },
    variables={
        "amount": Variable(
            unit="kmol", says="gas", equation=lambda own: maximum(total([own.state(n) for n in ALL], unit("kmol").dimension), LEAST)
        ),
        "pressure": Variable(unit="kPa", says="absolute", equation=_pressure),
        "gauge": gauge(lambda own: own.variable("pressure")),
        **each("y", SHARE, "share of", lambda own, name: own.state(name) / own.variable("amount")),
        "molar_mass": Variable(
            unit="g/mol",
            says="mean",
            equation=lambda own: total([own.variable(f"y_{n}") * molar_mass(n) for n in ALL], unit("g/mol").dimension),
        ),
        "flow": Variable(unit="kmol/h", says="to the reactor", equation=_flow),
        "standard": Variable(
            unit="dam^3/h", says="volume at standard conditions", equation=lambda own: own.variable("flow") * STANDARD_VOLUME / ROUND_FOOT
        ),
        **stream(
            "out",
            "the reactor's feed",
            lambda own, name: own.variable("flow") * own.variable(f"y_{name}"),
            lambda own: enthalpy_flow(own, "out", own.state("temperature"), gas_enthalpy),
        ),
        **each("rate", "kmol/h", "net gain of", _rate),
    },
    wires={
        **{wire: Wire(says="where gas comes in from", offers=offered(prefix)) for wire, prefix in _ENTERS.items()},
        "to": Wire(says="the reactor it flows to", offers={"pressure": "kPa"}),
    },
)
