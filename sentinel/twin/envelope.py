"""The envelope: what is engineered safe, as plain numbers for whoever compares.

In: a `Plant`.  Out: per tag its engineered range and the invariants over it, in the tag's unit.  Nothing here is learnt.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sentinel.model.detection import Severity
from sentinel.model.tags import TagRole
from sentinel.twin.plant import Plant


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A side of an invariant: the tag must stay at or below (above) `limit`, always."""

    invariant: str
    limit: float
    is_upper: bool
    severity: Severity
    impact: str | None  # ATT&CK technique id
    says: str

    def distance(self, value: float) -> float:
        """Signed, in the tag's unit; negative = broken."""
        return self.limit - value if self.is_upper else value - self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class TagEnvelope:
    tag: str
    role: TagRole
    unit: str
    low: float  # engineered range: what the instrument shows, what an operator may set
    high: float
    is_writable: bool
    bounds: tuple[Bound, ...] = ()

    def contains(self, value: float) -> bool:
        return self.low <= value <= self.high

    def nearest(self, value: float) -> tuple[Bound, float] | None:
        """The bound with the smallest signed distance, and that distance; None where no invariant speaks of the tag."""
        return min(((bound, bound.distance(value)) for bound in self.bounds), key=lambda pair: pair[1], default=None)


def envelope(plant: Plant) -> Mapping[str, TagEnvelope]:
    """By tag name, every tag of the plant file."""
    bounds: dict[str, list[Bound]] = {}
    for one in plant.invariants:
        if one.counts:
            continue  # no reading says how often something was started
        bounds.setdefault(one.tag.name, []).append(
            Bound(
                invariant=one.name,
                limit=one.limit,
                is_upper=one.is_upper,
                severity=one.severity,
                impact=one.impact,
                says=one.says,
            )
        )
    return {
        tag.name: TagEnvelope(
            tag=tag.name,
            role=tag.role,
            unit=tag.unit,
            low=tag.low,
            high=tag.high,
            is_writable=tag.writable,
            bounds=tuple(bounds.get(tag.name, ())),
        )
        for tag in plant.tags.tags
    }
