"""What protocol a conversation speaks, against the captures' own names and published results; and no Modbus where there is none."""

import pytest

from collectors.capture.replay import replay
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
    ("protocol-id-ndpi/mqtt.pcap", Protocol.UNKNOWN),
    ("dnp3-qut/injection_training_infrequent_attacker.pcap.zip", Protocol.GOOSE),
]


@pytest.mark.parametrize(("name", "protocol"), NAMED, ids=[name for name, _ in NAMED])
def test_the_protocol_is_recognised(name: str, protocol: Protocol) -> None:
    parts = list(replay(data_file(f"network/{name}")))
    flows, messages = Flows.concat([p.flows for p in parts]), Messages.concat([p.messages for p in parts])
    assert set(messages.protocol.tolist()) == ({protocol} if protocol is Protocol.OPCUA else set())
    recognised = {Protocol(code) for code in set(flows.protocol.tolist())} - {Protocol.UNKNOWN}
    assert recognised == ({protocol} - {Protocol.UNKNOWN}) | ({Protocol.DNP3} if "qut" in name else set())


@pytest.mark.parametrize(
    "name", ["s7comm/Plant1_S7comm.pcap", "opcua/malcolm_OPCUA-Binary.filtered.pcap", "bacnet/BACnet_device_control.pcap"]
)
def test_packets_and_octets_add_up_as_in_tshark(name: str) -> None:
    path = data_file(f"network/{name}")
    flows = Flows.concat([p.flows for p in replay(path)])
    shown = lines(path, "ip or ipv6", ("frame.number", "tcp.len", "udp.length"))
    assert int(flows.packets.sum()) >= len(shown)
    octets = sum(int(tcp) if tcp else max(0, int(udp or 8) - 8) for _, tcp, udp in shown if "," not in tcp + udp)
    transported = flows.take(flows.kind <= 1)
    assert int(transported.octets.sum()) == octets
