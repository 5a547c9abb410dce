"""Anchors on the disk: what is sealed judges; what was changed, forged or moved is refused, told and set aside."""

import dataclasses
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sentinel import durable
from sentinel.baseline import store
from sentinel.baseline.anchor import Kind, Statement, sealed
from sentinel.baseline.store import Baseline
from sentinel.brain.anchors import ANCHOR, CANDIDATE, CHECKPOINT, PREVIOUS, Anchors, Chain
from sentinel.clock import ManualClock
from sentinel.records import Records
from tests.unit.access.test_seal import an_authority

_BASELINE = Baseline(
    detectors={"limits": {"tags": ["a"], "rows": np.arange(6.0).reshape(2, 3)}}, learnt_from=10, learnt_until=20, windows=7
)
_LATER = dataclasses.replace(_BASELINE, windows=8)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def anchors(tmp_path: Path, clock: ManualClock) -> Anchors:
    return Anchors(tmp_path, an_authority(tmp_path / "authority", clock))


def test_a_promoted_anchor_judges_after_a_restart_and_names_the_one_before(anchors: Anchors, tmp_path: Path, clock: ManualClock) -> None:
    assert anchors.at_start(clock.now()) is None
    _, first = anchors.keep(_BASELINE, "rita", clock.now())
    _, second = anchors.keep(_LATER, "anna", clock.now())
    assert second.previous == first.digest
    kept = Anchors(tmp_path, an_authority(tmp_path / "authority", clock)).at_start(clock.now())
    assert kept is not None
    assert (kept[0].windows, kept[1].by) == (8, "anna")
    assert anchors.refused == []


def test_a_changed_anchor_is_refused_and_the_one_before_judges(anchors: Anchors, tmp_path: Path, clock: ManualClock) -> None:
    anchors.keep(_BASELINE, "rita", clock.now())
    anchors.keep(_LATER, "rita", clock.now())
    whole = (tmp_path / ANCHOR).read_bytes()
    (tmp_path / ANCHOR).write_bytes(whole[:-40])
    kept = anchors.at_start(clock.now())
    assert kept is not None
    assert kept[0].windows == 7
    (told,) = anchors.refused
    assert "not a baseline file" in told
    assert (tmp_path / "baseline.refused").read_bytes() == whole[:-40]


def test_a_forged_anchor_is_refused(anchors: Anchors, tmp_path: Path, clock: ManualClock) -> None:
    """Whole in itself: rewritten with another content, without a seal, under its old seal, or sealed by somebody else's authority."""
    kept, statement = anchors.keep(_BASELINE, "rita", clock.now())
    theirs = an_authority(tmp_path / "theirs", clock)
    forged = {
        "is not sealed": _LATER,
        "is that of another baseline": dataclasses.replace(_LATER, seal=kept.seal),
        "was not issued by": sealed(_LATER, dataclasses.replace(statement, digest=store.fingerprint(_LATER)), theirs.seal),
        "cannot be read": dataclasses.replace(_LATER, seal={"statement": "{}"}),
    }
    for reason, file in forged.items():
        store.save(file, tmp_path / ANCHOR)
        assert anchors.at_start(clock.now()) is None, "there is none before it: learning begins anew"
        assert reason in anchors.refused[-1]


def test_a_candidate_in_the_anchor_s_place_stays_a_candidate(anchors: Anchors, tmp_path: Path, clock: ManualClock) -> None:
    anchors.offer(_BASELINE, "rita", clock.now())
    (tmp_path / CANDIDATE).rename(tmp_path / ANCHOR)
    assert anchors.read(ANCHOR) is None
    assert "sealed as candidate, not as anchor" in anchors.refused[0]


def test_what_the_settings_name_is_taken_once_and_a_promotion_outlives_it(tmp_path: Path, clock: ManualClock) -> None:
    store.save(_BASELINE, tmp_path / "given.npz")
    anchors = Anchors(tmp_path, an_authority(tmp_path / "authority", clock), tmp_path / "given.npz")
    kept = anchors.at_start(clock.now())
    assert kept is not None
    assert kept[1].by == "settings"
    anchors.keep(_LATER, "anna", clock.now())
    kept = anchors.at_start(clock.now())
    assert kept is not None
    assert kept[0].windows == 8
    store.save(dataclasses.replace(_BASELINE, windows=9), tmp_path / "given.npz")  # the plant's people name another one
    kept = anchors.at_start(clock.now())
    assert kept is not None
    assert kept[0].windows == 9


def _killed_while_it_writes(directory: Path, now: int, nth: int) -> None:
    """kill -9 between write and rename: the new octets are on the disk, their name is not."""
    clock, left, moved = ManualClock(now), [nth], Path.replace
    anchors = Anchors(directory, an_authority(directory / "authority", clock))

    def replace(self: Path, target: Path) -> Path:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return moved(self, target)

    durable.Path.replace = replace  # type: ignore[method-assign,assignment]
    anchors.keep(_LATER, "rita", clock.now())


@pytest.mark.parametrize("nth", [1, 2])  # the move of the one before, the move of the new one
def test_killed_between_write_and_rename_the_old_anchor_is_whole(anchors: Anchors, tmp_path: Path, clock: ManualClock, nth: int) -> None:
    anchors.keep(_BASELINE, "rita", clock.now())
    child = multiprocessing.get_context("fork").Process(target=_killed_while_it_writes, args=(tmp_path, clock.now(), nth))
    child.start()
    child.join(30)
    assert child.exitcode == -signal.SIGKILL
    kept = anchors.at_start(clock.now())
    assert kept is not None
    assert kept[0].windows == 7
    assert anchors.refused == []
    assert (tmp_path / PREVIOUS).exists() == (nth == 2)


def test_a_checkpoint_is_no_anchor(anchors: Anchors, tmp_path: Path, clock: ManualClock) -> None:
    anchors.mark(_BASELINE, clock.now())
    kept = anchors.read(CHECKPOINT)
    assert kept is not None
    assert kept[1] == Statement(kind=Kind.CHECKPOINT, digest=store.fingerprint(_BASELINE), by="sentinel", at=clock.now())
    anchors.forget(CHECKPOINT)
    assert anchors.read(CHECKPOINT) is None
    assert anchors.refused == []


@pytest.fixture
def records(tmp_path: Path, clock: ManualClock) -> Iterator[Records]:
    records = Records(tmp_path / "records.db", clock)
    yield records
    records.close()


def _began(directory: Path, clock: ManualClock, records: Records) -> Anchors:
    clock.advance(60)
    return Anchors(directory, an_authority(directory / "authority", clock), witness=Chain(records.audit))


def test_an_older_anchor_in_the_place_of_the_newest_is_refused_however_good_its_seal(
    tmp_path: Path, clock: ManualClock, records: Records
) -> None:
    anchors = _began(tmp_path, clock, records)
    old: list[bytes] = []
    for windows in (7, 8, 9):
        clock.advance(60)
        anchors.keep(dataclasses.replace(_BASELINE, windows=windows), "rita", clock.now())
        old.append((tmp_path / ANCHOR).read_bytes())
    kept = _began(tmp_path, clock, records).at_start(clock.now())
    assert kept is not None
    assert kept[0].windows == 9
    (tmp_path / ANCHOR).write_bytes(old[0])
    again = _began(tmp_path, clock, records)
    kept = again.at_start(clock.now())
    assert kept is not None
    assert kept[0].windows == 8, "the one before it judges, as when a file was changed"
    (told,) = again.refused
    assert "judged last; moved to baseline.refused" in told
    assert (tmp_path / "baseline.refused").read_bytes() == old[0]
    kept = _began(tmp_path, clock, records).at_start(clock.now())
    assert kept is not None
    assert kept[0].windows == 8
    for name in (ANCHOR, PREVIOUS):
        (tmp_path / name).write_bytes(old[0])
    again = _began(tmp_path, clock, records)
    assert again.at_start(clock.now()) is None, "neither judged last nor before it"
    assert len(again.refused) == 2
    (tmp_path / ANCHOR).write_bytes(old[2])
    assert _began(tmp_path, clock, records).at_start(clock.now()) is None, "nor does what the one that judged last took the place of"


def test_an_anchor_that_was_taken_away_is_told(tmp_path: Path, clock: ManualClock, records: Records) -> None:
    _began(tmp_path, clock, records).keep(_BASELINE, "rita", clock.now())
    (tmp_path / ANCHOR).unlink()
    anchors = _began(tmp_path, clock, records)
    assert anchors.at_start(clock.now()) is None
    assert "is not there any more" in anchors.refused[0]


def test_killed_before_the_chain_knew_the_newest_anchor_judges(tmp_path: Path, clock: ManualClock, records: Records) -> None:
    _began(tmp_path, clock, records).keep(_BASELINE, "rita", clock.now())
    clock.advance(60)
    _, newer = Anchors(tmp_path, an_authority(tmp_path / "authority", clock)).keep(_LATER, "rita", clock.now())
    anchors = _began(tmp_path, clock, records)
    kept = anchors.at_start(clock.now())
    assert kept is not None
    assert (kept[0].windows, anchors.refused) == (8, [])
    assert Chain(records.audit).judged() == newer


def test_an_older_anchor_that_is_put_there_while_it_judges_does_not_come_back(tmp_path: Path, clock: ManualClock, records: Records) -> None:
    anchors = _began(tmp_path, clock, records)
    anchors.keep(_BASELINE, "rita", clock.now())
    old = (tmp_path / ANCHOR).read_bytes()
    clock.advance(60)
    _, second = anchors.keep(_LATER, "rita", clock.now())
    (tmp_path / ANCHOR).write_bytes(old)
    _, third = anchors.keep(dataclasses.replace(_BASELINE, windows=9), "rita", clock.now())
    assert third.previous is None
    assert second.digest[:12] in anchors.refused[0]
