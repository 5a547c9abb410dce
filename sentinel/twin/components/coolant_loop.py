"""A coolant loop with pump, control valve and chiller: flow = run * position * rated; capacity * dT/dt = heat - chiller * (T - supply)."""

from sentinel.twin.component import Balance, Kind, Own, Parameter, Signal, State, Variable
from sentinel.twin.components.valve import SETTLE, stem, travel
from sentinel.twin.expression import Expression


def _chilled(own: Own) -> Expression:
    return own.parameter("chiller") * (own.state("temperature") - own.parameter("supply"))


KIND = Kind(
    name="coolant_loop",
    says="coolant loop with pump, control valve and chiller",
    parameters={
        "rated": Parameter(unit="L/min", says="flow with the valve fully open"),
        "supply": Parameter(unit="degC", says="temperature that the chiller holds"),
        "capacity": Parameter(unit="J/K", says="of the coolant"),
        "chiller": Parameter(unit="W/K", says="heat taken per kelvin above supply"),
        "stroke": Parameter(unit="s", says="full travel of the valve"),
        "settle": Parameter(unit="s", says="time constant near the demand", default=SETTLE),
    },
    states={
        "temperature": State(unit="degC", says="of the coolant", bounds=(-200.0, 2000.0), start="temperature"),
        "position": stem("of its valve, 0 % = shut"),
    },
    derivatives={
        "temperature": lambda own: (own.collected("heat") - _chilled(own)) / own.parameter("capacity"),
        "position": travel,
    },
    variables={
        "flow": Variable(
            unit="L/min", says="past the bearing", equation=lambda own: own.signal("run") * own.state("position") * own.parameter("rated")
        )
    },
    signals={
        "run": Signal(unit="1", says="its pump runs", is_mode=True),
        "position": Signal(unit="%", says="demanded position"),
    },
    collects={"heat": "W"},
    balance=Balance(
        unit="W",
        content={"temperature": lambda own: own.parameter("capacity")},
        source=lambda own: -_chilled(own),
        collects=("heat",),
    ),
)
