"""A spindle that can be heard: shaft harmonics, flow noise, and a rolling bearing whose outer race may be worn.

A worn race is struck by each ball in turn: bursts of a resonance, `STRIKES_PER_TURN` times a turn with some slip (the geometry of an
eight-ball bearing).  From a seed; amplitudes are shares of full scale.
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import wavfile

RATE_HZ = 16_000
STRIKES_PER_TURN = 3.05
RESONANCE_HZ, DECAY_S = 5_200.0, 0.0012
SLOW, FAST = 1_500.0, 3_000.0  # rpm

Array = Any


def sound(seconds: float, seed: int, *, rpm: float = SLOW, worn: float = 0.0, begins_s: float = 0.0, rate_hz: int = RATE_HZ) -> Array:
    """``worn``: the amplitude of a strike, from ``begins_s`` on growing within 30 s to its full size."""
    chance = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    turn_hz = rpm / 60.0 * (1.0 + 0.002 * np.cumsum(chance.normal(0, 1, len(time))) / np.sqrt(len(time)))
    angle = 2 * np.pi * np.cumsum(turn_hz) / rate_hz
    told = sum(0.02 / order * np.sin(order * angle + chance.uniform(0, 6.28)) for order in (1, 2, 3, 5))
    told = told + chance.normal(0, 0.01 * (rpm / SLOW), len(time))
    if worn:
        strikes = np.flatnonzero(np.diff(np.floor(STRIKES_PER_TURN * angle / (2 * np.pi) + 0.02 * chance.normal(0, 1, len(time)))) > 0)
        burst = np.exp(-np.arange(round(6 * DECAY_S * rate_hz)) / (DECAY_S * rate_hz))
        burst = burst * np.sin(2 * np.pi * RESONANCE_HZ * np.arange(len(burst)) / rate_hz)
        blows = np.zeros(len(time))
        blows[strikes] = worn * np.clip((time[strikes] - begins_s) / 30.0, 0.0, 1.0)
        told = told + np.convolve(blows, burst)[: len(time)]
    return np.asarray(told)


def to_wav(path: Path, samples: Array, rate_hz: int = RATE_HZ) -> Path:
    wavfile.write(path, rate_hz, np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16))
    return path
