"""The purge of the Tennessee Eastman process: gas of the separator through a valve to one atmosphere."""

from sentinel.twin.component import Kind, Parameter, Signal, Variable, Wire
from sentinel.twin.eastman import (
    ALL,
    ATMOSPHERE,
    ROUND_FOOT,
    SHARE,
    STANDARD_VOLUME,
    enthalpy_flow,
    gas_enthalpy,
    lagged,
    opening,
    pressure_driven,
    stream,
)

KIND = Kind(
    name="eastman_purge",
    says="valve that lets gas of the separator go",
    parameters={
        "coefficient": Parameter(unit="kg/h/kPa^0.5", says="mass flow at a pressure difference of one unit, fully open"),
        "lag": Parameter(unit="s", says="time constant of the valve"),
    },
    states={"valve": opening("valve", "of the purge valve")},
    derivatives={"valve": lagged("valve")},
    variables={
        "flow": Variable(
            unit="kmol/h",
            says="all species",
            equation=lambda own: pressure_driven(
                own.state("valve") * own.parameter("coefficient"),
                own.wired("from").variable("pressure"),
                ATMOSPHERE,
                own.wired("from").variable("molar_mass"),
            ),
        ),
        "standard": Variable(
            unit="dam^3/h", says="volume at standard conditions", equation=lambda own: own.variable("flow") * STANDARD_VOLUME / ROUND_FOOT
        ),
        **stream(
            "out",
            "the purge",
            lambda own, name: own.variable("flow") * own.wired("from").variable(f"y_{name}"),
            lambda own: enthalpy_flow(own, "out", own.wired("from").variable("temperature"), gas_enthalpy),
        ),
    },
    wires={
        "from": Wire(
            says="the separator",
            offers={"pressure": "kPa", "molar_mass": "g/mol", "temperature": "degC", **{f"y_{name}": SHARE for name in ALL}},
        )
    },
    signals={"valve": Signal(unit="%", says="demanded opening")},
)
