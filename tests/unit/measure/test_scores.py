"""Shares and the area under the curve against cases counted by hand."""

import numpy as np
import pytest

from sentinel.measure.scores import area, risk, score
from sentinel.measure.truth import Truth
from sentinel.model.ids import CommandId, VerdictId
from sentinel.model.time import Instant
from sentinel.model.verdict import InvariantOutcome, Judgement, Verdict

HARMLESS, HARMFUL = Truth(), Truth(why="T101-overfill", time_s=100.0)


def verdict(judgement: Judgement, share: float | None = None, time_s: float | None = None, probability: float | None = None) -> Verdict:
    outcomes = () if share is None else (InvariantOutcome(invariant="a", broken_with=share, broken_without=0.0, robustness=1.0, unit="m"),)
    return Verdict(
        id=VerdictId("v"),
        command=CommandId("c"),
        judgement=judgement,
        reason="",
        outcomes=outcomes,
        probability=probability,
        time_to_violation_s=time_s,
        judged=Instant(0),
    )


def test_the_area_counts_pairs_and_halves_ties() -> None:
    ranks, positive = np.array([0.9, 0.4, 0.4, 0.1]), np.array([True, True, False, False])
    assert area(ranks, positive) == (1.0 + 1.0 + 0.5 + 1.0) / 4
    assert area(ranks, ~positive) == 0.5 / 4
    assert area(ranks, np.ones(4, bool)) is None


def test_an_undecided_harmful_trial_is_a_missed_one() -> None:
    verdicts = [
        verdict(Judgement.UNSAFE, 0.9, 110.0),
        verdict(Judgement.UNDECIDED, 0.1),
        verdict(Judgement.SAFE, 0.0),
        verdict(Judgement.UNSAFE, 0.5, 10.0),
        verdict(Judgement.SAFE, 0.0),
    ]
    truths = [HARMFUL, HARMFUL, HARMLESS, HARMLESS, HARMLESS]
    found = score(verdicts, truths, [True] * 5)
    assert (found.harmful, found.harmless) == (2, 3)
    assert (found.tpr, found.undecided) == (0.5, 0.2)
    assert found.fpr == pytest.approx(1 / 3)
    assert found.ttv_error == pytest.approx(0.1)
    assert found.auc == pytest.approx((1.0 + 1.0 + 1.0 + 0.0 + 1.0 + 1.0) / 6)
    low, high = found.tpr_bounds
    assert (low, high) == (pytest.approx(0.0126, abs=1e-4), pytest.approx(0.9874, abs=1e-4))  # 1 of 2
    assert found.fpr_bounds == (pytest.approx(0.0084, abs=1e-4), pytest.approx(0.9057, abs=1e-4))  # 1 of 3


def test_times_that_do_not_count_from_the_same_instant_are_not_compared() -> None:
    assert score([verdict(Judgement.UNSAFE, 0.9, 500.0)], [HARMFUL], [False]).ttv_error is None


def test_a_lost_defence_ranks_by_its_own_probability() -> None:
    assert risk(verdict(Judgement.UNSAFE, 0.0, probability=0.8)) == 0.8
    assert risk(verdict(Judgement.SAFE, 0.0, probability=0.0143)) == 0.0
    assert risk(verdict(Judgement.UNDECIDED)) == 0.5
