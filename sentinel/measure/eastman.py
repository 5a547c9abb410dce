"""Trials on the Tennessee Eastman process: a live plant with physics of its own, what is tried on it, and what really becomes of it.

The physics are `sentinel.demo.tennessee`, integrated by Euler's rule at a second; the base layer is the plant file's, worked out here.
Every plant has parameters of its own, and every second one a published disturbance, mostly less of it, that the twin's model does not
have.  Transmitters have the published noise.
"""

import copy
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sentinel.demo.tennessee import BASE_CASE, F8, NOMINAL, Surroundings, derivative
from sentinel.demo.wiring import Interface, read_interface
from sentinel.measure.stage import LivePlant, Write
from sentinel.measure.trials import Group, Trial, drift, registered, unrelated, written
from sentinel.measure.truth import Limit, Truth

PLANT = Path(__file__).parents[1] / "demo" / "tep.yaml"
SETTLE_S, LISTEN_S = 5400.0, 900.0
SINGLES, SEQUENCES = 5, 5  # a slow plant: few single writes harm it
_STEP_S = 1.0
_FIRST_SEED = 1000
_FLOOR, _CEILING = 1e-9, 1e6  # of holdups: physics that ran away stand still
# Where it is run: setpoint to (low, high), around the base case.
OPERATING = {
    "REACTOR-LEVEL.SP": (68.0, 80.0),
    "SEP-LEVEL.SP": (42.0, 58.0),
    "STR-LEVEL.SP": (42.0, 58.0),
    "REACTOR-TEMP.SP": (119.9, 120.9),
    "PRODUCT.SP": (22.4, 23.5),
}
_DISTURBANCES: Sequence[Mapping[str, Any]] = (
    {"d_feed_c": 50.0},  # IDV(3)
    {"reactor_water_c": 38.0},  # IDV(4), less of it
    {"condenser_water_c": 43.0},  # IDV(5), less of it
    {"feed_a": 0.475},  # IDV(1), less of it
    {"c_header": 0.95},  # IDV(7), less of it
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loop:
    """One line of the plant file's `controllers`.  ``gain``: share of full output per unit of what is controlled."""

    name: str
    pv: str
    sp: str
    op: str
    auto: str
    gain: float
    reset_s: float | None


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = yaml.load(PLANT.read_text(encoding="utf-8"), yaml.SafeLoader)
    return document


@cache
def loops() -> tuple[_Loop, ...]:
    found = []
    for name, line in _document()["controllers"].items():
        sign = 1.0 if line["action"] == "reverse" else -1.0
        reset_s = float(str(line["ti"]).split()[0]) if "ti" in line else None
        gain = sign * float(str(line["kp"]).split()[0]) / 100.0
        found.append(_Loop(name=name, pv=line["pv"], sp=line["sp"], op=line["op"], auto=line["auto"], gain=gain, reset_s=reset_s))
    return tuple(found)


@dataclass(slots=True)
class Registers:
    """What can be written, in the tags' units; an output counts where its loop is in manual."""

    interface: Interface
    values: dict[str, float]

    def put(self, tag: str, value: float) -> None:
        self.values[tag] = registered(self.interface.tags.by_name[tag], value)

    def value(self, tag: str) -> float:
        return self.values[tag]


class EastmanPlant:
    """`step` lives one second.  The same seed and the same writes give the same bits."""

    def __init__(self, seed: int, interface: Interface) -> None:
        chance = random.Random(f"tennessee eastman {seed}")  # noqa: S311
        self.interface, self.time_s = interface, 0.0
        self.registers = Registers(interface, dict(interface.starts))
        self._around = surroundings(chance)
        self._noise = np.random.default_rng(chance.getrandbits(63))
        self._state: F8 = BASE_CASE.copy()
        self._loops = loops()
        self._by_name = {loop.name: loop for loop in self._loops}
        self._spans = {tag.name: (tag.low, tag.high) for tag in interface.tags.tags}
        self._accuracy = _accuracies()
        _, self.measured = derivative(self._state, self._demanded(), self._around)
        self._outputs = {loop.name: self.registers.values[loop.op] / 100.0 for loop in self._loops}
        self._integrals = {loop.name: self._outputs[loop.name] - loop.gain * self._error(loop) for loop in self._loops}

    def truth(self, tag: str) -> float:
        return float(self.measured[int(tag.removeprefix("XMEAS")) - 1])

    def step(self) -> None:
        self._control()
        rate, self.measured = derivative(self._state, self._demanded(), self._around)
        moved = self._state + rate * (_STEP_S / 3600.0)
        if np.isfinite(moved).all():
            self._state = np.clip(moved, _FLOOR, _CEILING)
        self.time_s += _STEP_S

    def values(self) -> dict[str, float]:
        """What a client reads: measurements with their noise, outputs as they are, everything else as it was written."""
        told = dict(self.registers.values)
        told |= {loop.op: 100.0 * self._outputs[loop.name] for loop in self._loops}
        for name, accuracy in self._accuracy.items():
            told[name] = self.truth(name) + float(self._noise.normal(0.0, accuracy))
        return {tag.name: told[tag.name] for tag in self.interface.tags.tags if tag.name in told}

    def _error(self, loop: _Loop) -> float:
        outer = self._by_name.get(loop.sp)
        low, high = self._spans[loop.pv]
        setpoint = self.registers.values[loop.sp] if outer is None else low + self._outputs[outer.name] * (high - low)
        return setpoint - self.truth(loop.pv)

    def _control(self) -> None:
        """All loops from the values at the beginning of the step, as a scan does it."""
        outputs, integrals = {}, {}
        for loop in self._loops:
            proportional, integral = loop.gain * self._error(loop), self._integrals[loop.name]
            if not self.registers.values[loop.auto]:
                out = min(max(self.registers.values[loop.op] / 100.0, 0.0), 1.0)
                outputs[loop.name], integrals[loop.name] = out, out - proportional
                continue
            growth = proportional * _STEP_S / loop.reset_s if loop.reset_s else 0.0
            free = proportional + integral + growth
            if (free > 1.0 and growth > 0.0) or (free < 0.0 and growth < 0.0):
                growth = 0.0
            integrals[loop.name] = integral + growth
            outputs[loop.name] = min(max(proportional + integral + growth, 0.0), 1.0)
            self.registers.values[loop.op] = 100.0 * outputs[loop.name]
        self._outputs, self._integrals = outputs, integrals

    def _demanded(self) -> F8:
        return np.array([min(max(self.registers.values[f"XMV{valve}"], 0.0), 100.0) for valve in range(1, 13)])


def surroundings(chance: random.Random) -> Surroundings:
    around = replace(
        NOMINAL,
        kinetics=(chance.gauss(1.0, 0.02), chance.gauss(1.0, 0.02)),
        reactor_transfer=chance.gauss(1.0, 0.015),
        separator_transfer=chance.gauss(1.0, 0.015),
        reactor_outflow=chance.gauss(1.0, 0.015),
        valve_gain=tuple(chance.gauss(1.0, 0.005) for _ in range(12)),
        reactor_water_c=chance.gauss(35.0, 0.4),
        condenser_water_c=chance.gauss(40.0, 0.4),
    )
    return replace(around, **chance.choice(_DISTURBANCES)) if chance.random() < 0.5 else around


@cache
def _accuracies() -> Mapping[str, float]:
    return {name: float(line["accuracy"]) for name, line in _document()["tags"].items() if name.startswith("XMEAS")}


def live(seed: int, interface: Interface, writes: Sequence[Write] = ()) -> LivePlant[EastmanPlant]:
    return LivePlant(EastmanPlant(seed, interface), writes)


# -- trials --


def draw(number: int, seed: int, interface: Interface) -> Group:
    chance = random.Random(f"eastman trials {seed} {number}")  # noqa: S311
    history = tuple((0.0, tag, registered(interface.tags.by_name[tag], chance.uniform(*band))) for tag, band in OPERATING.items())
    standing = {**interface.starts, **{tag: value for _, tag, value in history}}
    tags = [tag for tag in interface.tags.tags if tag.writable]
    singles = [Trial(kind="single", steps=((0.0, *written(chance, chance.choice(tags), standing)),)) for _ in range(SINGLES)]
    kinds = {"drift": drift, "by_hand": _by_hand, "pair": unrelated}
    drawn = chance.choices(list(kinds), weights=(1, 2, 1), k=SEQUENCES)
    sequences = [Trial(kind=kind, steps=kinds[kind](chance, tags, standing)) for kind in drawn]
    return Group(seed=_FIRST_SEED + 10_000 * seed + number, history=history, trials=(*singles, *sequences))


def _by_hand(chance: random.Random, tags: Any, standing: Mapping[str, float]) -> tuple[Write, ...]:
    """A valve's loop taken to manual, and the valve driven anywhere or against a stop."""
    loop = chance.choice([loop for loop in loops() if loop.op.startswith("XMV")])
    return ((0.0, loop.auto, 0.0), (chance.uniform(1.0, 20.0), loop.op, chance.choice((0.0, 100.0, chance.uniform(0.0, 100.0)))))


# -- truth --


@dataclass(slots=True)
class Jury:
    """Asks one plant, as it stands, what becomes of it; the plant itself is left alone.

    Harmful is what breaks an invariant that holds without it.  The plant has no interlocks to take away, and its loops come back from
    manual without a bump.
    """

    settled: EastmanPlant
    limits: tuple[Limit, ...]
    horizon_s: float
    _anyway: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        longest_s = 2.0 * self.horizon_s
        self._anyway = frozenset(self._falls((), longest_s))

    def truth(self, trial: Trial) -> Truth:
        last_s = trial.steps[-1][0]
        fallen = self._falls(trial.steps, last_s + self.horizon_s)
        if new := {name: at_s for name, at_s in fallen.items() if name not in self._anyway}:
            first = min(new, key=lambda name: new[name])
            return Truth(why=first, time_s=new[first])
        return Truth()

    def _falls(self, steps: Sequence[Write], seconds: float) -> dict[str, float]:
        """Limits that are passed, and when."""
        plant, writes, fallen = copy.deepcopy(self.settled), list(steps), dict[str, float]()
        for second in range(round(seconds / _STEP_S)):
            while writes and writes[0][0] <= second * _STEP_S:
                _, tag, value = writes.pop(0)
                plant.registers.put(tag, value)
            plant.step()
            for one in self.limits:
                value = plant.truth(one.tag)
                if one.name not in fallen and (value > one.limit if one.is_upper else value < one.limit):
                    fallen[one.name] = (second + 1) * _STEP_S
            if fallen and not writes:
                break
        return fallen


def truths(group: Group, limits: tuple[Limit, ...], horizon_s: float) -> tuple[Truth, ...]:
    """One per trial.  Takes plain values, so that it can run in a process of its own."""
    lived = live(group.seed, read_interface(PLANT), group.history)
    lived.run(SETTLE_S)
    jury = Jury(lived.plant, limits, horizon_s)
    return tuple(jury.truth(trial) for trial in group.trials)
