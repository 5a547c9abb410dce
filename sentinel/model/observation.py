"""Observations: what the collectors hear, in columns.

A *slot* is one second of packet time, aligned to whole seconds UTC.  Messages are rows of their own; everything below the application
protocol is counted per flow and slot, so that the rows depend on the packets alone and never on how they were batched.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinel.model.columns import Columns, coded, column
from sentinel.model.ids import AssetId
from sentinel.model.time import NS_PER_S, Instant

SLOT_NS = NS_PER_S
NO_FRAME = 0  # frames are counted from 1, as Wireshark does; 0 = heard without a capture (gate, poll)

I8 = NDArray[np.int64]
I4 = NDArray[np.int32]
I2 = NDArray[np.int16]
U2 = NDArray[np.uint16]
U1 = NDArray[np.uint8]
F8 = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Messages(Columns):
    """One row per protocol data unit, in the order in which their last octet was heard."""

    time: I8 = column("i8", "capture time of the frame that completed the PDU, ns UTC")
    frame: I8 = column("i8", "ordinal of that frame in its source, from 1; 0 = none")
    flow: I8 = column("i8", "connection number within the source, from 0")
    client: I4 = coded("asset that opened the conversation")
    server: I4 = coded("asset that answers")
    source_mac: I4 = coded("Ethernet source of the completing frame")
    target_mac: I4 = coded("Ethernet destination of the completing frame")
    port: U2 = column("u2", "the server's port")
    protocol: U1 = column("u1", "Protocol")
    kind: U1 = column("u1", "MessageKind")
    transaction: I8 = column("i8", "the protocol's own transaction or request number")
    unit: I2 = column("i2", "Modbus unit identifier; -1 = not in this protocol")
    function: I4 = column("i4", "function code (Modbus, without the exception bit) or service id")
    subfunction: I4 = column("i4", "sub-function or MEI type; MessageType of an OPC UA chunk without a service; -1 = none")
    address: I4 = column("i4", "first data address, from 0; -1 = none; a response carries its request's")
    quantity: I4 = column("i4", "number of coils or registers; -1 = none; a response carries its request's")
    exception: U1 = column("u1", "exception code; 0 = none")
    latency: I8 = column("i8", "response: ns since its request; -1 = unpaired or a request")
    pdu_start: I8 = column("i8", "offset of the whole PDU (function code first) in the pool", points_into_pool=True)
    pdu_octets: I4 = column("i4", "length of the PDU in the pool")
    value_start: I8 = column("i8", "offset of the coil or register octets, as on the wire", points_into_pool=True)
    value_octets: I4 = column("i4", "their length; 0 = none")
    defect: U1 = column("u1", "Defect")

    def pdu(self, row: int) -> bytes:
        start = int(self.pdu_start[row])
        return self.pool[start : start + int(self.pdu_octets[row])].tobytes()

    def value(self, row: int) -> bytes:
        start = int(self.value_start[row])
        return self.pool[start : start + int(self.value_octets[row])].tobytes()


@dataclass(frozen=True, kw_only=True, eq=False)
class Flows(Columns):
    """One row per flow direction and slot, ordered by first frame; an ARP packet is a row of its own."""

    time: I8 = column("i8", "first packet of the row, ns UTC")
    last: I8 = column("i8", "last packet of the row, ns UTC")
    frame: I8 = column("i8", "frame of the first packet, from 1; 0 = none")
    source: I4 = coded("sender; for ARP the claimed protocol address")
    target: I4 = coded("receiver; for ARP the address asked for or answered to")
    source_mac: I4 = coded("Ethernet source; for ARP the claimed hardware address")
    target_mac: I4 = coded("Ethernet destination")
    kind: U1 = column("u1", "FlowKind")
    port: I4 = column("i4", "the responder's port; Ethernet type for OTHER_ETHERNET; IP protocol for OTHER_IP; else -1")
    from_client: U1 = column("u1", "1 = the sender opened the conversation (or its port is the higher one)")
    packets: I8 = column("i8", "packets in the row")
    octets: I8 = column("i8", "transport payload octets in the row")
    tcp_flags: U1 = column("u1", "TCP flags of all packets, or-ed")
    protocol: U1 = column("u1", "Protocol recognised in this flow so far, 0 = none")
    defect: U1 = column("u1", "Defect: the first one below the application layer")


@dataclass(frozen=True, kw_only=True, eq=False)
class Details(Columns):
    """What the bodies of messages tell beyond their columns, one row for each; a row belongs to the message of its time, flow and
    transaction."""

    time: I8 = column("i8", "of its message, ns UTC")
    frame: I8 = column("i8", "of its message; 0 = none")
    flow: I8 = column("i8", "of its message")
    transaction: I8 = column("i8", "of its message")
    client: I4 = coded("asset that opened the conversation")
    server: I4 = coded("asset that answers")
    port: U2 = column("u2", "the server's port")
    protocol: U1 = column("u1", "Protocol")
    function: I4 = column("i4", "of its message")
    topic: U1 = column("u1", "Topic")
    subject: I4 = coded("node id as OPC 10000-6, 5.3.1.10 writes it, or what the topic says")
    text: I4 = coded("what the topic says")
    number: F8 = column("f8", "scalar value; not a number = none")
    status: I8 = column("i8", "StatusCode; -1 = not told")
    stamped: I8 = column("i8", "the source's own time, ns UTC; -1 = not told")


@dataclass(frozen=True, kw_only=True, eq=False)
class Readings(Columns):
    """Tag values, in engineering units, as polled, subscribed or seen on the wire."""

    time: I8 = column("i8", "the device's own time where it gives one, else the time of receipt, ns UTC")
    seen: I8 = column("i8", "time of receipt, ns UTC")
    tag: I4 = coded("tag name of the plant file")
    value: F8 = column("f8", "engineering value")
    quality: U1 = column("u1", "Quality")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """The four counters of every hop, and two of a sensor alone: ``repeated`` accepted packets are copies of one that it has heard,
    ``unopened`` ones look like tunnels, and what they carry could not be read."""

    accepted: int = 0
    refused: int = 0
    dropped: int = 0
    failed: int = 0
    repeated: int = 0
    unopened: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a sensor hands over at once.  ``until``: every row before this instant has been handed over."""

    source: str
    until: Instant
    messages: Messages = field(default_factory=Messages.empty)
    flows: Flows = field(default_factory=Flows.empty)
    details: Details = field(default_factory=Details.empty)
    counters: Counters = field(default_factory=Counters)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A process of the appliance itself was away: a blind spot that the analyst must know of."""

    process: str
    since: Instant
    until: Instant
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnedAway:
    """A gate refused a client before it could ask for anything, or a poll a server (``is_server``) before it asked it.  ``subject``: of the
    certificate that it showed last, by its own word; empty where it was none.  ``times``: since this was last told of it."""

    gate: str
    source: AssetId
    target: AssetId
    at: Instant
    subject: str
    reason: str
    times: int = 1
    is_server: bool = False


def rows_before(columns: Any, instant: int) -> tuple[Any, Any]:
    """Split columns that are ordered by their ``time`` at an instant: (before, from then on)."""
    cut = columns.time < instant
    return columns.take(cut), columns.take(~cut)
