"""A spindle bearing cooled by a coolant stream: capacity * dT/dt = friction * n^2 - (still + per_flow * flow) * (T - T_coolant)."""

from sentinel.twin.component import Balance, Give, Kind, Own, Parameter, State, Variable, Wire
from sentinel.twin.expression import Expression


def _power(own: Own) -> Expression:
    speed = own.wired("of").variable("speed")
    return own.parameter("friction") * speed * speed


def _cooling(own: Own) -> Expression:
    coolant = own.wired("coolant")
    per_kelvin = own.parameter("still") + own.parameter("per_flow") * coolant.variable("flow")
    return per_kelvin * (own.state("temperature") - coolant.variable("temperature"))


KIND = Kind(
    name="bearing",
    says="spindle bearing cooled by a coolant stream",
    parameters={
        "friction": Parameter(unit="W/rpm^2", says="friction power over speed squared"),
        "capacity": Parameter(unit="J/K", says="heat capacity"),
        "still": Parameter(unit="W/K", says="cooling without coolant flow"),
        "per_flow": Parameter(unit="W/K/(L/min)", says="cooling per coolant flow"),
    },
    states={"temperature": State(unit="degC", says="of the bearing", bounds=(-200.0, 5000.0), start="temperature")},
    derivatives={"temperature": lambda own: (own.variable("power") - own.variable("cooling")) / own.parameter("capacity")},
    variables={
        "power": Variable(unit="W", says="friction power", equation=_power),
        "cooling": Variable(unit="W", says="heat into the coolant", equation=_cooling),
    },
    wires={
        "of": Wire(says="the spindle it carries", offers={"speed": "rpm"}),
        "coolant": Wire(says="the coolant that passes it", offers={"temperature": "degC", "flow": "L/min"}, collects={"heat": "W"}),
    },
    gives=(Give(wire="coolant", collector="heat", equation=lambda own: own.variable("cooling")),),
    balance=Balance(
        unit="W",
        content={"temperature": lambda own: own.parameter("capacity")},
        source=lambda own: own.variable("power"),
    ),
)
