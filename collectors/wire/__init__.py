"""One package or file per protocol: octets in, rows of the vocabulary out.  Pure: no clock, no socket, no disk of its own.

`CATALOGUE` names every protocol that is heard.  One that is decoded gives `Messages`; one that is only recognised shows in
``Flows.protocol``, and its place is kept here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from sentinel.model import modbus, opcua
from sentinel.model.protocol import Protocol
from sentinel.ports import Spec, Stability

Array = NDArray[Any]
Values = Callable[[Array, Array, Array, Array, Array], tuple[Array, Array]]  # out: how many each message has, all of them in order


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    protocol: Protocol
    spec: Spec
    ports: tuple[int, ...] = ()  # registered; the side that has one of them answers, where no handshake was heard
    operation: Callable[[int], str] | None = None  # the standard's name of a function; None = only recognised
    values: Values | None = None  # of messages: their function, quantity (-1 = unknown), value_start, value_octets, and the pool

    framing_of: str = ""  # the one whose units it carries in other frames: who asks for that one's is shown these, too

    @property
    def decoded(self) -> bool:
        return self.operation is not None


CATALOGUE: tuple[Wire, ...] = (
    Wire(
        protocol=Protocol.MODBUS,
        spec=Spec(
            name="modbus",
            summary="Modbus/TCP on any port: every public function, exceptions, pairing with latency, defects",
            stability=Stability.STABLE,
        ),
        ports=(502,),
        operation=modbus.operation,
        values=modbus.values,
    ),
    Wire(
        protocol=Protocol.OPCUA,
        spec=Spec(
            name="opcua",
            summary="OPC UA binary on any port: every service by its id, pairing with latency, defects; what is encrypted stays unread",
        ),
        ports=(4840,),
        operation=opcua.operation,
    ),
    Wire(
        protocol=Protocol.ENIP,
        spec=Spec(name="enip", summary="EtherNet/IP and CIP, recognised by the encapsulation header or the connected items"),
        ports=(44818, 2222),
    ),
    Wire(protocol=Protocol.S7COMM, spec=Spec(name="s7comm", summary="S7comm, recognised behind TPKT and COTP"), ports=(102,)),
    Wire(
        protocol=Protocol.S7COMM_PLUS, spec=Spec(name="s7comm_plus", summary="S7comm-plus, recognised behind TPKT and COTP"), ports=(102,)
    ),
    Wire(protocol=Protocol.DNP3, spec=Spec(name="dnp3", summary="DNP3, recognised by its start octets and check sum"), ports=(20000,)),
    Wire(
        protocol=Protocol.IEC104,
        spec=Spec(name="iec104", summary="IEC 60870-5-104, recognised by start octet and control field"),
        ports=(2404,),
    ),
    Wire(protocol=Protocol.BACNET, spec=Spec(name="bacnet", summary="BACnet/IP, recognised by its BVLC header"), ports=(47808,)),
    Wire(protocol=Protocol.GOOSE, spec=Spec(name="goose", summary="IEC 61850 GOOSE, recognised by its Ethernet type")),
    Wire(protocol=Protocol.MMS, spec=Spec(name="mms", summary="IEC 61850 MMS, recognised behind TPKT and COTP"), ports=(102,)),
    Wire(protocol=Protocol.PROFINET, spec=Spec(name="profinet", summary="PROFINET DCP and I/O, recognised by its Ethernet type")),
    Wire(protocol=Protocol.HART_IP, spec=Spec(name="hart_ip", summary="HART-IP, recognised by its message header"), ports=(5094,)),
    Wire(protocol=Protocol.FINS, spec=Spec(name="fins", summary="OMRON FINS over TCP and UDP, recognised by its header"), ports=(9600,)),
    Wire(protocol=Protocol.ADS, spec=Spec(name="ads", summary="Beckhoff ADS, recognised by its AMS header"), ports=(48898, 48899)),
    Wire(protocol=Protocol.MQTT, spec=Spec(name="mqtt", summary="MQTT, recognised by how a client connects"), ports=(1883,)),
    Wire(
        protocol=Protocol.MODBUS_RTU_TCP,
        spec=Spec(
            name="modbus_rtu",
            summary="Modbus RTU frames carried in TCP, on any port: recognised by fields and CRC, read as Modbus/TCP, paired by unit",
        ),
        operation=modbus.operation,
        values=modbus.values,
        framing_of="modbus",
    ),
    Wire(
        protocol=Protocol.MODBUS_ASCII,
        spec=Spec(name="modbus_ascii", summary="Modbus ASCII frames carried in TCP, recognised by digits and LRC"),
    ),
)
SERVER_PORTS = tuple(sorted({port for wire in CATALOGUE for port in wire.ports}))
