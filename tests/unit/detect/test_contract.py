"""Every detector of the catalogue: survives any rows, learns and comes back from rest, and does not depend on how names are numbered."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.capture.replay import replay
from sentinel.baseline.gather import Gather
from sentinel.baseline.store import Baseline, from_octets, to_octets
from sentinel.detect.attack import checked
from sentinel.detect.catalogue import CATALOGUE, detectors
from sentinel.model.columns import Columns
from sentinel.model.observation import Flows, Messages, Readings
from sentinel.model.tags import Tag, TagMap, TagRole
from sentinel.model.time import Instant
from sentinel.model.window import Window
from sentinel.ports import Detector
from tests.attack_traffic import CALDERA_MODBUS, HMI, OPCUA, capture, ordinary, timed
from tests.observations import MASTER, PLC, STRANGER, at, flow, polling, readings, request, window
from tests.unit.collectors.capture.frames import Talk, write

_NAMES = ("10.0.0.1", "10.0.0.2", "02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "fe80::1", "LT101", "")


def _some(kind: type[Columns], size: int, seed: int) -> Any:
    """Rows that no sensor would send: any code, any number its type can hold, names in the wrong places."""
    chance = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    for name, dtype in kind.dtypes().items():
        if name in kind.coded_fields():
            arrays[name] = chance.integers(-1, len(_NAMES), size)
        elif dtype.kind == "f":
            arrays[name] = chance.choice([np.nan, np.inf, -1e300, 0.0, 1.5], size)
        elif name in ("time", "last", "seen"):
            arrays[name] = np.sort(at(0) + chance.integers(0, 10**9, size))
        elif name.endswith(("_start", "_octets")):
            arrays[name] = chance.integers(0, 8, size)
        else:
            limits = np.iinfo(dtype)
            arrays[name] = chance.integers(max(limits.min, -(2**40)), min(limits.max, 2**40), size)
    return kind.of(names=_NAMES, pool=bytes(16), **arrays)


@pytest.mark.parametrize("name", CATALOGUE)
@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), size=st.integers(0, 40))
def test_no_rows_whatever_make_it_fail(name: str, seed: int, size: int) -> None:
    detector = _one(name)
    for second, active in enumerate((False, False, True, True)):
        odd = Window(
            source="sensor",
            start=Instant(at(second)),
            end=Instant(at(second + 1)),
            messages=_some(Messages, size, seed + second),
            flows=_some(Flows, size, seed + second),
            readings=_some(Readings, size, seed + second),
        )
        if active:
            detector.score(odd)
        else:
            detector.learn(odd)
        if second == 1:
            detector.activate()
    again = _one(name)
    again.restore(from_octets(to_octets(Baseline(detectors={name: detector.state()}))).detectors[name])
    assert _digest(again.state()) == _digest(detector.state())


def _one(name: str) -> Detector:
    return next(detector for detector in detectors() if detector.spec.name == name)


def _digest(state: Any) -> str:
    return repr({key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in state.items()})


@pytest.mark.parametrize("name", CATALOGUE)
def test_ordinary_life_is_no_news(name: str) -> None:
    detector = _one(name)
    for second in range(60):
        detector.learn(polling(second))
    detector.activate()
    assert [found.title for second in range(60, 120) for found in detector.score(polling(second))] == []


def test_a_restored_detector_says_the_same_in_the_same_order() -> None:
    learnt, restored = detectors(), detectors()
    for detector in learnt:
        for second in range(30):
            detector.learn(polling(second))
        detector.activate()
    rest = from_octets(to_octets(Baseline(detectors={d.spec.name: d.state() for d in learnt})))
    for detector in restored:
        detector.restore(rest.detectors[detector.spec.name])
    attack = [request(40.1 + i / 100, client=STRANGER, function=6, address=i, quantity=1, frame=i + 1) for i in range(20)]
    odd = window(40, attack, [flow(40.1, source=STRANGER, frame=1), flow(40.2, source=MASTER, target="10.0.0.99", port=445, frame=2)])
    said = [found for detector in learnt for found in detector.score(odd)]
    assert said
    assert said == [found for detector in restored for found in detector.score(odd)]


def test_what_is_said_does_not_depend_on_how_names_are_numbered() -> None:
    def told(first: str, second: str) -> list[Any]:
        said = []
        for detector in detectors():
            for slot in range(5):
                detector.learn(polling(slot))
            detector.activate()
            rows = [request(9.1, client=STRANGER), request(9.2, client=MASTER, function=16)]
            unrelated = flow(9.0, source=first, target=second, port=9)
            odd = window(9, rows, [unrelated, flow(9.1, source=STRANGER, port=502), flow(9.2, source=PLC, target="8.8.8.8", port=443)])
            said += [d for d in detector.score(odd) if first not in (d.source, d.target) and second not in (d.source, d.target)]
        return said

    assert told("10.0.0.7", "10.0.0.8") == told("10.0.0.8", "10.0.0.7") != []


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_spec_names_only_current_techniques(name: str) -> None:
    spec = _one(name).spec
    assert checked(spec.attack, name) == spec.attack
    assert spec.name == name
    assert spec.summary


def _lived(directory: Path) -> list[Window]:
    """Traffic and readings in which every detector that counts has something to count."""
    attacks = [OPCUA["subscription flood"].packets(HMI), *(ability.packets() for ability in CALDERA_MODBUS.values())]
    turned = Talk(client=HMI, cport=43000)
    for number in range(30):
        turned.ask(write(number, 9, number % 2))
    packets = ordinary(60) + [packet for attack in attacks for packet in attack] + timed(turned, 20.0)
    gather, windows = Gather("sensor"), list[Window]()
    for heard in replay(capture(directory / "lived.pcap", packets)):
        windows += gather.hear(heard)
    values = 4.0 + np.random.default_rng(1).normal(0, 0.05, 900)
    readings_of = [window(100 + at_s, readings=readings((100.1 + at_s, "LT101", float(v)))) for at_s, v in enumerate(values)]
    return windows + gather.flush() + readings_of


def test_what_is_learnt_does_not_hang_on_whether_it_was_judged_before(tmp_path: Path) -> None:
    """The appliance judges every window while it learns, `sentinel replay --learn-until` does not: both know the same afterwards."""
    tags = TagMap((Tag(name="LT101", role=TagRole.PROCESS_VALUE, unit="m", low=0, high=9),))
    windows = _lived(tmp_path)
    for name in CATALOGUE:
        learner, judge = (next(each for each in detectors(tags) if each.spec.name == name) for _ in range(2))
        for lived in windows:
            learner.learn(lived)
            judge.score(lived)
            judge.learn(lived)
        learner.activate()
        judge.activate()
        first, second = (to_octets(Baseline(detectors={name: each.state()})) for each in (learner, judge))
        assert first == second, name
