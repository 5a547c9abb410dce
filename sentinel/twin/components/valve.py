"""A control valve with its pump, drawing from a tank to outside the plant: flow = run * position * coefficient * sqrt(level + suction).

The stem follows its demand, at most one full travel per `stroke`; close to the demand it settles exponentially.
"""

from sentinel.twin.component import Balance, Give, Kind, Own, Parameter, Signal, State, Variable, Wire
from sentinel.twin.expression import Expression, clip, constant, root

SETTLE = "1.0 s"  # of a pneumatic positioner close to its demand


def travel(own: Own) -> Expression:
    """Rate of a stem that follows the signal `position`."""
    fastest = 1.0 / own.parameter("stroke")
    return clip((own.signal("position") - own.state("position")) / own.parameter("settle"), -fastest, fastest)


def stem(says: str) -> State:
    return State(
        unit="%",
        says=says,
        bounds=(-100.0, 200.0),
        start=lambda own: own.signal("position"),
        stops=(lambda own: constant(0.0, "%"), lambda own: constant(100.0, "%")),
    )


def _flow(own: Own) -> Expression:
    head = own.wired("from").variable("level") + own.parameter("suction")
    return own.signal("run") * own.state("position") * own.parameter("coefficient") * root(head)


KIND = Kind(
    name="valve",
    says="control valve with its pump, drawing from a tank",
    parameters={
        "coefficient": Parameter(unit="L/s/m^0.5", says="flow at 1 m head, fully open"),
        "suction": Parameter(unit="m", says="head that its pump adds"),
        "stroke": Parameter(unit="s", says="full travel"),
        "settle": Parameter(unit="s", says="time constant near the demand", default=SETTLE),
    },
    states={"position": stem("0 % = shut")},
    derivatives={"position": travel},
    variables={"flow": Variable(unit="L/s", says="out of the tank", equation=_flow)},
    wires={"from": Wire(says="the tank it draws from", offers={"level": "m"}, collects={"inflow": "m^3/s"})},
    signals={
        "run": Signal(unit="1", says="its pump runs", is_mode=True),
        "position": Signal(unit="%", says="demanded position"),
    },
    gives=(Give(wire="from", collector="inflow", equation=lambda own: -own.variable("flow")),),
    balance=Balance(unit="m^3/s", source=lambda own: -own.variable("flow")),
)
