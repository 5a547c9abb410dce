"""Learning that is interrupted goes on where it stood, for every detector of the catalogue."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sentinel.baseline.store import Baseline, from_octets, to_octets
from sentinel.detect.catalogue import CATALOGUE, detectors
from sentinel.detect.memory import freeze, thaw
from sentinel.model.tags import Loop, Tag, TagMap, TagRole
from sentinel.model.window import Window
from sentinel.ports import Detector
from tests.observations import MASTER, PLC, STRANGER, answer, flow, readings, request, window
from tests.unit.detect.test_limits import write

_TAGS = TagMap(loops=(Loop(name="TIC301", setpoint="TIC301.SP", process_value="TT301"),), tags=(
    Tag(name="LT101", role=TagRole.PROCESS_VALUE, unit="m", low=0.0, high=2.0),
    Tag(name="FT201", role=TagRole.PROCESS_VALUE, unit="m", low=0.0, high=2.0),
    Tag(name="XV101", role=TagRole.OUTPUT, unit="%", low=0.0, high=100.0),
    Tag(name="TT301", role=TagRole.PROCESS_VALUE, unit="degC", low=0.0, high=100.0),
    Tag(name="TIC301.SP", role=TagRole.SETPOINT, unit="degC", low=0.0, high=100.0),
))  # fmt: skip


def life(since: int, until: int) -> Iterator[Window]:
    """Polls, writes, a diagnostic, a process that wanders, a valve that strokes, and a loop whose setpoint steps."""
    for second in range(since, until):
        chance = np.random.default_rng(second)
        rows = [request(second + 0.1), answer(second + 0.11)]
        if second % 7 == 0:
            rows += [request(second + 0.2, function=6, address=second % 3), request(second + 0.3, function=8, subfunction=1)]
        flows = [
            flow(second + 0.1),
            flow(second + 0.11, source=PLC, target=MASTER, from_client=0),
            flow(second + 0.4, target=STRANGER, port=21),
        ]
        level, stroke = 1.0 + 0.3 * np.sin(second / 9.0) + chance.normal(0, 0.01), min(max((second % 60 - 20) * 10.0, 0.0), 100.0)
        asked, before = 40.0 + 10.0 * (second // 25 % 2), 40.0 + 10.0 * ((second - 3) // 25 % 2)
        values = readings(
            (second + 0.5, "LT101", level), (second + 0.5, "FT201", 0.8 * level + chance.normal(0, 0.01)), (second + 0.5, "XV101", stroke),
            (second + 0.5, "TT301", before + chance.normal(0, 0.1)), (second + 0.5, "TIC301.SP", asked),
        )  # fmt: skip
        commands = (write(second, tag="LIC101.SP", value=1.0 + second % 3),) if second % 11 == 0 else ()
        yield window(second, rows, flows, readings=values, commands=commands)


def _one(name: str) -> Detector:
    return next(detector for detector in detectors(_TAGS) if detector.spec.name == name)


def _told(state: Any) -> str:
    return repr({key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in state.items()})


def _through_the_disk(frozen: dict[str, Any]) -> Any:
    return from_octets(to_octets(Baseline(detectors={"one": frozen}))).detectors["one"]


@pytest.mark.parametrize("name", CATALOGUE)
def test_interrupted_learning_learns_the_same(name: str) -> None:
    whole, before, after = _one(name), _one(name), _one(name)
    for each in life(0, 400):
        whole.learn(each)
    for each in life(0, 190):
        before.learn(each)
    thaw(after, _through_the_disk(freeze(before)))
    for each in life(190, 400):
        after.learn(each)
    assert _told(freeze(after)) == _told(freeze(whole))
    for detector in (whole, after):
        detector.activate()
    assert _told(after.state()) == _told(whole.state())
    odd = window(
        401, [request(401.1, client=STRANGER, function=6)], [flow(401.1, source=STRANGER)], readings=readings((401.5, "LT101", 9.0))
    )
    assert after.score(odd) == whole.score(odd)


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_memory_of_another_detector_is_refused_and_leaves_it_as_it_was(name: str) -> None:
    detector = _one(name)
    for each in life(0, 20):
        detector.learn(each)
    before = _told(freeze(detector))
    tree = json.loads(json.dumps(freeze(detector)["tree"]))
    odd: list[dict[str, Any]] = [{}, {"tree": None}, {"tree": {"_other": 1}}]
    deep: Any = 0
    for _ in range(100):
        deep = {"l": [deep]}
    if tree:  # a detector that learns nothing keeps nothing
        odd += [{"tree": {key: {"c": "os.system", "v": []} for key in tree}}, {"tree": {key: {"l": {"a": 99}} for key in tree}}]
        odd += [{"tree": {**tree, next(iter(tree)): {"d": [[1]]}}}, {"tree": dict.fromkeys(tree, deep)}]
    for frozen in odd:
        with pytest.raises(ValueError, match=r"cannot be read|in one of the two only|is nothing|is of type|deep|argument|unpack|key"):
            thaw(detector, frozen)
        assert _told(freeze(detector)) == before


def test_what_no_memory_can_keep_is_our_bug_and_loud() -> None:
    detector = _one("novelty")
    detector.__dict__["_assets"] = object()
    with pytest.raises(ValueError, match="object is nothing that a memory can keep"):
        freeze(detector)
