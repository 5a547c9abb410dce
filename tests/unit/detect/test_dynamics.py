"""Loops that answer otherwise and phases that last otherwise, against simulated loops (`tests.unit.detect.loops`) and timers."""

import copy
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from sentinel.baseline.store import Baseline, from_octets, to_octets
from sentinel.demo.wiring import PLANT_FILE
from sentinel.detect.calibrate import Budget
from sentinel.detect.dynamics import Dynamics
from sentinel.detect.phase import MAX_VALUES, PhaseReader
from sentinel.detect.response import Response, ResponseReader
from sentinel.model.columns import Array
from sentinel.model.detection import Detection
from sentinel.model.observation import Readings
from sentinel.model.protocol import Quality
from sentinel.model.tags import Loop, Tag, TagMap, TagRole
from sentinel.model.time import NS_PER_S, Instant
from sentinel.model.window import Window
from sentinel.twin.plant import load_plant
from tests.observations import START, at
from tests.unit.detect.loops import DT_S, LEAD_S, Tuning, plant, responses, windows
from tests.unit.detect.test_limits import write

_WEEK_S = 7 * 86_400
_LOOPS, _LEARNT = 4, 140
_USUAL = Tuning()  # overshoots by 4 %, settles within 11 s


# -- single responses --


def _columns(values: Array, before: float, after: float, step_at_s: float = LEAD_S) -> tuple[Array, Array, Array, Array]:
    times = START + np.round(DT_S * np.arange(len(values)) * NS_PER_S).astype(np.int64)
    return times, np.where(DT_S * np.arange(len(values)) >= step_at_s, after, before), times, values


def _one(tuning: Tuning, before: float = 40.0, after: float = 50.0, seed: int = 1, seconds: float = 120.0) -> Array:
    column: Array = responses(tuning, np.array([before]), np.array([after]), np.random.default_rng(seed), seconds)[:, 0]
    return column


@pytest.mark.parametrize("after", [50.0, 30.0])
def test_a_response_tells_its_dead_time_overshoot_and_settling_time(after: float) -> None:
    (slow,) = ResponseReader(span=100.0).take(*_columns(_one(replace(_USUAL, noise=0.0, dead_s=6.0, gain=0.8), after=after), 40.0, after))
    (quick,) = ResponseReader(span=100.0).take(*_columns(_one(replace(_USUAL, noise=0.0), after=after), 40.0, after))
    assert slow.size == quick.size == after - 40.0
    assert slow.dead_s - quick.dead_s == pytest.approx(3.0, abs=0.5)
    assert quick.overshoot == pytest.approx(0.04, abs=0.015)
    values = _one(replace(_USUAL, noise=0.0), after=after)
    outside = np.flatnonzero(np.abs(values - after) > 0.05 * 10.0)[-1] * DT_S - LEAD_S
    assert quick.settling_s == pytest.approx(outside, abs=2 * DT_S)


def test_any_batching_gives_the_same_responses() -> None:
    chance = np.random.default_rng(3)
    values, asked = [], []
    for step in range(8):
        before, after = (40.0, 50.0) if step % 2 == 0 else (50.0, 40.0)
        values.append(_one(_USUAL, before, after, seed=step))
        asked.append(_columns(values[-1], before, after)[1])
    rows, points = np.concatenate(values), np.concatenate(asked)
    times = START + np.round(DT_S * np.arange(len(rows)) * NS_PER_S).astype(np.int64)
    whole = ResponseReader(span=100.0).take(times, points, times, rows)
    assert len(whole) == 8
    for _ in range(5):
        cuts = np.sort(chance.integers(0, len(rows), 40))
        reader, found = ResponseReader(span=100.0), list[Response]()
        for part in np.split(np.arange(len(rows)), cuts):
            found += reader.take(times[part], points[part], times[part], rows[part])
        assert found == whole


def test_a_step_is_abandoned_where_the_setpoint_moves_again_or_readings_are_missing_or_the_loop_is_in_manual() -> None:
    asked_at, asked, times, values = _columns(_one(_USUAL), 40.0, 50.0)
    assert len(ResponseReader(span=100.0).take(asked_at, asked, times, values)) == 1
    moved = np.where(DT_S * np.arange(len(values)) >= LEAD_S + 6.0, 52.0, asked)
    assert ResponseReader(span=100.0).take(asked_at, moved, times, values) == []
    gap = (times < START + (LEAD_S + 4.0) * NS_PER_S) | (times > START + (LEAD_S + 12.0) * NS_PER_S)
    assert ResponseReader(span=100.0).take(asked_at, asked, times[gap], values[gap]) == []
    assert ResponseReader(span=100.0).take(asked_at[gap], asked[gap], times, values) != [], "the setpoint stands there"
    late = (times < START + (LEAD_S - 20.0) * NS_PER_S) | (times > START + (LEAD_S + 1.0) * NS_PER_S)
    assert ResponseReader(span=100.0).take(asked_at[late], asked[late], times, values) == [], "nobody knows when it moved"
    manual = ResponseReader(span=100.0, is_in_force=False)
    assert manual.take(asked_at, asked, times, values) == []


def test_a_setpoint_that_is_told_as_it_changes_steps_when_it_is_told_and_a_write_tells_it_to_the_moment() -> None:
    asked_at, asked, times, values = _columns(_one(replace(_USUAL, noise=0.0)), 40.0, 50.0)
    place = int(np.flatnonzero(asked == 50.0)[0])
    (polled,) = ResponseReader(span=100.0).take(asked_at, asked, times, values)
    assert polled.began == asked_at[place] - round(DT_S * NS_PER_S / 2)
    (told,) = ResponseReader(span=100.0).take(asked_at[[0, place]], asked[[0, place]], times, values)
    assert told.began == asked_at[place]
    exact = ResponseReader(span=100.0, written=int(asked_at[place]) - NS_PER_S // 10)
    (written,) = exact.take(asked_at, asked, times, values)
    assert written.began == exact.written


@pytest.mark.parametrize("seed", range(40))
def test_no_readings_whatever_make_it_fail_and_what_it_holds_is_bounded(seed: int) -> None:
    chance = np.random.default_rng(seed)
    reader, phases = ResponseReader(span=100.0), PhaseReader()
    for _ in range(20):
        times = START + chance.integers(0, 10**12, (2, 40))
        rows = chance.choice([0.0, 1.0, 50.0, 1e300, -1e300, 1e-300], (2, 40))
        for response in reader.take(times[0], rows[0], times[1], rows[1]):
            assert math.isfinite(response.settling_s)
        phases.take(times[0], rows[0])
    assert len(reader.times) <= 64
    assert len(phases.known) <= MAX_VALUES + 1


# -- loops --


@pytest.fixture(scope="module")
def learnt() -> Dynamics:
    detector = Dynamics(plant(_LOOPS))
    for each in windows(_USUAL, _LEARNT, _LOOPS, np.random.default_rng(1)):
        detector.learn(each)
    detector.activate()
    return detector


def _told(detector: Dynamics, parts: Iterable[Window]) -> list[tuple[int, Detection]]:
    return [(number, found) for number, part in enumerate(parts, start=1) for found in detector.score(part)]


def _restored(detector: Dynamics) -> Dynamics:
    again = Dynamics(plant(_LOOPS))
    again.restore(from_octets(to_octets(Baseline(detectors={"dynamics": detector.state()}))).detectors["dynamics"])
    return again


@pytest.mark.parametrize(
    ("changed", "feature", "direction"),
    [
        pytest.param(replace(_USUAL, dead_s=3.6), "dead time", "answers later", id="dead time 20 % longer"),
        pytest.param(replace(_USUAL, gain=1.83), "overshoot", "overshoots more", id="overshoot doubled"),
        pytest.param(replace(_USUAL, gain=1.3), "settling time", "settles later", id="settling 30 % slower"),
    ],
)
def test_a_loop_that_answers_otherwise_is_told_within_eight_steps_of_a_direction(
    learnt: Dynamics, changed: Tuning, feature: str, direction: str
) -> None:
    judge, steps = _restored(learnt), 16
    said = _told(judge, windows(changed, steps, _LOOPS, np.random.default_rng(8), begin_s=_WEEK_S * 2))
    for number in range(_LOOPS):
        first = min(step for step, each in said if each.feature == f"{feature}: {direction}" and each.tags == (f"TT{number}",))
        assert first <= steps
    one = next(each for _, each in said if each.feature == f"{feature}: {direction}")
    assert one.title.startswith("TIC")
    assert "usually" in one.why
    assert "since" in one.observed
    assert one.score > one.threshold


def test_loops_as_they_were_keep_the_budget_over_many_weeks() -> None:
    loops, weeks, steps_a_week = 6, 8, 140
    chance, told = np.random.default_rng(5), 0
    for seed in range(2):
        detector = Dynamics(plant(loops), Budget(alarms_per_week=1.0, shares={"dynamics": 1.0}))
        for each in windows(_USUAL, 2 * steps_a_week, loops, chance, begin_s=100.0 * seed):
            detector.learn(each)
        detector.activate()
        told += len(_told(detector, windows(_USUAL, weeks * steps_a_week // 2, loops, chance, begin_s=3 * _WEEK_S)))
    assert told <= weeks, f"{told} in {weeks} weeks with one a week allowed"


def test_the_size_of_the_step_is_no_change(learnt: Dynamics) -> None:
    """Against larger steps the noise is less, and so is the band: they settle later, and the fit takes that away."""
    follows = {tuple(row[:3]): row[-1] for row in learnt.state()["watched"]}
    assert {follows["settling time", f"TIC{number}", "up"][0] for number in range(_LOOPS)} == {"size"}
    large = list(windows(_USUAL, 40, _LOOPS, np.random.default_rng(2), begin_s=_WEEK_S * 2, sizes=(16.0, 18.0)))
    assert _told(_restored(learnt), large) == []


# -- readings as they come --


def _odd(part: Window, kind: str, number: int) -> Window:
    chance, rows = np.random.default_rng(number), part.readings
    if kind == "missing":
        rows = rows.take(chance.random(len(rows)) > 0.05)
    elif kind == "reordered":
        order = np.argsort(rows.seen + chance.integers(0, NS_PER_S // 100, len(rows)), kind="stable")
        rows = rows.take(order)
    elif kind == "copies":
        rows = rows.take(np.repeat(np.arange(len(rows)), 2))
    elif kind == "late":
        rows = Readings.concat([rows, rows.take(slice(0, 40))])
    elif kind == "bad":
        worse = replace(rows.take(slice(None)), value=np.full(len(rows), 1e9), quality=np.full(len(rows), Quality.BAD, np.uint8))
        rows = Readings.concat([rows, worse])
    elif kind == "NaN":
        rows = Readings.concat([rows, replace(rows.take(slice(None)), value=np.full(len(rows), np.nan))])
    elif kind == "quantised":
        rows = replace(rows.take(slice(None)), value=np.round(rows.value, 0))
    elif kind == "constant":
        is_value = rows.tag % 2 == 0
        rows = replace(rows.take(slice(None)), value=np.where(is_value, 40.0, rows.value))
    return replace(part, readings=rows)


@pytest.mark.parametrize("kind", ["reordered", "copies", "late", "bad", "NaN"])
def test_what_is_no_reading_changes_nothing(learnt: Dynamics, kind: str) -> None:
    changed = list(windows(replace(_USUAL, dead_s=3.9), 12, _LOOPS, np.random.default_rng(9), begin_s=_WEEK_S * 2))
    plain, odd = _restored(learnt), _restored(learnt)
    expected = _told(plain, changed)
    assert expected
    assert _told(odd, [_odd(part, kind, number) for number, part in enumerate(changed)]) == expected


@pytest.mark.parametrize("kind", ["missing", "quantised"])
def test_gaps_and_coarse_steps_neither_raise_an_alarm_nor_hide_one(kind: str) -> None:
    chance, detector = np.random.default_rng(10), Dynamics(plant(_LOOPS))

    def made(tuning: Tuning, steps: int, begin_s: float) -> Iterator[Window]:
        return (_odd(part, kind, number) for number, part in enumerate(windows(tuning, steps, _LOOPS, chance, begin_s=begin_s)))

    for part in made(_USUAL, _LEARNT, 0.0):
        detector.learn(part)
    detector.activate()
    assert _told(detector, made(_USUAL, 60, 2 * _WEEK_S)) == []
    assert _told(detector, made(replace(_USUAL, dead_s=4.0), 20, 3 * _WEEK_S))


def test_a_process_value_that_does_not_move_any_more_is_overdue(learnt: Dynamics) -> None:
    stuck = [
        _odd(part, "constant", 0) for part in windows(_USUAL, 10, _LOOPS, np.random.default_rng(4), begin_s=_WEEK_S * 2, watched_s=120.0)
    ]
    said = _told(_restored(learnt), stuck)
    assert {each.tags[0] for _, each in said} == {f"TT{number}" for number in range(_LOOPS)}
    assert "dead time: answers later" in {each.feature for _, each in said}


def test_seconds_tell_what_hours_tell(learnt: Dynamics) -> None:
    """What stands is passed over quickly where windows are short: it tells the same."""
    changed = list(windows(replace(_USUAL, dead_s=3.6), 14, _LOOPS, np.random.default_rng(16), begin_s=_WEEK_S * 2))
    whole, short = _restored(learnt), _restored(learnt)
    expected = [found for _, found in _told(whole, changed)]
    seconds = []
    for part in changed:
        slots = part.readings.seen // NS_PER_S
        for slot in np.unique(slots).tolist():
            start = Instant(slot * NS_PER_S)
            seconds.append(replace(part, start=start, end=Instant(start + NS_PER_S), readings=part.readings.take(slots == slot)))
    assert expected
    assert [found for _, found in _told(short, seconds)] == expected
    assert short.lasting() == whole.lasting()


# -- phases --

_TIMED = TagMap((
    Tag(name="MODE", role=TagRole.MODE, unit="1", low=0, high=9),
    Tag(name="HAND", role=TagRole.SETPOINT, unit="1", low=0, high=9),
))  # fmt: skip
_PLANNED = ((1.0, 240.0), (2.0, 600.0), (3.0, 150.0))  # the batch: value, seconds


def _batches(count: int, chance: np.random.Generator, begin_s: float, shorter: float = 1.0, late: float = 0.0) -> Iterator[Window]:
    """A window a batch, read every 2 s; the timers of a batch scatter by 1 %, somebody's hand by half."""
    at_s = begin_s
    for _ in range(count):
        phases = [(value, seconds * (shorter if value == 2.0 else 1.0) * (1 + 0.01 * chance.normal())) for value, seconds in _PLANNED]
        total = sum(seconds for _, seconds in phases)
        ends = np.cumsum([seconds for _, seconds in phases])
        grid = np.arange(0.0, total, 2.0)
        values = np.array([value for value, _ in phases])[np.minimum(np.searchsorted(ends, grid, side="right"), 2)]
        hand = np.where(grid < total * chance.uniform(0.1, 0.9), 1.0, 2.0)
        kept = chance.random(len(grid)) >= late
        times = START + np.round((at_s + np.repeat(grid[kept], 2)) * NS_PER_S).astype(np.int64)
        columns = Readings.of(
            names=("MODE", "HAND"),
            time=times,
            seen=times,
            tag=np.tile((0, 1), int(kept.sum())),
            value=np.column_stack([values[kept], hand[kept]]).ravel(),
        )
        yield Window(source="poll", start=Instant(int(times[0])), end=Instant(int(times[-1]) + 1), readings=columns)
        at_s += total


def _timed(count: int = 60, late: float = 0.0) -> Dynamics:
    detector = Dynamics(_TIMED)
    for part in _batches(count, np.random.default_rng(6), 0.0, late=late):
        detector.learn(part)
    detector.activate()
    return detector


def test_a_phase_lasts_the_same_in_seconds() -> None:
    (part,) = _batches(1, np.random.default_rng(1), 0.0)
    rows = part.readings.take(part.readings.tag == 0)
    whole, short = PhaseReader(), PhaseReader()
    expected, found = whole.take(rows.seen, rows.value), []
    for at_ns, value in zip(rows.seen, rows.value, strict=True):
        if not short.stands(int(at_ns), int(at_ns), 1, float(value)):
            found += short.take(np.array([at_ns]), np.array([value]))
    assert found == expected != []
    assert (short.read, short.pace, short.began) == (whole.read, whole.pace, whole.began)


@pytest.mark.parametrize("late", [0.0, 0.05])
def test_a_phase_that_is_five_per_cent_shorter_is_told_within_six_batches(late: float) -> None:
    detector = _timed(late=late)
    assert [row[:3] for row in detector.state()["watched"]] == [
        ["phase", "MODE", "1 > 2"], ["phase", "MODE", "2 > 3"], ["phase", "MODE", "3 > 1"],
    ], "what a hand chooses is no phase"  # fmt: skip
    chance = np.random.default_rng(7)
    assert _told(detector, _batches(200, chance, 100_000.0, late=late)) == []
    said = _told(detector, _batches(6, chance, 400_000.0, 0.95, late))
    assert said[0][1].title == "MODE at 2, before 3, lasts less long than it did"
    assert said[0][1].techniques == ("T0831", "T0836")


def test_a_phase_whose_beginning_or_end_was_not_read_is_none() -> None:
    times = START + np.arange(0, 400) * NS_PER_S
    values = np.where(np.arange(400) < 100, 0.0, np.where(np.arange(400) < 200, 1.0, 2.0))
    (whole,) = PhaseReader().take(times, values)
    assert (whole.value, whole.following, whole.lasted_s) == (1.0, 2.0, 100.0)
    for gap in (slice(95, 130), slice(120, 150), slice(190, 230)):
        kept = np.ones(400, bool)
        kept[gap] = False
        assert PhaseReader().take(times[kept], values[kept]) == []


# -- over a restart, and beside a judge --


def test_a_restart_changes_no_finding(learnt: Dynamics) -> None:
    changed = list(windows(replace(_USUAL, dead_s=3.5), 14, _LOOPS, np.random.default_rng(12), begin_s=_WEEK_S * 2))
    whole = copy.deepcopy(learnt)
    expected = [found for _, found in _told(whole, changed)]
    assert expected
    said, judge = list[Detection](), learnt
    for number, part in enumerate(changed):
        kept = from_octets(to_octets(Baseline(detectors={"lasting": judge.lasting()}))).detectors["lasting"]
        judge = _restored(learnt)
        if number:
            judge.go_on(kept)
        said += judge.score(part)
    assert said == expected


def test_a_standing_that_nothing_can_have_led_to_is_refused(learnt: Dynamics) -> None:
    judge = _restored(learnt)
    (good, *_) = judge.lasting()["watched"]
    for place, wrong in ((3, -1), (3, 10_000), (5, -0.1), (6, float("nan"))):
        with pytest.raises(ValueError, match="cannot stand"):
            judge.go_on({"watched": [[*good[:place], wrong, *good[place + 1 :]]]})
    with pytest.raises(ValueError, match="nothing that is watched"):
        judge.go_on({"watched": [["phase", "MODE", "1 > 2", *good[3:]]]})


def test_beside_its_judge_it_learns_what_it_would_read_itself(learnt: Dynamics) -> None:
    judge, beside, alone = _restored(learnt), Dynamics(plant(_LOOPS)), Dynamics(plant(_LOOPS))
    for part in windows(_USUAL, 20, _LOOPS, np.random.default_rng(13), begin_s=_WEEK_S * 2):
        judge.score(part)
        beside.learn_beside(judge, part)
        alone.learn(part)
    for each in (beside, alone):
        each.activate()
    assert beside.state() == alone.state()
    assert len(alone.state()["watched"]) == 6 * _LOOPS


def test_learning_holds_a_bounded_number_of_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sentinel.detect.dynamics.MAX_LEARNT", 5)
    monkeypatch.setattr("sentinel.detect.dynamics.MAX_WATCHED", 7)
    detector = Dynamics(plant(_LOOPS))
    for part in windows(_USUAL, 24, _LOOPS, np.random.default_rng(14)):
        detector.learn(part)
    assert [len(each.learnt) for each in detector._watched.values()] == [5] * 7


# -- the plant file --


def test_the_loops_of_the_reference_plant_are_those_that_follow_a_setpoint() -> None:
    loops = {loop.name: (loop.setpoint, loop.process_value, loop.mode) for loop in load_plant(PLANT_FILE).tags.loops}
    assert loops == {
        "LIC101": ("LIC101.SP", "LT101", "LIC101.AUTO"),
        "LIC102": ("LIC102.SP", "LT102", "LIC102.AUTO"),
        "TIC201": ("TIC201.SP", "TT201", "TIC201.AUTO"),
        "TIC301": ("TIC301.SP", "TT301", "TIC301.AUTO"),
        "SP301": ("SIC301.SP", "ST301", "SP301.RUN"),
    }
    with pytest.raises(ValueError, match="loop TIC1 has no tag TT1"):
        TagMap(plant(1).tags, (Loop(name="TIC1", setpoint="SP0", process_value="TT1"),))


def test_without_a_plant_file_nothing_is_watched() -> None:
    detector = Dynamics()
    for part in windows(_USUAL, 10, 1, np.random.default_rng(1)):
        detector.learn(part)
    detector.activate()
    assert detector.state() == {"watched": [], "overdue": []}


def test_a_write_on_the_wire_times_the_step() -> None:
    detector = Dynamics(plant(1))
    for part in windows(replace(_USUAL, noise=0.0), 20, 1, np.random.default_rng(15)):
        step_s = (part.start - START) / NS_PER_S + LEAD_S
        command = write(0, tag="SP0", value=1.0)
        detector.learn(replace(part, commands=(replace(command, seen=Instant(at(step_s - 0.01))),)))
    deviations = [np.std([value for value, *_ in each.learnt]) for key, each in detector._watched.items() if key[0] == "dead time"]
    assert max(deviations) < 0.2
