"""Learning beside the anchor: what it takes, what it shows, and that nothing it takes changes what judges."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from sentinel.baseline.drift import BLOCK_NS
from sentinel.baseline.lifecycle import BaselineState
from sentinel.baseline.store import Baseline, from_octets, to_octets
from sentinel.candidate import WITHHELD_NS, Candidate
from sentinel.detect.catalogue import detectors
from sentinel.detect.strokes import Strokes
from sentinel.errors import InputError
from sentinel.model.detection import Detection, Severity
from sentinel.model.finding import FindingState
from sentinel.model.observation import Heard
from sentinel.model.tags import Tag, TagMap, TagRole
from sentinel.model.time import Instant, seconds_between
from sentinel.model.window import Window
from sentinel.pipeline import Analysis
from sentinel.ports import Detector
from tests.observations import MASTER, PLC, STRANGER, at, detection, flow, heard, polling, readings, request, window
from tests.unit.detect.test_strokes import _operated

_TAGS = TagMap((
    Tag(name="LT101", role=TagRole.PROCESS_VALUE, unit="m", low=0.0, high=2.0),
    Tag(name="FT201", role=TagRole.PROCESS_VALUE, unit="m3/h", low=0.0, high=20.0),
))  # fmt: skip
_DAY = 1440  # minutes
_SPREAD = 0.1  # of LT101 over a day, m


def fresh() -> Sequence[Detector]:
    return [each for each in detectors(_TAGS) if each.spec.name in ("limits", "novelty", "residual", "writers")]


def minutes(since: int, until: int, walk_m_per_day: float = 0.0) -> Iterator[Window]:
    """A window a minute.  The level swings with the day; FT201 follows it; ``walk`` is what somebody adds to LT101."""
    chance = np.random.default_rng(since)
    for minute in range(since, until):
        level = 1.0 + _SPREAD * np.sqrt(2) * np.sin(2 * np.pi * minute / _DAY) + chance.normal(0, 0.005)
        flow_ = 10.0 + 20.0 * (level - 1.0) + chance.normal(0, 0.1)
        told = level + walk_m_per_day * (minute - since) / _DAY
        rows = readings((60.0 * minute + 0.5, "LT101", told), (60.0 * minute + 0.5, "FT201", flow_))
        yield window(60 * minute, readings=rows)


def learnt(windows: Iterable[Window]) -> Baseline:
    learner = Candidate(Baseline(detectors={}), fresh)
    for each in windows:
        learner.take(each, ())
    return learner.baseline()


@pytest.fixture(scope="module")
def anchor() -> Baseline:
    return learnt(minutes(0, 2 * _DAY))


def test_a_slow_poison_over_a_fortnight_shows_as_drift_against_an_anchor_that_stands(anchor: Baseline) -> None:
    """A fifth of a deviation a day.  Each day alone is like the day before; a baseline that follows would never tell."""
    before, told = to_octets(anchor), []
    candidate = Candidate(anchor, fresh)
    for each in minutes(2 * _DAY, 16 * _DAY, walk_m_per_day=0.2 * _SPREAD):
        told += candidate.take(each, ())
    (found,) = told
    day = seconds_between(Instant(at(2 * 60 * _DAY)), found.seen) / 86_400
    assert (found.tags, found.severity) == (("LT101",), Severity.MEDIUM)
    assert 3 <= day <= 9, "after the whole walk of 2.8 deviations nobody needs to be told"
    (moved,) = candidate.drift.moved()
    assert moved.deviations == pytest.approx(2.8, abs=1.0)
    assert moved.since < found.seen
    assert to_octets(anchor) == before


def test_a_fortnight_like_the_one_before_is_no_drift(anchor: Baseline) -> None:
    candidate = Candidate(anchor, fresh)
    assert [found for each in minutes(2 * _DAY, 16 * _DAY) for found in candidate.take(each, ())] == []
    assert candidate.levels.apart(candidate.drift.anchor) < 0.1


def test_one_poisoned_window_in_a_hundred_moves_a_candidate_by_next_to_nothing(anchor: Baseline) -> None:
    """Unseen by every detector, as the poisoner hopes.  Even when it is promoted, the candidate finds the attack."""
    candidate = Candidate(anchor, fresh)
    for number, each in enumerate(minutes(2 * _DAY, 4 * _DAY)):
        poisoned = number % 100 == 50
        rows = readings((60.0 * (2 * _DAY + number) + 0.5, "LT101", 1.9), (60.0 * (2 * _DAY + number) + 0.5, "FT201", 10.0))
        candidate.take(window(60 * (2 * _DAY + number), readings=rows) if poisoned else each, ())
    mean, deviation = candidate.levels.of("LT101") or (0.0, 0.0)
    clean, spread = candidate.drift.anchor.of("LT101") or (0.0, 0.0)
    assert abs(mean - clean) < 0.15 * spread
    assert deviation < 1.5 * spread
    judging = list(fresh())
    for detector in judging:
        detector.restore(from_octets(to_octets(candidate.baseline())).detectors[detector.spec.name])
    attack = [window(60 * 4 * _DAY + s, readings=readings((240.0 * _DAY + s + 0.5, "LT101", 1.9), (240.0 * _DAY + s + 0.5, "FT201", 10.0)))
              for s in range(20)]  # fmt: skip
    assert "residual" in {found.detector for each in attack for detector in judging for found in detector.score(each)}


def said(second: float, severity: Severity) -> list[Detection]:
    return [detection(second, f"actor:{STRANGER}", severity=severity)]


def test_what_is_reported_is_never_learnt_nor_what_follows_grave_news() -> None:
    anchor = learnt(map(polling, range(60)))
    taught = []
    for strange in (False, True):
        candidate = Candidate(anchor, fresh)
        for second in range(100, 2000):
            odd = window(second, [request(second + 0.1, client=STRANGER)], [flow(second + 0.1, source=STRANGER)])
            if strange and second in (200, 300):
                assert candidate.take(odd, said(second, Severity.HIGH if second == 300 else Severity.MEDIUM)) == []
            elif second in (200, 300) or 300 < second <= 300 + WITHHELD_NS / 1e9:
                if strange:
                    candidate.take(odd, ())
            else:
                candidate.take(polling(second), ())
        taught.append(candidate)
    clean, poisoned = taught
    assert poisoned.withheld == 902
    assert to_octets(Baseline(detectors=poisoned.baseline().detectors)) == to_octets(Baseline(detectors=clean.baseline().detectors))


def test_what_became_usual_is_told_with_its_first_hour() -> None:
    anchor = learnt(map(polling, range(60)))
    candidate, told = Candidate(anchor, fresh), []
    hour = BLOCK_NS // 10**9
    for second in range(0, 3 * hour, 20):
        odd = second > hour
        each = window(second, [request(second + 0.1, client=MASTER, function=3 if not odd else 4)], [flow(second + 0.1)])
        told += candidate.take(each, ())
    (found,) = told
    assert found.observed == f"operation {MASTER} {PLC} 1 1 4 -1"
    assert found.severity is Severity.LOW
    assert list(candidate.added) == [found.observed]


def test_a_candidate_goes_on_after_a_restart(anchor: Baseline) -> None:
    whole, first, second = (Candidate(anchor, fresh) for _ in range(3))
    told: list[list[Detection]] = [[], []]
    for each in minutes(2 * _DAY, 9 * _DAY, walk_m_per_day=0.2 * _SPREAD):
        told[0] += whole.take(each, ())
    for number, each in enumerate(minutes(2 * _DAY, 9 * _DAY, walk_m_per_day=0.2 * _SPREAD)):
        if number == 4 * _DAY + 17:
            second.resume(from_octets(to_octets(Baseline(detectors=first.checkpoint()))).detectors)
        told[1] += (first if number < 4 * _DAY + 17 else second).take(each, ())
    assert told[0] == told[1] != []
    assert to_octets(second.baseline()) == to_octets(whole.baseline())
    assert (second.windows, second.drift.moved()) == (whole.windows, whole.drift.moved())


def test_a_foreign_checkpoint_is_refused(anchor: Baseline) -> None:
    candidate = Candidate(anchor, fresh)
    good = dict(candidate.checkpoint())
    for name, part in (("candidate", {}), ("candidate levels", {"tags": 3}), ("candidate drift", {}), ("candidate novelty", {"tree": {}})):
        with pytest.raises(InputError, match="checkpoint cannot be read"):
            candidate.resume({**good, name: part})
    with pytest.raises(InputError, match="checkpoint cannot be read"):
        candidate.resume({})


# -- on the road --


def polled(since: int, until: int) -> Heard:
    return heard(until, [request(second + 0.1) for second in range(since, until)], [flow(second + 0.1) for second in range(since, until)])


def analysis() -> Analysis:
    return Analysis(fresh=detectors)


def test_learning_and_what_follows_it_go_on_after_a_restart() -> None:
    first, second = analysis(), analysis()
    first.heard(polled(0, 40))
    second.resume(from_octets(to_octets(first.checkpoint())))
    assert second.progress().windows == first.progress().windows == 40
    second.heard(polled(40, 80))
    second.activate()
    second.heard(polled(80, 120))
    assert second.candidate is not None
    third = analysis()
    third.restore(second.baseline())
    third.resume(from_octets(to_octets(second.checkpoint())))
    assert third.candidate is not None
    assert third.candidate.windows == second.candidate.windows == 40
    with pytest.raises(InputError, match="that is active, this one is learning"):
        analysis().resume(second.checkpoint())


def test_a_promoted_candidate_judges_and_the_one_before_can_come_back() -> None:
    one = analysis()
    one.heard(polled(0, 60))
    one.activate()
    before = one.baseline()
    one.heard(heard(100, [request(s + 0.1, function=4) for s in range(60, 100)], [flow(s + 0.1) for s in range(60, 100)]))
    assert [finding.severity for finding in one.findings] == [Severity.LOW]
    assert one.candidate is not None
    one.promote(one.candidate.baseline())
    assert one.state is BaselineState.ACTIVE
    one.heard(heard(110, [request(105.1, function=4)], [flow(105.1)]))
    assert one.findings[0].last_seen < at(100), "it is usual now"
    one.promote(before)
    one.heard(heard(120, [request(115.1, function=4)], [flow(115.1)]))
    assert one.findings[0].last_seen == at(115.1)


def test_what_a_person_says_is_normal_for_a_time_is_learnt_beside_the_anchor() -> None:
    one = analysis()
    one.heard(polled(0, 60))
    one.activate()

    def busy(since: int, until: int) -> Heard:
        odd = [flow(second + 0.2, port=8080) for second in range(since, until)]
        return heard(
            until, [request(second + 0.1) for second in range(since, until)], [*odd, *(flow(s + 0.1) for s in range(since, until))]
        )

    one.heard(busy(60, 80))
    (finding,) = one.findings
    assert one.candidate is not None
    assert (finding.severity, one.candidate.windows) == (Severity.MEDIUM, 0)
    one.labelled(replace(finding, state=FindingState.DISMISSED, quiet_until=Instant(at(100)), learnt=True))
    one.heard(busy(80, 120))
    assert one.candidate.windows == 20, "until its end"
    assert [each.state for each in one.findings] == [FindingState.DISMISSED, FindingState.OPEN]


_VALVE = TagMap((Tag(name="V101.POS", role=TagRole.PROCESS_VALUE, unit="%", low=0, high=100),))


def test_beside_its_judge_it_learns_the_strokes_that_it_would_read_itself() -> None:
    chance = np.random.default_rng(4)
    judge, beside, alone = Strokes(_VALVE), Strokes(_VALVE), Strokes(_VALVE)
    judge.activate()
    for each in _operated(20, 10.0, chance, 0):
        judge.score(each)
        beside.learn_beside(judge, each)
        alone.learn(each)
    beside.learn_beside(Strokes(_VALVE), window(3600))  # a judge that has not scored it: read after all
    alone.learn(window(3600))
    for each in (beside, alone):
        each.activate()
    assert beside.state() == alone.state()
    assert len(alone.state()["actuators"]) == 2
