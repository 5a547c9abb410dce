"""Forks of a snapshot: paired, remembered, recovered."""

from dataclasses import replace

import numpy as np

from sandbox.replay import MAX_REMEMBERED, Replay, at_once, current, furthest, merged
from sentinel.model.ids import Digest
from sentinel.twin.engine import Model
from sentinel.twin.snapshot import Snapshot


def row(replay: Replay, name: str) -> int:
    return [one.name for one in replay.plant.invariants].index(name)


def test_the_run_without_is_remembered_and_is_the_run_with_nothing(snapshot: Snapshot, model: Model) -> None:
    replay = Replay(model=model, members=64, horizon_s=120.0)
    first = replay.without(snapshot, {})
    assert replay.without(snapshot, {}) is first
    assert np.array_equal(first.robustness, replay.run(snapshot, {}).robustness)
    assert replay.without(snapshot, {"LIC101.SP": 1.3}) is not first
    assert replay.without(replace(snapshot, states=snapshot.states * 1.001), {}) is not first


def test_memory_is_bounded(snapshot: Snapshot, model: Model) -> None:
    replay = Replay(model=model, members=8, horizon_s=1.0)
    first = replay.without(snapshot, {})
    for number in range(MAX_REMEMBERED):
        replay.without(snapshot, {"LIC101.SP": 1.0 + number / 1000})
    assert replay.without(snapshot, {}) is not first


def test_members_share_their_chance(snapshot: Snapshot, replay: Replay) -> None:
    """A command to one section leaves the others' futures alone, bit by bit."""
    lived, without = replay.run(snapshot, {"SIC301.SP": 8000.0}), replay.without(snapshot, {})
    assert np.array_equal(lived.robustness[row(replay, "T101-overfill")], without.robustness[row(replay, "T101-overfill")])
    assert not np.array_equal(lived.robustness[row(replay, "B301-overheat")], without.robustness[row(replay, "B301-overheat")])
    few = replay.run(snapshot, {"SIC301.SP": 8000.0}, members=16)
    assert np.array_equal(few.robustness, lived.robustness[:, :16])


def test_the_point_of_no_return(snapshot: Snapshot, replay: Replay) -> None:
    overfill = row(replay, "T101-overfill")
    back_s = at_once(replay.point_of_no_return_s(snapshot, {"LIC101.SP": 1.9}, {"LIC101.SP": 1.2}, overfill, 66.0))
    assert back_s is not None
    assert 30.0 < back_s < 66.0
    assert at_once(replay.point_of_no_return_s(snapshot, {"LIC101.SP": 1.9}, {"LIC101.SP": 1.85}, overfill, 66.0)) is None


def test_furthest_values(snapshot: Snapshot, replay: Replay) -> None:
    run = replay.run(snapshot, {"LIC101.SP": 1.4}, 16, ("LT101",))
    high, low = furthest(run, "LT101", True), furthest(run, "LT101", False)
    assert high.shape == (16,)
    assert (high > 1.38).all()
    assert (low < 1.25).all()


def test_snapshots_of_other_plants_are_objected_to(snapshot: Snapshot, replay: Replay) -> None:
    assert replay.objection(snapshot) is None
    assert "a snapshot of model 00000000" in (replay.objection(replace(snapshot, digest=Digest("0" * 64))) or "")
    assert "shape" in (replay.objection(replace(snapshot, parameters=snapshot.parameters[:, 1:])) or "")


def test_what_stands_is_what_was_written_last(snapshot: Snapshot, replay: Replay) -> None:
    assert current(replay.plant, snapshot, {})["LIC101.SP"] == 1.2
    assert current(replay.plant, snapshot, {"LIC101.SP": 1.3})["LIC101.SP"] == 1.3
    assert merged({"a": 1.0, "b": 2.0}, {"b": 3.0}) == {"a": 1.0, "b": 3.0}
