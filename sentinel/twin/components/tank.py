"""An open tank with vertical walls: area * d(level)/dt = what flows in less what flows out.  It spills at the rim."""

from sentinel.twin.component import Balance, Kind, Parameter, State
from sentinel.twin.expression import constant

KIND = Kind(
    name="tank",
    says="open tank with vertical walls",
    parameters={
        "area": Parameter(unit="m^2", says="cross-section"),
        "height": Parameter(unit="m", says="from floor to rim"),
    },
    states={
        "level": State(
            unit="m",
            says="above the floor",
            bounds=(-10.0, 200.0),
            start="level",
            stops=(lambda own: constant(0.0, "m"), lambda own: own.parameter("height")),
        )
    },
    derivatives={"level": lambda own: own.collected("inflow") / own.parameter("area")},
    collects={"inflow": "m^3/s"},
    balance=Balance(unit="m^3/s", content={"level": lambda own: own.parameter("area")}, collects=("inflow",)),
)
