"""The controller's memory."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.demo.registers import Registers
from sentinel.demo.wiring import read_interface
from sentinel.errors import ConfigError
from sentinel.model.tags import ModbusPoint, Table, Tag, TagMap, TagRole

INTERFACE = read_interface()
ANALOGUE = [tag for tag in INTERFACE.tags.tags if tag.modbus and not tag.modbus.is_bit]


@settings(max_examples=60)
@given(tag=st.sampled_from(ANALOGUE), value=st.floats(allow_nan=False, width=32))
def test_a_value_comes_back_rounded_to_its_step_or_clipped_to_its_type(tag: Tag, value: float) -> None:
    registers = Registers(INTERFACE.tags)
    registers.put(tag.name, value)
    point = tag.modbus
    assert point
    limits = (0, 0xFFFF) if point.type == "uint16" else (-0x8000, 0x7FFF)
    low, high = limits[0] * point.scale, limits[1] * point.scale
    assert registers.value(tag.name) == pytest.approx(min(max(value, low), high), abs=point.scale / 2 + 1e-9)
    cells = registers.read(point.table, point.address, 1)
    assert cells
    assert point.decode(cells[0].to_bytes(2, "big"))[1] == pytest.approx(registers.value(tag.name))


def test_a_value_outside_the_engineered_range_is_taken_as_it_is() -> None:
    registers = Registers(INTERFACE.tags)
    registers.put("LIC101.SP", 60.0)
    assert registers.value("LIC101.SP") == pytest.approx(60.0)
    registers.put("LIC101.SP", float("inf"))
    assert registers.value("LIC101.SP") == pytest.approx(65.535)


@settings(max_examples=60)
@given(table=st.sampled_from(list(Table)), address=st.integers(-3, 70_000), raw=st.lists(st.integers(0, 0xFFFF), max_size=130))
def test_a_write_is_whole_or_nothing_and_only_where_it_may(table: Table, address: int, raw: list[int]) -> None:
    registers = Registers(INTERFACE.tags)
    before = {name: list(cells) for name, cells in registers.tables.items()}
    written = registers.write(table, address, raw)
    assert written == (table in (Table.COIL, Table.HOLDING) and address >= 0 and len(raw) > 0 and address + len(raw) <= len(before[table]))
    if written:
        assert registers.read(table, address, len(raw)) == [int(bool(item)) if table is Table.COIL else item for item in raw]
    else:
        assert registers.tables == before
    assert {name: len(cells) for name, cells in registers.tables.items()} == {name: len(cells) for name, cells in before.items()}


def test_a_type_that_the_controller_does_not_have_is_refused() -> None:
    point = ModbusPoint(unit=1, table=Table.HOLDING, address=0, type="float32")
    tag = Tag(name="X", role=TagRole.SETPOINT, unit="m", low=0, high=1, modbus=point)
    with pytest.raises(ConfigError, match="float32"):
        Registers(TagMap((tag,)))
