"""What the twin takes each tag to be, from a snapshot: the middle and the spread of its members, and how readings fit.

In: a model and a snapshot.  Out: one `Estimate` per tag that the twin measures or drives, in the tag's unit.  Interlocks count: a pump that
is tripped has no flow.
"""

from dataclasses import dataclass

from sentinel.model.observation import Readings
from sentinel.model.protocol import Quality
from sentinel.twin.engine import Model, rollout
from sentinel.twin.snapshot import Snapshot

STATE_PREFIX = "twin:"  # a state among tags: no tag begins so

_NOW_S = 1e-3  # a rollout of no length has no values; nothing of a plant moves in a millisecond


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """``distance``: of the tag's recent readings from what was forecast, in standard deviations; None where nothing deviates, and where
    ``why`` says that the tag is silent or unusable."""

    tag: str
    unit: str
    value: float
    spread: float  # one standard deviation over the members
    distance: float | None = None
    why: str | None = None


def estimates(model: Model, snapshot: Snapshot) -> tuple[Estimate, ...]:
    """Members that are not physical are left out; raises ValueError for a snapshot of another model."""
    tags = [output.tag for output in model.outputs]
    run = rollout(model, snapshot, {}, _NOW_S, record=tags, record_every_s=_NOW_S)
    deviating = {one.tag: one for one in snapshot.health.deviations}
    found = []
    for output in model.outputs:
        values = run.trajectories[output.tag][-1][run.valid]
        if len(values):
            one = deviating.get(output.tag)
            found.append(
                Estimate(
                    tag=output.tag,
                    unit=output.unit,
                    value=float(values.mean()),
                    spread=float(values.std()),
                    distance=one.distance if one else None,
                    why=one.why if one else None,
                )
            )
    return tuple(found)


def state_readings(model: Model, snapshot: Snapshot) -> Readings:
    """The middle of each state over the members, in the state's own unit, as "twin:T101.level"; uncertain unless the twin is in step."""
    names = tuple(f"{STATE_PREFIX}{state.name}" for state in model.plant.states)
    means = snapshot.states.mean(axis=0)
    values = [float(state.unit.from_si(mean)) for state, mean in zip(model.plant.states, means, strict=True)]
    quality = Quality.GOOD if snapshot.health.is_in_step else Quality.UNCERTAIN
    count = len(names)
    return Readings.of(
        names, time=[snapshot.at] * count, seen=[snapshot.at] * count, tag=range(count), value=values, quality=[quality] * count
    )
