"""Whoever forges addresses chooses how many there are: no table of a detector may follow, and no flood of findings may come of it."""

from collections.abc import Callable, Sized
from typing import Any

import pytest

from sentinel.detect import lower, novelty, protocol, scans, usual, volume
from sentinel.detect.catalogue import CATALOGUE, detectors
from sentinel.model.protocol import Defect, FlowKind, MessageKind
from sentinel.model.window import Window
from sentinel.pipeline import Analysis
from tests.observations import MASTER, PLC, answer, flow, heard, polling, request, window

LIMIT = 50


@pytest.fixture(autouse=True)
def small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lower, "MAX_BINDINGS", LIMIT)
    monkeypatch.setattr(novelty, "MAX_LEARNT", LIMIT)
    monkeypatch.setattr(protocol, "MAX_WATCHED", LIMIT)
    monkeypatch.setattr(scans, "MAX_THINGS", LIMIT)
    monkeypatch.setattr(usual, "MAX_USUAL", LIMIT)
    monkeypatch.setattr("sentinel.detect.blindness.MAX_CONDUITS", LIMIT)
    monkeypatch.setattr("sentinel.detect.blindness.MAX_DARK", LIMIT)
    monkeypatch.setattr("sentinel.detect.sequence.MAX_CHANNELS", LIMIT)
    monkeypatch.setattr("sentinel.detect.watched.MAX_WATCHED", LIMIT)
    monkeypatch.setattr("sentinel.detect.writers.MAX_LEARNT", LIMIT)


def _address(number: int) -> str:
    return f"198.51.{number // 250}.{number % 250 + 1}"


def _forged(second: int, count: int = 40) -> Window:
    """As many senders as rows, none of them seen before: connections, ARP, requests, answers, malformed ones, and telnet."""
    names = [_address(count * second + i) for i in range(count)]
    macs = [f"02:66:00:00:{second % 250:02x}:{i:02x}" for i in range(count)]
    pairs = list(zip(names, macs, strict=True))
    below = [flow(second, source=name, source_mac=mac, tcp_flags=2, octets=0, packets=1) for name, mac in pairs]
    below += [flow(second, source=name, source_mac=mac, port=23, octets=9, defect=Defect.BAD_LENGTH) for name, mac in pairs]
    below += [flow(second, source=name, target=_address(9999), source_mac=mac, kind=FlowKind.ARP_REQUEST, port=-1) for name, mac in pairs]
    said = [request(second, client=name, unit=i, source_mac=mac) for i, (name, mac) in enumerate(pairs)]
    said += [answer(second, client=name, defect=Defect.BAD_LENGTH) for name in names]
    said += [answer(second, client=name, kind=MessageKind.EXCEPTION, exception=2) for name in names]
    return window(second, said, below)


def _entries(thing: Any) -> int:
    """Keys and members of all tables that hang on a detector."""
    seen: set[int] = set()
    todo, total = list(vars(thing).values()), 0
    while todo:
        each = todo.pop()
        if id(each) in seen or isinstance(each, str | bytes | type | Callable):  # type: ignore[arg-type]
            continue
        seen.add(id(each))
        if isinstance(each, dict | set | list | tuple) or type(each).__name__ == "deque":
            total += len(each) if isinstance(each, Sized) else 0
            todo += list(each.values()) if isinstance(each, dict) else list(each)
        elif type(each).__module__.startswith("sentinel.detect"):
            todo += [getattr(each, name) for name in (*getattr(each, "__slots__", ()), *getattr(each, "__dict__", ()))]
    return total


@pytest.mark.parametrize("active", [False, True])
@pytest.mark.parametrize("name", CATALOGUE)
def test_no_table_grows_with_the_number_of_forged_addresses(name: str, active: bool) -> None:
    detector = next(each for each in detectors() if each.spec.name == name)
    if active:
        detector.learn(polling(0))
        detector.activate()
    sizes = []
    for second in range(1, 41):
        if active:
            detector.score(_forged(second))
        else:
            detector.learn(_forged(second))
        sizes.append(_entries(detector))
    assert max(sizes[20:]) <= max(sizes[:20]) + LIMIT, sizes


def test_a_flood_from_forged_addresses_is_few_findings() -> None:
    analysis = Analysis()
    for second in range(30):
        analysis.heard(heard(second, [request(second)], [flow(second)]))
    analysis.activate()
    for second in range(30, 40):
        rows = [flow(second + i / 1000, source=_address(500 * (second - 30) + i), tcp_flags=2, octets=0, packets=1) for i in range(500)]
        analysis.heard(heard(second + 1, [request(second)], [flow(second), *rows]))
    analysis.flush()
    crowd = [finding for finding in analysis.findings if finding.cause == f"crowd:{PLC}"]
    assert len(crowd) == 1
    assert len(analysis.findings) <= 40
    assert any(detection.feature == "flood of connections" for detection in crowd[0].detections)
    assert MASTER not in crowd[0].assets


def test_forged_senders_flood_a_server_though_each_opens_one_connection() -> None:
    rows = [flow(0, source=_address(i), tcp_flags=2, octets=0, packets=1, frame=i + 1) for i in range(int(volume.MIN_CONNECTIONS) + 1)]
    (found,) = volume.Volume().score(window(0, flow_rows=rows))
    assert (found.cause, found.source, found.target) == (f"crowd:{PLC}", None, PLC)
    assert volume.Volume().score(window(0, flow_rows=rows[2:])) == []


def test_what_is_watched_longest_unheard_is_forgotten_first() -> None:
    checks = protocol.ProtocolChecks()
    refused = [answer(0.01 * i, kind=MessageKind.EXCEPTION, exception=2, frame=i + 1) for i in range(protocol.MIN_EXCEPTIONS - 1)]
    assert checks.score(window(0, refused)) == []
    for second in range(1, 4):  # the watched pair goes on being heard while others pass by
        checks.score(window(second, [answer(second), *(answer(second, client=_address(30 * second + i)) for i in range(30))]))
    assert checks.score(window(4, [answer(4, kind=MessageKind.EXCEPTION, exception=2, frame=99)] * 6))
