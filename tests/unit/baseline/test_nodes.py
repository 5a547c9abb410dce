"""Values and writes heard over OPC UA: by node they are the plant's tags, and judged like those of registers."""

import numpy as np
import pytest

from sentinel.baseline.nodes import node_commands, node_readings, of_servers
from sentinel.model.ids import AssetId
from sentinel.model.observation import Details, Heard, Messages
from sentinel.model.protocol import Defect, MessageKind, Protocol, Quality, Topic
from sentinel.model.tags import Tag, TagMap, TagRole
from sentinel.model.time import Instant
from sentinel.pipeline import Analysis
from tests.observations import MASTER, PLC, START, STRANGER, at, details, messages, request

LEVEL, SETPOINT = "ns=2;s=LT101", "ns=2;s=LIC101.SP"
_TAGS = TagMap(
    (
        Tag(name="LT101", role=TagRole.PROCESS_VALUE, unit="m", low=0, high=2, opcua=LEVEL),
        Tag(name="LIC101.SP", role=TagRole.SETPOINT, unit="m", low=0, high=2, opcua=SETPOINT, writable=True),
    )
)


def value(second: float, subject: str = LEVEL, number: float = 1.0, topic: Topic = Topic.VALUE_READ, **more: object) -> dict[str, object]:
    return {
        "time": at(second), "client": MASTER, "server": PLC, "protocol": Protocol.OPCUA, "topic": topic, "subject": subject,
        "number": number, "status": 0, "stamped": -1, "transaction": 7, **more,
    }  # fmt: skip


def written(second: float = 1, subject: str = SETPOINT, **more: object) -> dict[str, object]:
    return value(second, subject, 1.5, Topic.VALUE_WRITTEN, **more)


def asked(second: float = 1, **more: object) -> dict[str, object]:
    return request(
        second,
        **{"protocol": Protocol.OPCUA, "function": 673, "transaction": 7, "unit": -1, "pdu_start": 0, "pdu_octets": 3, "frame": 9} | more,
    )


def test_values_are_readings_of_the_tags_that_the_map_binds() -> None:
    rows = [value(1), value(2, "ns=2;s=other"), value(3, SETPOINT, 2.0, Topic.VALUE_PUBLISHED, status=0x40000000, stamped=START)]
    seen = node_readings(details(*rows, value(4, number=float("nan")), written(5)), _TAGS)
    assert (seen.decoded("tag"), seen.value.tolist()) == (["LT101", "LIC101.SP"], [1.0, 2.0])
    assert (seen.time.tolist(), seen.seen.tolist()) == ([at(1), START], [at(1), at(3)])
    assert seen.quality.tolist() == [Quality.GOOD, Quality.UNCERTAIN]


def test_without_a_map_a_node_is_named_by_its_place() -> None:
    assert node_readings(details(value(1))).decoded("tag") == [f"{PLC} {LEVEL}"]


def test_a_bad_status_is_a_bad_reading() -> None:
    assert node_readings(details(value(1, status=0x80350000)), _TAGS).quality.tolist() == [Quality.BAD]


def test_a_write_is_a_command() -> None:
    (command,) = node_commands(messages(asked(), pool=b"abc"), details(written(), written(subject="ns=2;s=other")), _TAGS)
    assert (command.source, command.target, command.protocol, command.operation) == (MASTER, PLC, "opcua", "Write")
    assert (command.frame_number, command.octets, command.seen) == (9, b"abc".hex(), at(1))
    assert [(w.tag, w.point, w.raw, w.value, w.unit) for w in command.writes] == [
        ("LIC101.SP", SETPOINT, 1.5, 1.5, "m"),
        (None, "ns=2;s=other", 1.5, None, None),
    ]
    assert command.reached() == {"LIC101.SP": 1.5}


@pytest.mark.parametrize(("status", "reached"), [(0, {"LIC101.SP": 1.5}), (0x80740000, {})])
def test_what_the_server_refuses_has_not_reached_the_plant(status: int, reached: dict[str, float]) -> None:
    result = value(1.1, SETPOINT, float("nan"), Topic.WRITE_RESULT, status=status)
    (command,) = node_commands(messages(asked(), pool=b"abc"), details(written(), result), _TAGS)
    assert command.reached() == reached


def test_a_fault_refuses_all_of_it() -> None:
    fault = asked(1.1, kind=MessageKind.EXCEPTION, function=397)
    (command,) = node_commands(messages(asked(), fault, pool=b"abc"), details(written()), _TAGS)
    assert command.reached() == {}
    assert command.writes[0].value == 1.5


def test_a_defective_request_is_no_command() -> None:
    assert node_commands(messages(asked(defect=Defect.BAD_LENGTH), pool=b"abc"), details(written()), _TAGS) == ()


def test_a_call_is_a_command_without_a_value() -> None:
    call = value(1, "ns=2;s=Reset", float("nan"), Topic.METHOD_CALLED)
    (command,) = node_commands(messages(asked(function=712), pool=b"abc"), details(call), _TAGS)
    assert (command.operation, command.writes[0].words(), command.writes[0].raw) == ("Call", "ns=2;s=Reset", None)


def test_rows_of_other_servers_are_told_apart() -> None:
    both = details(value(1), value(2, server=STRANGER))
    assert of_servers(both, frozenset({AssetId(PLC)})).tolist() == [True, False]
    assert of_servers(both, frozenset()).all()


def heard(rows: Messages, told: Details) -> Heard:
    return Heard(source="t", until=Instant(at(10)), messages=rows, details=told)


def test_the_spine_takes_tags_from_the_plants_own_servers_only() -> None:
    rows = messages(asked(), asked(1.2, server=STRANGER, flow=1), pool=b"abc")
    told = details(value(1), written(), value(1.2, server=STRANGER, flow=1), written(1.2, server=STRANGER, flow=1))
    everybody, own = Analysis(tag_map=_TAGS), Analysis(tag_map=_TAGS, servers=[AssetId(PLC)])
    for analysis in (everybody, own):
        analysis.heard(heard(rows, told))
    assert [command.target for command in everybody.take_commands()] == [PLC, STRANGER]
    assert [command.target for command in own.take_commands()] == [PLC]
    assert [len(part) for part in own.take_readings()] == [1]
    assert np.concatenate([part.value for part in everybody.take_readings()]).tolist() == [1.0, 1.0]
