"""A circulation pump at fixed speed: lag * d(flow)/dt = rated - flow while it runs, else -flow."""

from sentinel.twin.component import Kind, Own, Parameter, Signal, State
from sentinel.twin.expression import Expression, constant


def _demand(own: Own) -> Expression:
    return own.signal("run") * own.parameter("rated")


KIND = Kind(
    name="circulator",
    says="circulation pump at fixed speed",
    parameters={
        "rated": Parameter(unit="L/s", says="flow while it runs"),
        "lag": Parameter(unit="s", says="time constant of the flow"),
    },
    states={
        "flow": State(
            unit="L/s",
            says="in the loop",
            bounds=(-1e5, 1e6),
            start=_demand,
            stops=(lambda own: constant(0.0, "L/s"), None),
        )
    },
    derivatives={"flow": lambda own: (_demand(own) - own.state("flow")) / own.parameter("lag")},
    signals={"run": Signal(unit="1", says="run or stop", is_mode=True)},
)
