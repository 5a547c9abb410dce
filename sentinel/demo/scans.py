"""One scan of the reference plant after the other as a kernel: what `leap` calls.

A second transcription of `physics`, `controller` and `instruments`, held against them bit for bit by a test: the same operations in the
same order, without fast mathematics.  It ends before a scan in which something breaks: damage is for `physics` to tell.
"""

import math
from collections import namedtuple
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np

from sentinel.demo.parameters import Parameters
from sentinel.demo.physics import (
    AIR_S,
    BOIL_C,
    BURN_OUT_C,
    BURST_RPM,
    RIM_M,
    SEIZE_C,
    SOAK_C,
    SOAK_K_S,
    STEP_S,
    SUBSTEPS,
    VORTEX_M,
    WINDING_LIMIT_K,
    Actuators,
    State,
)  # fmt: skip

TRIPS = ("P101", "H201", "SP301", "P102")
BREAKS = ("T101.spill", "T102.spill", "P101.burnt", "P102.dry", "T201.boil", "H201.burn-out", "SP301.seized", "SP301.burst")
_SPILT1, _SPILT2, _BURNT, _DRY, _BOILED, _BURNT_OUT, _SEIZED, _BURST = range(len(BREAKS))
_WEAR, _LOAD, _AMBIENT, _STEM102, _STEM301, _SPILL1, _SPILL2 = range(7)  # what moves slowly, in the order that `leap` gives
_WINDING, _AIR, _SOAK = range(3)  # doses
RUNS = ("P101.RUN", "P102.RUN", "H201.RUN", "P201.RUN", "SP301.RUN", "SIC301.SP", "P301.RUN", "BYPASS")


def _as_tuple(kind: Any) -> Any:
    """A type like ``kind`` that the compiler reads."""
    return namedtuple(kind.__name__, [one.name for one in fields(kind)])


Numbers, Outputs = _as_tuple(Parameters), _as_tuple(Actuators)


@cache
def kernel() -> Callable[..., Any]:
    """Compiled on first use, which takes some ten seconds."""
    import numba

    def compiled(function: Any) -> Any:
        return numba.njit(function, error_model="numpy")

    @compiled
    def least(a: float, b: float) -> Any:
        return b if b < a else a  # as Python's `min` chooses

    @compiled
    def most(a: float, b: float) -> Any:
        return b if b > a else a

    @compiled
    def value(raw: Any, wiring: Any, at: int) -> Any:
        scale, offset, low, _ = wiring[at]
        cell = raw[at]
        if low < 0 and cell > 0x7FFF:
            cell -= 0x10000
        return cell * scale + offset

    @compiled
    def put(raw: Any, wiring: Any, at: int, shown: float) -> None:
        scale, offset, low, high = wiring[at]
        if low == 0 and high == 1:
            raw[at] = 1 if shown != 0.0 else 0
        else:
            asked = (shown - offset) / scale
            raw[at] = int(low if asked < low else high if asked > high else np.rint(asked)) & 0xFFFF

    @compiled
    def inflow(p: Any, s: Any, wear: float, turbulence: Any, broken: Any) -> Any:
        lift = p.p101_shutoff * s.p101 * s.p101 - most(s.level1, 0.0)
        if lift <= 0 or broken[_BURNT]:
            return 0.0
        return p.p101_flow * wear * turbulence[0] * math.sqrt(lift / (p.p101_shutoff / 4 - 1.2))

    @compiled
    def outflow(p: Any, s: Any, stem102: float, turbulence: Any) -> Any:
        level = most(s.level2, 0.0)
        opening = stem102 * (1 + p.fv102_bend * (0.439 - stem102))
        air = 1.0 if level >= VORTEX_M else most(level - 0.02, 0.0) / (VORTEX_M - 0.02)
        return p.fv102 * turbulence[1] * opening * s.p102 * air * math.sqrt(level + p.p102_suction * s.p102 * s.p102)

    @compiled
    def heating(p: Any, s: Any, a: Any, broken: Any) -> Any:
        if not a.h201_on or broken[_BURNT_OUT]:
            return 0.0
        return p.h201_power * a.h201 * (1 - p.h201_drift * (s.element - 80.0))

    @compiled
    def friction(p: Any, s: Any) -> Any:
        turns = s.spindle / 6000.0
        viscous = (1 - p.b301_load_share) * turns * turns * math.exp(-p.b301_thinning * (s.bearing - 45.0))
        return p.b301_friction * (p.b301_load_share * turns + viscous)

    @compiled
    def coolant_flow(p: Any, a: Any, stem301: float, turbulence: Any) -> Any:
        return p.cl301_flow * turbulence[3] * stem301 if a.p301_on else 0.0

    @compiled
    def rates(p: Any, s: Any, a: Any, slow: Any, turbulence: Any, broken: Any) -> Any:
        comes, leaves = inflow(p, s, slow[_WEAR], turbulence, broken), outflow(p, s, slow[_STEM102], turbulence)
        fall = s.level1 - s.level2
        p101 = a.p101_speed if a.p101_on and not broken[_BURNT] else 0.0
        p102 = 1.0 if a.p102_on and not broken[_DRY] else 0.0
        heat = (p.h201_still + (p.h201_flowing - p.h201_still) * math.pow(most(s.circulation, 0.0), 0.8)) * (s.element - s.water)
        consumed = p.t201_loss * slow[_LOAD] * (1 + 0.0008 * (s.water - 60.0)) * (s.water - slow[_AMBIENT])
        turn = 0.0 if broken[_SEIZED] or broken[_BURST] or not a.sp301_on else a.sp301_rpm
        pull = (turn - s.spindle) / (0.3 if broken[_SEIZED] else p.sp301_lag)
        ramp = p.sp301_ramp
        flow = coolant_flow(p, a, slow[_STEM301], turbulence)
        taken = (p.b301_still + p.b301_per_flow * math.pow(flow / 5.0, 0.92)) * (s.bearing - s.coolant)
        return State(
            (comes - s.coupling) / (1000 * p.area1),
            (s.coupling - leaves) / (1000 * p.area2),
            (fall - s.coupling * abs(s.coupling) / (p.c12 * p.c12)) * p.c12 * p.c12 / (4 * p.c12_inertia_s),
            (p101 - s.p101) / p.p101_lag,
            (p102 - s.p102) / p.p102_lag,
            (heating(p, s, a, broken) - heat) / p.h201_capacity,
            (heat - consumed) / p.t201_capacity,
            ((p.p201_flow * turbulence[2] if a.p201_on else 0.0) - s.circulation) / p.p201_lag,
            pull if -ramp < pull < ramp or broken[_SEIZED] else math.copysign(ramp, pull),
            (friction(p, s) - taken) / p.b301_capacity,
            (taken - p.cl301_chiller * (s.coolant - p.cl301_supply)) / p.cl301_capacity,
        )

    @compiled
    def along(s: Any, k: Any, h: float) -> Any:
        return State(
            s[0] + h * k[0], s[1] + h * k[1], s[2] + h * k[2], s[3] + h * k[3], s[4] + h * k[4], s[5] + h * k[5],
            s[6] + h * k[6], s[7] + h * k[7], s[8] + h * k[8], s[9] + h * k[9], s[10] + h * k[10],
        )  # fmt: skip

    @compiled
    def sloped(a: float, b: float, c: float, d: float) -> Any:
        return a + 2 * (b + c) + d

    @compiled
    def blended(k1: Any, k2: Any, k3: Any, k4: Any) -> Any:
        return State(
            sloped(k1[0], k2[0], k3[0], k4[0]), sloped(k1[1], k2[1], k3[1], k4[1]), sloped(k1[2], k2[2], k3[2], k4[2]),
            sloped(k1[3], k2[3], k3[3], k4[3]), sloped(k1[4], k2[4], k3[4], k4[4]), sloped(k1[5], k2[5], k3[5], k4[5]),
            sloped(k1[6], k2[6], k3[6], k4[6]), sloped(k1[7], k2[7], k3[7], k4[7]), sloped(k1[8], k2[8], k3[8], k4[8]),
            sloped(k1[9], k2[9], k3[9], k4[9]), sloped(k1[10], k2[10], k3[10], k4[10]),
        )  # fmt: skip

    @compiled
    def moved(p: Any, stem: float, asked: float, travel: float) -> Any:
        asked = least(most(asked, 0.0), 1.0)
        gap = asked - stem
        if abs(gap) < p.stem_friction and 0.0 < asked < 1.0:
            return stem
        return stem + least(most(gap, -travel), travel)

    @compiled
    def advanced(p: Any, s: Any, a: Any, slow: Any, turbulence: Any, broken: Any) -> Any:
        h = STEP_S / SUBSTEPS
        for _ in range(SUBSTEPS):
            slow[_STEM102] = moved(p, slow[_STEM102], a.fv102, h / p.fv102_stroke)
            slow[_STEM301] = moved(p, slow[_STEM301], a.fv301, h / p.cl301_stroke)
            k1 = rates(p, s, a, slow, turbulence, broken)
            k2 = rates(p, along(s, k1, h / 2), a, slow, turbulence, broken)
            k3 = rates(p, along(s, k2, h / 2), a, slow, turbulence, broken)
            k4 = rates(p, along(s, k3, h), a, slow, turbulence, broken)
            s = along(s, blended(k1, k2, k3, k4), h / 6)
        slow[_SPILL1] += most(s.level1 - RIM_M, 0.0) * p.area1 * 1000
        slow[_SPILL2] += most(s.level2 - RIM_M, 0.0) * p.area2 * 1000
        level1, level2 = least(most(s.level1, 0.0), RIM_M), least(most(s.level2, 0.0), RIM_M)
        spindle = most(s.spindle, 0.0)
        return State(
            level1, level2, s.coupling, s.p101, s.p102, s.element, least(s.water, 100.0), s.circulation, spindle, s.bearing, s.coolant
        )

    @compiled
    def disturbed(p: Any, s: Any, gusts: Any, time_s: float, slow: Any, turbulence: Any) -> None:
        for i in range(4):
            turbulence[i] = 1 + (turbulence[i] - 1) * 0.967 + gusts[i] * 0.001
        slow[_LOAD] = 1 + p.load_swing * math.sin(2 * math.pi * time_s / p.load_period)
        slow[_AMBIENT] = p.ambient + 0.4 * math.sin(2 * math.pi * time_s / (2.5 * p.load_period))
        slow[_WEAR] -= p.p101_wear_per_h / 3600 * STEP_S * s.p101

    @compiled
    def breaks_now(s: Any, a: Any, slow: Any, doses: Any, broken: Any) -> bool:
        slip = a.p101_speed - s.p101 if a.p101_on and not broken[_BURNT] else 0.0
        heated = most(slip, 0.0)
        doses[_WINDING] += STEP_S * (30.0 * heated * heated - doses[_WINDING] / 300.0)
        dry = a.p102_on and s.p102 > 0.5 and s.level2 < VORTEX_M and slow[_STEM102] > 0.02
        doses[_AIR] += STEP_S if dry else -least(doses[_AIR], STEP_S / 10)
        doses[_SOAK] += STEP_S * most(s.bearing - SOAK_C, 0.0)
        return bool(
            (slow[_SPILL1] > 0 and not broken[_SPILT1])
            or (slow[_SPILL2] > 0 and not broken[_SPILT2])
            or (doses[_WINDING] > WINDING_LIMIT_K and not broken[_BURNT])
            or (doses[_AIR] > AIR_S and not broken[_DRY])
            or (s.water >= BOIL_C and not broken[_BOILED])
            or (s.element > BURN_OUT_C and not broken[_BURNT_OUT])
            or ((s.bearing > SEIZE_C or doses[_SOAK] > SOAK_K_S) and not broken[_SEIZED])
            or (s.spindle > BURST_RPM and not broken[_BURST])
        )

    @compiled
    def decided(raw: Any, wiring: Any, runs: Any, loops: Any, tuning: Any, locks: Any, sums: Any, off: Any, asked: Any) -> Any:
        for i in range(len(loops)):
            setpoint, auto, output_at, measured = loops[i]
            gain, reset_s, sense = tuning[i]
            error = sense * (value(raw, wiring, setpoint) - value(raw, wiring, measured))
            kick = gain * error
            if value(raw, wiring, auto) == 0.0:
                output = least(most(value(raw, wiring, output_at), 0.0), 100.0)
                sums[i] = output - kick
            else:
                total = sums[i] + kick * STEP_S / reset_s
                if 0.0 <= kick + total <= 100.0 or (kick + total > 100.0) == (error < 0):
                    sums[i] = total
                output = least(most(kick + sums[i], 0.0), 100.0)
                put(raw, wiring, output_at, output)
            asked[i] = output / 100
        off[:] = False
        for i in range(len(locks)):
            measured, limit, alarm, above, trips = locks[i]
            shown, bound = value(raw, wiring, measured), value(raw, wiring, limit)
            holds = shown > bound if above else shown < bound
            put(raw, wiring, alarm, 1.0 if holds else 0.0)
            off[trips] |= holds
        if value(raw, wiring, runs[7]) != 0.0:
            off[:] = False
        return Outputs(
            value(raw, wiring, runs[0]) > 0 and not off[0], asked[0], value(raw, wiring, runs[1]) > 0 and not off[3], asked[1],
            value(raw, wiring, runs[2]) > 0 and not off[1], asked[2], value(raw, wiring, runs[3]) > 0,
            value(raw, wiring, runs[4]) > 0 and not off[2], value(raw, wiring, runs[5]), value(raw, wiring, runs[6]) > 0, asked[3],
        )  # fmt: skip

    @compiled
    def measured_now(p: Any, s: Any, a: Any, slow: Any, turbulence: Any, broken: Any, real: Any) -> None:
        real[0], real[1], real[2] = s.level1, s.level2, inflow(p, s, slow[_WEAR], turbulence, broken)
        real[3], real[4], real[5] = outflow(p, s, slow[_STEM102], turbulence), s.coupling, 100 * s.p101
        real[6], real[7], real[8], real[9] = 100 * slow[_STEM102], s.water, s.element, s.circulation
        real[10], real[11], real[12] = heating(p, s, a, broken) / 1000, s.spindle, s.bearing
        real[13], real[14], real[15] = s.coolant, coolant_flow(p, a, slow[_STEM301], turbulence), 100 * slow[_STEM301]
        real[16] = friction(p, s) / 1000

    @compiled
    def shown_as(real: Any, blur: Any, raw: Any, wiring: Any, meters: Any, shown: Any, seen: Any, pipes: Any, filled: Any) -> None:
        for i in range(len(real)):
            sigma, share, lag, _ = meters[i]
            now = real[i]
            if filled[i]:
                length = 1 + round(meters[i, 3] / STEP_S)
                if filled[i] == length:
                    pipes[i, : length - 1] = pipes[i, 1:length].copy()
                else:
                    filled[i] += 1
                pipes[i, filled[i] - 1] = now
                now = pipes[i, 0]
            seen[i] = now = seen[i] + (now - seen[i]) * STEP_S / (lag + STEP_S)
            put(raw, wiring, shown[i], now + blur[i] * (sigma + share * abs(now)) if len(blur) else now)

    @compiled
    def lived(
        scans: int, at: int, p: Any, breaks: bool, gusts: Any, blurs: Any, raw: Any, wiring: Any, runs: Any, loops: Any, tuning: Any,
        locks: Any, meters: Any, shown: Any, sums: Any, off: Any, seen: Any, pipes: Any, filled: Any, doses: Any, slow: Any,
        turbulence: Any, broken: Any, state: Any, outputs: Any, real: Any, alarms: Any,
    ) -> Any:  # fmt: skip
        """(scans done, the last one's outputs); what changes is changed in place.  ``gusts``, ``blurs``: a row of standard normal numbers
        a scan, of no columns without noise.  ``real``, ``alarms``: filled with a row a scan, of true values and of interlocks."""
        s = State(state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7], state[8], state[9], state[10])
        asked = np.zeros(len(loops))
        done = 0
        while done < scans:
            before = (raw.copy(), sums.copy(), off.copy(), slow.copy(), turbulence.copy(), doses.copy())
            a = decided(raw, wiring, runs, loops, tuning, locks, sums, off, asked)
            if gusts.shape[1]:
                disturbed(p, s, gusts[done], (at + done) * STEP_S, slow, turbulence)
            after = advanced(p, s, a, slow, turbulence, broken)
            if breaks and breaks_now(after, a, slow, doses, broken):
                raw[:], sums[:], off[:], slow[:], turbulence[:], doses[:] = before
                break
            s, outputs = after, a
            for i in range(len(locks)):
                alarms[done, i] = value(raw, wiring, locks[i, 2]) != 0.0
            measured_now(p, s, a, slow, turbulence, broken, real[done])
            shown_as(real[done], blurs[done], raw, wiring, meters, shown, seen, pipes, filled)
            done += 1
        for i in range(len(state)):
            state[i] = s[i]
        return done, outputs

    result: Callable[..., Any] = lived
    return result
