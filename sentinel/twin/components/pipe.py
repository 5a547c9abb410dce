"""A pipe between two tanks: flow = coefficient * dh / sqrt(|dh| + laminar), positive from `from` to `to`.

That is the turbulent coefficient * sign(dh) * sqrt(|dh|), and becomes linear where the level difference dh is of the size of `laminar`.
"""

from sentinel.twin.component import Balance, Give, Kind, Own, Parameter, Variable, Wire
from sentinel.twin.expression import Expression, magnitude, root


def _flow(own: Own) -> Expression:
    difference = own.wired("from").variable("level") - own.wired("to").variable("level")
    return own.parameter("coefficient") * difference / root(magnitude(difference) + own.parameter("laminar"))


KIND = Kind(
    name="pipe",
    says="pipe between two tanks",
    parameters={
        "coefficient": Parameter(unit="L/s/m^0.5", says="flow at 1 m level difference"),
        "laminar": Parameter(unit="m", says="level difference at which the flow turns laminar", default="0.1 mm"),
    },
    variables={"flow": Variable(unit="L/s", says="from the first tank to the second", equation=_flow)},
    wires={
        "from": Wire(says="the first tank", offers={"level": "m"}, collects={"inflow": "m^3/s"}),
        "to": Wire(says="the second tank", offers={"level": "m"}, collects={"inflow": "m^3/s"}),
    },
    gives=(
        Give(wire="from", collector="inflow", equation=lambda own: -own.variable("flow")),
        Give(wire="to", collector="inflow", equation=lambda own: own.variable("flow")),
    ),
    balance=Balance(unit="m^3/s"),
)
