"""What the sensor makes of each frame of a small capture, as lines for a person: its units and what their bodies tell.

Beside a dissector's tree, which knows neither OPC UA nor a unit that another port, a second segment or a tunnel brings.
"""

from collections import defaultdict
from pathlib import Path

import numpy as np

from collectors.capture.replay import replay
from collectors.wire import CATALOGUE
from sentinel.model.observation import Details, Messages
from sentinel.model.opcua import MessageType
from sentinel.model.protocol import Defect, MessageKind, Topic

MAX_VALUES = 32  # of one unit
_WIRES = {int(wire.protocol): wire for wire in CATALOGUE}


def lines_by_frame(path: str | Path) -> dict[int, list[str]]:
    """By the frame that completed them.  Raises InputError for what is no capture."""
    said: dict[int, list[str]] = defaultdict(list)
    for heard in replay(path):
        for row in range(len(heard.messages)):
            said[int(heard.messages.frame[row])].append(_unit(heard.messages, row))
        for row in range(len(heard.details)):
            said[int(heard.details.frame[row])].append(_fact(heard.details, row))
    return said


def _unit(m: Messages, row: int) -> str:
    wire, function = _WIRES[int(m.protocol[row])], int(m.function[row])
    kind = MessageKind(int(m.kind[row])).name.lower()
    name = wire.operation(function) if wire.operation is not None and function >= 0 else _unread(m, row)
    words = [f"{wire.spec.name} {kind} {name}"]
    for field in ("transaction", "unit", "subfunction", "address", "quantity"):
        number = int(getattr(m, field)[row])
        if number >= 0 and (field != "subfunction" or function >= 0):
            words.append(f"{field} {number}")
    if wire.values is not None and m.value_octets[row]:
        at = slice(row, row + 1)
        _, values = wire.values(m.function[at], m.quantity[at], m.value_start[at], m.value_octets[at], m.pool)
        more = f" and {len(values) - MAX_VALUES} more" if len(values) > MAX_VALUES else ""
        words.append(f"values {' '.join(map(str, values[:MAX_VALUES].tolist()))}{more}")
    if kind == "exception" and m.exception[row]:
        words.append(f"exception {int(m.exception[row])}")
    if m.latency[row] >= 0:
        words.append(f"after {int(m.latency[row]) / 1e6:g} ms")
    if m.defect[row]:
        words.append(f"defect {Defect(int(m.defect[row])).name.lower()}")
    return ", ".join(words)


def _unread(m: Messages, row: int) -> str:
    """What no service or function names."""
    known = {int(kind) for kind in MessageType}
    number = int(m.subfunction[row])
    return MessageType(number).name.lower() if number in known else "octets"


def _fact(d: Details, row: int) -> str:
    words = [f"  {Topic(int(d.topic[row])).name.lower()}"]
    words += [_printable(name) for code in (d.subject[row], d.text[row]) if (name := d.name_of(int(code))) is not None]
    if np.isfinite(d.number[row]):
        words.append(f"{float(d.number[row]):g}")
    if d.status[row] > 0:
        words.append(f"status {int(d.status[row]):08x}")
    return " ".join(words)


def _printable(text: str) -> str:
    """Whoever sent it chose it: no line's end, and nothing that a terminal obeys."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)
