"""A fuel burner with its air in ratio: the firing follows its demand with a lag, flue gas grows with it.

power = firing * max_power (net calorific value); flue = firing * max_flue, the capacity flow of the flue gas that a furnace sends up its
stack.  Cross-limiting of fuel and air is taken to keep their ratio (Dukelow, The Control of Boilers, 2nd ed., 1991).
"""

from sentinel.twin.component import Kind, Own, Parameter, Signal, State, Variable
from sentinel.twin.expression import Expression, clip, constant


def _demand(own: Own) -> Expression:
    """Below its turn-down a burner goes out rather than burn lower; `run` is its flame safeguard."""
    return own.signal("run") * clip(own.signal("firing"), own.parameter("turn_down"), constant(100.0, "%"))


KIND = Kind(
    name="burner",
    says="fuel burner with its air in ratio",
    parameters={
        "max_power": Parameter(unit="kW", says="heat released at full firing, net calorific value"),
        "max_flue": Parameter(unit="kW/K", says="capacity flow of the flue gas at full firing"),
        "turn_down": Parameter(unit="%", says="lowest firing at which it burns", default="10 %"),
        "lag": Parameter(unit="s", says="time constant of fuel valve and flame"),
    },
    states={
        "firing": State(
            unit="%",
            says="of full firing",
            bounds=(-100.0, 200.0),
            start=_demand,
            stops=(lambda own: constant(0.0, "%"), lambda own: constant(100.0, "%")),
        )
    },
    derivatives={"firing": lambda own: (_demand(own) - own.state("firing")) / own.parameter("lag")},
    variables={
        "power": Variable(unit="kW", says="heat released", equation=lambda own: own.state("firing") * own.parameter("max_power")),
        "flue": Variable(
            unit="kW/K", says="capacity flow of the flue gas", equation=lambda own: own.state("firing") * own.parameter("max_flue")
        ),
    },
    signals={
        "run": Signal(unit="1", says="fuel is released", is_mode=True),
        "firing": Signal(unit="%", says="demanded share of full firing"),
    },
)
