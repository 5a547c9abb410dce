"""A speed-controlled centrifugal pump that fills a tank from outside the plant; a check valve keeps it from running backwards.

The parabolic curve head = shutoff_head * (speed^2 - (flow / max_flow)^2), scaled by the affinity laws, solved for the flow; the head is
the level of the tank.
"""

from sentinel.twin.component import Balance, Give, Kind, Own, Parameter, Signal, State, Variable, Wire
from sentinel.twin.expression import Expression, constant, root


def _demand(own: Own) -> Expression:
    return own.signal("run") * own.signal("speed")


def _flow(own: Own) -> Expression:
    speed, lift = own.state("speed"), own.wired("to").variable("level") / own.parameter("shutoff_head")
    return own.parameter("max_flow") * root(speed * speed - lift)


KIND = Kind(
    name="pump",
    says="speed-controlled pump that fills a tank",
    parameters={
        "max_flow": Parameter(unit="L/s", says="at full speed and no head", wears="wear"),
        "wear": Parameter(unit="%/h", says="of `max_flow`, lost in service at most", default="0 %/h", positive=False),
        "shutoff_head": Parameter(unit="m", says="head at which the flow stops at full speed"),
        "lag": Parameter(unit="s", says="time constant of the speed"),
    },
    states={
        "speed": State(
            unit="%",
            says="of full speed",
            bounds=(-100.0, 200.0),
            start=_demand,
            stops=(lambda own: constant(0.0, "%"), lambda own: constant(100.0, "%")),
        )
    },
    derivatives={"speed": lambda own: (_demand(own) - own.state("speed")) / own.parameter("lag")},
    variables={"flow": Variable(unit="L/s", says="into the tank", equation=_flow)},
    wires={"to": Wire(says="the tank it fills", offers={"level": "m"}, collects={"inflow": "m^3/s"})},
    signals={
        "run": Signal(unit="1", says="run or stop", is_mode=True),
        "speed": Signal(unit="%", says="demanded speed"),
    },
    gives=(Give(wire="to", collector="inflow", equation=lambda own: own.variable("flow")),),
    balance=Balance(unit="m^3/s", source=lambda own: own.variable("flow")),
)
