"""A buffer between machines, as a fluid of parts: d(level)/dt = what comes in less what is taken.

The continuous-flow approximation of a production line (Dallery and Gershwin, Manufacturing flow line systems, Queueing Systems 12, 1992):
right for many parts, not for one.
"""

from sentinel.twin.component import Balance, Kind, Parameter, State, Variable
from sentinel.twin.expression import constant

KIND = Kind(
    name="buffer",
    says="buffer of parts between machines",
    parameters={"capacity": Parameter(unit="1", says="parts that fit")},
    states={
        "level": State(
            unit="1",
            says="parts in it",
            bounds=(-1e3, 1e7),
            start="level",
            stops=(lambda own: constant(0.0), lambda own: own.parameter("capacity")),
        )
    },
    derivatives={"level": lambda own: own.collected("parts")},
    variables={
        "room": Variable(unit="1", says="parts that still fit", equation=lambda own: own.parameter("capacity") - own.state("level"))
    },
    collects={"parts": "1/s"},
    balance=Balance(unit="1/s", content={"level": lambda own: constant(1.0)}, collects=("parts",)),
)
