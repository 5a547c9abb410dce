"""Dormant writes: harmless only because something stands still at the moment, and harmful once it runs again.

In: what stands in the writable tags, and the writes.  Out: the modes that would wake the plant.  A setpoint far out of bounds does nothing
while its pump is stopped for a changeover; the court judges it as if the pump ran, for it will.
"""

from collections.abc import Mapping

from sentinel.model.tags import TagRole
from sentinel.twin.engine import Writes
from sentinel.twin.plant import Plant


def awakened(plant: Plant, standing: Writes, writes: Writes) -> Mapping[str, float]:
    """Every mode that is not where the plant file starts it, put there; empty when none sleeps, or when the command sets modes only."""
    roles = plant.tags.by_name
    if all(roles[tag].role is TagRole.MODE for tag in writes):
        return {}
    return {
        one.tag.name: one.start
        for one in plant.inputs
        if one.tag.role is TagRole.MODE and one.tag.name not in writes and standing[one.tag.name] != one.start
    }
