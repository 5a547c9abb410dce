"""Neither side trusts the other's octets."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.config import Thresholds
from sandbox.judge import judge
from sandbox.protocol import MAX_STEPS, Context, Request, Step, answer, failure, problem_of, request_of, verdict_of
from sandbox.replay import Replay
from sentinel.model.codec import CodecError, to_json
from sentinel.model.framing import Frame, FrameKind
from sentinel.model.ids import AssetId, CommandId, Digest, VerdictId
from sentinel.model.verdict import Verdict
from sentinel.twin.snapshot import Snapshot
from tests.unit.sandbox.conftest import NOW, command


@pytest.fixture(scope="module")
def asked(snapshot: Snapshot) -> Request:
    return Request(command=command({"LIC101.SP": 1.9}), snapshot=snapshot.fingerprint(), urgent=True, patience_s=0.15)


@pytest.fixture(scope="module")
def verdict(asked: Request, snapshot: Snapshot, replay: Replay) -> Verdict:
    return judge(asked.command, snapshot, replay, Context(), Thresholds(), 0, NOW)


def test_there_and_back(asked: Request, verdict: Verdict, replay: Replay) -> None:
    assert request_of(Frame(FrameKind.JUDGE, 3, to_json(asked))) == asked
    assert verdict_of(answer(3, verdict), asked, replay.model.digest) == verdict
    assert problem_of(failure(3, "no")) == "no"


@pytest.mark.parametrize(
    "lie",
    [
        {"command": CommandId("other")},
        {"snapshot": Digest("0" * 64)},
        {"model": None},
        {"refers": VerdictId("v-1")},
        {"probability": 1.5},
        {"probability": -0.1},
        {"took_ms": -1.0},
        {"time_to_violation_s": -3.0},
        {"reason": "x" * 5000},
        {"reason": "\x1b[2J all is well"},
        {"evidence": ("line\nbreak",)},
        {"evidence": ("x",) * 500},
    ],
)
def test_a_verdict_that_cannot_be_is_refused(asked: Request, verdict: Verdict, replay: Replay, lie: dict[str, object]) -> None:
    with pytest.raises(CodecError):
        verdict_of(answer(1, replace(verdict, **lie)), asked, replay.model.digest)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999"])
def test_numbers_that_are_none_are_refused(asked: Request, verdict: Verdict, replay: Replay, number: bytes) -> None:
    octets = answer(1, replace(verdict, took_ms=12345.0)).payload.replace(b"12345.0", number)
    with pytest.raises(CodecError):
        verdict_of(Frame(FrameKind.VERDICT, 1, octets), asked, replay.model.digest)
    octets = to_json(replace(asked, command=command({"LIC101.SP": 12345.0}))).replace(b"12345.0", number)
    with pytest.raises(CodecError):
        request_of(Frame(FrameKind.JUDGE, 1, octets))


def test_too_many_steps_are_refused(asked: Request) -> None:
    step = Step(seen=NOW, source=AssetId("a"), tag="t", value=0.0, applied=True)
    with pytest.raises(CodecError, match="too many"):
        request_of(Frame(FrameKind.JUDGE, 1, to_json(replace(asked, context=Context(steps=(step,) * (MAX_STEPS + 1))))))


@given(st.binary(max_size=200))
def test_soup_is_refused(octets: bytes) -> None:
    with pytest.raises(CodecError):
        request_of(Frame(FrameKind.JUDGE, 1, octets))
    with pytest.raises(CodecError):
        problem_of(Frame(FrameKind.FAILURE, 1, octets))
