"""The recycle compressor of the Tennessee Eastman process, with the valve that lets gas back to its suction.

Mass blown = capacity * (1 + (1 - ratio^3) / 1.197), ratio = pressure after over before, from 1 to 1.3; less what the valve lets back.
"""

from sentinel.twin.component import Kind, Own, Parameter, Signal, Variable, Wire
from sentinel.twin.eastman import (
    ALL,
    LB_MOL,
    ROUND_FOOT,
    SHARE,
    STANDARD_VOLUME,
    enthalpy_flow,
    gas_enthalpy,
    lagged,
    opening,
    stream,
)
from sentinel.twin.expression import Expression, clip, constant, maximum, root

HIGHEST_RATIO, CURVE = 1.3, 1.197
IDEAL_WORK = constant(1.8 * 1.9872, "Btu") / (LB_MOL * constant(1.0, "K"))
LEAST_FLOW = constant(1e-3, "lb/h")


def _blown(own: Own) -> Expression:
    before = maximum(own.wired("from").variable("pressure"), constant(1.0, "Pa"))
    ratio = clip(own.wired("to").variable("pressure") / before, 1.0, HIGHEST_RATIO)
    return own.parameter("capacity") * (1.0 + (1.0 - ratio * ratio * ratio) / CURVE)


def _rise(own: Own) -> Expression:
    return own.wired("to").variable("pressure") - own.wired("from").variable("pressure")


def _mass(own: Own) -> Expression:
    """Mean molar mass of the gas."""
    return maximum(own.wired("from").variable("molar_mass"), constant(1.0, "g/mol"))


def _work(own: Own) -> Expression:
    before = maximum(own.wired("from").variable("pressure"), constant(1.0, "Pa"))
    return own.variable("blown") / _mass(own) * IDEAL_WORK * own.wired("from").variable("temperature") * (_rise(own) / before)


def _flow(own: Own) -> Expression:
    back = own.state("valve") * own.parameter("recycle") * root(_rise(own))
    return maximum(own.variable("blown") - back, LEAST_FLOW) / _mass(own)


KIND = Kind(
    name="eastman_compressor",
    says="recycle compressor with a valve back to its suction",
    parameters={
        "capacity": Parameter(unit="kg/h", says="mass flow without a rise of pressure"),
        "recycle": Parameter(unit="kg/h/kPa^0.5", says="of the valve, fully open, at a pressure difference of one unit"),
        "lag": Parameter(unit="s", says="time constant of the valve"),
    },
    states={"valve": opening("valve", "of the valve back to the suction")},
    derivatives={"valve": lagged("valve")},
    variables={
        "blown": Variable(unit="kg/h", says="through the machine", equation=_blown),
        "flow": Variable(unit="kmol/h", says="on to the header", equation=_flow),
        "standard": Variable(
            unit="dam^3/h", says="volume at standard conditions", equation=lambda own: own.variable("flow") * STANDARD_VOLUME / ROUND_FOOT
        ),
        "work": Variable(unit="kW", says="on the gas", equation=_work),
        **stream(
            "out",
            "the recycle",
            lambda own, name: own.variable("flow") * own.wired("from").variable(f"y_{name}"),
            lambda own: enthalpy_flow(own, "out", own.wired("from").variable("temperature"), gas_enthalpy) + own.variable("work"),
        ),
    },
    wires={
        "from": Wire(
            says="the separator",
            offers={"pressure": "kPa", "molar_mass": "g/mol", "temperature": "degC", **{f"y_{name}": SHARE for name in ALL}},
        ),
        "to": Wire(says="the header", offers={"pressure": "kPa"}),
    },
    signals={"valve": Signal(unit="%", says="demanded opening")},
)
