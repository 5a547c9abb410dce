"""What a window's own messages say of tags, and what becomes of it when nobody fetches it."""

import struct

import pytest

from sentinel.baseline.tagging import Tagging
from sentinel.model.ids import AssetId
from sentinel.model.tags import ModbusPoint, Table, Tag, TagMap, TagRole
from tests.observations import PLC, STRANGER, answer, request, window

LT101 = ModbusPoint(unit=1, table=Table.INPUT, address=0, scale=0.001)
SP = ModbusPoint(unit=1, table=Table.HOLDING, address=5, scale=0.001)
TAGS = TagMap(
    (
        Tag(name="LT101", role=TagRole.PROCESS_VALUE, unit="m", low=0, high=2, modbus=LT101),
        Tag(name="SP", role=TagRole.SETPOINT, unit="m", low=0, high=2, writable=True, modbus=SP),
    )
)
POOL = struct.pack(">H", 1234) + bytes([6, 0, 5]) + struct.pack(">H", 1900)
READ = {"function": 4, "address": 0, "quantity": 1, "value_start": 0, "value_octets": 2}
WRITE = {"function": 6, "address": 5, "quantity": 1, "pdu_start": 2, "pdu_octets": 5}


def test_a_window_carries_what_its_messages_read_and_wrote() -> None:
    tagging = Tagging(TAGS)
    enriched, (command,) = tagging.enriched(window(0, [answer(0.1, **READ), request(0.2, **WRITE)], pool=POOL))
    assert enriched.commands == (command,) == tuple(tagging.take_commands())
    assert (command.writes[0].tag, command.writes[0].value) == ("SP", pytest.approx(1.9))
    assert (enriched.readings.decoded("tag"), enriched.readings.value.tolist()) == (["LT101"], [1.234])
    assert [readings.decoded("tag") for readings in tagging.take_readings()] == [["LT101"]]
    assert (tagging.take_commands(), tagging.take_readings()) == ([], [])


@pytest.mark.parametrize(("server", "tags"), [(PLC, ["LT101"]), (STRANGER, [])])
def test_the_tags_are_those_of_the_plants_own_servers(server: str, tags: list[str]) -> None:
    enriched, commands = Tagging(TAGS, [AssetId(PLC)]).enriched(
        window(0, [answer(0.1, server=server, **READ), request(0.2, server=server, **WRITE)], pool=POOL)
    )
    assert enriched.readings.decoded("tag") == tags
    assert len(commands) == len(tags)


def test_what_nobody_fetches_is_bounded_and_the_oldest_goes_and_is_counted() -> None:
    tagging = Tagging(TAGS, max_untaken=3)
    for frame in range(1, 4):
        tagging.enriched(window(frame, [answer(frame, **READ), request(frame, frame=frame, **WRITE)], pool=POOL))
    assert tagging.untaken_dropped == 0
    tagging.enriched(window(4, [request(4.1, frame=4, **WRITE), request(4.2, frame=5, **WRITE)], pool=POOL))
    assert [command.frame_number for command in tagging.take_commands()] == [3, 4, 5]
    assert tagging.untaken_dropped == 2
    assert len(tagging.take_readings()) == 3
