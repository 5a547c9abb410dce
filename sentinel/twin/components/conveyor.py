"""A belt that carries parts: three sections in series, each emptied at belt speed; the belt stands while there is no room at its end.

The time on the belt is then not one number but spread like an Erlang distribution of third order around length / speed: the usual lumped
stand-in for a pure delay (the linear chain of MacDonald, Time Lags in Biological Models, 1978).
"""

from sentinel.twin.component import Balance, Equation, Give, Kind, Own, Parameter, Signal, State, Variable, Wire
from sentinel.twin.expression import Expression, clip, constant

_SECTIONS = ("first", "second", "third")


def _advance(own: Own) -> Expression:
    """Sections passed in unit time."""
    moves = own.signal("run") * clip(own.wired("to").variable("room"), 0.0, 1.0)
    return moves * own.signal("speed") / (own.parameter("length") / float(len(_SECTIONS)))


def _passed(section: str) -> Equation:
    return lambda own: own.state(section) * own.variable("advance")


def _change(before: str | None, section: str) -> Equation:
    return lambda own: (own.collected("parts") if before is None else _passed(before)(own)) - _passed(section)(own)


def _carried(own: Own) -> Expression:
    return own.state("first") + own.state("second") + own.state("third")


KIND = Kind(
    name="conveyor",
    says="belt that carries parts into a buffer",
    parameters={
        "length": Parameter(unit="m", says="of the belt"),
        "capacity": Parameter(unit="1", says="parts that lie on it"),
    },
    states={
        section: State(
            unit="1", says=f"parts on its {section} section", bounds=(-1e3, 1e7), start=section, stops=(lambda own: constant(0.0), None)
        )
        for section in _SECTIONS
    },
    derivatives={section: _change(before, section) for before, section in zip((None, *_SECTIONS), _SECTIONS, strict=False)},
    variables={
        "advance": Variable(unit="1/s", says="sections passed in unit time", equation=_advance),
        "level": Variable(unit="1", says="parts on it", equation=_carried),
        "room": Variable(unit="1", says="parts that still fit", equation=lambda own: own.parameter("capacity") - own.variable("level")),
        "rate": Variable(unit="1/min", says="parts that leave it in unit time", equation=_passed("third")),
    },
    wires={"to": Wire(says="where its parts fall", offers={"room": "1"}, collects={"parts": "1/s"})},
    signals={
        "run": Signal(unit="1", says="run or stop", is_mode=True),
        "speed": Signal(unit="m/s", says="of the belt"),
    },
    collects={"parts": "1/s"},
    gives=(Give(wire="to", collector="parts", equation=_passed("third")),),
    balance=Balance(unit="1/s", content={section: lambda own: constant(1.0) for section in _SECTIONS}, collects=("parts",)),
)
