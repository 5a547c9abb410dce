"""A metered feed of the Tennessee Eastman process: flow = opening * rated * supply, of a composition and a temperature."""

from sentinel.twin.component import Kind, Own, Parameter, Signal, Variable
from sentinel.twin.eastman import (
    ALL,
    ROUND_FOOT,
    SCALE_POUND,
    STANDARD_VOLUME,
    added,
    enthalpy_flow,
    gas_enthalpy,
    lagged,
    molar_mass,
    opening,
    stream,
)
from sentinel.twin.expression import Expression, total
from sentinel.twin.units import unit


def _flow(own: Own, name: str) -> Expression:
    return own.state("valve") * own.parameter("rated") * own.parameter("supply") * own.parameter(name)


def _mass(own: Own) -> Expression:
    return total([own.variable(f"out_{name}") * molar_mass(name) for name in ALL], unit("kg/h").dimension)


KIND = Kind(
    name="eastman_feed",
    says="metered feed of a composition and a temperature",
    parameters={
        "rated": Parameter(unit="kmol/h", says="fully open"),
        "supply": Parameter(unit="1", says="share of the flow that its header can give", default="1", positive=False),
        "temperature": Parameter(unit="degC", says="of what comes in", default="45 degC"),
        "lag": Parameter(unit="s", says="time constant of the valve"),
        **{name: Parameter(unit="1", says=f"share of {name}", default="0", positive=False) for name in ALL},
    },
    states={"valve": opening("valve", "of the feed valve")},
    derivatives={"valve": lagged("valve")},
    variables={
        **stream("out", "the feed", _flow, lambda own: enthalpy_flow(own, "out", own.parameter("temperature"), gas_enthalpy)),
        "flow": Variable(unit="kmol/h", says="all species", equation=lambda own: added(own, "out")),
        "standard": Variable(
            unit="dam^3/h",
            says="volume at standard conditions",
            equation=lambda own: own.variable("flow") * STANDARD_VOLUME / ROUND_FOOT,
        ),
        "mass": Variable(unit="kg/h", says="as its instrument shows it", equation=lambda own: _mass(own) * SCALE_POUND),
    },
    signals={"valve": Signal(unit="%", says="demanded opening")},
)
