"""What protocol a conversation speaks, against the captures' own names and published results; and no Modbus where there is none."""

import re

import pytest

from collectors.capture.files import CaptureFile
from collectors.capture.replay import replay
from collectors.capture.sensor import Sensor
from sentinel.model.observation import Flows, Messages
from sentinel.model.protocol import Protocol
from tests.conformance.tshark import lines
from tests.data import data_file

pytestmark = pytest.mark.data

NAMED = [
    ("opcua/icsnpp_opcua_with-gap.pcap", Protocol.OPCUA),
    ("opcua/icsnpp_open62541_client-server_mainloop-not-localhost-non-standard-port.pcap", Protocol.OPCUA),
    ("opcua/malcolm_OPCUA-Binary.filtered.pcap", Protocol.OPCUA),
    ("protocol-id-ndpi/opc-ua.pcap", Protocol.OPCUA),
    ("enip-cl5000/CL5000EIP-Software_Upload.pcap", Protocol.ENIP),
    ("protocol-id-ndpi/ethernetIP.pcap", Protocol.ENIP),
    ("s7comm/Plant1_S7comm.pcap", Protocol.S7COMM),
    ("s7comm/snap7_s300_everything.pcapng", Protocol.S7COMM),
    ("protocol-id-ndpi/s7comm.pcap", Protocol.S7COMM),
    ("dnp3/malcolm_DNP3.pcap", Protocol.DNP3),
    ("protocol-id-ndpi/dnp3.pcap", Protocol.DNP3),
    ("protocol-id-ndpi/IEC104.pcap", Protocol.IEC104),
    ("bacnet/BACnet_device_control.pcap", Protocol.BACNET),
    ("protocol-id-ndpi/bacnet.pcap", Protocol.BACNET),
    ("protocol-id-ndpi/mqtt.pcap", Protocol.MQTT),
    ("dnp3-qut/injection_training_infrequent_attacker.pcap.zip", Protocol.GOOSE),
]


@pytest.mark.parametrize(("name", "protocol"), NAMED, ids=[name for name, _ in NAMED])
def test_the_protocol_is_recognised(name: str, protocol: Protocol) -> None:
    parts = list(replay(data_file(f"network/{name}")))
    flows, messages = Flows.concat([p.flows for p in parts]), Messages.concat([p.messages for p in parts])
    assert set(messages.protocol.tolist()) == ({protocol} if protocol is Protocol.OPCUA else set())
    recognised = {Protocol(code) for code in set(flows.protocol.tolist())} - {Protocol.UNKNOWN}
    assert recognised == ({protocol} - {Protocol.UNKNOWN}) | ({Protocol.DNP3} if "qut" in name else set())


NDPI = {
    "IEC60870": Protocol.IEC104,
    "BACnet": Protocol.BACNET,
    "DNP3": Protocol.DNP3,
    "EthernetIP": Protocol.ENIP,
    "Modbus": Protocol.MODBUS,
    "MQTT": Protocol.MQTT,
    "OPC-UA": Protocol.OPCUA,
    "S7Comm": Protocol.S7COMM,
}
_CONVERSATION = re.compile(r"\t\d+\t(?:TCP|UDP) (\S+):\d+ \S+ (\S+):\d+ .*?\[proto: \d+/([\w-]+)\]")


@pytest.mark.parametrize("name", ["IEC104", "bacnet", "dnp3", "ethernetIP", "modbus", "mqtt", "opc-ua", "s7comm"])
def test_who_speaks_what_as_ndpi_says(name: str) -> None:
    """Its expected file has the packets of each protocol, and a line for each conversation; what it counts three times we hear once."""
    expected = data_file(f"network/protocol-id-ndpi/{name}.pcap.expected.txt").read_text()
    parts = list(replay(data_file(f"network/protocol-id-ndpi/{name}.pcap")))
    flows = Flows.concat([part.flows for part in parts])
    named = flows.take(flows.protocol == max(flows.protocol.tolist()))  # a conversation's first packets name nothing yet
    found = {frozenset(ends) for ends in zip(named.decoded("source"), named.decoded("target"), strict=True)}
    theirs = _CONVERSATION.findall(expected)
    assert {NDPI[spoken] for _, _, spoken in theirs} == {Protocol(int(named.protocol[0]))}
    assert {frozenset((a, b)) for a, b, _ in theirs} == found
    packets = re.search(r"^[\w-]+\t(\d+)\t\d+\t\d+$", expected, re.MULTILINE)
    assert packets is not None
    assert int(packets[1]) == int(flows.packets.sum()) + parts[-1].counters.repeated


@pytest.mark.parametrize(
    "name", ["s7comm/Plant1_S7comm.pcap", "opcua/malcolm_OPCUA-Binary.filtered.pcap", "bacnet/BACnet_device_control.pcap"]
)
def test_packets_and_octets_add_up_as_in_tshark(name: str) -> None:
    path = data_file(f"network/{name}")
    parts = list(replay(path))
    flows = Flows.concat([part.flows for part in parts])
    shown = lines(path, "ip or ipv6", ("frame.number", "tcp.len", "udp.length"))
    assert int(flows.packets.sum()) + parts[-1].counters.repeated >= len(shown)
    octets = sum(int(tcp) if tcp else max(0, int(udp or 8) - 8) for _, tcp, udp in shown if "," not in tcp + udp)
    transported = flows.take(flows.kind <= 1)
    assert int(transported.octets.sum()) == octets


SPOKEN = {
    "bacnet": {Protocol.BACNET},
    "dnp3": {Protocol.DNP3},
    "dnp3-qut": {Protocol.DNP3, Protocol.GOOSE},
    "enip-cl5000": {Protocol.ENIP},
    "modbus-iti": {Protocol.MODBUS, Protocol.S7COMM_PLUS},  # the master speaks with a Siemens controller, too
    "modbus-lemay": {Protocol.MODBUS},
    "modbus-modsentinel": {Protocol.MODBUS},
    "modbus-parsers": {Protocol.MODBUS},
    "opcua": {Protocol.OPCUA},
    "s4x15": {Protocol.MODBUS},
    "s7comm": {Protocol.S7COMM, Protocol.S7COMM_PLUS},
}


@pytest.mark.parametrize("folder", SPOKEN)
def test_no_capture_speaks_what_it_does_not(folder: str) -> None:
    """Office traffic among them: of a whole set, nothing but what its origin says that it holds."""
    for path in sorted(data_file(f"network/{folder}").iterdir()):
        if path.name.endswith((".pcap", ".pcapng", ".pcap.gz", ".pcap.zip")):
            flows = Flows.concat([part.flows for part in replay(path)])
            assert {Protocol(code) for code in set(flows.protocol.tolist())} <= SPOKEN[folder] | {Protocol.UNKNOWN}, path.name


@pytest.mark.parametrize(
    ("name", "same_path", "relayed"),
    [
        ("protocol-id-ndpi/dnp3.pcap", 362, 0),
        ("modbus-modsentinel/run1_mitm_injection.pcap", 0, 7166),
        ("modbus-modsentinel/run1_no_attack.pcap", 0, 0),
        ("modbus-iti/ModbusTCP.pcap", 0, 0),
        ("dnp3-qut/injection_training_infrequent_attacker.pcap.zip", 0, 0),
    ],
)
def test_a_real_mirror_that_delivers_again_and_a_real_relay(name: str, same_path: int, relayed: int) -> None:
    """The first holds each of its 181 frames three times; in the second a man in the middle passes on what he does not change."""
    sensor = Sensor("test", seed=1)
    for batch in CaptureFile(data_file(f"network/{name}")):
        sensor.feed(batch)
    sensor.close()
    assert (sensor.counts["duplicates"], sensor.counts["duplicates_relayed"]) == (same_path, relayed)
