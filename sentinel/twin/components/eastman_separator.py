"""Condenser and separator of the Tennessee Eastman process: the reactor's vapour is cooled and parts into gas and liquid.

The gas goes to the recycle compressor and the purge, the liquid to the stripper.
"""

from sentinel.twin.component import Kind, Own, Parameter, Signal, Variable, Wire
from sentinel.twin.eastman import (
    ALL,
    LB_MOL_PER_HOUR,
    LIQUIDS,
    ROUND_FOOT,
    celsius,
    each,
    enthalpy_flow,
    holdups,
    lagged,
    liquid_enthalpy,
    liquid_volume,
    offered,
    opening,
    stream,
)
from sentinel.twin.expression import Expression, total
from sentinel.twin.units import unit
from sentinel.twin.vessel import equilibrium, liquid_level, temperature, warming_liquid, warmth

_LEAVES = {"compressor": "out", "purge": "out"}  # wire -> its stream
HALF_TRANSFER = 3528.73  # lb mol/h of vapour at which half of the heat transfer is reached


def _rate(own: Own, name: str) -> Expression:
    gone = [own.wired(wire).variable(f"{prefix}_{name}") for wire, prefix in _LEAVES.items()]
    return own.wired("from").variable(f"out_{name}") - total([*gone, own.variable(f"under_{name}")], gone[0].dimension)


def _under(own: Own, name: str) -> Expression:
    flow = own.variable("underflow_amount")
    return flow * own.variable(f"x_{name}") if name in LIQUIDS else flow * 0.0


def _cooling(own: Own) -> Expression:
    """Taken by the condenser's water from the vapour as it leaves the reactor."""
    load = own.wired("from").variable("flow") / (HALF_TRANSFER * LB_MOL_PER_HOUR)
    square = load * load
    reached = 1.0 - 1.0 / (1.0 + square * square)
    return own.parameter("transfer") * reached * (own.wired("from").variable("temperature") - own.state("condenser"))


def _energy(own: Own) -> Expression:
    gone = [own.wired(wire).variable(f"{prefix}_heat") for wire, prefix in _LEAVES.items()]
    out = total([*gone, own.variable("under_heat"), own.variable("cooling")], unit("kW").dimension)
    return own.wired("from").variable("out_heat") - out


def _condenser(own: Own) -> Expression:
    water = own.state("water") * own.parameter("water_rated")
    taken = water * (own.state("condenser") - own.parameter("water_supply"))
    return (own.variable("cooling") - taken) / own.parameter("condenser_capacity")


def _underflow_volume(own: Own) -> Expression:
    t = celsius(own.state("temperature"))
    return total([own.variable(f"under_{name}") * liquid_volume(name, t) for name in LIQUIDS], unit("m^3/h").dimension) / ROUND_FOOT


KIND = Kind(
    name="eastman_separator",
    says="condenser and separator of gas and liquid",
    parameters={
        "volume": Parameter(unit="m^3", says="gas and liquid"),
        "transfer": Parameter(unit="kW/K", says="of the condenser at full load"),
        "condenser_capacity": Parameter(unit="MJ/K", says="of the water in the condenser"),
        "water_rated": Parameter(unit="kW/K", says="heat capacity flow of the water, fully open"),
        "water_supply": Parameter(unit="degC", says="temperature of the water that comes in"),
        "underflow_rated": Parameter(unit="kmol/h", says="liquid to the stripper, fully open"),
        "lag": Parameter(unit="s", says="time constant of the valves"),
    },
    states={
        **holdups("in the separator"),
        "temperature": temperature("of the separator"),
        "condenser": warmth("of the water in the condenser", "condenser"),
        "water": opening("water", "of the cooling water's valve"),
        "underflow": opening("underflow", "of the valve to the stripper"),
    },
    derivatives={
        **{name: (lambda own, name=name: own.variable(f"rate_{name}")) for name in ALL},  # type: ignore[misc]
        "temperature": warming_liquid(LIQUIDS, _energy),
        "condenser": _condenser,
        "water": lagged("water"),
        "underflow": lagged("underflow"),
    },
    variables={
        **equilibrium(),
        "level": liquid_level(27.5, 290.0),
        "underflow_amount": Variable(
            unit="kmol/h", says="to the stripper", equation=lambda own: own.state("underflow") * own.parameter("underflow_rated")
        ),
        **stream("under", "the underflow", _under, lambda own: enthalpy_flow(own, "under", own.state("temperature"), liquid_enthalpy)),
        "underflow_volume": Variable(unit="m^3/h", says="to the stripper", equation=_underflow_volume),
        **each("rate", "kmol/h", "net gain of", _rate),
        "cooling": Variable(unit="kW", says="heat taken by the condenser", equation=_cooling),
    },
    wires={
        "from": Wire(says="the reactor whose vapour it takes", offers={**offered("out"), "flow": "kmol/h", "temperature": "degC"}),
        "compressor": Wire(says="the recycle compressor", offers=offered("out")),
        "purge": Wire(says="the purge valve", offers=offered("out")),
    },
    signals={
        "water": Signal(unit="%", says="demanded opening of the cooling water"),
        "underflow": Signal(unit="%", says="demanded opening to the stripper"),
    },
)
