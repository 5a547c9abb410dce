"""A spindle bearing cooled by a coolant stream: capacity * dT/dt = power - cooling * (T - T_coolant).

power = load * n + friction * n^2 / (1 + thinning * (T - warm)): what it carries, and grease that thins as it warms (A. Palmgren, Grundlagen
der Wälzlagertechnik, 1950).  cooling = still + per_flow * flow / (1 + per_flow * flow / housing): the heat passes the housing before the
coolant takes it.  Without ``load``, ``thinning`` and ``housing`` the first is friction * n^2 and the second still + per_flow * flow.
"""

from sentinel.twin.component import Balance, Give, Kind, Own, Parameter, State, Variable, Wire
from sentinel.twin.expression import Expression


def _power(own: Own) -> Expression:
    speed = own.wired("of").variable("speed")
    thinner = 1.0 + own.parameter("thinning") * (own.state("temperature") - own.parameter("warm"))
    return own.parameter("load") * speed + own.parameter("friction") * speed * speed / thinner


def _cooling(own: Own) -> Expression:
    coolant = own.wired("coolant")
    film = own.parameter("per_flow") * coolant.variable("flow")
    per_kelvin = own.parameter("still") + film / (1.0 + film / own.parameter("housing"))
    return per_kelvin * (own.state("temperature") - coolant.variable("temperature"))


KIND = Kind(
    name="bearing",
    says="spindle bearing cooled by a coolant stream",
    parameters={
        "friction": Parameter(unit="W/rpm^2", says="friction power over speed squared, where the grease is `warm`"),
        "load": Parameter(unit="W/rpm", says="friction power over speed, of what it carries", default="0 W/rpm", positive=False),
        "thinning": Parameter(unit="1/K", says="share of the friction lost with a kelvin", default="0 1/K", positive=False),
        "warm": Parameter(unit="degC", says="temperature at which `friction` holds", default="45 degC"),
        "capacity": Parameter(unit="J/K", says="heat capacity"),
        "still": Parameter(unit="W/K", says="cooling without coolant flow"),
        "per_flow": Parameter(unit="W/K/(L/min)", says="cooling per coolant flow, where that is small"),
        "housing": Parameter(unit="W/K", says="what its housing conducts at most", default="1 GW/K"),
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
