"""A motor spindle: its speed follows the demand, limited to max_speed, with a first-order lag; without `run` it coasts to rest."""

from sentinel.twin.component import Kind, Own, Parameter, Signal, State
from sentinel.twin.expression import Expression, clip, constant


def _demand(own: Own) -> Expression:
    return own.signal("run") * clip(own.signal("speed"), constant(0.0, "rpm"), own.parameter("max_speed"))


KIND = Kind(
    name="spindle",
    says="motor spindle under speed control",
    parameters={
        "max_speed": Parameter(unit="rpm", says="the drive's limit"),
        "lag": Parameter(unit="s", says="time constant of the speed"),
    },
    states={
        "speed": State(unit="rpm", says="of the spindle", bounds=(-1e3, 1e6), start="start", stops=(lambda own: constant(0.0, "rpm"), None))
    },
    derivatives={"speed": lambda own: (_demand(own) - own.state("speed")) / own.parameter("lag")},
    signals={
        "run": Signal(unit="1", says="run or stop", is_mode=True),
        "speed": Signal(unit="rpm", says="demanded speed"),
    },
)
