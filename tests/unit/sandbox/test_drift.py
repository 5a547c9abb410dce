"""Runs of moves in one direction."""

from hypothesis import given
from hypothesis import strategies as st

from sandbox.drift import MIN_MOVES, WINDOW_S, trend_of
from sandbox.protocol import Step
from sentinel.model.ids import AssetId
from sentinel.model.tags import Tag, TagRole
from sentinel.model.time import after
from tests.unit.sandbox.conftest import NOW

SP = Tag(name="SP", role=TagRole.SETPOINT, unit="m", low=0.0, high=2.0, writable=True)
OP = Tag(name="OP", role=TagRole.OUTPUT, unit="m", low=0.0, high=2.0, writable=True)


def steps(*values: float, every_s: float = 10.0) -> tuple[Step, ...]:
    """The last of them `every_s` before NOW."""
    count = len(values)
    return tuple(
        Step(seen=after(NOW, -every_s * (count - number)), source=AssetId("a"), tag="SP", value=value, applied=True)
        for number, value in enumerate(values)
    )


def test_three_moves_in_one_direction_are_a_trend() -> None:
    trend = trend_of(SP, 1.3, steps(1.0, 1.1, 1.2), NOW, is_stranger=True)
    assert trend is not None
    assert (trend.first, trend.moves, round(trend.ahead, 9)) == (1.0, 3, 1.6)
    assert trend_of(SP, 1.2, steps(1.0, 1.1), NOW, is_stranger=True) is None


def test_a_known_source_s_ramp_within_its_range_is_led_no_further_than_its_end() -> None:
    for value, before, end in ((1.8, (0.9, 1.2, 1.5), 2.0), (0.3, (1.2, 0.9, 0.6), 0.0)):
        known = trend_of(SP, value, steps(*before), NOW, is_stranger=False)
        stranger = trend_of(SP, value, steps(*before), NOW, is_stranger=True)
        assert known is not None
        assert stranger is not None
        assert known.ahead == end
        assert round(stranger.ahead - end, 9) == (0.7 if end else -0.6)


def test_a_drift_that_has_left_its_range_is_led_on_by_its_largest_move_or_by_as_many_again_if_a_stranger_makes_it() -> None:
    for value, before, one_more, as_many in ((2.1, (1.2, 1.6, 1.8), 2.5, 3.0), (-0.1, (0.8, 0.5, 0.1), -0.5, -1.0)):
        known = trend_of(SP, value, steps(*before), NOW, is_stranger=False)
        stranger = trend_of(SP, value, steps(*before), NOW, is_stranger=True)
        assert known is not None
        assert stranger is not None
        assert (round(known.ahead, 9), known.led) == (one_more, "one more")
        assert (round(stranger.ahead, 9), stranger.led) == (as_many, "as many again")


def test_only_the_last_run_counts() -> None:
    trend = trend_of(SP, 0.7, steps(0.5, 1.5, 1.0, 0.9, 0.8), NOW, is_stranger=True)
    assert trend is not None
    assert (trend.first, trend.moves) == (1.5, 4)


def test_there_and_back_again_is_no_trend() -> None:
    assert trend_of(SP, 1.2, steps(1.2, 1.1, 1.2, 1.1), NOW, is_stranger=True) is None


def test_repetitions_are_no_moves() -> None:
    assert trend_of(SP, 1.2, steps(1.0, 1.0, 1.1, 1.1, 1.1), NOW, is_stranger=True) is None


def test_other_tags_and_old_steps_do_not_count() -> None:
    assert trend_of(OP, 1.3, steps(1.0, 1.1, 1.2), NOW, is_stranger=True) is None
    assert trend_of(SP, 1.3, steps(1.0, 1.1, 1.2, every_s=WINDOW_S), NOW, is_stranger=True) is None


@given(st.lists(st.floats(0.0, 2.0), max_size=20), st.floats(0.0, 2.0))
def test_a_trend_is_monotone_and_long_enough(values: list[float], now: float) -> None:
    trend = trend_of(SP, now, steps(*values), NOW, is_stranger=True)
    if trend is not None:
        assert trend.moves >= MIN_MOVES
        assert (trend.ahead - trend.value) * (trend.value - trend.first) >= 0.0
