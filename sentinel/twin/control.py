"""The plant's own logic as expressions: PI controllers and interlocks, evaluated once per step from the values at its beginning.

A controller is a position PI with clamping anti-windup, or without an integral time a P with a bias.  In manual the output stands still and
the integral (the bias) follows it, so both changes of mode are bumpless; a write to the output tag moves the output only while the
controller is in manual.  Its setpoint is a tag, or in a cascade the output of another controller at the last scan.
"""

from dataclasses import dataclass

from sentinel.twin.expression import Expression, Op, clip, constant, greater, leaf, maximum, minimum, where
from sentinel.twin.units import ONE, unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """`error` is positive where the output must rise; `gain` times it is a fraction of full output.  Integral and output are fractions."""

    name: str
    error: Expression
    gain: Expression
    reset: Expression | None  # integral time
    auto: Expression
    sp: str  # in a cascade the output tag of the controller outside
    op: str
    auto_tag: str
    pv: str

    @property
    def proportional(self) -> Expression:
        return self.gain * self.error

    def scan(self) -> tuple[Expression, Expression]:
        """(next integral, next output)."""
        integral, output = leaf(Op.INTEGRAL, self.name, ONE), leaf(Op.OUTPUT, self.name, ONE)
        proportional = self.proportional
        manual_output = clip(output, 0.0, 1.0)
        if self.reset is None:
            bias = where(self.auto, integral, manual_output - proportional)
            return bias, where(self.auto, clip(proportional + integral, 0.0, 1.0), manual_output)
        growth = proportional * (leaf(Op.STEP, "", unit("s").dimension) / self.reset)  # the quotient is the same at every step
        free = proportional + integral + growth
        # clamping: at a limit the integral may only move back
        wound = where(greater(free, 1.0), minimum(growth, 0.0), where(greater(constant(0.0), free), maximum(growth, 0.0), growth))
        automatic = integral + wound
        return (
            where(self.auto, automatic, manual_output - proportional),
            where(self.auto, clip(proportional + automatic, 0.0, 1.0), manual_output),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Interlock:
    """While `condition` holds the alarm is on; while no bypass is set either, `trips` are off."""

    name: str
    condition: Expression
    tripped: Expression
    trips: tuple[str, ...]
    alarm: str | None
