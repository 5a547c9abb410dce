"""How long the estimator takes to bring its ensemble one slot further, when every measured tag has been read in it.

The readings are those of a member whose parameters were drawn, with the noise of its transmitters: the twin's own equations, so this says
what an update costs and not how good it is.
"""

import time

import numpy as np

from sentinel.clock import Clock
from sentinel.model.observation import Readings
from sentinel.model.time import NS_PER_S, Instant
from sentinel.twin.engine import Model, initial, rollout
from sentinel.twin.sync import SLOT_NS, Sync

_BEGIN = Instant(NS_PER_S)
_SETTLED = 100  # slots until the twin is in step and both of its free-running copies run


def updates_ms(model: Model, members: int, updates: int, clock: Clock) -> tuple[list[float], list[float]]:
    """Milliseconds of each of so many updates: elapsed, and of the processor alone."""
    sync = Sync(model, members=members)
    times, values = _recording(model, (updates + _SETTLED) * SLOT_NS / NS_PER_S)
    tags = tuple(values)
    chance = np.random.default_rng(7)
    noise = {sensor.tag.name: sensor.accuracy for sensor in model.plant.sensors}
    took: list[float] = []
    worked: list[float] = []
    for slot in range(updates + _SETTLED):
        at = Instant(_BEGIN + slot * SLOT_NS)
        now = [float(np.interp(slot * SLOT_NS / NS_PER_S, times, values[tag]) + noise[tag] * chance.standard_normal()) for tag in tags]
        readings = Readings.of(tags, time=[at] * len(tags), seen=[at] * len(tags), tag=range(len(tags)), value=now)
        begun, idle = clock.monotonic_s(), time.thread_time()
        sync.observe(readings, Instant(at + SLOT_NS))
        worked.append(1e3 * (time.thread_time() - idle))
        took.append(1e3 * (clock.monotonic_s() - begun))
    assert sync.health.is_in_step, sync.health.reason
    return took[_SETTLED:], worked[_SETTLED:]


def _recording(model: Model, seconds: float) -> tuple[list[float], dict[str, list[float]]]:
    other = initial(model, 2, seed=9)
    tags = [sensor.tag.name for sensor in model.plant.sensors]
    run = rollout(model, other, {}, max(seconds + 1.0, 2.0), record=tags)
    return run.times_s.tolist(), {tag: run.trajectories[tag][:, 1].tolist() for tag in tags}
