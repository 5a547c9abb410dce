"""Was it meant?  Evidence that an unsafe command is an attack rather than a slip, a sentence for each piece, and what it adds up to.

Accidents lack sequence, impairment and concealment.  So a drift, a moved trip limit and a preceding scan weigh two points each, and so
does a source that has never written before.  One point: a controller taken to manual, tags that only others wrote so far, a time of day
at which the source never wrote, a value that leads to more harm than nearly any other.  `targeted` from three points on; `mistake` when
harm alone speaks; `unknown` between.  Only unsafe commands have an intent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from sandbox.defences import Impairment
from sandbox.drift import Trend
from sandbox.protocol import Context
from sandbox.replay import Pausing, Replay, merged
from sandbox.words import listed
from sentinel.model.command import Command
from sentinel.model.tags import TagRole
from sentinel.model.verdict import Intent
from sentinel.twin.engine import Rollout, Writes
from sentinel.twin.snapshot import Deviation, Snapshot

PROBES = 24
PROBE_MEMBERS = 16
HIGH_PERCENTILE = 0.95
TARGETED_FROM = 3
_STRONG, _WEAK = 2, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    says: str
    weight: int
    is_deliberate: bool = True  # harm alone is not: a slip can be as harmful


def weigh(evidence: Sequence[Evidence]) -> Intent:
    if sum(piece.weight for piece in evidence) >= TARGETED_FROM:
        return Intent.TARGETED
    return Intent.UNKNOWN if any(piece.is_deliberate for piece in evidence) else Intent.MISTAKE


def gather(
    command: Command,
    context: Context,
    weakened: Sequence[Impairment],
    trends: Sequence[Trend],
    contradicting: Sequence[Deviation],
    percentile: float | None,
) -> tuple[Evidence, ...]:
    """``contradicting``: what is read in the part of the plant that the command moves, and is not believed."""
    found = [  # operators take controllers to manual every day; they do not move trip limits
        Evidence(says=f"it impairs a defence: {one.says}", weight=_WEAK if one.takes_manual else _STRONG) for one in weakened
    ]
    for trend in trends:
        says = f"{trend.moves} writes have moved {trend.tag} in one direction, from {trend.first:g} to {trend.value:g}"
        found.append(Evidence(says=says, weight=_STRONG))
    if context.source_is_new:
        found.append(Evidence(says=f"{command.source} has never written before", weight=_STRONG))
    if context.source_scanned:
        found.append(Evidence(says=f"{command.source} has looked around in the network before", weight=_STRONG))
    if context.source_days_without:
        says = f"{command.source} has written for {context.source_days_without} days, and never at this time of day"
        found.append(Evidence(says=says, weight=_WEAK))
    sources = sorted({step.source for step in context.steps if step.applied and step.source != command.source})
    if sources:
        tags = {write.tag for write in command.writes}
        others = [source for source in sources if any(step.source == source and step.tag in tags for step in context.steps)]
        if others and not any(step.source == command.source and step.tag in tags for step in context.steps):
            says = f"these tags were written by {listed(others)} so far, never by {command.source}"
            found.append(Evidence(says=says, weight=_WEAK))
    if contradicting:
        shown = listed([f"{one.tag} ({one.why})" for one in contradicting])
        found.append(Evidence(says=f"readings contradict the plant where it moves it: {shown}", weight=_WEAK))
    if percentile is not None and percentile >= HIGH_PERCENTILE:
        says = f"it leads to more harm than {100 * percentile:.0f} % of random values of the same tags"
        found.append(Evidence(says=says, weight=_WEAK, is_deliberate=False))
    return tuple(found)


def harm(replay: Replay, run: Rollout, members: int) -> float:
    """How deep the worst invariant falls, as a share of its span, averaged over the first members.  Higher is worse."""
    spans = np.array([one.span for one in replay.plant.invariants])
    valid = run.valid[:members]
    if not valid.any():
        return float("inf")
    return float((-run.robustness[:, :members][:, valid].mean(axis=1) / spans).max())


def harm_percentile(replay: Replay, snapshot: Snapshot, before: Writes, writes: Writes, run: Rollout, seed: int) -> Pausing[float | None]:
    """The share of random feasible writes of the same tags that harm less.  None where there is no choice: switches have two values."""
    tags = [replay.plant.tags.by_name[name] for name in writes]
    if all(tag.role is TagRole.MODE for tag in tags):
        return None
    random = Random(seed)  # noqa: S311 - a fixed seed, so that the verdict can be replayed
    own, less = harm(replay, run, PROBE_MEMBERS), 0
    for _ in range(PROBES):
        drawn: Mapping[str, float] = {
            tag.name: float(random.getrandbits(1)) if tag.role is TagRole.MODE else random.uniform(tag.low, tag.high) for tag in tags
        }
        yield
        other = replay.run(snapshot, merged(before, drawn), PROBE_MEMBERS)
        less += harm(replay, other, PROBE_MEMBERS) < own
    return less / PROBES
