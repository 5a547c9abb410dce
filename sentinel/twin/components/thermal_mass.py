"""A well-mixed mass: capacity * dT/dt = heat given to it - loss * (T - ambient)."""

from sentinel.twin.component import Balance, Kind, Own, Parameter, State
from sentinel.twin.expression import Expression


def _loss(own: Own) -> Expression:
    return own.parameter("loss") * (own.state("temperature") - own.parameter("ambient"))


KIND = Kind(
    name="thermal_mass",
    says="well-mixed mass that takes heat and loses it to its consumer",
    parameters={
        "capacity": Parameter(unit="J/K", says="heat capacity"),
        "loss": Parameter(unit="W/K", says="what the consumer takes per kelvin"),
        "ambient": Parameter(unit="degC", says="temperature of the consumer"),
    },
    states={"temperature": State(unit="degC", says="well mixed", bounds=(-200.0, 2000.0), start="temperature")},
    derivatives={"temperature": lambda own: (own.collected("heat") - _loss(own)) / own.parameter("capacity")},
    collects={"heat": "W"},
    balance=Balance(
        unit="W",
        content={"temperature": lambda own: own.parameter("capacity")},
        source=lambda own: -_loss(own),
        collects=("heat",),
    ),
)
