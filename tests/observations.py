"""Rows for tests, in few words: requests, answers and flows with what matters given and the rest filled in."""

from collections.abc import Sequence
from typing import Any

from sentinel.model.columns import Columns
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import SLOT_NS, Details, Flows, Heard, Messages, Readings
from sentinel.model.protocol import FlowKind, MessageKind, Protocol
from sentinel.model.time import Instant
from sentinel.model.window import Window

START = 1_700_000_000 * SLOT_NS
MASTER, PLC, STRANGER = "10.0.0.1", "10.0.0.10", "10.0.0.66"


def mac_of(address: str) -> str:
    """Any address has one; the last octet tells IPv4 addresses apart."""
    last = address.rsplit(".", 1)[-1]
    return f"02:00:00:00:00:{int(last):02x}" if last.isdigit() else "02:00:00:00:ff:ff"


def at(second: float) -> int:
    return START + round(second * SLOT_NS)


def _columns(kind: type[Columns], rows: Sequence[dict[str, Any]], pool: bytes = b"") -> Any:
    names: dict[str, int] = {}
    coded = set(kind.coded_fields())
    arrays: dict[str, list[Any]] = {name: [] for name in kind.dtypes()}
    for row in rows:
        for name, values in arrays.items():
            value = row.get(name, -1 if name in coded else 0)
            values.append(names.setdefault(value, len(names)) if isinstance(value, str) else value)
    return kind.of(names=tuple(names), pool=pool, **arrays) if rows else kind.empty()


def request(
    second: float, *, client: str = MASTER, server: str = PLC, function: int = 3, address: int = 0, quantity: int = 4, **more: Any
) -> dict[str, Any]:
    return {
        "time": at(second), "frame": 0, "client": client, "server": server, "source_mac": mac_of(client), "target_mac": mac_of(server),
        "port": 502, "protocol": Protocol.MODBUS, "kind": MessageKind.REQUEST, "unit": 1, "function": function, "subfunction": -1,
        "address": address, "quantity": quantity, "latency": -1, **more,
    }  # fmt: skip


def answer(second: float, **more: Any) -> dict[str, Any]:
    return request(second, **{"kind": MessageKind.RESPONSE, "latency": 1_000_000, **more})


def flow(second: float, *, source: str = MASTER, target: str = PLC, port: int = 502, from_client: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "time": at(second), "last": at(second), "frame": 0, "source": source, "target": target, "source_mac": mac_of(source),
        "target_mac": mac_of(target), "kind": FlowKind.TCP, "port": port, "from_client": from_client, "packets": 2, "octets": 12,
        "tcp_flags": 0x18, **more,
    }  # fmt: skip


def details(*rows: dict[str, Any]) -> Details:
    found: Details = _columns(Details, rows)
    return found


def messages(*rows: dict[str, Any], pool: bytes = b"") -> Messages:
    columns: Messages = _columns(Messages, rows, pool)
    return columns


def flows(*rows: dict[str, Any]) -> Flows:
    columns: Flows = _columns(Flows, rows)
    return columns


def readings(*rows: tuple[float, str, float]) -> Readings:
    columns: Readings = _columns(Readings, [{"time": at(s), "seen": at(s), "tag": tag, "value": value} for s, tag, value in rows])
    return columns


def window(
    second: int, message_rows: Sequence[dict[str, Any]] = (), flow_rows: Sequence[dict[str, Any]] = (), pool: bytes = b"", **more: Any
) -> Window:
    return Window(
        source="sensor",
        start=Instant(at(second)),
        end=Instant(at(second + 1)),
        messages=messages(*message_rows, pool=pool),
        flows=flows(*flow_rows),
        **more,
    )


def heard(
    until: float, message_rows: Sequence[dict[str, Any]] = (), flow_rows: Sequence[dict[str, Any]] = (), source: str = "sensor"
) -> Heard:
    return Heard(source=source, until=Instant(at(until)), messages=messages(*message_rows), flows=flows(*flow_rows))


def polling(second: int) -> Window:
    """A second of ordinary life: the master polls the PLC, the PLC answers."""
    return window(
        second,
        [request(second + 0.1, frame=2 * second + 1), answer(second + 0.11, frame=2 * second + 2)],
        [flow(second + 0.1, frame=2 * second + 1), flow(second + 0.11, source=PLC, target=MASTER, from_client=0, frame=2 * second + 2)],
    )


def detection(second: float, cause: str, **more: Any) -> Detection:
    given: dict[str, Any] = {
        "detector": "novelty", "title": "something", "seen": Instant(at(second)), "cause": cause, "feature": "feature", "observed": "1",
        "expected": "0", "score": 1.0, "threshold": 0.0, "why": "because", "severity": Severity.HIGH, **more,
    }  # fmt: skip
    return Detection(**given)
