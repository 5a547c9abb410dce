from sentinel.model.time import NS_PER_S, Instant
from sentinel.twin.health import PROBATION_S, SETTLING_S, SILENT_S, Monitor
from sentinel.twin.snapshot import Grade

TAGS = tuple(f"T{i}" for i in range(10))


def at(seconds: float) -> Instant:
    return Instant(round(seconds * NS_PER_S))


def fed(monitor: Monitor, begin: float, end: float, far: dict[str, float], tags: tuple[str, ...] = TAGS) -> Monitor:
    """One reading per tag and second; `far` are the innovations that are not small."""
    second = begin
    while second < end:
        for tag in tags:
            monitor.heard(tag, second, at(second))
            monitor.take(tag, far.get(tag, 0.8), at(second))
        monitor.judge(at(second))
        second += 1.0
    return monitor


def test_agreement_for_a_while_is_in_step() -> None:
    monitor = Monitor(TAGS)
    assert monitor.judge(at(0)).grade is Grade.LOST
    assert fed(monitor, 0, SETTLING_S - 1, {}).health.grade is Grade.LOST
    health = fed(monitor, SETTLING_S - 1, 20, {}).health
    assert health.grade is Grade.IN_STEP
    assert health.since is not None
    assert health.since >= at(SETTLING_S)
    assert not health.deviations


def test_a_tag_that_deviates_is_named_with_its_distance_and_believed_again_later() -> None:
    monitor = fed(Monitor(TAGS), 0, 20, {})
    health = fed(monitor, 20, 40, {"T3": 6.0}).health
    assert health.grade is Grade.DEGRADED
    assert [one.tag for one in health.deviations] == ["T3"]
    assert health.deviations[0].distance is not None
    assert 5.0 < health.deviations[0].distance < 6.1
    assert "T3" in health.reason
    assert fed(monitor, 40, 80, {}).health.grade is Grade.IN_STEP


def test_one_absurd_reading_is_not_a_deviation_for_minutes() -> None:
    monitor = fed(Monitor(TAGS), 0, 20, {})
    fed(monitor, 20, 21, {"T3": 1e9})
    assert monitor.deviates("T3", at(21))
    assert fed(monitor, 21, 60, {}).health.grade is Grade.IN_STEP


def test_many_deviations_mean_that_the_twin_is_lost() -> None:
    monitor = fed(Monitor(TAGS), 0, 20, {})
    health = fed(monitor, 20, 40, dict.fromkeys(TAGS[:5], 8.0)).health
    assert health.grade is Grade.LOST
    assert "5 of 10 tags" in health.reason


def test_silence_degrades_then_loses() -> None:
    monitor = fed(Monitor(TAGS), 0, 20, {})
    fed(monitor, 20, 22 + SILENT_S, {}, TAGS[1:])
    assert monitor.health.grade is Grade.DEGRADED
    assert monitor.health.deviations[0].distance is None
    assert "no usable reading" in monitor.health.deviations[0].why
    assert monitor.judge(at(60)).grade is Grade.LOST


def test_a_refused_reading_says_why() -> None:
    monitor = fed(Monitor(TAGS), 0, 20, {})
    monitor.refuse("T0", "its value is not a number")
    fed(monitor, 20, 22 + SILENT_S, {}, TAGS[1:])
    assert monitor.health.deviations[0].why == "its value is not a number"


def test_after_a_reset_a_tag_that_deviated_is_on_probation() -> None:
    monitor = fed(Monitor(TAGS), 0, 20, {})
    fed(monitor, 20, 40, {"T3": 6.0})
    monitor.reset("begun anew", at(40))
    assert monitor.health.grade is Grade.LOST
    health = fed(monitor, 40, 40 + SETTLING_S + 3, {}).health
    assert health.grade is Grade.DEGRADED
    assert [one.tag for one in health.deviations] == ["T3"]
    assert fed(monitor, 40 + SETTLING_S + 3, 43 + PROBATION_S, {}).health.grade is Grade.IN_STEP


def test_a_frozen_tag_is_called_frozen_and_does_not_become_right_by_waiting() -> None:
    monitor = fed(Monitor(TAGS), 0, 20, {})
    for second in range(20, 60):
        for tag in TAGS:
            monitor.heard(tag, 4.2 if tag == "T3" else float(second), at(second))
            monitor.take(tag, 7.0 if tag == "T3" else 0.5, at(second))
    health = monitor.judge(at(60))
    assert "unchanged for" in health.deviations[0].why
    assert monitor.longest_deviation_s(at(60)) == 0.0


def test_what_an_invariant_watches_and_nobody_reads_is_named() -> None:
    health = fed(Monitor(TAGS, needed=("T3", "LT101")), 0, 20, {}).health
    assert health.grade is Grade.DEGRADED
    assert [(one.tag, one.distance) for one in health.deviations] == [("LT101", None)]
    assert "never been read" in health.deviations[0].why


def test_a_register_that_stands_still_is_not_in_step_even_where_the_forecast_agrees() -> None:
    monitor = Monitor(TAGS, ranges=dict.fromkeys(TAGS, (-1000.0, 1000.0)))
    for second in range(240):
        for tag in TAGS:
            monitor.heard(tag, 70.0 if tag == "T3" and second > 120 else float(20 + second * 7 % 50), at(second))
            monitor.take(tag, 0.5, at(second))
    health = monitor.judge(at(240))
    assert [one.tag for one in health.deviations] == ["T3"]
    assert "stood still" in health.deviations[0].why
    assert monitor.deviates("T3", at(240))
    monitor.heard("T3", 70.0, at(241), rests=True)  # in manual, say
    assert not monitor.deviates("T3", at(241))
