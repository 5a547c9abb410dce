"""An electric element in a stream: capacity * dT/dt = power - transfer * (T - T_water).

transfer = still + (flowing - still) * flow / rated: without flow the element keeps its heat.
"""

from sentinel.twin.component import Balance, Give, Kind, Own, Parameter, Signal, State, Variable, Wire
from sentinel.twin.expression import Expression


def _power(own: Own) -> Expression:
    return own.signal("run") * own.signal("power") * own.parameter("max_power")


def _transfer(own: Own) -> Expression:
    share = own.wired("flow").variable("flow") / own.parameter("rated")
    per_kelvin = own.parameter("still") + (own.parameter("flowing") - own.parameter("still")) * share
    return per_kelvin * (own.state("temperature") - own.wired("into").variable("temperature"))


KIND = Kind(
    name="heater",
    says="electric element in a stream of water",
    parameters={
        "max_power": Parameter(unit="W", says="at full power"),
        "capacity": Parameter(unit="J/K", says="of the element"),
        "still": Parameter(unit="W/K", says="transfer without flow"),
        "flowing": Parameter(unit="W/K", says="transfer at rated flow"),
        "rated": Parameter(unit="L/s", says="flow at which `flowing` holds"),
    },
    states={"temperature": State(unit="degC", says="of the element", bounds=(-200.0, 5000.0), start="temperature")},
    derivatives={"temperature": lambda own: (own.variable("power") - own.variable("transfer")) / own.parameter("capacity")},
    variables={
        "power": Variable(unit="W", says="electric power", equation=_power),
        "transfer": Variable(unit="W", says="heat into the water", equation=_transfer),
    },
    wires={
        "into": Wire(says="the water it heats", offers={"temperature": "degC"}, collects={"heat": "W"}),
        "flow": Wire(says="what moves the water past it", offers={"flow": "L/s"}),
    },
    signals={
        "run": Signal(unit="1", says="enabled", is_mode=True),
        "power": Signal(unit="%", says="demanded share of full power"),
    },
    gives=(Give(wire="into", collector="heat", equation=lambda own: own.variable("transfer")),),
    balance=Balance(
        unit="W",
        content={"temperature": lambda own: own.parameter("capacity")},
        source=lambda own: own.variable("power"),
    ),
)
