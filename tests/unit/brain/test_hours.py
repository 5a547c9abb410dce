"""Who writes at which time of day."""

from hypothesis import given
from hypothesis import strategies as st

from sentinel.brain.hours import HOUR_NS, MAX_SOURCES, MIN_HOURS, Hours
from sentinel.model.ids import AssetId
from sentinel.model.time import Instant

OPERATOR = AssetId("10.0.0.20")
DAY = 20_000  # since 1970


def at(day: int, hour: int, minute: int = 0) -> Instant:
    return Instant((24 * (DAY + day) + hour) * HOUR_NS + minute * HOUR_NS // 60)


def shifts(days: int) -> Hours:
    """An operator who writes at six, ten, thirteen and twenty-two, every day."""
    hours = Hours()
    for day in range(days):
        for hour in (6, 10, 13, 22):
            hours.note(OPERATOR, at(day, hour, 30))
    return hours


def test_an_hour_in_which_one_never_wrote_is_new_after_a_week() -> None:
    assert shifts(6).days_without(OPERATOR, at(6, 3)) == 0, "six days say nothing yet"
    hours = shifts(8)
    assert hours.days_without(OPERATOR, at(8, 3)) == 7
    assert [hours.days_without(OPERATOR, at(8, hour)) for hour in (5, 7, 14, 21)] == [0] * 4, "an hour early or late is no news"
    assert hours.days_without(OPERATOR, at(8, 23)) == hours.days_without(OPERATOR, at(8, 6)) == 0
    assert hours.days_without(AssetId("10.0.0.66"), at(8, 3)) == 0, "of a stranger nothing is known: that he is one is said elsewhere"


def test_what_was_written_today_excuses_nothing_and_tomorrow_it_is_usual() -> None:
    hours = shifts(8)
    hours.note(OPERATOR, at(8, 3))
    assert hours.days_without(OPERATOR, at(8, 3, 59)) == 7
    assert hours.days_without(OPERATOR, at(9, 2)) == 0


def test_midnight_lies_between_two_hours_like_any_other() -> None:
    hours = Hours()
    for day in range(30):
        hours.note(OPERATOR, at(day, 23, 50))
    assert hours.days_without(OPERATOR, at(30, 0, 5)) == 0
    assert hours.days_without(OPERATOR, at(30, 1, 5)) == 29


def test_of_one_that_hardly_ever_writes_every_hour_is_a_new_one() -> None:
    hours = Hours()
    for day in range(MIN_HOURS - 1):
        hours.note(OPERATOR, at(3 * day, 12))
    assert hours.days_without(OPERATOR, at(90, 3)) == 0


def test_memory_is_bounded() -> None:
    hours = Hours()
    for number in range(MAX_SOURCES + 5):
        hours.note(AssetId(f"host{number}"), at(0, 1))
    assert len(hours._habits) == MAX_SOURCES


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 23)), max_size=200), st.integers(0, 60), st.integers(0, 23))
def test_what_the_records_tell_is_what_was_noted(writes: list[tuple[int, int]], day: int, hour: int) -> None:
    """In whatever order commands came, and however often within an hour."""
    noted = Hours()
    for when in sorted(writes):
        noted.note(OPERATOR, at(*when))
    told = Hours({OPERATOR: {at(*when) // HOUR_NS for when in writes}})
    assert told.days_without(OPERATOR, at(day, hour)) == noted.days_without(OPERATOR, at(day, hour))
