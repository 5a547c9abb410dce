"""A furnace: well-stirred combustion gas that radiates on its load, a refractory lining that stores heat, a stack.

gas_capacity * dT/dt = power - flue * (T - T_ambient) - radiated - lining * (T - T_lining), radiated = sigma * exchange * (T^4 - T_load^4).
The well-stirred furnace of Hottel and Sarofim (Radiative Transfer, 1967) with a lumped lining; `exchange` is the total exchange area, which
holds geometry and emissivities.
"""

from sentinel.twin.component import Balance, Give, Kind, Own, Parameter, State, Variable, Wire
from sentinel.twin.expression import Expression, constant


def _fourth(temperature: Expression) -> Expression:
    square = temperature * temperature
    return square * square


def _radiated(own: Own) -> Expression:
    stefan_boltzmann = constant(5.670374419e-8, "W/m^2/K^4")  # CODATA 2018, exact
    difference = _fourth(own.state("gas")) - _fourth(own.wired("into").variable("temperature"))
    return own.parameter("exchange") * stefan_boltzmann * difference


def _into_lining(own: Own) -> Expression:
    return own.parameter("lining") * (own.state("gas") - own.state("lining_temperature"))


def _stack(own: Own) -> Expression:
    return own.wired("burner").variable("flue") * (own.state("gas") - own.parameter("ambient"))


def _shell(own: Own) -> Expression:
    return own.parameter("shell") * (own.state("lining_temperature") - own.parameter("ambient"))


KIND = Kind(
    name="furnace",
    says="fired furnace that radiates on its load",
    parameters={
        "exchange": Parameter(unit="m^2", says="total radiative exchange area between gas and load"),
        "gas_capacity": Parameter(unit="kJ/K", says="of the gas and of what glows with it"),
        "lining": Parameter(unit="kW/K", says="transfer from the gas to the lining"),
        "lining_capacity": Parameter(unit="kJ/K", says="of the lining"),
        "shell": Parameter(unit="kW/K", says="loss of the lining to the surroundings"),
        "ambient": Parameter(unit="degC", says="of the surroundings and of the combustion air"),
    },
    states={
        "gas": State(unit="degC", says="of the combustion gas", bounds=(-200.0, 5000.0), start="gas_temperature"),
        "lining_temperature": State(unit="degC", says="of the lining", bounds=(-200.0, 5000.0), start="lining_temperature"),
    },
    derivatives={
        "gas": lambda own: (
            (own.wired("burner").variable("power") - _stack(own) - own.variable("radiated") - _into_lining(own))
            / own.parameter("gas_capacity")
        ),
        "lining_temperature": lambda own: (_into_lining(own) - _shell(own)) / own.parameter("lining_capacity"),
    },
    variables={
        "radiated": Variable(unit="kW", says="to the load", equation=_radiated),
        "stack": Variable(unit="kW", says="lost with the flue gas", equation=_stack),
    },
    wires={
        "burner": Wire(says="the burner that fires it", offers={"power": "kW", "flue": "kW/K"}),
        "into": Wire(says="the load it heats", offers={"temperature": "degC"}, collects={"heat": "W"}),
    },
    gives=(Give(wire="into", collector="heat", equation=lambda own: own.variable("radiated")),),
    balance=Balance(
        unit="W",
        content={
            "gas": lambda own: own.parameter("gas_capacity"),
            "lining_temperature": lambda own: own.parameter("lining_capacity"),
        },
        source=lambda own: own.wired("burner").variable("power") - _stack(own) - _shell(own),
    ),
)
