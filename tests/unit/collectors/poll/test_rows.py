from datetime import datetime

import pytest

from collectors.poll.rows import instant_of, polled, quality_of
from sentinel.model.observation import Counters
from sentinel.model.protocol import Quality
from sentinel.model.time import Instant


@pytest.mark.parametrize(
    ("status", "quality"),
    [(0, Quality.GOOD), (0x00960000, Quality.GOOD), (0x40000000, Quality.UNCERTAIN), (0x80000000, Quality.BAD), (0xC0000000, Quality.BAD)],
)
def test_the_top_bits_of_a_status_code_are_its_quality(status: int, quality: Quality) -> None:
    assert quality_of(status) is quality


def test_a_stamp_keeps_its_microseconds() -> None:
    assert instant_of(datetime(2026, 11, 24, 0, 0, 0, 123457)) == 1795478400_123457000
    assert instant_of(None) is None


def test_rows_become_columns_with_each_name_once() -> None:
    made = polled("poll", Instant(9), [(1, "A", 2.0, Quality.GOOD), (2, "A", 3.0, Quality.BAD)], Counters(), seen=[5, 6])
    assert made.readings.names == ("A",)
    assert made.readings.seen.tolist() == [5, 6]
    assert not len(polled("poll", Instant(9), [], Counters()).readings)
