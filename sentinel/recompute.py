"""Recompute: does the evidence of a finding lead to the same finding again?

In: a finding as it is kept, what the sensor hears in its excerpt, and an analysis that judges by the baseline that judged then.  Out: of
each detection that the finding rests on, whether the excerpt leads to the same one: the same cause, techniques, severity and reason, at
the same instant.  Nothing but the excerpt and the baseline is used, so the answer is the same on any machine.

What cannot come again is known beforehand, and stands in `BEYOND`: detectors that weigh more of the past than an excerpt holds, or no
frames at all.  Where one of them does come again, that is said all the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sentinel.model.detection import Detection
from sentinel.model.finding import Finding
from sentinel.model.observation import Heard
from sentinel.pipeline import Analysis

_READINGS = "rests on readings of the tags, which the history keeps, not on frames"

# detector, or "detector/feature" where it is not all that the detector says: why an excerpt may not lead to it again
BEYOND: Mapping[str, str] = {
    "covert_channel": "needs 256 readings of a range, each unlike the one before",
    "dynamics": _READINGS,
    "identity": "compares with what the device said of itself before, perhaps days ago",
    "limits/learnt rate": "compares a reading with the one before, perhaps more than a minute ago",
    "liveness": _READINGS,
    "logins": "counts refusals of up to six hours, each over a connection of its own",
    "quiet": _READINGS,
    "residual": _READINGS,
    "sequence": "compares with where in its cycle a channel was before",
    "sources": "compares readings of several sources; an excerpt holds what one of them was heard to say",
    "spectrum": _READINGS,
    "strokes": _READINGS,
    "timing": "measures silence, and the pace of the last eleven polls",
    "volume/flood of packets": "counts all packets of ten seconds; an excerpt holds the first of each second",
}


class Outcome(StrEnum):
    SAME = "the same"
    DIFFERS = "differs"
    BEYOND = "beyond the excerpt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recomputed:
    """``reason``: what is different, or why the excerpt cannot tell."""

    detection: Detection  # as the finding has it
    outcome: Outcome
    reason: str = ""


def recomputed(finding: Finding, excerpt: Iterable[Heard], analysis: Analysis) -> list[Recomputed]:
    """``analysis`` has heard nothing yet.  One answer for each kind of detection, in the finding's order."""
    for heard in excerpt:
        analysis.heard(heard)
    analysis.flush()
    again = [detection for found in analysis.findings for detection in found.detections]
    return [_compared(detection, again) for detection in finding.detections]


def _compared(told: Detection, again: Iterable[Detection]) -> Recomputed:
    alike = [one for one in again if (one.detector, one.feature) == (told.detector, told.feature)]
    if any(_said(one) == _said(told) for one in alike):
        return Recomputed(detection=told, outcome=Outcome.SAME)
    beyond = (
        BEYOND.get(told.detector)
        or BEYOND.get(f"{told.detector}/{told.feature}")
        or (None if told.frames else "rests on no frame of its own")
    )
    if beyond is not None:
        return Recomputed(detection=told, outcome=Outcome.BEYOND, reason=beyond)
    closest = next((one for one in alike if one.cause == told.cause), alike[0] if alike else None)
    return Recomputed(detection=told, outcome=Outcome.DIFFERS, reason=_difference(told, closest))


def _said(detection: Detection) -> Mapping[str, object]:
    return {name: getattr(detection, name) for name in ("cause", "techniques", "severity", "why", "seen")}


def _difference(told: Detection, closest: Detection | None) -> str:
    if closest is None:
        return "the excerpt does not lead to it"
    first, second = _said(told), _said(closest)
    return "; ".join(f"{name}: told {first[name]!r}, now {second[name]!r}" for name in first if first[name] != second[name])
