"""A heat exchanger between two streams: on each side one well-mixed cell, whose temperature is that of its outlet.

hot_capacity * dT_hot/dt = hot_medium * flow * (T_inlet - T_hot) - transfer * (T_hot - T_cold), and the cold side likewise.  A stream is
drawn from a mass and returns to it: what one mass loses the other gains.  The lumped two-cell model of Luyben, Process Modeling, Simulation
and Control for Chemical Engineers (2nd ed., 1990); one cell a side understates a long counter-current exchanger.
"""

from sentinel.twin.component import Balance, Equation, Give, Kind, Own, Parameter, State, Variable, Wire
from sentinel.twin.expression import Expression

WATER = "4.18 kJ/K/L"  # volumetric heat capacity at 20 to 60 degC


def _returned(side: str) -> Equation:
    """Heat that a stream leaves to the mass it was drawn from, less what it brought."""

    def equation(own: Own) -> Expression:
        carried = own.parameter(f"{side}_medium") * own.wired(f"{side}_flow").variable("flow")
        return carried * (own.state(f"{side}_outlet") - own.wired(side).variable("temperature"))

    return equation


def _transferred(own: Own) -> Expression:
    return own.parameter("transfer") * (own.state("hot_outlet") - own.state("cold_outlet"))


KIND = Kind(
    name="heat_exchanger",
    says="heat exchanger between two streams",
    parameters={
        "transfer": Parameter(unit="kW/K", says="heat transfer coefficient times area"),
        "hot_capacity": Parameter(unit="kJ/K", says="of the hot side with its half of the wall"),
        "cold_capacity": Parameter(unit="kJ/K", says="of the cold side with its half of the wall"),
        "hot_medium": Parameter(unit="kJ/K/L", says="volumetric heat capacity of the hot stream", default=WATER),
        "cold_medium": Parameter(unit="kJ/K/L", says="volumetric heat capacity of the cold stream", default=WATER),
    },
    states={
        f"{side}_outlet": State(unit="degC", says=f"of the {side} stream", bounds=(-200.0, 2000.0), start=f"{side}_outlet")
        for side in ("hot", "cold")
    },
    derivatives={
        "hot_outlet": lambda own: (_returned("hot")(own) + own.variable("heat")) / -own.parameter("hot_capacity"),
        "cold_outlet": lambda own: (own.variable("heat") - _returned("cold")(own)) / own.parameter("cold_capacity"),
    },
    variables={"heat": Variable(unit="W", says="from the hot side to the cold one", equation=_transferred)},
    wires={
        "hot": Wire(says="the mass whose water runs through the hot side", offers={"temperature": "degC"}, collects={"heat": "W"}),
        "hot_flow": Wire(says="what moves the hot stream", offers={"flow": "L/s"}),
        "cold": Wire(says="the mass whose water runs through the cold side", offers={"temperature": "degC"}, collects={"heat": "W"}),
        "cold_flow": Wire(says="what moves the cold stream", offers={"flow": "L/s"}),
    },
    gives=tuple(Give(wire=side, collector="heat", equation=_returned(side)) for side in ("hot", "cold")),
    balance=Balance(
        unit="W",
        content={
            "hot_outlet": lambda own: own.parameter("hot_capacity"),
            "cold_outlet": lambda own: own.parameter("cold_capacity"),
        },
    ),
)
