"""An induction motor direct on line, with a load that grows with the square of the speed, and the temperature of its winding.

Kloss: torque / breakdown torque = 2 * s * s_b / (s^2 + s_b^2), s = 1 - speed / synchronous (Fitzgerald, Kingsley and Umans, Electric
Machinery).  Slip power heats the rotor, `stator` times as much the stator; the winding is one mass that heats the frame.  Near the
synchronous speed a motor is stiff, with a time constant of run_up * slip / 2: the step of the plant must suit.
"""

from sentinel.twin.component import Balance, Give, Kind, Own, Parameter, Signal, State, Variable, Wire
from sentinel.twin.expression import Expression, constant


def _turning(own: Own) -> Expression:
    """Of the synchronous speed."""
    return own.state("speed") / own.parameter("synchronous")


def _torque(own: Own) -> Expression:
    slip, breakdown = 1.0 - _turning(own), own.parameter("slip")
    return own.signal("run") * (2.0 * slip * breakdown / (slip * slip + breakdown * breakdown))


def _losses(own: Own) -> Expression:
    slip_power = own.parameter("breakdown") * own.variable("torque") * (1.0 - _turning(own))
    return (1.0 + own.parameter("stator")) * slip_power


def _heat(own: Own) -> Expression:
    return own.parameter("transfer") * (own.state("winding") - own.wired("frame").variable("temperature"))


KIND = Kind(
    name="motor",
    says="induction motor direct on line with a fan or pump as its load",
    parameters={
        "synchronous": Parameter(unit="rpm", says="synchronous speed"),
        "run_up": Parameter(unit="s", says="inertia * synchronous speed / breakdown torque"),
        "breakdown": Parameter(unit="kW", says="breakdown torque * synchronous speed"),
        "slip": Parameter(unit="1", says="slip at which the torque is greatest"),
        "load": Parameter(unit="1", says="load torque at synchronous speed, of breakdown torque"),
        "stator": Parameter(unit="1", says="losses in the stator, of those in the rotor", default="1"),
        "capacity": Parameter(unit="kJ/K", says="heat capacity of the winding"),
        "transfer": Parameter(unit="kW/K", says="from the winding to the frame"),
    },
    states={
        "speed": State(unit="rpm", says="of the shaft", bounds=(-1e4, 1e5), start="speed", stops=(lambda own: constant(0.0, "rpm"), None)),
        "winding": State(unit="degC", says="of the winding", bounds=(-200.0, 2000.0), start="winding"),
    },
    derivatives={
        "speed": lambda own: (
            own.parameter("synchronous")
            * (own.variable("torque") - own.parameter("load") * _turning(own) * _turning(own))
            / own.parameter("run_up")
        ),
        "winding": lambda own: (own.variable("losses") - own.variable("heat")) / own.parameter("capacity"),
    },
    variables={
        "torque": Variable(unit="1", says="of breakdown torque", equation=_torque),
        "losses": Variable(unit="kW", says="heat made in the winding", equation=_losses),
        "heat": Variable(unit="kW", says="from the winding into the frame", equation=_heat),
    },
    wires={"frame": Wire(says="the frame that takes its heat", offers={"temperature": "degC"}, collects={"heat": "W"})},
    signals={"run": Signal(unit="1", says="its contactor", is_mode=True)},
    gives=(Give(wire="frame", collector="heat", equation=lambda own: own.variable("heat")),),
    balance=Balance(unit="W", content={"winding": lambda own: own.parameter("capacity")}, source=lambda own: own.variable("losses")),
)
