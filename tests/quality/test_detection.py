"""The whole road over real captures: how soon an attack is a finding, and how much else is said.

Learnt and judged without any address; the labels come from the sets' own files.
"""

import csv
import gzip
import io
import time
import tomllib
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from collectors.capture.replay import replay
from sentinel.baseline.store import save
from sentinel.commands.replay import analyse, json_line
from sentinel.model.detection import Severity
from sentinel.model.finding import Finding
from sentinel.model.time import Instant, seconds_between
from sentinel.pipeline import Analysis
from tests.data import data_file

pytestmark = pytest.mark.data

_FLOORS = tomllib.loads(Path(__file__).with_name("floors.toml").read_text())
_LEMAY = "network/modbus-lemay/"
_CNC = _LEMAY + "CnC_uploading_exe_modbus_6RTU_with_operate.snap160.pcap"
_MODSENTINEL = "network/modbus-modsentinel/run1_"
_LEMAY_LEARNING_S = 40.0


def _lemay_labels(name: str) -> set[int]:
    rows = data_file(_LEMAY + name).read_text().split()
    return {int(frame) for frame, label in (row.split(";") for row in rows) if label == "1"}


def _modsentinel_labels(name: str, *columns: str) -> set[int]:
    text = gzip.decompress(data_file(f"{_MODSENTINEL}{name}_labels.csv.gz").read_bytes()).decode()
    return {int(row["frame"]) for row in csv.DictReader(io.StringIO(text)) if any(row[column] == "1" for column in columns)}


@cache
def _times(path: Path) -> dict[int, int]:
    """Frame number to time, for the frames that begin a row."""
    times: dict[int, int] = {}
    for heard in replay(path):
        for columns in (heard.messages, heard.flows):
            times |= dict(zip(columns.frame.tolist(), columns.time.tolist(), strict=True))
    return times


def _first_time(path: Path, labels: set[int]) -> Instant:
    """The time of the first labelled frame that the sensor made a row of: never before the frame itself."""
    return Instant(min(time for frame, time in _times(path).items() if frame in labels))


def _elsewhere(findings: Sequence[Finding], labels: set[int]) -> list[Finding]:
    return [finding for finding in findings if finding.first_frame not in labels]


@pytest.fixture(scope="module")
def lemay_baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("baseline") / "lemay"
    analysis = Analysis()
    start: int | None = None
    for heard in replay(data_file(_CNC)):
        start = start if start is not None else int(heard.flows.time[0])
        edge = start + round(_LEMAY_LEARNING_S * 1e9)
        analysis.heard(
            type(heard)(
                source="x",
                until=Instant(edge),
                messages=heard.messages.take(heard.messages.time < edge),
                flows=heard.flows.take(heard.flows.time < edge),
            )
        )
    analysis.flush()
    analysis.activate()
    save(analysis.baseline(), path)
    return path


@pytest.fixture(scope="module")
def modsentinel_baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("baseline") / "modsentinel"
    analysis = Analysis()
    for heard in replay(data_file(_MODSENTINEL + "no_attack.pcap")):
        analysis.heard(heard)
    analysis.flush()
    assert analysis.findings == ()
    analysis.activate()
    save(analysis.baseline(), path)
    return path


def test_reconnaissance_from_a_compromised_unit(lemay_baseline: Path) -> None:
    floor = _FLOORS["lemay_characterization"]
    path = data_file(_LEMAY + "characterization_modbus_6RTU_with_operate.pcap")
    labels = _lemay_labels("characterization_modbus_6RTU_with_operate_labeled.csv")
    findings, _, _ = analyse(path, lemay_baseline)
    attack = next(finding for finding in findings if finding.severity >= Severity.HIGH)
    assert findings[0] == attack
    assert attack.first_frame in sorted(labels)[: floor["frames"]]
    assert attack.frame_count > 6000
    elsewhere = _elsewhere(findings, labels)
    assert len(elsewhere) <= floor["elsewhere"], [finding.title for finding in elsewhere]


def test_a_transfer_over_a_new_channel_is_found_after_forty_seconds_of_learning() -> None:
    floor = _FLOORS["lemay_transfer"]
    labels = _lemay_labels("CnC_uploading_exe_modbus_6RTU_with_operate_labeled.csv")
    findings, _, _ = analyse(data_file(_CNC), learn_until_s=_LEMAY_LEARNING_S)
    found = [finding for finding in findings if finding.first_frame in labels]
    first = _first_time(data_file(_CNC), labels)
    assert 0 <= seconds_between(first, found[0].first_seen) <= floor["delay_s"]
    assert any(finding.first_seen - first > 1e9 and finding.severity >= Severity.MEDIUM for finding in found), "the channel itself"
    assert len(_elsewhere(findings, labels)) <= floor["elsewhere"]


@pytest.mark.parametrize(("key", "name", "file"), [("reader", "modbus_reader_only", ".pcap"), ("flood", "dos_tcpflood", ".pcap.gz")])
def test_a_stranger_is_found_at_once_and_is_one_finding(key: str, name: str, file: str, modsentinel_baseline: Path) -> None:
    floor = _FLOORS[f"modsentinel_{key}"]
    path = data_file(_MODSENTINEL + name + file)
    labels = _modsentinel_labels(name, "malicious_upstream", "attacker_mac")
    findings, _, _ = analyse(path, modsentinel_baseline)
    attack = next(finding for finding in findings if finding.first_frame in labels)
    assert 0 <= seconds_between(_first_time(path, labels), attack.first_seen) <= floor["delay_s"]
    assert attack.severity >= Severity.HIGH
    assert len(_elsewhere(findings, labels)) <= floor["elsewhere"], [finding.title for finding in findings]
    assert len(findings) <= floor["findings"]


def test_a_man_in_the_middle_and_what_he_changes_are_both_visible(modsentinel_baseline: Path) -> None:
    floor = _FLOORS["modsentinel_mitm"]
    path = data_file(_MODSENTINEL + "mitm_injection.pcap")
    links, changes = _modsentinel_labels("mitm_injection", "attacker_mac"), _modsentinel_labels("mitm_injection", "tampered")
    findings, _, _ = analyse(path, modsentinel_baseline)
    middle = next(finding for finding in findings if finding.cause.startswith("link:"))
    tamper = next(finding for finding in findings if finding.cause.startswith("tamper:"))
    assert 0 <= seconds_between(_first_time(path, links), middle.first_seen) <= floor["delay_s"]
    assert abs(seconds_between(_first_time(path, changes), tamper.first_seen)) <= floor["replacement_delay_s"]
    assert (middle.severity, tamper.severity) == (Severity.CRITICAL, Severity.CRITICAL)
    assert len(_elsewhere(findings, links)) <= floor["elsewhere"]
    assert len(findings) <= floor["findings"]


def test_normal_minutes_are_silent(modsentinel_baseline: Path) -> None:
    findings, _, _ = analyse(data_file(_MODSENTINEL + "no_attack.pcap"), modsentinel_baseline)
    assert len(findings) <= _FLOORS["modsentinel_normal"]["findings"]


@pytest.mark.parametrize("name", ["ModbusTCP.pcap", "bro_modbusBig.pcap"])
def test_a_real_plant_is_nearly_silent(name: str) -> None:
    floor = _FLOORS["modbus_plant"]
    path = data_file(f"network/modbus-iti/{name}")
    assert len(analyse(path)[0]) <= floor["findings_without_baseline"]
    assert len(analyse(path, learn_until_s=40.0)[0]) <= floor["findings_after_40_s"]


def test_diagnostics_that_stop_a_device_are_found_without_a_baseline() -> None:
    findings, _, _ = analyse(data_file("network/modbus-iti/modbus_test_data_part1.pcap"))
    assert findings[0].severity is Severity.HIGH
    assert {"T0814", "T0816", "T0888"} <= set(findings[0].techniques)


_OTHERS = [
    "opcua/malcolm_OPCUA-Binary.filtered.pcap", "opcua/kiwi_python_username_normal.pcap", "s7comm/Plant1_S7comm.pcap",
    "s7comm/step7_s300_download.pcapng", "s7comm/snap7_s300_everything.pcapng", "dnp3/malcolm_DNP3.pcap",
    "enip-cl5000/CL5000EIP-Software_Upload.pcap", "bacnet/BACnet_device_control.pcap", "s4x15/Advantech.pcap",
    "modbus-parsers/suricata-verify_modbus.pcap", "modbus-parsers/icsnpp_modbus_example.pcap", "protocol-id-ndpi/mqtt.pcap",
]  # fmt: skip


@pytest.mark.parametrize("name", _OTHERS)
@pytest.mark.parametrize("learn_until_s", [None, 2.0])
def test_other_protocols_and_sites_are_survived_with_few_words(name: str, learn_until_s: float | None) -> None:
    findings, _, _ = analyse(data_file(f"network/{name}"), learn_until_s=learn_until_s)
    assert len(findings) <= (5 if learn_until_s is None else 25), [finding.title for finding in findings]


def test_replaying_twice_gives_the_same_octets(modsentinel_baseline: Path) -> None:
    path = data_file(_MODSENTINEL + "mitm_injection.pcap")
    once, again = (analyse(path, modsentinel_baseline) for _ in range(2))
    assert [json_line(finding, once[1]) for finding in once[0]] == [json_line(finding, again[1]) for finding in again[0]]


def test_it_keeps_up(modsentinel_baseline: Path) -> None:
    path = data_file(_MODSENTINEL + "dos_tcpflood.pcap.gz")
    begin = time.monotonic()
    _, _, meter = analyse(path, modsentinel_baseline)
    assert meter.packets / (time.monotonic() - begin) >= _FLOORS["speed"]["packets_per_s"]


def test_data_hidden_in_process_values_are_told(tmp_path: Path) -> None:
    """The whole capture carries a channel of twelve registers; nothing is learnt."""
    with zipfile.ZipFile(data_file(_LEMAY + "channel_4d_12s.zip")) as archive:
        (name,) = archive.namelist()
        findings, _, _ = analyse(Path(archive.extract(name, tmp_path)))
    (finding,) = [one for one in findings if one.cause.startswith("channel:")]
    assert finding.cause == "channel:192.168.43.148 192.168.43.149"
    assert "holding 9, holding 10, holding 11 and 9 more" in finding.title
    assert finding.techniques == ("T0869",)
