"""Severity from consequence: how bad it is if it is true; what the twin saw outranks what the wire suggests."""

from sentinel.model.detection import Severity
from sentinel.model.verdict import Intent, Judgement, Verdict

_SURE = 0.9  # share of members, lower confidence bound


def severity_of_verdict(verdict: Verdict) -> Severity | None:
    """None: the verdict says nothing that would raise a finding."""
    if verdict.judgement is not Judgement.UNSAFE:
        return None
    sure = verdict.probability is not None and verdict.probability >= _SURE
    return Severity.CRITICAL if sure or verdict.intent is Intent.TARGETED else Severity.HIGH


def lowered(severity: Severity) -> Severity:
    return Severity(max(Severity.INFO, severity - 1))


def together(confidences: list[float]) -> float:
    """Independent voices: one minus the chance that all of them err."""
    doubt = 1.0
    for confidence in confidences:
        doubt *= 1.0 - confidence
    return round(1.0 - doubt, 4)
