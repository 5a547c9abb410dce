from sentinel.detect.lower import Lower
from sentinel.model.detection import Severity
from sentinel.model.protocol import Defect, FlowKind, MessageKind
from tests.observations import MASTER, PLC, flow, mac_of, polling, request, window

IMPOSTOR = "02:66:66:66:66:66"


def _learnt() -> Lower:
    lower = Lower()
    for second in range(5):
        lower.learn(polling(second))
    lower.activate()
    return lower


def test_frames_that_go_to_a_foreign_hardware_address_are_told() -> None:
    (found,) = _learnt().score(window(9, flow_rows=[flow(9, target_mac=IMPOSTOR, frame=4)]))
    assert (found.cause, found.severity, found.frames) == (f"link:{IMPOSTOR}", Severity.HIGH, (4,))
    assert found.target == PLC


def test_one_that_stands_between_two_is_an_adversary_in_the_middle() -> None:
    lower = _learnt()
    there = flow(9, target_mac=IMPOSTOR, frame=4)
    onward = flow(9.1, source_mac=IMPOSTOR, frame=5)
    (found,) = lower.score(window(9, flow_rows=[there, onward]))
    assert found.severity is Severity.CRITICAL
    assert found.frames == (4, 5)
    assert "T0830" in found.techniques
    assert f"{MASTER} belongs to {mac_of(MASTER)}" in found.why


def test_an_arp_claim_contradicts_at_once_without_a_baseline() -> None:
    lower = Lower()
    claim = {"kind": FlowKind.ARP_REPLY, "port": -1}
    assert lower.score(window(0, flow_rows=[flow(0, source=PLC, target=MASTER, **claim)])) == []
    (found,) = lower.score(window(1, flow_rows=[flow(1, source=PLC, target=MASTER, source_mac=IMPOSTOR, **claim)]))
    assert "claims by ARP" in found.why


def test_a_sensor_on_both_sides_of_a_router_hears_two_addresses() -> None:
    lower = Lower()
    both = [flow(0, frame=1), flow(0.1, source_mac=IMPOSTOR, frame=2)]
    assert lower.score(window(0, flow_rows=both)) == []
    assert lower.score(window(100, flow_rows=both)) == []


def test_after_its_first_minute_an_asset_keeps_its_address() -> None:
    lower = Lower()
    lower.score(window(0, flow_rows=[flow(0)]))
    (found,) = lower.score(window(90, flow_rows=[flow(90, source_mac=IMPOSTOR, frame=3)]))
    assert found.feature == "binding"


def test_routers_and_virtual_addresses_may_speak_for_others() -> None:
    router = "02:00:00:00:00:fe"
    lower = Lower()
    for i in range(4):
        lower.learn(window(i, flow_rows=[flow(i, source=f"192.0.2.{i}", source_mac=router)]))
    lower.learn(polling(5))
    lower.activate()
    assert lower.score(window(9, flow_rows=[flow(9, source_mac=router)])) == []
    assert lower.score(window(9, flow_rows=[flow(9, source_mac="00:00:5e:00:01:07")])) == []


def test_a_changed_copy_names_who_changed_what() -> None:
    changed = flow(9, source_mac=IMPOSTOR, defect=Defect.CONTRADICTING_COPY, frame=8)
    found = [d for d in _learnt().score(window(9, flow_rows=[changed])) if d.cause.startswith("tamper:")]
    assert [(d.cause, d.severity, d.frames) for d in found] == [(f"tamper:{IMPOSTOR}", Severity.CRITICAL, (8,))]
    row = request(9, source_mac=IMPOSTOR, kind=MessageKind.RESPONSE, defect=Defect.CONTRADICTING_COPY, frame=8)
    (answer,) = [d for d in _learnt().score(window(9, [row])) if d.cause.startswith("tamper:")]
    assert "T1692.002" in answer.techniques
    assert answer.title == f"Answers from {PLC} to {MASTER} are changed on the way by {IMPOSTOR}"


def test_nobody_becomes_a_router_by_inventing_addresses() -> None:
    lower = _learnt()
    invented = [flow(9, source=f"192.0.2.{i}", source_mac=IMPOSTOR, target=MASTER) for i in range(1, 5)]
    assert lower.score(window(9, flow_rows=invented)) == []
    (found,) = lower.score(window(10, flow_rows=[flow(10, source=PLC, target=MASTER, source_mac=IMPOSTOR)]))
    assert found.cause == f"link:{IMPOSTOR}"
    again = Lower()
    again.restore(lower.state())
    assert again.score(window(11, flow_rows=[flow(11, source=PLC, target=MASTER, source_mac=IMPOSTOR)]))


def test_a_claim_by_arp_counts_wherever_it_stands_in_its_second() -> None:
    lower = Lower()
    lower.score(window(0, flow_rows=[flow(0)]))
    rows = [flow(1, source_mac=IMPOSTOR), flow(1.1, source_mac=IMPOSTOR, kind=FlowKind.ARP_REPLY, port=-1)]
    assert [found.cause for found in lower.score(window(1, flow_rows=rows))] == [f"link:{IMPOSTOR}"]
