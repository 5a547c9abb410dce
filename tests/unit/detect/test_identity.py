"""A device that says it is something else than before."""

import pytest

from sentinel.baseline.store import Baseline, from_octets, to_octets
from sentinel.detect.identity import IdentityChange
from sentinel.model.detection import Severity
from sentinel.model.protocol import Protocol, Topic
from sentinel.model.window import Window
from tests.observations import MASTER, PLC, at, details, window


def says(second: int, text: str, topic: Topic = Topic.FIRMWARE, client: str = MASTER, port: int = 44818) -> Window:
    row = {"time": at(second), "frame": second + 1, "client": client, "server": PLC, "port": port, "protocol": Protocol.ENIP}
    return window(second, details=details(row | {"topic": topic, "text": text, "subject": -1}))


def test_new_firmware_is_news_once() -> None:
    detector = IdentityChange()
    assert [list(detector.score(says(second, "v1"))) for second in range(3)] == [[], [], []]
    (found,) = detector.score(says(3, "v2"))
    assert (found.target, found.feature, found.expected, found.observed) == (PLC, "firmware", "v1", "v2")
    assert (found.severity, found.techniques, found.frames) == (Severity.HIGH, ("T1693.001",), (4,))
    assert detector.score(says(4, "v2")) == []
    (back,) = detector.score(says(5, "v1"))
    assert back.expected == "v2"


def test_what_alternated_while_it_was_learnt_may_go_on_to() -> None:
    detector = IdentityChange()
    for second in range(6):
        detector.learn(says(second, f"v{second % 2}"))
    detector.activate()
    restored = IdentityChange()
    restored.restore(from_octets(to_octets(Baseline(detectors={"identity": detector.state()}))).detectors["identity"])
    for one in (detector, restored):
        assert [found for second in range(6, 12) for found in one.score(says(second, f"v{second % 2}"))] == []
        assert [found.observed for found in one.score(says(12, "v7"))] == ["v7"]


@pytest.mark.parametrize("other", [{"topic": Topic.VENDOR}, {"port": 44819}])
def test_another_thing_or_another_server_of_the_device_is_no_change(other: dict[str, int]) -> None:
    detector = IdentityChange()
    detector.score(says(0, "v1"))
    assert detector.score(says(1, "v2", **other)) == []  # type: ignore[arg-type]


def test_a_name_is_lesser_news_than_a_serial_number() -> None:
    detector = IdentityChange()
    severities = list[Severity]()
    for second in range(2):
        for topic in (Topic.NAME, Topic.SERIAL):
            detector.score(says(second, f"a{second}", topic))
            severities += [found.severity for found in detector.score(says(second, f"b{second}", topic))]
        detector.activate()
    assert severities == [Severity.HIGH, Severity.MEDIUM, Severity.HIGH]  # a name only against a baseline
