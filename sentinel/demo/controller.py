"""The plant's controller: four PI loops, seven interlocks, a scan every 100 ms.

In: the registers (measurements in the input table; setpoints, limits, modes and manual outputs as clients left them).
Out: `Actuators`, and outputs and alarms written back.  In automatic a loop overwrites its own OP register; in manual it follows it, so that
switching back is bumpless.
The controller does what its registers say: it checks no range, and BYPASS silences every interlock (the alarms stay).
"""

from dataclasses import dataclass

from sentinel.demo.physics import STEP_S, Actuators
from sentinel.demo.registers import Registers


@dataclass(frozen=True, slots=True)
class Loop:
    name: str
    measured: str
    gain: float  # % of output per engineering unit
    reset_s: float
    sense: int  # +1: output rises when the measurement is below its setpoint


LOOPS = (
    Loop("LIC101", "LT101", 120.0, 60.0, +1),
    Loop("LIC102", "LT102", 100.0, 80.0, -1),
    Loop("TIC201", "TT201", 6.0, 90.0, +1),
    Loop("TIC301", "TT301", 4.0, 40.0, -1),
)


@dataclass(frozen=True, slots=True)
class Interlock:
    alarm: str
    measured: str
    limit: str
    above: bool  # trips above its limit, else below
    trips: str


INTERLOCKS = (
    Interlock("LAHH101", "LT101", "LIC101.HH", True, "P101"),
    Interlock("LAHH102", "LT102", "LIC102.HH", True, "P101"),
    Interlock("TAHH201", "TT201", "TIC201.HH", True, "H201"),
    Interlock("TAHH202", "TT202", "H201.HH", True, "H201"),
    Interlock("FALL201", "FT201", "P201.LL", False, "H201"),
    Interlock("TAHH301", "TT301", "SP301.HH", True, "SP301"),
    Interlock("LALL102", "LT102", "P102.LL", False, "P102"),
)


class Controller:
    def __init__(self, registers: Registers, start: Actuators) -> None:
        """``start``: what held the plant when the controller took over; every loop goes on from there."""
        self._registers = registers
        self.tripped: frozenset[str] = frozenset()
        outputs = {"LIC101": start.p101_speed, "LIC102": start.fv102, "TIC201": start.h201, "TIC301": start.fv301}
        self._sums = {name: 100 * share for name, share in outputs.items()}
        for name, share in outputs.items():
            registers.put(f"{name}.OP", 100 * share)

    def scan(self) -> Actuators:
        value = self._registers.value
        outputs = {loop.name: self._regulate(loop) / 100 for loop in LOOPS}
        self.tripped = off = self._interlock()
        return Actuators(
            p101_on=value("P101.RUN") > 0 and "P101" not in off,
            p101_speed=outputs["LIC101"],
            p102_on=value("P102.RUN") > 0 and "P102" not in off,
            fv102=outputs["LIC102"],
            h201_on=value("H201.RUN") > 0 and "H201" not in off,
            h201=outputs["TIC201"],
            p201_on=value("P201.RUN") > 0,
            sp301_on=value("SP301.RUN") > 0 and "SP301" not in off,
            sp301_rpm=value("SIC301.SP"),
            p301_on=value("P301.RUN") > 0,
            fv301=outputs["TIC301"],
        )

    def _regulate(self, loop: Loop) -> float:
        """Output in %, 0 to 100.  The sum stands still while it would push a saturated output further (clamping anti-windup)."""
        registers, name = self._registers, loop.name
        error = loop.sense * (registers.value(f"{name}.SP") - registers.value(loop.measured))
        kick = loop.gain * error
        if not registers.value(f"{name}.AUTO"):
            output = min(max(registers.value(f"{name}.OP"), 0.0), 100.0)
            self._sums[name] = output - kick
            return output
        total = self._sums[name] + kick * STEP_S / loop.reset_s
        if 0.0 <= kick + total <= 100.0 or (kick + total > 100.0) == (error < 0):
            self._sums[name] = total
        output = min(max(kick + self._sums[name], 0.0), 100.0)
        registers.put(f"{name}.OP", output)
        return output

    def _interlock(self) -> frozenset[str]:
        registers = self._registers
        off = set()
        for lock in INTERLOCKS:
            measured, limit = registers.value(lock.measured), registers.value(lock.limit)
            holds = measured > limit if lock.above else measured < limit
            registers.put(lock.alarm, holds)
            if holds:
                off.add(lock.trips)
        return frozenset() if registers.value("BYPASS") else frozenset(off)
