import math
import struct

from hypothesis import given
from hypothesis import strategies as st

from collectors.poll.grouping import GAP, MAX_BITS, MAX_REGISTERS, reads_of
from sentinel.model.tags import ModbusPoint, Table, Tag, TagMap, TagRole

POINTS = st.tuples(
    st.integers(1, 3), st.sampled_from(Table), st.integers(0, 4000), st.sampled_from(["uint16", "int16", "uint32", "int32", "float32"])
)


def plant(points: list[tuple[int, Table, int, str]]) -> list[Tag]:
    """Tags at these points, without those that would overlap one before."""
    tags: list[Tag] = []
    for number, (unit, table, address, kind) in enumerate(points):
        point = ModbusPoint(unit=unit, table=table, address=address, type=kind)
        tag = Tag(name=f"T{number}", role=TagRole.PROCESS_VALUE, unit="1", low=0, high=1, modbus=point)
        try:
            TagMap((*tags, tag))
        except ValueError:
            continue
        tags.append(tag)
    return tags


@given(st.lists(POINTS, max_size=60))
def test_every_tag_is_read_once_and_no_read_is_larger_than_the_protocol_allows(points: list[tuple[int, Table, int, str]]) -> None:
    tags = plant(points)
    reads = reads_of(tags)
    assert sorted(tag.name for read in reads for tag in read.tags) == sorted(tag.name for tag in tags)
    for read in reads:
        assert 1 <= read.count <= (MAX_BITS if read.table in (Table.COIL, Table.DISCRETE) else MAX_REGISTERS)
        covered = set()
        for tag in read.tags:
            assert tag.modbus is not None
            own = set(range(tag.modbus.address, tag.modbus.address + tag.modbus.registers))
            assert (tag.modbus.unit, tag.modbus.table) == (read.unit, read.table)
            assert own <= set(range(read.address, read.address + read.count))
            covered |= own
        assert read.count - len(covered) <= GAP * (len(read.tags) - 1)


def test_neighbours_share_a_read_and_a_wide_gap_parts_them() -> None:
    tags = plant([(1, Table.HOLDING, address, "uint16") for address in (0, 1, 5, 14, 30)])
    assert [(read.address, read.count) for read in reads_of(tags)] == [(0, 15), (30, 1)]
    assert [(read.address, read.count) for read in reads_of(tags, gap=0)] == [(0, 2), (5, 1), (14, 1), (30, 1)]


def test_values_are_scaled_and_a_short_answer_is_unknown() -> None:
    tags = [
        Tag(
            name="A",
            role=TagRole.PROCESS_VALUE,
            unit="m",
            low=0,
            high=1,
            modbus=ModbusPoint(unit=1, table=Table.INPUT, address=2, scale=0.001),
        ),
        Tag(
            name="B",
            role=TagRole.PROCESS_VALUE,
            unit="K",
            low=0,
            high=1,
            modbus=ModbusPoint(unit=1, table=Table.INPUT, address=3, type="float32", word_order="little"),
        ),
    ]
    (read,) = reads_of(tags)
    high, low = struct.unpack(">HH", struct.pack(">f", 21.5))
    assert {tag.name: value for tag, value in read.values([1500, low, high])} == {"A": 1.5, "B": 21.5}
    short = {tag.name: value for tag, value in read.values([1500, low])}
    assert short["A"] == 1.5
    assert math.isnan(short["B"])
