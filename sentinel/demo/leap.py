"""The reference plant made to live fast: as many scans as asked for, with the bits that `ReferencePlant.step` gives, in machine code.

In: a plant and a time.  Out: the same plant at that time: registers, physics, controller, instruments, and its generators of noise.  For
whoever needs days of plant (`sentinel bench week`) or many lives of it (`verdict`); the plant process itself has no use for it.
"""

import math
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from sentinel.demo.controller import INTERLOCKS, LOOPS
from sentinel.demo.instruments import TRANSMITTERS, Instruments, truth
from sentinel.demo.physics import STEP_S, Actuators, State
from sentinel.demo.registers import Registers
from sentinel.demo.scans import BREAKS, RUNS, TRIPS, Numbers, Outputs, kernel
from sentinel.demo.simulation import ReferencePlant

_CHUNK = 4096  # scans whose noise is drawn at once


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stretch:
    """Scans that were lived through, a row each.

    ``time_s``: (scans,), the plant's time after each.  ``truth``: (scans, `TRANSMITTERS`), what perfect ones had read, in the tags' units.
    ``alarms``: (scans, `INTERLOCKS`).  What is damaged is damaged in the last scan of a stretch.
    """

    time_s: npt.NDArray[np.float64]
    truth: npt.NDArray[np.float64]
    alarms: npt.NDArray[np.bool_]


def leap(plant: ReferencePlant, until_s: float) -> None:
    """Scan after scan while the plant's time is before ``until_s``."""
    for _ in stretches(plant, _scans_until(plant, until_s)):
        pass


def stretches(plant: ReferencePlant, scans: int) -> Iterator[Stretch]:
    """So many scans, in stretches; the plant lives no further than it is asked for."""
    end = plant.physics._steps + scans
    while (left := min(end - plant.physics._steps, _CHUNK)) > 0:
        stretch = _live(plant, left)
        if len(stretch.time_s):
            yield stretch
        if len(stretch.time_s) < left:
            plant.step()  # in which something breaks
            alarms = [[plant.registers.value(one.alarm) != 0.0 for one in INTERLOCKS]]
            yield Stretch(time_s=np.array([plant.time_s]), truth=np.array([list(plant.truth.values())]), alarms=np.array(alarms))


def _scans_until(plant: ReferencePlant, until_s: float) -> int:
    done = plant.physics._steps
    last = max(done, math.floor(until_s / STEP_S) - 1)
    while last * STEP_S < until_s:
        last += 1
    return last - done


def _live(plant: ReferencePlant, scans: int) -> Stretch:
    """So many scans; fewer, or none, when something would break in the next one."""
    physics, registers, instruments, controller = plant.physics, plant.registers, plant._instruments, plant.controller
    chances = (physics._chance, instruments._chance)
    before = [chance.getstate() for chance in chances]
    noise = [_drawn(chance, scans, width) for chance, width in zip(chances, _widths(plant), strict=True)]
    slots = list(registers._slots.values())
    raw = np.array([cells[address] for cells, address, *_ in slots], dtype=np.int64)
    sums, off = np.array([controller._sums[one.name] for one in LOOPS]), np.zeros(len(TRIPS), dtype=np.bool_)
    seen = np.array([instruments._seen[tag] for tag in TRANSMITTERS])
    pipes, filled = _filled(instruments)
    doses = np.array([physics._doses.winding_k, physics._doses.air_s, physics._doses.soak_k_s])
    slow = np.array([physics._wear, physics._load, physics._ambient, physics.stem102, physics.stem301, *physics.spilled_l])
    turbulence, state = np.array(physics.turbulence), np.array(physics.state)
    broken = np.array([one in physics._broken for one in BREAKS])
    real, alarms, first = np.zeros((scans, len(TRANSMITTERS))), np.zeros((scans, len(INTERLOCKS)), dtype=np.bool_), physics._steps + 1
    done, outputs = kernel()(
        scans, physics._steps, Numbers(*map(float, astuple(physics.parameters))), physics.breaks, *noise, raw, *_wired(registers), sums,
        off, seen, pipes, filled, doses, slow, turbulence, broken, state, Outputs(*astuple(plant.actuators)), real, alarms,
    )  # fmt: skip
    lived = Stretch(time_s=np.arange(first, first + done) * STEP_S, truth=real[:done], alarms=alarms[:done])
    if done < scans:
        for chance, start, width in zip(chances, before, _widths(plant), strict=True):
            chance.setstate(start)
            _drawn(chance, done, width)
    if not done:
        return lived
    for (cells, address, *_), value in zip(slots, raw.tolist(), strict=True):
        cells[address] = value
    controller._sums.update(zip((one.name for one in LOOPS), sums.tolist(), strict=True))
    controller.tripped = frozenset(name for name, trips in zip(TRIPS, off.tolist(), strict=True) if trips)
    instruments._seen.update(zip(TRANSMITTERS, seen.tolist(), strict=True))
    for number, tag in enumerate(TRANSMITTERS):
        if tag in instruments._pipes:
            instruments._pipes[tag].extend(pipes[number, : filled[number]].tolist())
    physics._doses.winding_k, physics._doses.air_s, physics._doses.soak_k_s = doses.tolist()
    physics._wear, physics._load, physics._ambient, physics.stem102, physics.stem301, *physics.spilled_l = slow.tolist()
    physics.turbulence, physics.state = turbulence.tolist(), State._make(state.tolist())
    physics._steps += done
    plant.actuators = Actuators(*outputs)
    plant.truth = truth(physics, plant.actuators)
    return lived


def _wired(registers: Registers) -> tuple[npt.NDArray[Any], ...]:
    """Which register is whose: of all their scaling and limits, then what runs, loops, interlocks and transmitters use, and how."""
    place = {tag: number for number, tag in enumerate(registers._slots)}
    loops = [[place[f"{one.name}.{part}"] for part in ("SP", "AUTO", "OP")] + [place[one.measured]] for one in LOOPS]
    locks = [[place[one.measured], place[one.limit], place[one.alarm], one.above, TRIPS.index(one.trips)] for one in INTERLOCKS]
    return (
        np.array([slot[2:] for slot in registers._slots.values()]),
        np.array([place[tag] for tag in RUNS]),
        np.array(loops),
        np.array([(one.gain, one.reset_s, one.sense) for one in LOOPS]),
        np.array(locks),
        np.array(list(TRANSMITTERS.values())),
        np.array([place[tag] for tag in TRANSMITTERS]),
    )


def _filled(instruments: Instruments) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """What is on its way to each transmitter, oldest first, and how much of it there is; none where there is no dead time."""
    longest = max(pipe.maxlen or 0 for pipe in instruments._pipes.values())
    pipes, filled = np.zeros((len(TRANSMITTERS), longest)), np.zeros(len(TRANSMITTERS), dtype=np.int64)
    for number, tag in enumerate(TRANSMITTERS):
        if tag in instruments._pipes:
            filled[number] = len(instruments._pipes[tag])
            pipes[number, : filled[number]] = instruments._pipes[tag]
    return pipes, filled


def _widths(plant: ReferencePlant) -> tuple[int, int]:
    """Numbers that turbulence and instruments draw in a scan."""
    return (len(plant.physics.turbulence) if plant.physics.noise else 0, len(TRANSMITTERS) if plant._instruments._noise else 0)


def _drawn(chance: Random, scans: int, width: int) -> npt.NDArray[np.float64]:
    gauss = chance.gauss
    return np.array([gauss(0.0, 1.0) for _ in range(scans * width)]).reshape(scans, width)
