"""What single messages are enough for is told before their second is over, under the name that their window will use.

However the rows are cut into pieces, the findings are the same, byte for byte.
"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.detect.catalogue import CATALOGUE, detectors
from sentinel.detect.rules import Rules, load_rules
from sentinel.model.codec import to_json
from sentinel.model.detection import Severity
from sentinel.model.finding import Finding, FindingState
from sentinel.model.observation import Heard, rows_before
from sentinel.model.time import Instant
from sentinel.pipeline import Analysis
from sentinel.ports import Prompt
from sentinel.triage.fold import CROWD
from tests.observations import PLC, STRANGER, at, flow, heard, messages, request, window

_LEARNT_S = 30
_PROMPT = {name for name, detector in zip(CATALOGUE, detectors(), strict=True) if isinstance(detector, Prompt)}


def _learnt() -> Analysis:
    analysis = Analysis()
    seconds = range(_LEARNT_S)
    analysis.heard(heard(_LEARNT_S, [request(s + 0.1) for s in seconds], [flow(s + 0.1) for s in seconds]))
    analysis.activate()
    return analysis


def _asked(second: float, *rows: dict[str, Any]) -> Heard:
    """As a sensor hands it over while the second goes on: messages at once, flows when it is over."""
    return heard(int(second), list(rows), [])


def _over(second: int, *flows: dict[str, Any]) -> Heard:
    return heard(second, [], list(flows))


def test_a_foreign_write_is_told_before_its_second_is_over_and_keeps_its_name() -> None:
    analysis = _learnt()
    (early,) = analysis.heard(_asked(40, request(40.2, client=STRANGER, function=6, frame=1003)))
    assert (early.severity, early.assets, early.first_seen, early.first_frame) == (Severity.CRITICAL, (STRANGER, PLC), at(40.2), 1003)
    assert early.frames == (), "they are counted when the second is over, and fetched as evidence then"
    assert early.detections[0].frames == (1003,)
    assert analysis.findings == ()
    assert analysis.heard(_asked(40, request(40.3, client=STRANGER, function=6, frame=1005))) == [], "nothing new yet"
    (whole,) = analysis.heard(_over(41, flow(40.19, source=STRANGER, frame=1000)))
    assert whole.id == early.id
    assert (whole.first_frame, whole.frames) == (1000, (1000, 1003, 1005))
    assert analysis.findings == (whole,)


def test_what_an_open_finding_does_next_is_told_at_once_as_well() -> None:
    analysis = _learnt()
    read = [request(40.2, client=STRANGER, frame=10), request(40.4, client=STRANGER, frame=11)]
    (first,) = analysis.heard(heard(41, read, [flow(40.1, source=STRANGER, frame=9)]))
    assert first.severity is Severity.HIGH
    (graver,) = analysis.heard(_asked(41, request(41.5, client=STRANGER, function=6, frame=12)))
    assert (graver.id, graver.severity, graver.frames) == (first.id, Severity.CRITICAL, first.frames)
    assert analysis.findings == (first,), "the case takes it with its window"
    (whole,) = analysis.heard(_over(42, flow(41.5, source=STRANGER, frame=12)))
    assert (whole.id, whole.severity, whole.frame_count) == (first.id, Severity.CRITICAL, 4)


def test_what_a_person_says_meanwhile_holds() -> None:
    analysis = _learnt()
    (early,) = analysis.heard(_asked(40, request(40.2, client=STRANGER, function=6, frame=1003)))
    analysis.labelled(replace(early, state=FindingState.ACKNOWLEDGED))
    (whole,) = analysis.heard(_over(41))
    assert (whole.id, whole.state) == (early.id, FindingState.ACKNOWLEDGED)


def test_a_crowd_of_forged_senders_is_foretold_as_few_findings() -> None:
    analysis = _learnt()
    rows = [request(40 + i / 1000, client=f"10.9.{i // 250}.{i % 250}", function=6, frame=i + 1) for i in range(900)]
    told: dict[str, Finding] = {}
    for part in range(0, 900, 100):
        told |= {finding.id: finding for finding in analysis.heard(_asked(40, *rows[part : part + 100]))}
    assert len(told) == CROWD
    whole = analysis.heard(_over(41))
    assert len(whole) == CROWD + 1
    assert told.keys() < {finding.id for finding in whole}
    assert [finding.cause for finding in whole if finding.id not in told] == [f"crowd:{PLC}"]


_ROWS = st.lists(
    st.tuples(
        st.integers(0, 3000),  # ms
        st.sampled_from(["10.0.0.1", STRANGER, "10.0.0.67", "10.0.0.68"]),
        st.sampled_from([3, 6, 8, 43, 90]),
        st.sampled_from([PLC, "10.0.0.11"]),
    ),
    max_size=25,
)


@given(rows=_ROWS, cuts=st.lists(st.integers(0, 3100), max_size=12))
@settings(max_examples=60, deadline=None)
def test_in_whatever_pieces_it_comes_the_findings_are_the_same(rows: list[tuple[int, str, int, str]], cuts: list[int]) -> None:
    asked = [
        request(
            40 + ms / 1000, client=client, function=function, server=server, frame=3 * place + 3, subfunction=1 if function == 8 else -1
        )
        for place, (ms, client, function, server) in enumerate(sorted(rows))
    ]
    spoken = [flow(row["time"] / 1e9 - at(0) / 1e9, source=row["client"], target=row["server"], frame=row["frame"] - 1) for row in asked]
    whole = heard(44, asked, spoken)
    told = []
    for pieces in ([], sorted(set(cuts))):
        analysis, rest, ids = _learnt(), whole, set()
        for ms in pieces:
            until = 40 + ms // 1000
            now, later = rows_before(rest.messages, at(40 + ms / 1000))
            over, open_ = rows_before(rest.flows, at(until))
            part = Heard(source=whole.source, until=Instant(at(until)), messages=now, flows=over)
            ids |= {finding.id for finding in analysis.heard(part)}
            rest = Heard(source=whole.source, until=whole.until, messages=later, flows=open_)
        analysis.heard(rest)
        told.append([to_json(finding) for finding in analysis.findings])
        assert ids <= {finding.id for finding in analysis.findings}, "whatever was told early is there in the end"
    assert told[0] == told[1]


@pytest.mark.parametrize("name", sorted(_PROMPT))
@given(rows=_ROWS)
@settings(max_examples=30, deadline=None)
def test_what_is_said_of_some_rows_is_said_of_every_window_with_them(name: str, rows: list[tuple[int, str, int, str]]) -> None:
    detector = next(each for each in detectors() if each.spec.name == name)
    detector.learn(window(0, [request(s / 10) for s in range(5)]))
    detector.activate()
    assert isinstance(detector, Prompt)
    asked = [
        request(40 + ms / 1e4, client=client, function=function, server=server, frame=place + 1)
        for place, (ms, client, function, server) in enumerate(sorted(rows))
    ]
    half = len(asked) // 2
    for part in (asked[:half], asked[half:]):
        early = {(found.cause, found.severity) for found in detector.at_once(messages(*part))} if part else set()
        said = {(found.cause, found.severity) for found in detector.score(window(40, asked))} if asked else set()
        assert early <= said


def test_prompt_are_the_rules_and_the_whitelists() -> None:
    assert {"rules", "novelty"} == _PROMPT
    assert Rules(load_rules()).at_once(messages(request(1.0, function=3))) == []
    (listened,) = Rules(load_rules()).at_once(messages(request(1.0, function=8, subfunction=4)))
    assert listened.cause == "actor:10.0.0.1"


def test_a_window_without_news_is_not_asked_for_single_messages_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    at_once = Rules.at_once
    monkeypatch.setattr(Rules, "at_once", lambda rules, rows: [asked.append(len(rows)), *at_once(rules, rows)][1:])
    analysis = _learnt()
    asked.clear()
    analysis.heard(heard(41, [request(40.1)], [flow(40.1)]))
    assert asked == []
    analysis.heard(heard(42, [request(41.1, client=STRANGER, function=6)], [flow(41.1)]))
    assert asked == [1]
