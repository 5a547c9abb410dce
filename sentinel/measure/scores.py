"""How well verdicts agree with what really happened: shares, and the area under the curve of true against false positives."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sandbox.risk import bounds
from sentinel.measure.truth import Truth
from sentinel.model.verdict import Judgement, Verdict

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Shares 0 to 1; None where there is nothing to count.  An undecided harmful trial is a missed one."""

    auc: float | None
    tpr: float | None
    fpr: float | None
    ttv_error: float | None  # median of |time to violation - true one| / true one
    undecided: float
    harmful: int
    harmless: int
    tpr_bounds: tuple[float, float]  # exact, two-sided, `CONFIDENCE` (Clopper and Pearson, 1934)
    fpr_bounds: tuple[float, float]


def score(verdicts: Sequence[Verdict], truths: Sequence[Truth], timed: Sequence[bool]) -> Scores:
    """``timed``: the verdict's time counts from the same instant as the truth's."""
    harmful = np.array([truth.is_harmful for truth in truths], bool)
    unsafe = np.array([verdict.judgement is Judgement.UNSAFE for verdict in verdicts], bool)
    undecided = np.array([verdict.judgement is Judgement.UNDECIDED for verdict in verdicts], bool)
    errors = [
        abs(verdict.time_to_violation_s - truth.time_s) / truth.time_s
        for verdict, truth, fair in zip(verdicts, truths, timed, strict=True)
        if fair and truth.time_s and verdict.judgement is Judgement.UNSAFE and verdict.time_to_violation_s is not None
    ]
    return Scores(
        auc=area(np.array([risk(verdict) for verdict in verdicts]), harmful),
        tpr=_share(unsafe[harmful]),
        fpr=_share(unsafe[~harmful]),
        ttv_error=float(np.median(errors)) if errors else None,
        undecided=float(undecided.mean()) if len(undecided) else 0.0,
        harmful=int(harmful.sum()),
        harmless=int((~harmful).sum()),
        tpr_bounds=bounds(int(unsafe[harmful].sum()), int(harmful.sum()), CONFIDENCE),
        fpr_bounds=bounds(int(unsafe[~harmful].sum()), int((~harmful).sum()), CONFIDENCE),
    )


def risk(verdict: Verdict) -> float:
    """By which verdicts are ranked: how likely the court holds harm to be."""
    added = max((outcome.broken_with - outcome.broken_without for outcome in verdict.outcomes), default=0.5)
    if verdict.judgement is Judgement.UNSAFE:
        return max(added, verdict.probability or 0.0)
    return max(added, 0.0)


def area(ranks: "np.typing.NDArray[np.float64]", positive: "np.typing.NDArray[np.bool_]") -> float | None:
    """Area under the receiver operating characteristic: the chance that a positive ranks above a negative, ties count half (Hanley and
    McNeil, Radiology 143, 1982)."""
    above, below = ranks[positive], ranks[~positive]
    if not len(above) or not len(below):
        return None
    ordered = np.sort(below)
    wins = np.searchsorted(ordered, above, "left") + np.searchsorted(ordered, above, "right")
    return float(wins.mean() / (2.0 * len(below)))


def _share(hits: "np.typing.NDArray[np.bool_]") -> float | None:
    return float(hits.mean()) if len(hits) else None
