"""The whole plant without sockets: physics, instruments, registers and controller, as fast as the machine allows.

`ReferencePlant` is what the plant process runs in real time; `simulate` runs it offline and records it, for whoever needs to know what
would have happened.  The same seed gives the same plant and, with the same writes, the same record.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sentinel.demo.controller import Controller
from sentinel.demo.instruments import Instruments
from sentinel.demo.parameters import Parameters, draw
from sentinel.demo.physics import STEP_S, Actuators, Outcome, Physics
from sentinel.demo.registers import Registers
from sentinel.demo.wiring import PLANT_FILE, Interface, read_interface
from sentinel.errors import InputError

DEFAULT_SEED = 7


class ReferencePlant:
    """One plant at its steady state.  ``seed`` draws its parameters and its noise; ``parameters`` fixes them instead."""

    def __init__(
        self, *, seed: int = DEFAULT_SEED, noise: bool = True, interface: Interface | None = None, parameters: Parameters | None = None
    ) -> None:
        self.interface = interface or read_interface()
        self.registers = Registers(self.interface.tags, self.interface.unit)
        for tag, value in self.interface.starts.items():
            self.registers.put(tag, value)
        drawn = draw(random.Random(seed))  # noqa: S311
        self.physics = Physics(parameters or drawn, chance=random.Random(f"turbulence {seed}"), noise=noise)  # noqa: S311
        self._instruments = Instruments(self.registers, chance=random.Random(f"instruments {seed}"), noise=noise)  # noqa: S311
        self.controller = Controller(self.registers, self.physics.start)
        self.actuators: Actuators = self.physics.start
        self.truth: dict[str, float] = self._instruments.measure(self.physics, self.actuators)

    @property
    def time_s(self) -> float:
        return self.physics.time_s

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        return tuple(self.physics.outcomes)

    def step(self) -> None:
        """One scan: decide, let 100 ms pass, measure."""
        self.actuators = self.controller.scan()
        self.physics.advance(self.actuators)
        self.truth = self._instruments.measure(self.physics, self.actuators)

    def values(self) -> dict[str, float]:
        """Every tag in engineering units, as a client would read it now."""
        return {tag.name: self.registers.value(tag.name) for tag in self.interface.tags.tags}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Columns over time.  ``values``: as read from the registers; ``truth``: what a perfect transmitter had read (process values only)."""

    time_s: npt.NDArray[np.float64]
    values: dict[str, npt.NDArray[np.float64]]
    truth: dict[str, npt.NDArray[np.float64]]
    outcomes: tuple[Outcome, ...]
    parameters: Parameters


def simulate(
    seconds: float,
    writes: Sequence[tuple[float, str, float]] = (),
    seed: int = DEFAULT_SEED,
    noise: bool = True,
    *,
    rate_hz: float = 10.0,
    plant_file: Path = PLANT_FILE,
    parameters: Parameters | None = None,
) -> Recording:
    """Plant and controller for ``seconds``, every `(t, tag, engineering value)` written just before the first scan at or after ``t``.

    ``rate_hz`` 0.1 to 10: every so many scans one row, the first at t = 0 (before any scan).
    Raises InputError on a tag that cannot be written and on a rate outside these.
    """
    if not 0.1 <= rate_hz <= 1 / STEP_S:
        raise InputError(f"rate_hz is {rate_hz}; the controller scans at {1 / STEP_S:g} Hz, so 0.1 to {1 / STEP_S:g} can be recorded")
    plant = ReferencePlant(seed=seed, noise=noise, interface=read_interface(plant_file), parameters=parameters)
    pending = sorted(writes, key=lambda write: write[0])
    for _, name, _ in pending:
        tag = plant.interface.tags.by_name.get(name)
        if tag is None or not tag.writable:
            raise InputError(f"{name!r} is not a writable tag of the plant")
    names = [tag.name for tag in plant.interface.tags.tags]
    every = max(round(1 / STEP_S / rate_hz), 1)
    times: list[float] = []
    rows: list[list[float]] = []
    truths: list[list[float]] = []
    at = 0
    for scan in range(round(seconds / STEP_S) + 1):
        if scan % every == 0:
            times.append(scan * STEP_S)
            rows.append([plant.registers.value(name) for name in names])
            truths.append(list(plant.truth.values()))
        while at < len(pending) and pending[at][0] <= scan * STEP_S + 1e-9:
            plant.registers.put(pending[at][1], pending[at][2])
            at += 1
        plant.step()
    table, real = np.array(rows), np.array(truths)
    return Recording(
        time_s=np.array(times),
        values={name: table[:, column] for column, name in enumerate(names)},
        truth={name: real[:, column] for column, name in enumerate(plant.truth)},
        outcomes=plant.outcomes,
        parameters=plant.physics.parameters,
    )


def summary(plant: ReferencePlant) -> dict[str, Any]:
    """One line of state for people and programs: time, process values, what is tripped, what is broken."""
    process = {tag.name: round(plant.registers.value(tag.name), 3) for tag in plant.interface.tags.tags if tag.role == "process_value"}
    return {
        "t_s": round(plant.time_s, 1),
        **process,
        "tripped": sorted(plant.controller.tripped),
        "outcomes": [outcome.name for outcome in plant.outcomes],
    }
