"""Interlocks as an operator reads them, what weakens them, and what an operator could do next."""

from dataclasses import replace

import pytest

from sandbox.defences import challenges, guards_of, impairments, worst_case
from sandbox.replay import Replay, current
from sentinel.twin.engine import Model
from sentinel.twin.snapshot import Snapshot


@pytest.fixture
def standing(replay: Replay, snapshot: Snapshot) -> dict[str, float]:
    return current(replay.plant, snapshot, {})


def test_every_interlock_of_the_plant_is_read(replay: Replay) -> None:
    found = {guard.name: (guard.value.name, guard.limit, guard.is_upper, guard.bypass) for guard in guards_of(replay.plant)}
    assert found == {
        "LAHH101": ("LT101", "LIC101.HH", True, "BYPASS"),
        "LAHH102": ("LT102", "LIC102.HH", True, "BYPASS"),
        "TAHH201": ("TT201", "TIC201.HH", True, "BYPASS"),
        "TAHH202": ("TT202", "H201.HH", True, "BYPASS"),
        "FALL201": ("FT201", "P201.LL", False, "BYPASS"),
        "TAHH301": ("TT301", "SP301.HH", True, "BYPASS"),
        "LALL102": ("LT102", "P102.LL", False, "BYPASS"),
    }


@pytest.mark.parametrize(
    ("writes", "weaker", "manual"),
    [
        ({"LIC101.HH": 1.9}, {"LAHH101"}, False),
        ({"LIC101.HH": 1.7}, set(), False),
        ({"P201.LL": 0.1}, {"FALL201"}, False),
        ({"P201.LL": 0.4}, set(), False),
        ({"LIC101.AUTO": 0.0}, {"LAHH101", "LAHH102", "TAHH201", "TAHH202", "FALL201", "TAHH301", "LALL102"}, True),
        ({"LIC101.AUTO": 1.0}, set(), False),
        ({"BYPASS": 0.0}, set(), False),
        ({"LIC101.SP": 1.4}, set(), False),
    ],
)
def test_what_weakens(replay: Replay, standing: dict[str, float], writes: dict[str, float], weaker: set[str], manual: bool) -> None:
    found = impairments(replay.plant, standing, writes)
    assert {guard.name for one in found for guard in one.guards} == weaker
    assert any(one.takes_manual for one in found) == manual


def test_a_limit_that_is_put_back_to_its_design_is_no_weaker(replay: Replay, standing: dict[str, float]) -> None:
    drawn_in = {**standing, "LIC101.HH": 1.65, "P102.LL": 0.2}
    assert impairments(replay.plant, drawn_in, {"LIC101.HH": 1.8}) == ()
    assert impairments(replay.plant, drawn_in, {"P102.LL": 0.1}) == ()
    assert [one.tag for one in impairments(replay.plant, drawn_in, {"LIC101.HH": 1.81})] == ["LIC101.HH"]
    assert [one.tag for one in impairments(replay.plant, drawn_in, {"P102.LL": 0.09})] == ["P102.LL"]


def test_challenges_are_single_actions_within_the_operator_s_screen(replay: Replay, standing: dict[str, float]) -> None:
    tags = replay.plant.tags.by_name
    found = dict(challenges(replay.plant, standing, frozenset({"LIC102.OP"})))
    for writes in found.values():
        assert all(tags[tag].low <= value <= tags[tag].high for tag, value in writes.items())
        assert not set(writes) & {"LIC102.OP", "BYPASS", "LIC101.HH"}
        assert len(writes) == 1 or set(writes) in ({"LIC101.AUTO", "LIC101.OP"}, {"TIC201.AUTO", "TIC201.OP"}, {"TIC301.AUTO", "TIC301.OP"})
    assert found["P201.RUN written to 0"] == {"P201.RUN": 0.0}
    assert found["LIC101 driven to 100 % by hand"] == {"LIC101.AUTO": 0.0, "LIC101.OP": 100.0}


def test_a_loop_in_manual_is_held_against_nothing_where_there_is_no_interlock(snapshot: Snapshot, model: Model) -> None:
    """And so no future is lived through for it: on a plant of sixty controls that took most of a case's time."""
    lived: list[None] = []
    replay = Replay(model=model, members=16, horizon_s=60.0, before_run=lambda: lived.append(None))
    standing = current(replay.plant, snapshot, {})
    found = impairments(replay.plant, standing, {"LIC101.AUTO": 0.0})
    unguarded = [replace(one, guards=()) for one in found]
    assert unguarded
    assert worst_case(replay, snapshot, {}, {"LIC101.AUTO": 0.0}, standing, unguarded, 0.03, 0.95) is None
    assert not lived
    worst_case(replay, snapshot, {}, {"LIC101.AUTO": 0.0}, standing, found, 0.03, 0.95)
    assert lived
