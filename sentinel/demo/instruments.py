"""What the transmitters make of the plant: a lag, a dead time, noise, then the register's own steps.

In: `Physics` after a step.  Out: raw input registers.  Thermowells lag by seconds, the loop's water needs a second to its sensor, level
transmitters are damped; the twin knows none of this.  Without noise the lags remain.
"""

import random
from collections import deque

from sentinel.demo.physics import STEP_S, Actuators, Physics
from sentinel.demo.registers import Registers

# tag: (standard deviation of its noise in engineering units, share of the reading added to it, lag s, dead time s)
TRANSMITTERS: dict[str, tuple[float, float, float, float]] = {
    "LT101": (0.0008, 0.0, 0.4, 0.0),
    "LT102": (0.0008, 0.0, 0.4, 0.0),
    "FT101": (0.002, 0.003, 0.3, 0.0),
    "FT102": (0.002, 0.003, 0.3, 0.0),
    "FT112": (0.003, 0.003, 0.3, 0.0),
    "ST101": (0.03, 0.0, 0.1, 0.0),
    "ZT102": (0.03, 0.0, 0.1, 0.0),
    "TT201": (0.02, 0.0, 2.5, 1.0),
    "TT202": (0.05, 0.0, 0.8, 0.0),
    "FT201": (0.001, 0.003, 0.3, 0.0),
    "JT201": (0.005, 0.002, 0.2, 0.0),
    "ST301": (1.0, 0.0, 0.1, 0.0),
    "TT301": (0.02, 0.0, 1.2, 0.0),
    "TT302": (0.02, 0.0, 2.0, 0.0),
    "FT301": (0.01, 0.003, 0.3, 0.0),
    "ZT301": (0.03, 0.0, 0.1, 0.0),
    "JT301": (0.0005, 0.003, 0.2, 0.0),
}


def truth(physics: Physics, actuators: Actuators) -> dict[str, float]:
    """What a perfect transmitter would read, in the tags' engineering units."""
    s = physics.state
    return {
        "LT101": s.level1,
        "LT102": s.level2,
        "FT101": physics.inflow(s),
        "FT102": physics.outflow(s),
        "FT112": s.coupling,
        "ST101": 100 * s.p101,
        "ZT102": 100 * physics.stem102,
        "TT201": s.water,
        "TT202": s.element,
        "FT201": s.circulation,
        "JT201": physics.heating(s, actuators) / 1000,
        "ST301": s.spindle,
        "TT301": s.bearing,
        "TT302": s.coolant,
        "FT301": physics.coolant_flow(actuators),
        "ZT301": 100 * physics.stem301,
        "JT301": physics.friction(s) / 1000,
    }


class Instruments:
    def __init__(self, registers: Registers, *, chance: random.Random, noise: bool) -> None:
        self._registers = registers
        self._chance = chance
        self._noise = noise
        self._seen: dict[str, float] = {}
        self._pipes = {tag: deque[float](maxlen=round(dead / STEP_S) + 1) for tag, (_, _, _, dead) in TRANSMITTERS.items() if dead}

    def measure(self, physics: Physics, actuators: Actuators) -> dict[str, float]:
        """Fills the input registers; returns the truth behind them."""
        real = truth(physics, actuators)
        seen, gauss, noise = self._seen, self._chance.gauss, self._noise
        for tag, (sigma, share, lag, dead) in TRANSMITTERS.items():
            value = real[tag]
            if dead:
                pipe = self._pipes[tag]
                pipe.append(value)
                value = pipe[0]
            before = seen.get(tag, value)
            seen[tag] = value = before + (value - before) * STEP_S / (lag + STEP_S)
            if noise:
                value += gauss(0.0, sigma + share * abs(value))
            self._registers.put(tag, value)
        return real
