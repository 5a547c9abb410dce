"""A recording cut into stretches: what was an input is written again, what was shown is compared, what is not known is left open."""

import numpy as np
import pytest

from sentinel.errors import InputError
from sentinel.model.observation import Readings
from sentinel.model.protocol import Quality
from sentinel.model.time import NS_PER_S
from sentinel.twin.engine import Model
from sentinel.twin.recorded import MAX_STRETCHES, cut

BEGIN = 1_700_000_000 * NS_PER_S
TAGS = ("LT101", "FT101", "LIC101.OP")


def heard(rows: list[tuple[float, str, float]], quality: Quality = Quality.GOOD) -> Readings:
    names = tuple(dict.fromkeys(tag for _, tag, _ in rows))
    seen = [BEGIN + round(second * NS_PER_S) for second, _, _ in rows]
    tags, values = [names.index(tag) for _, tag, _ in rows], [value for _, _, value in rows]
    return Readings.of(names, time=seen, seen=seen, tag=tags, value=values, quality=[quality] * len(rows))


def level(until: int, since: int = 0) -> list[tuple[float, str, float]]:
    return [(float(second), "LT101", 1.0 + 0.001 * second) for second in range(since, until + 1)]


def test_samples_are_means_around_their_time(model: Model) -> None:
    (one,) = cut(model, heard(level(60)), TAGS, 2.0, 900.0)
    assert one.horizon_s == 60.0
    assert one.shown.shape == (30, 3)
    assert one.shown[0, 0] == pytest.approx(np.mean([1.001, 1.002]))  # from one second to before three
    assert np.isnan(one.shown[:, 1:]).all()
    assert set(one.first) == {"LT101"}


def test_a_write_falls_on_a_step_and_the_value_before_it_is_where_it_began(model: Model) -> None:
    rows = [*level(60), (0.0, "LIC101.SP", 1.2), (10.0, "LIC101.SP", 1.2), (20.3, "LIC101.SP", 1.4), (30.0, "LIC101.SP", 1.4)]
    (one,) = cut(model, heard(rows), TAGS, 2.0, 900.0)
    assert one.inputs[model.input_rows["LIC101.SP"]] == 1.2
    assert one.schedule == ((20.5, {"LIC101.SP": 1.4}),)


def test_a_later_stretch_begins_with_what_was_written_in_an_earlier_one(model: Model) -> None:
    rows = [*level(120), (0.0, "LIC101.SP", 1.2), (20.0, "LIC101.SP", 1.4)]
    first, second = cut(model, heard(rows), TAGS, 2.0, 60.0)
    assert [first.inputs[model.input_rows["LIC101.SP"]], second.inputs[model.input_rows["LIC101.SP"]]] == [1.2, 1.4]
    assert not second.schedule
    assert (second.at - first.at) / NS_PER_S == 60.0


def test_an_output_is_compared_in_automatic_and_written_in_manual(model: Model) -> None:
    rows = [*level(60), (0.0, "LIC101.AUTO", 1.0), (30.0, "LIC101.AUTO", 0.0)]
    rows += [(float(second), "LIC101.OP", 50.0 if second < 30 else 70.0 if second < 40 else 80.0) for second in range(61)]
    (one,) = cut(model, heard(rows), TAGS, 2.0, 900.0)
    assert one.schedule == ((30.0, {"LIC101.AUTO": 0.0, "LIC101.OP": 70.0}), (40.0, {"LIC101.OP": 80.0}))
    compared = np.isfinite(one.shown[:, 2])
    assert compared[:14].all()
    assert not compared[14:].any()


def test_a_silence_ends_a_stretch_and_what_is_bad_is_none(model: Model) -> None:
    rows = [*level(60), *level(200, since=100)]
    first, second = cut(model, heard(rows), TAGS, 2.0, 900.0)
    assert [first.horizon_s, second.horizon_s] == [60.0, 100.0]
    with pytest.raises(InputError, match="no usable value"):
        cut(model, heard(rows, Quality.BAD), TAGS, 2.0, 900.0)


def test_stretches_are_bounded(model: Model) -> None:
    rows = [(20.0 * step, "LT101", 1.0) for step in range(5 * MAX_STRETCHES + 10)]
    with pytest.raises(InputError, match="at most 200"):
        cut(model, heard(rows), TAGS, 2.0, 100.0)
