"""The whole plant offline: steady, quick, repeatable, harmless in routine, and harmed by every attack that nobody stops."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sentinel.demo.attacks import CASES, case_writes
from sentinel.demo.habits import CYCLE_S, HABITS, routine_writes
from sentinel.demo.simulation import Recording, ReferencePlant, simulate
from sentinel.demo.wiring import read_interface
from sentinel.errors import InputError

INTERFACE = read_interface()
NOMINAL = {"LT101": 1.2, "LT102": 0.8, "FT101": 2.0, "FT102": 2.0, "TT201": 60.0, "TT202": 80.0, "ST301": 6000.0, "TT301": 45.0}
ENVELOPE = {
    "LT101": (0.30, 1.60),
    "LT102": (0.20, 1.50),
    "TT201": (-1e9, 80.0),
    "TT202": (-1e9, 130.0),
    "TT301": (-1e9, 70.0),
    "ST301": (-1e9, 9000.0),
}


def left_envelope_at(record: Recording) -> float:
    """When a true value first left the envelope; infinite where none did."""
    outside = np.zeros(len(record.time_s), dtype=bool)
    for tag, (low, high) in ENVELOPE.items():
        outside |= (record.truth[tag] < low) | (record.truth[tag] > high)
    return float(record.time_s[outside.argmax()]) if outside.any() else float("inf")


@pytest.mark.parametrize("seed", [1, 7])
def test_it_is_steady_from_the_first_second_and_near_the_plant_file(seed: int) -> None:
    record = simulate(120, seed=seed)
    for tag, nominal in NOMINAL.items():
        values = record.values[tag]
        assert values.mean() == pytest.approx(nominal, rel=0.05), tag
        assert values[:100].mean() == pytest.approx(values[-100:].mean(), rel=0.02), tag
    assert not record.outcomes


def test_without_noise_nothing_moves() -> None:
    record = simulate(60, noise=False)
    for tag in NOMINAL:
        assert np.ptp(record.values[tag]) <= 0.002 * abs(record.values[tag][0]), tag


def test_instruments_are_noisy_and_quantised() -> None:
    record = simulate(60)
    for tag in record.truth:
        point = INTERFACE.tags.by_name[tag].modbus
        assert point
        raw = record.values[tag] / point.scale
        assert np.allclose(raw, np.round(raw)), tag
        assert record.values[tag].std() > 0, tag


def test_one_seed_is_one_plant() -> None:
    one, again, other = simulate(20, seed=3), simulate(20, seed=3), simulate(20, seed=4)
    assert all(np.array_equal(one.values[tag], again.values[tag]) for tag in one.values)
    assert one.parameters != other.parameters
    assert not np.array_equal(one.values["FT101"], other.values["FT101"])


def test_rates_thin_the_same_record_out() -> None:
    fine, coarse = simulate(10, seed=3), simulate(10, seed=3, rate_hz=1)
    assert len(fine.time_s) == 101
    assert len(coarse.time_s) == 11
    assert np.array_equal(fine.values["LT101"][::10], coarse.values["LT101"])


def test_it_runs_at_least_two_hundred_times_faster_than_real_time() -> None:
    simulate(1)
    best = float("inf")
    for _ in range(3):  # processor time, best of three: the machine is shared
        began = time.process_time()
        simulate(60)
        best = min(best, time.process_time() - began)
    assert 60 / best >= 200


def test_a_write_takes_effect_at_its_time_and_out_of_range_values_too() -> None:
    record = simulate(30, [(10.0, "LIC101.SP", 1.95), (12.0, "LIC101.SP", 99.0)])
    setpoint = record.values["LIC101.SP"]
    assert setpoint[record.time_s <= 10.0].max() == pytest.approx(1.2)
    assert setpoint[(record.time_s > 10.05) & (record.time_s < 11.95)] == pytest.approx(1.95)
    assert setpoint[-1] == pytest.approx(65.535)


@pytest.mark.parametrize("tag", ["LT101", "LAHH101", "nobody"])
def test_what_cannot_be_written_is_refused(tag: str) -> None:
    with pytest.raises(InputError, match=tag):
        simulate(1, [(0, tag, 1.0)])


def test_a_rate_that_cannot_be_recorded_is_refused() -> None:
    with pytest.raises(InputError, match="rate_hz"):
        simulate(1, rate_hz=50)


def test_the_routine_is_harmless_and_shows_all_its_kinds_in_thirty_seconds() -> None:
    writes = routine_writes(900.0)
    record = simulate(900, writes)
    assert not record.outcomes
    assert left_envelope_at(record) == float("inf")
    assert max(record.values[alarm.name].max() for alarm in INTERFACE.tags.tags if alarm.role == "alarm") == 0
    assert {tag for at_s, tag, _ in writes if at_s < 2 * CYCLE_S} == {tag for habit in HABITS for tag in habit.tags}


@pytest.mark.parametrize("habit", HABITS, ids=lambda habit: habit.says)
def test_every_habit_stays_harmless_if_nothing_follows_it(habit: object) -> None:
    for values in habit.values[:2]:  # type: ignore[attr-defined]  # the band's ends
        record = simulate(300, [(5.0, tag, value) for tag, value in zip(habit.tags, values, strict=True)])  # type: ignore[attr-defined]
        assert not record.outcomes
        assert left_envelope_at(record) == float("inf")


DAMAGE = {
    "rogue_master": "SP301.burst",
    "setpoint": "P101.burnt",
    "pump_stop": "P101.burnt",
    "drift": "P101.burnt",
    "disarm": "H201.burn-out",
}


@pytest.mark.parametrize("case", DAMAGE)
@pytest.mark.parametrize("seed", [1, 7, 20])
def test_every_attack_ends_in_damage_when_nobody_intervenes(case: str, seed: int) -> None:
    record = simulate(450, case_writes(case, INTERFACE, at_s=10.0), seed=seed)
    damage = {outcome.name: outcome.at_s for outcome in record.outcomes}
    assert DAMAGE[case] in damage
    assert 10.0 < left_envelope_at(record) < damage[DAMAGE[case]]


def test_a_scan_changes_nothing() -> None:
    assert case_writes("scan", INTERFACE) == []
    assert set(CASES) == set(DAMAGE) | {"scan"}


def test_every_step_of_the_drift_is_as_small_as_the_operators_own() -> None:
    values = [1.2, *(value for _, _, value in case_writes("drift", INTERFACE))]
    assert max(abs(after - before) for before, after in itertools.pairwise(values)) <= 0.02 + 1e-9
    assert values[-1] == 1.95


def test_the_interlocks_hold_where_only_the_element_is_attacked_and_disarm_defeats_them() -> None:
    everything = case_writes("disarm", INTERFACE, at_s=10.0)
    heating = [write for write in everything if write[1] in ("TIC201.AUTO", "TIC201.OP", "P201.RUN")]
    held, defeated = simulate(600, heating), simulate(600, everything)
    assert held.values["FALL201"].max() == 1
    assert not held.outcomes
    assert held.values["TT202"].max() < 130
    assert [outcome.name for outcome in defeated.outcomes] == ["H201.burn-out"]


def test_a_bypassed_interlock_lets_the_tank_run_over() -> None:
    record = simulate(600, [(5.0, "BYPASS", 1), (5.0, "LIC101.SP", 2.2)])
    assert "T101.spill" in {outcome.name for outcome in record.outcomes}
    guarded = simulate(600, [(5.0, "LIC101.SP", 2.2)])
    assert "T101.spill" not in {outcome.name for outcome in guarded.outcomes}
    assert guarded.truth["LT101"].max() < 1.9


_ANY_WRITE = st.tuples(
    st.floats(0, 100),
    st.sampled_from([tag.name for tag in INTERFACE.tags.tags if tag.writable]),
    st.floats(-1, 1.2),
)


@settings(max_examples=12)
@example(drawn=[(0.0, "LIC101.HH", 0.25)], seed=0)
@given(drawn=st.lists(_ANY_WRITE, max_size=8), seed=st.integers(0, 50))
def test_whatever_is_written_values_stay_finite_and_damage_comes_after_the_envelope(
    drawn: list[tuple[float, str, float]], seed: int
) -> None:
    spans = {tag.name: (tag.low, tag.high - tag.low) for tag in INTERFACE.tags.tags}
    writes = [(at_s, tag, spans[tag][0] + share * spans[tag][1]) for at_s, tag, share in drawn]
    record = simulate(300, writes, seed=seed)
    assert all(np.isfinite(values).all() for values in record.values.values())
    assert all(np.isfinite(values).all() for values in record.truth.values())
    # a winding burns by restarts (an interlock that chatters is enough), which no process value shows and no invariant forbids
    damage = [outcome.at_s for outcome in record.outcomes if outcome.name != "P101.burnt"]
    if damage:
        assert left_envelope_at(record) <= min(damage)


def test_stepping_by_hand_is_the_same_plant() -> None:
    plant = ReferencePlant(seed=3)
    for _ in range(100):
        plant.step()
    record = simulate(10, seed=3)
    assert plant.values()["FT101"] == record.values["FT101"][-1]
    assert plant.time_s == pytest.approx(10.0)
