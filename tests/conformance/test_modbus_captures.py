"""Real captures, unit by unit, against tshark and against figures that others published.

Where we differ from tshark the difference is listed with its reason, and nothing else may differ.
"""

import re
from collections import Counter
from pathlib import Path

import pytest

from collectors.capture.replay import replay
from sentinel.model.modbus import OPERATIONS
from sentinel.model.observation import Flows, Messages
from sentinel.model.protocol import Defect, MessageKind
from tests.conformance.tshark import Unit, heard, lines, units_by_tshark, units_by_us, unpacked
from tests.data import data_file

pytestmark = pytest.mark.data

# file: (units that only tshark shows, units that only we show)
EXACT = (
    "modbus-lemay/characterization_modbus_6RTU_with_operate.pcap",
    "modbus-lemay/CnC_uploading_exe_modbus_6RTU_with_operate.snap160.pcap",
    "modbus-lemay/channel_4d_12s.zip",
    "modbus-modsentinel/run1_no_attack.pcap",
    "modbus-modsentinel/run1_modbus_reader_only.pcap",
    "modbus-iti/ModbusTCP.pcap",
    "modbus-parsers/icsnpp_modbus_example.pcap",
    "protocol-id-ndpi/modbus.pcap",
)


def compared(name: str, tmp_path: Path) -> tuple[list[Unit], list[Unit]]:
    path = data_file(f"network/{name}")
    theirs, ours = units_by_tshark(unpacked(path, tmp_path)), units_by_us(heard(path))
    assert ours
    return sorted((theirs - ours).elements()), sorted((ours - theirs).elements())


@pytest.mark.parametrize("name", EXACT)
def test_unit_by_unit_as_tshark(name: str, tmp_path: Path) -> None:
    """Frame, connection number, transaction, unit, function and exception agree for every unit."""
    assert compared(name, tmp_path) == ([], [])


def test_a_flood_hides_no_unit() -> None:
    """Connection numbers aside: among 30000 half-open connections ours are forgotten earlier than tshark's."""
    path = data_file("network/modbus-modsentinel/run1_dos_tcpflood.pcap.gz")
    theirs, ours = units_by_tshark(path), units_by_us(heard(path))
    assert Counter(u._replace(stream=0) for u in theirs.elements()) == Counter(u._replace(stream=0) for u in ours.elements())


def test_a_segment_heard_after_its_acknowledgement_is_no_repetition(tmp_path: Path) -> None:
    only_theirs, only_ours = compared("modbus-iti/bro_modbusBig.pcap", tmp_path)
    assert (only_theirs, [(u.frame, u.transaction) for u in only_ours]) == ([], [(3150, 50382)])
    only_theirs, only_ours = compared("s4x15/Advantech.pcap", tmp_path)
    assert (only_theirs, [u.frame for u in only_ours]) == ([], [127, 245, 269])


def test_a_retransmission_that_carries_new_octets_is_heard(tmp_path: Path) -> None:
    """tshark passes over the whole segment, and once takes a repetition for new."""
    only_theirs, only_ours = compared("modbus-modsentinel/run1_mitm_injection.pcap", tmp_path)
    assert [(u.frame, u.transaction) for u in only_theirs] == [(9692, 0)]
    assert [(u.frame, u.transaction) for u in only_ours] == [(9126, 2274), (9126, 2275), (9130, 0)]


@pytest.mark.parametrize(
    ("name", "last"),
    [("modbus-iti/modbus_test_data_part1.pcap", [(113, -1)]), ("modbus-parsers/suricata-verify_modbus.pcap", [])],
)
def test_diagnostics_captures(name: str, last: list[tuple[int, int]], tmp_path: Path) -> None:
    """Frame 76: a length of 34820 octets, which tshark waits for.  From frame 91 on a client on port 502 sends what would be exceptions:
    tshark goes by the port, we by who opened the connection.  Frame 111: the length is too short for
    what follows, which is garbage."""
    only_theirs, only_ours = compared(name, tmp_path)
    assert {(u.function, u.frame >= 91) for u in only_theirs} == {(1, True)}
    assert [(u.frame, u.function) for u in only_ours] == [(76, 7), *((u.frame, 0x81) for u in only_theirs), *last]


@pytest.mark.parametrize("name", EXACT[:3])
def test_addresses_and_quantities_of_requests(name: str, tmp_path: Path) -> None:
    path = data_file(f"network/{name}")
    shown = lines(
        unpacked(path, tmp_path),
        "mbtcp && tcp.dstport == 502",
        ("frame.number", "modbus.reference_num", "modbus.word_cnt", "modbus.bit_cnt"),
    )
    theirs = {int(row[0]): (int(row[1]), int(row[2] or row[3] or 1)) for row in shown if row[1] and "," not in row[1]}
    m = heard(path)
    m = m.take((m.kind == MessageKind.REQUEST) & (m.address >= 0))
    ours = {int(frame): (int(a), int(q)) for frame, a, q in zip(m.frame, m.address, m.quantity, strict=True) if int(frame) in theirs}
    assert len(ours) > 100
    assert ours == {frame: theirs[frame] for frame in ours}


@pytest.mark.parametrize("name", EXACT[:2])
def test_latencies(name: str) -> None:
    path = data_file(f"network/{name}")
    shown = lines(path, "modbus.response_time", ("frame.number", "modbus.response_time"))
    theirs = {int(frame): float(seconds) for frame, seconds in shown if "," not in seconds}
    m = heard(path)
    ours = {int(frame): int(ns) / 1e9 for frame, ns in zip(m.frame, m.latency, strict=True) if ns >= 0}
    assert len(theirs) > 100
    assert all(abs(ours[frame] - seconds) < 1e-6 for frame, seconds in theirs.items())


def test_every_tampered_frame_of_the_man_in_the_middle_is_marked() -> None:
    """The data set counts 1561 frames that were forwarded with a changed payload; all of them bear the attacker's address."""
    parts = list(replay(data_file("network/modbus-modsentinel/run1_mitm_injection.pcap")))
    messages, flows = Messages.concat([p.messages for p in parts]), Flows.concat([p.flows for p in parts])
    marked = messages.take(messages.defect == Defect.CONTRADICTING_COPY)
    assert len(marked) == 1561
    assert set(marked.decoded("source_mac")) == {"00:0c:29:23:ce:c5"}
    writes = marked.take((marked.function == 6) & (marked.kind == MessageKind.REQUEST))
    assert {(int(writes.address[row]), writes.value(row)) for row in range(len(writes))} == {(6, b"\x00\x14")}
    rows = flows.take(flows.defect == Defect.CONTRADICTING_COPY)
    assert set(rows.decoded("source_mac")) == {"00:0c:29:23:ce:c5"}


def test_the_example_of_icsnpp() -> None:
    m = heard(data_file("network/modbus-parsers/icsnpp_modbus_example.pcap"))
    assert len(m) == 48
    assert not m.defect.any()
    assert len({*m.function.tolist()}) == 17
    assert Counter(m.kind.tolist())[MessageKind.EXCEPTION] == 1
    assert ((m.kind == MessageKind.REQUEST) | (m.latency >= 0)).all()


def test_the_expected_events_of_suricata() -> None:
    """Their published counts by our columns.  The signatures' numbers are explained in the data set's README; an event is a request
    here, up to the frame with the impossible length."""
    text = data_file("network/modbus-parsers/suricata-verify_modbus.expected.yaml").read_text() + "\n"
    found = re.findall(r"count: (\d+)\s+match:\s+event_type: alert\s+alert.signature_id: (\d+)\s*\n(?! *modbus)", text)
    alerts = {int(sid): int(count) for count, sid in found}
    m = heard(data_file("network/modbus-parsers/suricata-verify_modbus.pcap"))
    m = m.take((m.kind == MessageKind.REQUEST) & (m.frame < 76))
    assert {
        2: sum(int(f) in OPERATIONS for f in m.function),
        3: sum(int(f) in (1, 2, 3, 4) for f in m.function),
        4: int((m.unit == 10).sum()),
        6: sum(int(f) in (5, 6, 15, 16) for f in m.function),
        7: int((m.function == 8).sum()),
    } == {sid: alerts[sid] for sid in (2, 3, 4, 6, 7)}
    assert int((m.function == 1).sum()) == 2  # "RdCoils"
    assert int((m.function == 43).sum()) == 2  # "MEI"
