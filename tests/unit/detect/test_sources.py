import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from collectors.capture.sensor import Sensor
from sentinel.detect.sources import BLOCK, MAX_TAGS, RUN, Sources
from sentinel.model.detection import Detection
from sentinel.model.tags import ModbusPoint, Table, Tag, TagMap, TagRole
from sentinel.model.time import Instant
from sentinel.model.window import Window
from sentinel.pipeline import Analysis
from tests.observations import at as instant
from tests.observations import readings, window
from tests.unit.collectors.capture.frames import Talk, batch_of, read, registers

_TAGS = TagMap(tuple(Tag(name=name, role=TagRole.PROCESS_VALUE, unit="m", low=0, high=9) for name in ("A", "B")))
_CHANCE = np.random.default_rng(3)


def _level(at_s: float) -> float:
    return 4.0 + math.sin(at_s / 30.0)


def _second(at: int, wire: float | None, polled: float | None, tag: str = "A") -> list[Window]:
    """What the wire carries by Modbus, and what a poll of ours reads 0.4 s later."""
    said = []
    if wire is not None:
        heard = readings((at + 0.1, tag, wire))
        said.append(replace(window(at, readings=heard), by_protocol={"Modbus": heard}))
    if polled is not None:
        said.append(replace(window(at, readings=readings((at + 0.5, tag, polled))), source="poll"))
    return said


def _true(at: int) -> tuple[float, float]:
    first, second = _CHANCE.normal(0, 0.02, 2)
    return round(_level(at + 0.1) + first, 2), round(_level(at + 0.5) + second, 2)


def _said(detector: Sources, begin: int, end: int, shown: Callable[[int], tuple[float | None, float | None]]) -> list[Detection]:
    return [found for at in range(begin, end) for each in _second(at, *shown(at)) for found in detector.score(each)]


def _learnt(seconds: int = 600) -> Sources:
    detector = Sources(_TAGS)
    for at in range(seconds):
        for each in _second(at, *_true(at)):
            assert detector.score(each) == (), "nothing is said while learning"
            detector.learn(each)
    detector.activate()
    return detector


@pytest.fixture
def watching() -> Sources:
    return _learnt()


def test_a_reading_that_is_changed_on_one_road_only_is_told_once(watching: Sources) -> None:
    again = Sources(_TAGS)
    again.restore(watching.state())
    for each in (watching, again):
        (found,) = _said(each, 600, 800, lambda at: (_true(at)[0], 5.5))
        assert (found.tags, found.feature, found.techniques) == (("A",), "sources disagree", ("T1692.002", "T0832"))
        assert "by Modbus on the wire (" in found.why
        assert "5.5 by poll" in found.why
        assert found.seen <= window(600 + 60 + RUN).start
        assert _said(each, 800, 900, _true) == []


def _witnessed(at: int, wire: float, polled: float, shown: float | None) -> list[Window]:
    """As `_second`, and what the twin shows at the time of the poll, which it tells with the next one."""
    heard, asked = _second(at, wire, polled)
    told = readings((at - 0.5, "A", shown)) if shown is not None else readings()
    return [heard, replace(asked, forecasts=told)]


@pytest.fixture(scope="module")
def with_twin() -> Sources:
    detector = Sources(_TAGS)
    for at in range(600):
        for each in _witnessed(at, *_true(at), round(_level(at - 0.5), 2)):
            detector.learn(each)
    detector.activate()
    return detector


@pytest.mark.parametrize(("wire", "polled", "liar"), [(2.0, 0.0, "Modbus on the wire"), (0.0, 2.0, "poll")])
def test_the_twin_says_which_of_two_lies(with_twin: Sources, wire: float, polled: float, liar: str) -> None:
    judge = Sources(_TAGS)
    judge.restore(with_twin.state())
    said = []
    for at in range(600, 700):
        heard, asked = _true(at)
        off = at >= 650
        for each in _witnessed(at, heard + off * wire, asked + off * polled, round(_level(at - 0.5), 2)):
            said += judge.score(each)
    (found,) = said
    assert found.title.endswith("is not to be believed")
    assert f"{liar}" in found.title.rpartition("; ")[2]
    assert "The twin sides with" in found.why
    assert found.confidence == 0.85


@pytest.mark.parametrize("shown", [None, 8.0])
def test_a_twin_that_agrees_with_neither_or_says_nothing_accuses_nobody(with_twin: Sources, shown: float | None) -> None:
    judge = Sources(_TAGS)
    judge.restore(with_twin.state())
    said = [each for at in range(600, 700) for part in _witnessed(at, *_true(at), shown) for each in judge.score(part)]
    assert said == [], "what the twin shows is no source of its own"
    said = [each for at in range(700, 720) for part in _witnessed(at, _true(at)[0], 1.0, shown) for each in judge.score(part)]
    assert [(found.confidence, "One of the two is changed" in found.why) for found in said] == [(0.7, True)]


def test_a_third_road_says_which_of_two_lies() -> None:
    def heard(at: int, modbus: float, opcua: float, polled: float) -> list[Window]:
        parts = {"Modbus": readings((at + 0.1, "A", modbus)), "OPC UA": readings((at + 0.3, "A", opcua))}
        return [replace(window(at), by_protocol=parts), replace(window(at, readings=readings((at + 0.5, "A", polled))), source="poll")]

    detector = Sources(_TAGS)
    for at in range(600):
        for each in heard(at, *_true(at), _true(at)[1]):
            detector.learn(each)
    detector.activate()
    said = [found for at in range(600, 700) for each in heard(at, _true(at)[0], 8.0, _true(at)[1]) for found in detector.score(each)]
    assert said
    assert all("OPC UA on the wire (sensor) is changed on its way" in found.why for found in said)


def test_ordinary_hours_agree() -> None:
    """Ten plants with ten minutes of learning, an hour each."""
    for _ in range(10):
        assert _said(_learnt(), 600, 4200, _true) == []


def test_one_reading_that_is_off_is_no_disagreement(watching: Sources) -> None:
    assert _said(watching, 600, 900, lambda at: (_true(at)[0], 9.0 if at % RUN == 0 else _true(at)[1])) == []


def test_what_is_not_read_at_the_same_time_is_not_compared(watching: Sources) -> None:
    """The wire is silent: its last words are no witness against what the process does meanwhile."""
    assert _said(watching, 600, 700, _true) == []
    assert _said(watching, 700, 900, lambda at: (None, 9.0)) == []


def test_the_same_tag_by_two_protocols_of_one_sensor() -> None:
    detector = Sources(_TAGS)

    def heard(at: int, modbus: float, opcua: float) -> Window:
        parts = {"Modbus": readings((at + 0.1, "A", modbus)), "OPC UA": readings((at + 0.3, "A", opcua))}
        return replace(window(at), by_protocol=parts)

    for at in range(600):
        detector.learn(heard(at, *_true(at)))
    detector.activate()
    said = [found for at in range(600, 700) for found in detector.score(heard(at, _true(at)[0], 8.0))]
    assert [found.feature for found in said] == ["sources disagree"]
    assert "OPC UA on the wire" in said[0].why


def test_one_source_alone_and_too_little_learning_say_nothing() -> None:
    assert _said(_learnt(2 * BLOCK), 600, 900, lambda at: (1.0, 9.0)) == []
    alone = Sources(_TAGS)
    for at in range(600):
        alone.learn(_second(at, _true(at)[0], None)[0])
    alone.activate()
    assert _said(alone, 600, 900, lambda at: (9.0, None)) == []


def test_late_doubled_and_broken_readings_do_not_disagree(watching: Sources) -> None:
    for at in range(600, 900):
        wire, polled = _true(at)
        odd = readings((at + 0.5, "A", polled), (at + 0.5, "A", polled), (at - 30.0, "A", 9.0), (at + 0.6, "A", math.nan))
        assert not watching.score(_second(at, wire, None)[0])
        assert not watching.score(replace(window(at, readings=odd), source="poll"))


def test_tags_are_bounded_and_what_is_beyond_is_counted() -> None:
    names = [f"T{i}" for i in range(MAX_TAGS + 3)]
    detector = Sources(TagMap(tuple(Tag(name=name, role=TagRole.PROCESS_VALUE, unit="m", low=0, high=9) for name in names)))
    detector.learn(window(0, readings=readings(*((0.1, name, 1.0) for name in names))))
    assert detector.unwatched == 3


def test_answers_that_are_changed_on_the_wire_do_not_agree_with_our_own_poll() -> None:
    """Octets in, a finding out: somebody changes the register on its way to the HMI, and our poll asks the device itself."""
    point = ModbusPoint(unit=1, table=Table.HOLDING, address=0, scale=0.01)
    tag = Tag(name="LT1", role=TagRole.PROCESS_VALUE, unit="m", low=0, high=9, modbus=point)
    analysis, sensor, talk = Analysis(tag_map=TagMap((tag,)), learn_until=Instant(instant(300))), Sensor("wire"), Talk()
    for second in range(360):
        wire, polled = _true(second)
        talk.ask(read(second, count=1))
        talk.answer(registers(second, (round(100 * (wire if second < 320 else 1.0)),)))
        packets, talk.packets = talk.packets, []
        analysis.heard(sensor.feed(batch_of(packets, start=instant(second + 0.1))))
        analysis.readings("poll", readings((second + 0.5, "LT1", polled)), Instant(instant(second + 1)))
    analysis.flush()
    (said,) = [each for found in analysis.findings for each in found.detections if each.detector == "sources"]
    assert instant(320) < said.seen <= instant(330)
    assert "LT1 is 1 by Modbus on the wire (wire) and " in said.why
