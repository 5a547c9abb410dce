"""A machine that takes parts from one place and puts good ones into another, as a fluid of parts.

Its pace follows the demand with a lag; what it makes is cut where parts run out before it or room behind it, within one part of that
(starved and blocked, Dallery and Gershwin, Queueing Systems 12, 1992).  The share that is no good leaves the line.
"""

from sentinel.twin.component import Balance, Give, Kind, Own, Parameter, Signal, State, Variable, Wire
from sentinel.twin.expression import Expression, clip, constant


def _demand(own: Own) -> Expression:
    return own.signal("run") * own.signal("pace")


def _rate(own: Own) -> Expression:
    fed, free = (clip(own.wired(wire).variable(what), 0.0, 1.0) for wire, what in (("from", "level"), ("to", "room")))
    return own.parameter("rated") * own.state("pace") * fed * free


KIND = Kind(
    name="machine",
    says="machine that works parts from one buffer into another",
    parameters={
        "rated": Parameter(unit="1/min", says="parts in unit time at full pace"),
        "good": Parameter(unit="1", says="share of parts that are good"),
        "lag": Parameter(unit="s", says="time constant of its pace"),
    },
    states={
        "pace": State(
            unit="%",
            says="of rated pace",
            bounds=(-100.0, 300.0),
            start=_demand,
            stops=(lambda own: constant(0.0, "%"), lambda own: constant(120.0, "%")),
        )
    },
    derivatives={"pace": lambda own: (_demand(own) - own.state("pace")) / own.parameter("lag")},
    variables={
        "rate": Variable(unit="1/min", says="parts taken in unit time", equation=_rate),
        "scrap": Variable(
            unit="1/min", says="parts thrown away in unit time", equation=lambda own: own.variable("rate") * (1.0 - own.parameter("good"))
        ),
    },
    wires={
        "from": Wire(says="where it takes parts", offers={"level": "1"}, collects={"parts": "1/s"}),
        "to": Wire(says="where it puts them", offers={"room": "1"}, collects={"parts": "1/s"}),
    },
    signals={
        "run": Signal(unit="1", says="run or stop", is_mode=True),
        "pace": Signal(unit="%", says="demanded share of rated pace"),
    },
    gives=(
        Give(wire="from", collector="parts", equation=lambda own: -own.variable("rate")),
        Give(wire="to", collector="parts", equation=lambda own: own.variable("rate") * own.parameter("good")),
    ),
    balance=Balance(unit="1/s", source=lambda own: -own.variable("scrap")),
)
