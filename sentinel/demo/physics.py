"""What the plant does, independent of any controller: two coupled tanks, a heater loop, a spindle with its bearing and coolant.

In: the position of every actuator (`Actuators`).  Out: `State` after a step of 100 ms, and each `Outcome` that cannot be undone: a tank
spills, a pump drew air, a winding burnt, water boils, an element burns out, a bearing seizes, a tool bursts.
Levels in m, flows in L/s (coolant L/min), temperatures in degC, power in W, speed of the spindle in rpm, other speeds and positions 0 to 1.

The equations are this plant's own: a pump curve with static lift, water inertia in the pipe, a friction-bound valve stem, heat transfer
by flow^0.8 (Dittus and Boelter), bearing friction of a load part and a viscous part that thins when warm (Palmgren).
Integration: classic Runge-Kutta, fixed steps of 50 ms; the fastest time constant is 0.25 s.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from sentinel.demo.parameters import Parameters

STEP_S = 0.1
SUBSTEPS = 2

RIM_M = 2.0
BOIL_C = 98.0  # at the loop's highest point
BURN_OUT_C = 200.0
SEIZE_C = 115.0
BURST_RPM = 10_500.0
SOAK_C, SOAK_K_S = 74.0, 600.0  # grease lost by heat: degree-seconds above the first
VORTEX_M, AIR_S = 0.15, 20.0  # P102 draws air below the first, and stands it for the second
WINDING_LIMIT_K = 120.0


@dataclass(slots=True)
class Actuators:
    """What the controller's output terminals say: contacts closed or open, positions and speeds 0 to 1, the spindle in rpm."""

    p101_on: bool = True
    p101_speed: float = 0.5
    p102_on: bool = True
    fv102: float = 0.44
    h201_on: bool = True
    h201: float = 0.53
    p201_on: bool = True
    sp301_on: bool = True
    sp301_rpm: float = 6000.0
    p301_on: bool = True
    fv301: float = 0.6


class State(NamedTuple):
    """What moves continuously."""

    level1: float
    level2: float
    coupling: float  # flow from T101 to T102
    p101: float  # speed
    p102: float
    element: float
    water: float
    circulation: float
    spindle: float
    bearing: float
    coolant: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Damage that stays."""

    name: str
    at_s: float
    says: str


@dataclass(slots=True)
class _Doses:
    """What adds up until something breaks."""

    winding_k: float = 0.0
    air_s: float = 0.0
    soak_k_s: float = 0.0


class Physics:
    """``noise`` False leaves out turbulence, the slow load cycle and wear; parameters stay as drawn.

    ``breaks`` False: nothing is ever damaged, for whoever asks how far a value would have gone.
    """

    def __init__(self, parameters: Parameters, *, chance: random.Random, noise: bool = True) -> None:
        self.parameters = parameters
        self.noise = noise
        self.breaks = True
        self._steps = 0
        self.outcomes: list[Outcome] = []
        self.stem102 = self.stem301 = 0.0
        self.spilled_l = [0.0, 0.0]
        self.turbulence = [1.0, 1.0, 1.0, 1.0]  # P101, FV102, P201, CL301
        self._chance = chance
        self._doses = _Doses()
        self._wear = 1.0
        self._broken: set[str] = set()
        self._load = 1.0
        self._ambient = parameters.ambient
        self.state, self.start = self._at_rest(level1=1.2, level2=0.8, water=60.0, bearing=45.0, spindle=6000.0)

    @property
    def time_s(self) -> float:
        return self._steps * STEP_S

    # -- flows and powers as functions of the state -------------------------------------------------------------------------------

    def inflow(self, s: State) -> float:
        p = self.parameters
        lift = p.p101_shutoff * s.p101 * s.p101 - max(s.level1, 0.0)
        if lift <= 0 or "P101.burnt" in self._broken:
            return 0.0  # the check valve holds
        return p.p101_flow * self._wear * self.turbulence[0] * math.sqrt(lift / (p.p101_shutoff / 4 - 1.2))

    def outflow(self, s: State) -> float:
        p = self.parameters
        level = max(s.level2, 0.0)
        opening = self.stem102 * (1 + p.fv102_bend * (0.439 - self.stem102))
        air = 1.0 if level >= VORTEX_M else max(level - 0.02, 0.0) / (VORTEX_M - 0.02)
        return p.fv102 * self.turbulence[1] * opening * s.p102 * air * math.sqrt(level + p.p102_suction * s.p102 * s.p102)

    def heating(self, s: State, a: Actuators) -> float:
        p = self.parameters
        if not a.h201_on or "H201.burn-out" in self._broken:
            return 0.0
        return p.h201_power * a.h201 * (1 - p.h201_drift * (s.element - 80.0))

    def into_water(self, s: State) -> float:
        p = self.parameters
        flow = max(s.circulation, 0.0)
        return (p.h201_still + (p.h201_flowing - p.h201_still) * math.pow(flow, 0.8)) * (s.element - s.water)

    def consumed(self, s: State) -> float:
        p = self.parameters
        return p.t201_loss * self._load * (1 + 0.0008 * (s.water - 60.0)) * (s.water - self._ambient)

    def friction(self, s: State) -> float:
        p = self.parameters
        turns = s.spindle / 6000.0
        viscous = (1 - p.b301_load_share) * turns * turns * math.exp(-p.b301_thinning * (s.bearing - 45.0))
        return p.b301_friction * (p.b301_load_share * turns + viscous)

    def coolant_flow(self, a: Actuators) -> float:
        return self.parameters.cl301_flow * self.turbulence[3] * self.stem301 if a.p301_on else 0.0

    def into_coolant(self, s: State, flow: float) -> float:
        p = self.parameters
        return (p.b301_still + p.b301_per_flow * math.pow(flow / 5.0, 0.92)) * (s.bearing - s.coolant)

    def _rates(self, s: State, a: Actuators) -> State:
        p = self.parameters
        broken = self._broken
        inflow, outflow = self.inflow(s), self.outflow(s)
        fall = s.level1 - s.level2
        p101 = a.p101_speed if a.p101_on and "P101.burnt" not in broken else 0.0
        p102 = 1.0 if a.p102_on and "P102.dry" not in broken else 0.0
        heat = self.into_water(s)
        turn = 0.0 if "SP301.seized" in broken or "SP301.burst" in broken or not a.sp301_on else a.sp301_rpm
        pull = (turn - s.spindle) / (0.3 if "SP301.seized" in broken else p.sp301_lag)
        ramp = p.sp301_ramp
        taken = self.into_coolant(s, self.coolant_flow(a))
        return State(
            (inflow - s.coupling) / (1000 * p.area1),
            (s.coupling - outflow) / (1000 * p.area2),
            (fall - s.coupling * abs(s.coupling) / (p.c12 * p.c12)) * p.c12 * p.c12 / (4 * p.c12_inertia_s),
            (p101 - s.p101) / p.p101_lag,
            (p102 - s.p102) / p.p102_lag,
            (self.heating(s, a) - heat) / p.h201_capacity,
            (heat - self.consumed(s)) / p.t201_capacity,
            ((p.p201_flow * self.turbulence[2] if a.p201_on else 0.0) - s.circulation) / p.p201_lag,
            pull if -ramp < pull < ramp or "SP301.seized" in broken else math.copysign(ramp, pull),
            (self.friction(s) - taken) / p.b301_capacity,
            (taken - p.cl301_chiller * (s.coolant - p.cl301_supply)) / p.cl301_capacity,
        )

    # -- one step ---------------------------------------------------------------------------------------------------------------

    def advance(self, a: Actuators) -> None:
        """100 ms further."""
        self._disturb()
        s, h = self.state, STEP_S / SUBSTEPS
        for _ in range(SUBSTEPS):
            self.stem102 = self._move(self.stem102, a.fv102, h / self.parameters.fv102_stroke)
            self.stem301 = self._move(self.stem301, a.fv301, h / self.parameters.cl301_stroke)
            k1 = self._rates(s, a)
            k2 = self._rates(_along(s, k1, h / 2), a)
            k3 = self._rates(_along(s, k2, h / 2), a)
            k4 = self._rates(_along(s, k3, h), a)
            s = State._make(x + h / 6 * (r1 + 2 * (r2 + r3) + r4) for x, r1, r2, r3, r4 in zip(s, k1, k2, k3, k4, strict=True))
        self.state = self._bounded(s)
        self._steps += 1
        self._suffer(a)

    def overhaul(self) -> None:
        """P101 gives again what it gave when it was new."""
        self._wear = 1.0

    def _move(self, stem: float, asked: float, travel: float) -> float:
        """A stem sticks until the signal leaves its dead band, then slips all the way, at the actuator's speed."""
        asked = min(max(asked, 0.0), 1.0)
        off = asked - stem
        if abs(off) < self.parameters.stem_friction and asked not in (0.0, 1.0):
            return stem
        return stem + min(max(off, -travel), travel)

    def _disturb(self) -> None:
        if not self.noise:
            return
        p, gauss = self.parameters, self._chance.gauss
        t = self.turbulence
        for i in range(4):
            t[i] = 1 + (t[i] - 1) * 0.967 + gauss(0.0, 0.001)  # 0.4 % with a correlation time of 3 s
        self._load = 1 + p.load_swing * math.sin(2 * math.pi * self.time_s / p.load_period)
        self._ambient = p.ambient + 0.4 * math.sin(2 * math.pi * self.time_s / (2.5 * p.load_period))
        self._wear -= p.p101_wear_per_h / 3600 * STEP_S * self.state.p101

    def _bounded(self, s: State) -> State:
        """Water above a rim is on the floor, water at its boiling point leaves as steam, nothing turns backwards."""
        p = self.parameters
        for tank, (level, area) in enumerate(((s.level1, p.area1), (s.level2, p.area2))):
            self.spilled_l[tank] += max(level - RIM_M, 0.0) * area * 1000
        return s._replace(
            level1=min(max(s.level1, 0.0), RIM_M),
            level2=min(max(s.level2, 0.0), RIM_M),
            water=min(s.water, 100.0),
            spindle=max(s.spindle, 0.0),
        )

    def _suffer(self, a: Actuators) -> None:
        if not self.breaks:
            return
        s, d = self.state, self._doses
        running1, running2 = a.p101_on and "P101.burnt" not in self._broken, a.p102_on and s.p102 > 0.5
        slip = a.p101_speed - s.p101 if running1 else 0.0
        heated = max(slip, 0.0)
        d.winding_k += STEP_S * (30.0 * heated * heated - d.winding_k / 300.0)
        d.air_s += STEP_S if running2 and s.level2 < VORTEX_M and self.stem102 > 0.02 else -min(d.air_s, STEP_S / 10)
        d.soak_k_s += STEP_S * max(s.bearing - SOAK_C, 0.0)
        self._break("T101.spill", self.spilled_l[0] > 0, "T101 runs over its rim")
        self._break("T102.spill", self.spilled_l[1] > 0, "T102 runs over its rim")
        self._break("P101.burnt", d.winding_k > WINDING_LIMIT_K, "the winding of P101 is burnt by one restart after the other")
        self._break("P102.dry", d.air_s > AIR_S, "P102 drew air until its seal ran dry")
        self._break("T201.boil", s.water >= BOIL_C, "the water of the heater loop boils")
        self._break("H201.burn-out", s.element > BURN_OUT_C, "the element of H201 is burnt out")
        self._break("SP301.seized", s.bearing > SEIZE_C or d.soak_k_s > SOAK_K_S, "the bearing of the spindle has seized")
        self._break("SP301.burst", s.spindle > BURST_RPM, "the tool holder has burst")

    def _break(self, name: str, happens: bool, says: str) -> None:
        if happens and name not in self._broken:
            self._broken.add(name)
            self.outcomes.append(Outcome(name=name, at_s=round(self.time_s, 3), says=says))

    # -- start ------------------------------------------------------------------------------------------------------------------

    def _at_rest(self, *, level1: float, level2: float, water: float, bearing: float, spindle: float) -> tuple[State, Actuators]:
        """The state in which nothing moves, and the actuators that hold it."""
        p = self.parameters
        flow = p.c12 * math.sqrt(level1 - level2)
        probe = State(level1, level2, flow, 0.5, 1.0, water, water, p.p201_flow, spindle, bearing, p.cl301_supply)
        p101 = math.sqrt((level1 + (flow / p.p101_flow) ** 2 * (p.p101_shutoff / 4 - 1.2)) / p.p101_shutoff)

        def leaves(stem: float) -> float:
            self.stem102 = stem
            return self.outflow(probe)

        fv102 = _solve(leaves, flow)
        heat = self.consumed(probe)
        element = water + heat / self.into_water(probe._replace(element=water + 1.0))
        power = heat / (p.h201_power * (1 - p.h201_drift * (element - 80.0)))
        warmth = self.friction(probe)
        coolant = p.cl301_supply + warmth / p.cl301_chiller
        cooled = probe._replace(coolant=coolant)
        fv301 = _solve(lambda stem: self.into_coolant(cooled, p.cl301_flow * stem), warmth)
        self.stem102, self.stem301 = fv102, fv301
        actuators = Actuators(p101_speed=p101, fv102=fv102, h201=power, sp301_rpm=spindle, fv301=fv301)
        return probe._replace(p101=p101, element=element, coolant=coolant), actuators


def _along(s: State, rates: State, h: float) -> State:
    return State._make([x + h * r for x, r in zip(s, rates, strict=True)])


def _solve(rising: Callable[[float], float], target: float) -> float:
    """Where a rising function of 0 to 1 takes the value ``target``, by bisection; an end where it does not."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return (low + high) / 2
