"""A reactor's jacket, perfectly mixed, fed with coolant (or heating medium) from outside the plant by a control valve.

capacity * dT/dt = medium * position * rated * (T_supply - T) + transfer * (T_vessel - T).  The perfectly mixed jacket of Luyben, Process
Modeling, Simulation and Control for Chemical Engineers (2nd ed., 1990), and of Seborg et al., Process Dynamics and Control.
"""

from sentinel.twin.component import Balance, Give, Kind, Own, Parameter, Signal, State, Variable, Wire
from sentinel.twin.components.heat_exchanger import WATER
from sentinel.twin.components.valve import SETTLE, stem, travel
from sentinel.twin.expression import Expression


def _heat(own: Own) -> Expression:
    return own.parameter("transfer") * (own.state("temperature") - own.wired("of").variable("temperature"))


def _supplied(own: Own) -> Expression:
    return own.parameter("medium") * own.variable("flow") * (own.parameter("supply") - own.state("temperature"))


KIND = Kind(
    name="jacket",
    says="reactor jacket fed through a control valve",
    parameters={
        "transfer": Parameter(unit="kW/K", says="heat transfer coefficient times area"),
        "capacity": Parameter(unit="kJ/K", says="of the jacket's content and wall"),
        "rated": Parameter(unit="L/s", says="flow with the valve fully open"),
        "supply": Parameter(unit="degC", says="temperature of what is fed"),
        "medium": Parameter(unit="kJ/K/L", says="volumetric heat capacity of what is fed", default=WATER),
        "stroke": Parameter(unit="s", says="full travel of the valve"),
        "settle": Parameter(unit="s", says="time constant near the demand", default=SETTLE),
    },
    states={
        "temperature": State(unit="degC", says="of its content", bounds=(-200.0, 2000.0), start="temperature"),
        "position": stem("of its valve, 0 % = shut"),
    },
    derivatives={
        "temperature": lambda own: (_supplied(own) - own.variable("heat")) / own.parameter("capacity"),
        "position": travel,
    },
    variables={
        "flow": Variable(
            unit="L/s", says="through the jacket", equation=lambda own: own.signal("run") * own.state("position") * own.parameter("rated")
        ),
        "heat": Variable(unit="W", says="into the vessel, negative when it cools", equation=_heat),
    },
    wires={"of": Wire(says="the vessel it surrounds", offers={"temperature": "degC"}, collects={"heat": "W"})},
    signals={
        "run": Signal(unit="1", says="its supply runs", is_mode=True),
        "position": Signal(unit="%", says="demanded position"),
    },
    gives=(Give(wire="of", collector="heat", equation=lambda own: own.variable("heat")),),
    balance=Balance(unit="W", content={"temperature": lambda own: own.parameter("capacity")}, source=_supplied),
)
