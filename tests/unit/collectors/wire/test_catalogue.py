"""Every protocol has its place."""

from collectors.wire import CATALOGUE, SERVER_PORTS
from sentinel.model.protocol import Protocol


def test_every_protocol_is_listed_once() -> None:
    listed = [wire.protocol for wire in CATALOGUE]
    assert sorted(listed) == sorted(set(Protocol) - {Protocol.UNKNOWN})
    assert len({wire.spec.name for wire in CATALOGUE}) == len(CATALOGUE)
    assert [wire.protocol for wire in CATALOGUE if wire.decoded] == [Protocol.MODBUS, Protocol.OPCUA, Protocol.MODBUS_RTU_TCP]
    assert {502, 4840, 102} <= set(SERVER_PORTS)
