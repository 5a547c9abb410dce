"""What a twin has learnt, on the disk: it is there after a kill, and not where it was changed, belongs to another plant, or led astray."""

import dataclasses
import os
import signal
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from sentinel.baseline import store
from sentinel.brain.anchors import ANCHOR, PARAMETERS, Anchors
from sentinel.brain.parameters import BEGUN, MARK_S, Parameters
from sentinel.clock import ManualClock
from sentinel.model.ids import digest
from sentinel.model.time import Instant
from sentinel.records import Records
from sentinel.twin.learnt import Learnt
from tests.unit.access.test_seal import an_authority

MODEL = digest("a plant")
LEARNT = Learnt(np.array([-1.5, 0.25, 0.0]), np.array([0.2, 0.9, 1.0]), Instant(1_700_000_000_000_000_001))
LATER = Learnt(np.array([-2.0, 0.25, 0.0]), np.array([0.2, 0.9, 1.0]))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def records(tmp_path: Path, clock: ManualClock) -> Iterator[Records]:
    kept = Records(tmp_path / "records", clock)
    yield kept
    kept.close()


@pytest.fixture
def anchors(tmp_path: Path, clock: ManualClock) -> Anchors:
    return Anchors(tmp_path, an_authority(tmp_path / "authority", clock))


def says(records: Records) -> str:
    entry = records.audit.newest(BEGUN)
    assert entry is not None
    return str(entry.details["reason"])


def same(found: Learnt | None, wanted: Learnt) -> bool:
    if found is None or found.since != wanted.since:
        return False
    return np.array_equal(found.mean, wanted.mean) and np.array_equal(found.spread, wanted.spread)


def test_it_is_kept_at_once_then_every_five_minutes_and_at_an_orderly_end(anchors: Anchors, records: Records, clock: ManualClock) -> None:
    first = Parameters(anchors, records.audit, MODEL)
    assert first.recall(clock.now()) is None
    first.follow(None, clock.now())
    first.follow(LEARNT, clock.now())
    assert same(Parameters(anchors, records.audit, MODEL).recall(clock.now()), LEARNT)
    again = Parameters(anchors, records.audit, MODEL)
    assert same(again.recall(clock.now()), LEARNT), "a brain that was killed before it kept anything lost nothing"
    clock.advance(MARK_S / 2)
    again.follow(LATER, clock.now())
    assert same(Parameters(anchors, records.audit, MODEL).recall(clock.now()), LEARNT)
    clock.advance(MARK_S / 2)
    again = Parameters(anchors, records.audit, MODEL)
    again.recall(clock.now())
    clock.advance(MARK_S)
    again.follow(LATER, clock.now())
    assert same(Parameters(anchors, records.audit, MODEL).recall(clock.now()), LATER)
    ended = Parameters(anchors, records.audit, MODEL)
    ended.recall(clock.now())
    ended.mark(LEARNT, clock.now())
    assert same(Parameters(anchors, records.audit, MODEL).recall(clock.now()), LEARNT)
    assert anchors.refused == []


def test_equal_knowledge_is_kept_as_equal_octets(anchors: Anchors, records: Records, clock: ManualClock, tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        parameters = Parameters(anchors, records.audit, MODEL)
        parameters.mark(LEARNT, clock.now())
        found.append((tmp_path / PARAMETERS).read_bytes())
    assert found[0] == found[1]


def test_it_is_of_one_plant_file(anchors: Anchors, records: Records, clock: ManualClock, tmp_path: Path) -> None:
    parameters = Parameters(anchors, records.audit, MODEL)
    parameters.recall(clock.now())
    parameters.follow(LEARNT, clock.now())
    other = Parameters(anchors, records.audit, digest("another plant"))
    assert other.recall(clock.now()) is None
    assert not (tmp_path / PARAMETERS).exists()
    assert anchors.refused == [], "people may change a plant file"
    assert "was learnt of the plant" in says(records)


def test_a_changed_or_foreign_file_is_refused(anchors: Anchors, records: Records, clock: ManualClock, tmp_path: Path) -> None:
    parameters = Parameters(anchors, records.audit, MODEL)
    parameters.recall(clock.now())
    parameters.follow(LEARNT, clock.now())
    whole, file = (tmp_path / PARAMETERS).read_bytes(), store.load(tmp_path / PARAMETERS)
    stretched = dataclasses.replace(file, detectors={"twin": {**file.detectors["twin"], "mean": LATER.mean}})
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    foreign = Anchors(theirs, an_authority(theirs / "authority", clock))
    Parameters(foreign, records.audit, MODEL).mark(LEARNT, clock.now())
    anchors.keep(stretched, "rita", clock.now())
    forged = {
        "not a baseline file": whole[:-40],
        "its seal is that of another baseline": store.to_octets(stretched),
        "is not sealed by this appliance": store.to_octets(dataclasses.replace(file, seal=None)),
        "was not issued by": (theirs / PARAMETERS).read_bytes(),
        "is sealed as anchor, not as parameters": (tmp_path / ANCHOR).read_bytes(),
    }
    for reason, octets in forged.items():
        (tmp_path / PARAMETERS).write_bytes(octets)
        assert Parameters(anchors, records.audit, MODEL).recall(clock.now()) is None
        assert reason in anchors.refused[-1]
        assert not (tmp_path / PARAMETERS).exists()
        assert (tmp_path / "twin.refused").read_bytes() == octets


def test_what_led_astray_is_forgotten_and_does_not_come_back(
    anchors: Anchors, records: Records, clock: ManualClock, tmp_path: Path
) -> None:
    parameters = Parameters(anchors, records.audit, MODEL)
    parameters.recall(clock.now())
    parameters.follow(LEARNT, clock.now())
    astray = (tmp_path / PARAMETERS).read_bytes()
    parameters.follow(None, clock.now())
    assert not (tmp_path / PARAMETERS).exists()
    assert "lost the plant" in says(records)
    (tmp_path / PARAMETERS).write_bytes(astray)
    assert Parameters(anchors, records.audit, MODEL).recall(clock.now()) is None
    assert "was learnt in life 1 of the twin, the last one was 2" in anchors.refused[-1]
    began = Parameters(anchors, records.audit, MODEL)
    began.recall(clock.now())
    began.follow(LATER, clock.now())
    assert same(Parameters(anchors, records.audit, MODEL).recall(clock.now()), LATER), "what is learnt anew is kept again"


def test_a_file_of_an_earlier_life_does_not_come_back(anchors: Anchors, records: Records, clock: ManualClock, tmp_path: Path) -> None:
    first = Parameters(anchors, records.audit, MODEL)
    first.recall(clock.now())
    first.follow(LEARNT, clock.now())
    old = (tmp_path / PARAMETERS).read_bytes()
    second = Parameters(anchors, records.audit, MODEL)
    second.recall(clock.now())
    second.mark(LATER, clock.now())
    Parameters(anchors, records.audit, MODEL).recall(clock.now())
    (tmp_path / PARAMETERS).write_bytes(old)
    assert Parameters(anchors, records.audit, MODEL).recall(clock.now()) is None
    assert "was learnt in life 1" in anchors.refused[-1]


def _mark_for_ever(directory: Path) -> None:
    clock = ManualClock()
    anchors = Anchors(directory, an_authority(directory / "authority", clock))
    records = Records(directory / "records", clock)
    parameters = Parameters(anchors, records.audit, MODEL)
    parameters.recall(clock.now())
    while True:
        for learnt in (LEARNT, LATER):
            parameters.mark(learnt, clock.now())
            (directory / "marked").touch()


def test_whenever_it_is_killed_a_whole_file_is_there(tmp_path: Path) -> None:
    for _ in range(3):
        process = get_context("spawn").Process(target=_mark_for_ever, args=(tmp_path,))
        process.start()
        while not (tmp_path / "marked").exists():
            process.join(0.01)
            assert process.is_alive()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        (tmp_path / "marked").unlink()
        clock = ManualClock()
        records = Records(tmp_path / "records", clock)
        anchors = Anchors(tmp_path, an_authority(tmp_path / "authority", clock))
        found = Parameters(anchors, records.audit, MODEL).recall(clock.now())
        assert same(found, LEARNT) or same(found, LATER)
        assert anchors.refused == []
        records.close()
