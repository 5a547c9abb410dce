import struct
from dataclasses import replace

import numpy as np
import pytest

from sentinel.baseline.lifecycle import BaselineState
from sentinel.baseline.store import Baseline, from_octets, to_octets
from sentinel.errors import InputError
from sentinel.model.codec import to_json
from sentinel.model.command import Origin
from sentinel.model.detection import Severity
from sentinel.model.finding import Finding
from sentinel.model.observation import Counters, Heard, Messages, rows_before
from sentinel.model.protocol import Protocol
from sentinel.model.tags import ModbusPoint, Table, Tag, TagMap, TagRole
from sentinel.model.time import Instant
from sentinel.pipeline import Analysis
from tests.observations import MASTER, PLC, STRANGER, at, flow, heard, messages, polling, readings, request
from tests.unit.detect.test_limits import write

_SP = ModbusPoint(unit=1, table=Table.HOLDING, address=0, scale=0.001)
_TAGS = TagMap((Tag(name="LIC101.SP", role=TagRole.SETPOINT, unit="m", low=0.4, high=1.5, writable=True, modbus=_SP),))
_LEARNING_S = 30


def _life(until: int, attack: bool = True) -> Heard:
    """Half a minute of polling, then the stranger reads."""
    message_rows, flow_rows = [], []
    for second in range(until):
        slot = polling(second)
        message_rows += [request(second + 0.1, frame=2 * second + 1)]
        flow_rows += [
            flow(second + 0.1, frame=2 * second + 1),
            flow(second + 0.2, source=PLC, target=MASTER, from_client=0, frame=2 * second + 2),
        ]
        assert len(slot.messages) == 2
    if attack:
        message_rows.append(request(40.5, client=STRANGER, frame=1000))
        flow_rows.append(flow(40.4, source=STRANGER, frame=999))
    return heard(until, sorted(message_rows, key=lambda row: row["time"]), sorted(flow_rows, key=lambda row: row["time"]))


def _pieces(whole: Heard, cuts: list[float]) -> list[Heard]:
    pieces, rest_messages, rest_flows = [], whole.messages, whole.flows
    for cut in [*cuts, 1000.0]:
        now_messages, rest_messages = rows_before(rest_messages, at(cut))
        now_flows, rest_flows = rows_before(rest_flows, at(cut))
        pieces.append(Heard(source=whole.source, until=Instant(at(cut)), messages=now_messages, flows=now_flows))
    return pieces


def _told(findings: tuple[Finding, ...]) -> list[bytes]:
    return [to_json(finding) for finding in findings]


def test_learn_then_judge_and_any_batching_tells_the_same() -> None:
    results = []
    for cuts in ([], [10.0, 20.0, 30.5], [i / 4 for i in range(200)]):
        analysis = Analysis(learn_until=Instant(at(_LEARNING_S)))
        for piece in _pieces(_life(60), cuts):
            analysis.heard(piece)
        results.append(_told(analysis.findings))
    assert results[0] == results[1] == results[2]
    (finding,) = analysis.findings
    assert (finding.severity, finding.first_frame, finding.frames) == (Severity.HIGH, 999, (999, 1000))
    assert finding.assets == (STRANGER, PLC)


def test_what_changed_is_returned_once_in_its_newest_form() -> None:
    analysis = Analysis(learn_until=Instant(at(_LEARNING_S)))
    (returned,) = analysis.heard(_life(60))
    assert (returned,) == analysis.findings


def test_a_baseline_carries_over_a_restart_with_its_findings() -> None:
    first = Analysis()
    first.heard(_life(_LEARNING_S, attack=False))
    assert first.progress().windows == _LEARNING_S
    first.activate()
    first.heard(_pieces(_life(60), [])[0])
    kept = from_octets(to_octets(first.baseline()))
    second = Analysis()
    second.restore(kept, first.findings)
    assert second.findings == first.findings
    assert second.state is BaselineState.ACTIVE
    third = Analysis(baseline=kept)
    third.heard(_life(60))
    assert [finding.cause for finding in third.findings] == [f"actor:{STRANGER}"]


def test_a_foreign_baseline_is_refused() -> None:
    with pytest.raises(InputError, match="knows nothing of the detector"):
        Analysis(baseline=Baseline(detectors={}))
    broken = dict(Analysis().baseline().detectors) | {"novelty": {"assets": 3}}
    with pytest.raises(InputError, match="part for novelty cannot be read"):
        Analysis(baseline=Baseline(detectors=broken))


def test_grave_windows_are_not_learnt() -> None:
    analysis = Analysis()
    restart = request(5.5, client=STRANGER, function=8, subfunction=1, frame=9)
    (finding,) = analysis.heard(heard(6, [restart], [flow(5.5, source=STRANGER, frame=9)]))
    assert finding.severity is Severity.HIGH
    assert (analysis.progress().withheld, analysis.progress().windows) == (1, 0)


def test_without_a_baseline_only_what_needs_none_is_told() -> None:
    analysis = Analysis(judging_only=True)
    analysis.heard(_life(60))
    assert analysis.findings == ()
    assert analysis.progress().windows == 0


def test_writes_on_the_wire_become_commands_with_values_and_are_judged() -> None:
    pdu = bytes([6, 0, 0]) + struct.pack(">H", 1900)
    analysis = Analysis(tag_map=_TAGS)
    analysis.heard(_life(_LEARNING_S, attack=False))
    analysis.activate()
    row = request(40, client=STRANGER, function=6, address=0, quantity=1, frame=7, pdu_start=0, pdu_octets=5)
    attack = Heard(source="sensor", until=Instant(at(50)), messages=messages(row, pool=pdu))
    (finding,) = analysis.heard(attack)
    (command,) = analysis.take_commands()
    assert (command.writes[0].tag, round(command.writes[0].value or 0, 6), command.origin) == ("LIC101.SP", 1.9, Origin.WIRE)
    assert analysis.take_commands() == []
    assert finding.commands == (command.id,)
    assert finding.severity is Severity.CRITICAL
    assert any("engineered range" in why for why in finding.why)


def test_a_held_command_is_judged_at_once() -> None:
    analysis = Analysis(tag_map=_TAGS)
    analysis.heard(_life(_LEARNING_S, attack=False))
    analysis.activate()
    (finding,) = analysis.command(write(40, "LIC101.SP", 1.9))
    assert (finding.severity, finding.assets) == (Severity.CRITICAL, (STRANGER, PLC))
    question = write(41, "LIC101.SP", 9.0)
    asked = type(question)(**{**{name: getattr(question, name) for name in question.__slots__}, "origin": Origin.API})
    assert all(found.cause == finding.cause for found in analysis.command(asked))
    assert len(analysis.findings) == 1


def test_readings_without_a_capture_are_judged() -> None:
    analysis = Analysis(tag_map=_TAGS, judging_only=True)
    (finding,) = analysis.readings("poller", readings((0.5, "LIC101.SP", 3.0)), Instant(at(2)))
    assert finding.cause == "process:plant"


def test_a_tick_never_closes_what_its_source_still_owes() -> None:
    """A capture that is heard late, by the wall clock, tells the same."""
    prompt, late = Analysis(learn_until=Instant(at(_LEARNING_S))), Analysis(learn_until=Instant(at(_LEARNING_S)))
    for piece in _pieces(_life(60), [float(second) for second in range(1, 60)]):
        prompt.heard(piece)
        late.heard(piece)
        assert late.tick(Instant(at(1_000_000))) == []
    assert _told(prompt.findings) == _told(late.findings) != []


def test_small_news_in_number_ask_for_a_review() -> None:
    analysis = Analysis(learn_until=Instant(at(_LEARNING_S)))
    analysis.heard(_life(60, attack=False))
    rows = [request(100 + i, address=1000 + 10 * i, quantity=1) for i in range(60)]
    analysis.heard(heard(200, rows))
    assert analysis.state is BaselineState.DRIFTING
    analysis.review()
    assert analysis.state is BaselineState.ACTIVE


def test_columns_cost_little_per_row() -> None:
    """A second with very many messages makes objects for what is new only."""
    count = 50_000
    blank = {name: np.zeros(count, dtype) for name, dtype in Messages.dtypes().items()}
    times = {"time": at(0) + np.arange(count, dtype=np.int64)}
    codes = {"client": np.zeros(count, np.int32), "server": np.ones(count, np.int32), "quantity": np.full(count, 4, np.int32)}
    protocol = {"protocol": np.full(count, Protocol.MODBUS, np.uint8), "port": np.full(count, 502, np.uint16)}
    rows = Messages(names=(MASTER, PLC), **{**blank, **times, **codes, **protocol})
    analysis = Analysis(learn_until=Instant(at(1)))
    analysis.heard(Heard(source="sensor", until=Instant(at(1)), messages=rows))
    analysis.flush()
    assert analysis.progress().windows == 1
    assert analysis.findings == ()


def test_a_mirror_port_that_delivers_twice_is_told_once_and_with_every_doubling() -> None:
    analysis, told = Analysis(judging_only=True, detectors=()), []
    for second, (accepted, repeated) in enumerate(
        [(900, 450), (9000, 800), (11_000, 1099), (11_000, 1100), (12_000, 1300), (20_000, 2400), (2000, 1000)]
    ):
        counters = Counters(accepted=accepted, repeated=repeated)
        told.append([(finding.title, finding.detection_count) for finding in analysis.heard(replace(heard(second + 1), counters=counters))])
    title = "Mirror port: sensor hears packets twice"
    assert told == [[], [], [], [(title, 1)], [], [(title, 2)], [(title, 3)]]
