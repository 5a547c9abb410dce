"""What the twin takes each tag to be, from a snapshot: the middle and the spread of its members, and how readings fit.

In: a model and a snapshot.  Out: one `Estimate` per tag that the twin measures or drives, in the tag's unit.  Interlocks count: a pump that
is tripped has no flow.
"""

from dataclasses import dataclass

from sentinel.twin.engine import Model, rollout
from sentinel.twin.snapshot import Snapshot

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
