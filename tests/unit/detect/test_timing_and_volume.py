import numpy as np

from sentinel.detect.timing import Timing, _Rhythm, learn_all
from sentinel.detect.volume import MIN_CONNECTIONS, Volume
from sentinel.model.detection import Severity
from sentinel.model.time import NS_PER_S
from tests.observations import MASTER, PLC, STRANGER, flow, polling, request, window


def _timing(seconds: int = 600) -> Timing:
    timing = Timing()
    for second in range(seconds):
        timing.learn(polling(second))
    timing.activate()
    return timing


def test_a_conversation_that_falls_silent_is_told_once_until_it_speaks_again() -> None:
    timing = _timing()
    timing.score(polling(600))
    said = [found for second in range(601, 640) for found in timing.score(window(second, flow_rows=[flow(second, source="10.0.0.3")]))]
    assert [(found.cause, found.feature) for found in said] == [(f"rhythm:{PLC}", "silence")]
    assert said[0].score > said[0].threshold
    timing.score(polling(640))
    assert [found.feature for second in range(641, 680) for found in timing.score(window(second, flow_rows=[flow(second)]))] == ["silence"]


def test_a_source_that_was_away_says_nothing_about_silence() -> None:
    timing = _timing()
    timing.score(polling(600))
    assert timing.score(window(5000, flow_rows=[flow(5000, source="10.0.0.3")])) == []


def test_a_conversation_that_the_new_capture_never_showed_is_not_missed() -> None:
    timing = _timing()
    assert [found for second in range(700, 800) for found in timing.score(window(second, flow_rows=[flow(second)]))] == []


def test_a_faster_poll_is_a_change_of_rhythm_and_a_pause_is_none() -> None:
    timing = _timing()
    for second in (*range(600, 620), *range(650, 680)):
        assert timing.score(polling(second)) == []
    fast = window(700, [request(700 + i / 50) for i in range(40)])
    (found,) = timing.score(fast)
    assert (found.feature, found.cause) == ("rhythm", f"rhythm:{MASTER}")
    assert "faster" in found.title


def test_a_flood_by_a_stranger_needs_no_baseline() -> None:
    rows = [flow(0, source=STRANGER, tcp_flags=2, octets=0, packets=1, frame=i + 1) for i in range(int(MIN_CONNECTIONS) + 1)]
    (found,) = Volume().score(window(0, flow_rows=rows))
    assert (found.cause, found.severity, found.frame) == (f"actor:{STRANGER}", Severity.CRITICAL, 1)
    assert Volume().score(window(0, flow_rows=rows[2:])) == []


def test_a_limit_follows_what_was_learnt() -> None:
    volume = Volume()
    for second in range(600):
        volume.learn(window(second, flow_rows=[flow(second, packets=1000)]))
    volume.activate()
    ordinary = [found for second in range(600, 700) for found in volume.score(window(second, flow_rows=[flow(second, packets=1100)]))]
    assert ordinary == []
    said = [found for second in range(700, 710) for found in volume.score(window(second, flow_rows=[flow(second, packets=9000)]))]
    assert said
    assert said[0].feature == "flood of packets"
    assert said[0].threshold >= 20_000


def test_a_file_transfer_by_a_stranger_is_no_flood() -> None:
    assert Volume().score(window(0, flow_rows=[flow(0, source=STRANGER, packets=9000, octets=9_000_000)])) == []


def test_many_polls_at_once_teach_what_they_teach_one_by_one() -> None:
    chance = np.random.default_rng(3)
    at_once, alone = [_Rhythm(), _Rhythm(), _Rhythm()], [_Rhythm(), _Rhythm(), _Rhythm()]
    for size in (1, 3, 40, 2, 17, 1, 0, 30):
        heard = []
        for place, rhythm in enumerate(alone):
            start = rhythm.times[-1] if rhythm.times else 1_700_000_000 * NS_PER_S
            times = start + np.cumsum(chance.integers(1, (place + 1) * NS_PER_S, size * place))
            heard.append((at_once[place], times))
            for time in times.tolist():
                if (period := rhythm.hear(time)) is not None:
                    rhythm.fastest_s, rhythm.slowest_s = min(period, rhythm.fastest_s), max(period, rhythm.slowest_s)
        learn_all(heard)
        assert at_once == alone
