"""What a case of the wire tier takes over from the court, and what it does not."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from sandbox.config import Thresholds
from sandbox.emulators.case import Scene, image, rehear
from sandbox.judge import judge
from sandbox.protocol import Context, Request
from sandbox.replay import Replay
from sentinel.model.command import TagWrite
from sentinel.model.modbus import MBAP_OCTETS, writes_of
from sentinel.model.verdict import Intent, Judgement, Verdict
from sentinel.twin.snapshot import Snapshot
from tests.unit.sandbox.conftest import NOW, command
from tests.unit.sandbox.emulators.test_modbus import adu

Hear = Callable[[bytes, Verdict | None], Verdict]
HARMFUL = adu("0600000780")


@pytest.fixture
def hear(replay: Replay, snapshot: Snapshot) -> Hear:
    def heard(octets: bytes, first: Verdict | None) -> Verdict:
        asked = replace(command({}), octets=octets.hex(), writes=_read(replay, octets))
        request = Request(command=asked, snapshot=snapshot.fingerprint(), first=first, refers=first.id if first else None)
        scene = Scene(snapshot=snapshot, values=image(replay, snapshot), replay=replay)
        return rehear(request, scene, Thresholds(), 0, NOW)

    return heard


@pytest.fixture
def first(replay: Replay, snapshot: Snapshot) -> Verdict:
    asked = replace(command({}), octets=HARMFUL.hex(), writes=_read(replay, HARMFUL))
    return judge(asked, snapshot, replay, Context(), Thresholds(), 0, NOW)


def _read(replay: Replay, octets: bytes) -> tuple[TagWrite, ...]:
    return writes_of(replay.plant.tags, 1, octets[MBAP_OCTETS:]) or ()


def _runs(replay: Replay) -> list[None]:
    counted: list[None] = []
    replay.before_run = lambda: counted.append(None)
    return counted


def test_what_the_court_found_to_complete_the_same_judgement_is_not_searched_for_again(hear: Hear, first: Verdict, replay: Replay) -> None:
    counted = _runs(replay)
    short = hear(HARMFUL, first)
    runs = len(counted)
    whole = hear(HARMFUL, None)
    replay.before_run = None
    assert runs <= 2 < len(counted) - runs
    assert first.judgement is Judgement.UNSAFE
    assert short == replace(whole, refers=first.id)


@pytest.mark.parametrize(
    "change",
    [
        {"judgement": Judgement.SAFE},
        {"probability": 0.5},
        {"outcomes": ()},
        {"complete": False},
        {"reason": "because I say so"},
    ],
    ids=["judgement", "probability", "outcomes", "incomplete", "reason"],
)
def test_a_court_that_says_something_else_is_not_believed(hear: Hear, first: Verdict, change: dict[str, object]) -> None:
    claimed = replace(first, intent=Intent.MISTAKE, evidence=("all is well",), **change)  # type: ignore[arg-type]
    verdict = hear(HARMFUL, claimed)
    assert verdict == replace(hear(HARMFUL, None), refers=first.id)
    assert "all is well" not in verdict.evidence


def test_what_the_device_sets_otherwise_than_was_read_is_judged_as_set(hear: Hear, first: Verdict) -> None:
    verdict = hear(adu("06000004e2"), first)
    assert verdict.judgement is Judgement.SAFE
    assert "sets LIC101.SP = 1.25" in verdict.evidence[0]
