"""What devices say of themselves, out of the rows of a window: Modbus 43/14, OPC UA sessions and BuildInfo, EtherNet/IP and BACnet answers.

Whoever sends it chooses the text: it is cut, and what does not print (control characters, terminal escapes, directions of writing) is left
out, before anybody keeps or shows it.
"""

import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from sentinel.model import modbus
from sentinel.model.columns import Array, distinct
from sentinel.model.ids import AssetId
from sentinel.model.observation import Details, Messages
from sentinel.model.opcua import SERVICES
from sentinel.model.protocol import MessageKind, Protocol, Topic
from sentinel.model.time import Instant

MAX_TEXT = 64  # characters of one claim
MAX_SAYINGS = 512  # rows of one window that are looked at, of each kind: a device says it again
VENDOR, PRODUCT, FIRMWARE = "vendor", "product", "firmware"
PRODUCTS = (PRODUCT, "model", "product code", "application", "product uri")  # the first one that was told names it

_IDENTIFIES, _DEVICE = 43, 14
_OBJECTS = {0: VENDOR, 1: "product code", 2: FIRMWARE, 3: "vendor url", 4: PRODUCT, 5: "model", 6: "application"}  # 43/14, 6.21, table 2
_OWN = tuple(SERVICES[name][1] for name in ("CreateSession", "GetEndpoints"))  # FindServers tells of others
_OF_SERVER = {
    int(Topic.VENDOR): VENDOR,
    int(Topic.PRODUCT): PRODUCT,
    int(Topic.FIRMWARE): FIRMWARE,
    int(Topic.BUILD): "build",
    int(Topic.SERIAL): "serial",
    int(Topic.NAME): "name",
}
_TOPICS = np.array(
    [*_OF_SERVER, *map(int, (Topic.CLIENT_APPLICATION, Topic.SERVER_APPLICATION, Topic.CERTIFICATE, Topic.CERTIFICATE_NAME))], np.uint8
)


class Saying(NamedTuple):
    """``by``: in which protocol, and as which of several that may share an address; ``own``: the asset answers, it does not ask."""

    asset: AssetId
    by: str
    what: str
    text: str
    time: Instant
    frame: int
    own: bool = True


def printable(text: str) -> str:
    """Bounded, on one line, without what does not print."""
    kept = (" " if one.isspace() else one for one in text[: 4 * MAX_TEXT] if one.isspace() or unicodedata.category(one)[0] != "C")
    return " ".join("".join(kept).split())[:MAX_TEXT]


def sayings(messages: Messages, details: Details) -> Iterator[Saying]:
    """In the order of the rows; what is empty is not said."""
    for saying in (*_modbus(messages), *_told(details)):
        text = printable(saying.text)
        if text:
            yield saying._replace(text=text)


def _modbus(m: Messages) -> Iterator[Saying]:
    said = np.isin(m.protocol, (Protocol.MODBUS, Protocol.MODBUS_RTU_TCP)) & (m.function == _IDENTIFIES) & (m.subfunction == _DEVICE)
    for row in np.flatnonzero(said & (m.kind == MessageKind.RESPONSE) & (m.defect == 0))[:MAX_SAYINGS].tolist():
        server, by = m.name_of(int(m.server[row])), f"modbus unit {int(m.unit[row])}"
        for number, text in modbus.identification(m.pdu(row)).items() if server else ():
            what = _OBJECTS.get(number, f"object {number}")
            yield Saying(AssetId(str(server)), by, what, text, Instant(int(m.time[row])), int(m.frame[row]))


def _told(d: Details) -> Iterator[Saying]:
    rows = np.flatnonzero(np.isin(d.topic, _TOPICS))
    for row in _distinct(d, rows)[:MAX_SAYINGS]:
        topic, function = int(d.topic[row]), int(d.function[row])
        subject, text = (d.name_of(int(code)) or "" for code in (d.subject[row], d.text[row]))
        protocol = int(d.protocol[row])
        is_opcua = protocol == Protocol.OPCUA
        is_session = is_opcua and function in _OWN
        own = topic != Topic.CLIENT_APPLICATION and (text if topic == Topic.CERTIFICATE else subject) != "client"
        asset = d.name_of(int((d.server if own else d.client)[row]))
        if not asset or protocol not in _PROTOCOLS:
            continue
        by = f"{_PROTOCOLS[protocol]} port {int(d.port[row])}" if own else f"{_PROTOCOLS[protocol]} client"
        if topic in (Topic.CLIENT_APPLICATION, Topic.SERVER_APPLICATION):
            pairs = [("application", text), ("application uri", subject)] if is_session or not own else []
        elif topic == Topic.CERTIFICATE:
            pairs = [("certificate", subject)]
        elif topic == Topic.CERTIFICATE_NAME:
            pairs = [("certificate name", text)]
        elif topic == Topic.PRODUCT and is_opcua and function != _READ:
            pairs = [("product uri", text)] if is_session else []
        else:
            pairs = [(_OF_SERVER[topic], text)]
        for what, words in pairs:
            yield Saying(AssetId(asset), by, what, words, Instant(int(d.time[row])), int(d.frame[row]), own)


_READ = SERVICES["Read"][1]
_PROTOCOLS = {int(protocol): protocol.name.lower() for protocol in Protocol if protocol is not Protocol.UNKNOWN}


def _distinct(d: Details, rows: Array) -> list[int]:
    """What is said over and over within a window is said once."""
    columns = (d.client, d.server, d.port, d.protocol, d.function, d.topic, d.subject, d.text)
    return rows[distinct(*(column[rows] for column in columns))[0]].tolist() if len(rows) else []
