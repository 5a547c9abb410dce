from collections.abc import Sequence
from dataclasses import replace

from sentinel.baseline.store import Baseline, from_octets, to_octets
from sentinel.detect.blindness import MIN_DARK_MESSAGES, Blindness
from sentinel.model.detection import Detection
from sentinel.model.observation import Counters
from sentinel.model.opcua import MessageType
from sentinel.model.protocol import Defect, Protocol
from sentinel.model.window import Window
from sentinel.pipeline import Analysis
from tests.observations import MASTER, PLC, STRANGER, flow, heard, polling, request, window


def learnt() -> Blindness:
    detector = Blindness()
    for second in range(20):
        detector.learn(polling(second))
    detector.activate()
    return detector


def told(detector: Blindness, windows: Sequence[Window]) -> list[Detection]:
    return [found for one in windows for found in detector.score(one)]


def dark(second: int, client: str = MASTER, octets: int = 100) -> Window:
    """Payload on the port, and not one message."""
    return window(
        second,
        [],
        [
            flow(second + 0.1, source=client, packets=2, octets=octets, frame=2 * second + 1),
            flow(second + 0.2, source=PLC, target=client, from_client=0, packets=2, octets=octets, frame=2 * second + 2),
        ],
    )


def test_a_conduit_that_goes_dark_is_told() -> None:
    (found, again) = told(learnt(), [polling(20), dark(21), dark(22), dark(23)])
    assert (found.source, found.target, found.frame) == (MASTER, PLC, 45)
    assert found.observed == "400 octets of payload in 8 packets, no message"
    assert found.cause == again.cause == f"blind:{MASTER} {PLC} 502"


def test_a_conduit_that_becomes_encrypted_is_told() -> None:
    def secret(second: int, hidden: bool) -> Window:
        more = {"function": -1, "subfunction": MessageType.MESSAGE} if hidden else {"function": 631}
        rows = [request(second + i / 10, port=4840, protocol=Protocol.OPCUA, frame=10 * second + i, **more) for i in range(1, 4)]
        return window(second, rows)

    detector = Blindness()
    for second in range(5):
        detector.learn(secret(second, hidden=False))
    detector.activate()
    assert told(detector, [secret(6, hidden=True)]) == []
    (found,) = told(detector, [secret(7, hidden=True)])
    assert (found.observed, found.frame, found.score) == ("6 unreadable messages", 71, 6.0)
    assert found.threshold == MIN_DARK_MESSAGES


def test_what_is_no_news() -> None:
    garbage = window(21, [request(21.1, defect=Defect.GARBAGE), request(21.2), request(21.3)])
    assert told(learnt(), [garbage, dark(22, octets=3), polling(23), dark(24), polling(25), dark(26)]) == []
    assert told(learnt(), [dark(second, client=STRANGER) for second in range(20, 40)]) == []  # it was never read
    never = Blindness()
    for second in range(20):
        never.learn(dark(second))
    never.activate()
    assert told(never, [dark(second) for second in range(20, 40)]) == []


def test_it_comes_back_from_rest() -> None:
    again = Blindness()
    again.restore(from_octets(to_octets(Baseline(detectors={"blindness": learnt().state()}))).detectors["blindness"])
    assert told(again, [dark(21), dark(22)]) == told(learnt(), [dark(21), dark(22)]) != []


def test_lost_packets_are_a_finding_that_grows() -> None:
    analysis = Analysis(judging_only=True, detectors=())
    said = []
    for second, dropped in enumerate((0, 0, 5, 6, 9, 11, 11, 3, 4)):
        said += analysis.heard(replace(heard(second), counters=Counters(accepted=100 * second, dropped=dropped)))
    assert [finding.title for finding in said] == ["Blind spot: sensor loses packets"] * 3
    assert [len(finding.why) for finding in said] == [1, 2, 3]
    assert "dropped 5 packets" in said[0].why[0]
    assert "dropped 3 packets" in said[2].why[2]  # it began anew
    assert len({finding.id for finding in said}) == 1
