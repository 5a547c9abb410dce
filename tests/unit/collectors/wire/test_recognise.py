"""Recognition by the first payloads, whatever a sender does to them."""

import pytest

from collectors.capture.packets import PacketBatch
from sentinel.model.protocol import Protocol
from tests.unit.collectors.capture.frames import MS, START, Talk, hear

HELLO = bytes.fromhex("48454c46 20000000 00000000 ffff0000 ffff0000 00000000 00000000 00000000")
MESSAGE = bytes.fromhex("4d534746 18000000 01000000 01000000 02000000 02000000")
IEC104_STARTDT = bytes.fromhex("680407000000")


def recognised(port: int, *payloads: bytes) -> Protocol:
    talk = Talk(sport=port)
    for octets in payloads:
        talk.ask(octets)
    _, flows, _ = hear(PacketBatch.of(talk.packets, [START + at * MS for at in range(len(talk.packets))]))
    return Protocol(max(flows.protocol.tolist()))


@pytest.mark.parametrize(("port", "octets", "protocol"), [(4840, HELLO, Protocol.OPCUA), (2404, IEC104_STARTDT, Protocol.IEC104)])
def test_the_shortest_first_payloads(port: int, octets: bytes, protocol: Protocol) -> None:
    assert recognised(port, octets) is protocol


def test_a_first_message_in_crumbs_blinds_nobody() -> None:
    """Crumbs tell nothing and use no probe up: the next message that comes whole is recognised."""
    assert recognised(48010, *(HELLO[at : at + 1] for at in range(len(HELLO))), MESSAGE) is Protocol.OPCUA
