"""Loops for tests: first order with dead time under PI control, many at once, and their readings around each step of the setpoint."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sentinel.model.columns import Array
from sentinel.model.observation import Readings
from sentinel.model.tags import Loop, Tag, TagMap, TagRole
from sentinel.model.time import NS_PER_S, Instant
from sentinel.model.window import Window
from tests.observations import START

DT_S, LEAD_S, WATCHED_S = 0.5, 20.0, 60.0
APART_S = 4320.0  # twenty steps a day


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Process: gain 1, ``lag_s``, ``dead_s``.  Controller: ``gain``, ``reset_s``."""

    dead_s: float = 3.0
    lag_s: float = 10.0
    gain: float = 1.6
    reset_s: float = 10.0
    noise: float = 0.2  # of a span of 100


def plant(count: int) -> TagMap:
    tags = [
        Tag(name=f"{kind}{number}", role=role, unit="%", low=0, high=100)
        for number in range(count)
        for kind, role in (("TT", TagRole.PROCESS_VALUE), ("SP", TagRole.SETPOINT))
    ]
    loops = [Loop(name=f"TIC{number}", setpoint=f"SP{number}", process_value=f"TT{number}") for number in range(count)]
    return TagMap(tuple(tags), tuple(loops))


def responses(tuning: Tuning, before: Array, after: Array, chance: np.random.Generator, seconds: float = WATCHED_S) -> Array:
    """(samples, loops): process values, at rest for `LEAD_S`, then after a step each; dead times and lags vary by 3 %."""
    count, fine_s = len(before), 0.1
    dead = np.round(tuning.dead_s * (1 + 0.03 * chance.normal(size=count)) / fine_s).astype(int)
    lag = tuning.lag_s * (1 + 0.03 * chance.normal(size=count))
    samples, every = round((LEAD_S + seconds) / fine_s), round(DT_S / fine_s)
    lead = round(LEAD_S / fine_s)
    output, value, integral = np.tile(before, (samples + 1, 1)), before.copy(), before.copy()
    read = np.empty((samples, count))
    column = np.arange(count)
    for at in range(samples):
        read[at] = value
        error = (after if at >= lead else before) - value
        integral = integral + tuning.gain * error * fine_s / tuning.reset_s
        output[at] = tuning.gain * error + integral
        delayed = np.where(at >= dead, output[np.maximum(at - dead, 0), column], before)
        value = value + (delayed - value) * fine_s / lag
    kept: Array = read[::every]
    return kept + tuning.noise * chance.normal(size=kept.shape)


def windows(
    tuning: Tuning,
    steps: int,
    loops: int,
    chance: np.random.Generator,
    begin_s: float = 0.0,
    sizes: tuple[float, float] = (6.0, 18.0),
    watched_s: float = WATCHED_S,
) -> Iterator[Window]:
    """A window around each step, up and down in turns; the polls do not keep step with the setpoint.  All are computed at once."""
    names = tuple(f"{kind}{number}" for number in range(loops) for kind in ("TT", "SP"))
    high = np.repeat(40.0 + chance.uniform(*sizes, ((steps + 1) // 2, loops)), 2, axis=0)[:steps]
    is_up = (np.arange(steps) % 2 == 0)[:, None]
    before, after = np.where(is_up, 40.0, high), np.where(is_up, high, 40.0)
    every = responses(tuning, before.ravel(), after.ravel(), chance, watched_s).reshape(-1, steps, loops)
    count = len(every)
    for step in range(steps):
        at = begin_s + APART_S * step + DT_S * np.arange(count) - chance.uniform(0.0, DT_S)
        table = np.empty((count, 2 * loops))
        table[:, 0::2] = every[:, step]
        table[:, 1::2] = np.where((np.arange(count) * DT_S >= LEAD_S)[:, None], after[step], before[step])
        times = START + np.round(np.repeat(at, 2 * loops) * NS_PER_S).astype(np.int64)
        columns = Readings(
            names=names,
            time=times,
            seen=times,
            tag=np.tile(np.arange(2 * loops, dtype=np.int32), count),
            value=table.ravel(),
            quality=np.zeros(times.size, np.uint8),
        )
        yield Window(source="poll", start=Instant(int(times[0])), end=Instant(int(times[-1]) + 1), readings=columns)
