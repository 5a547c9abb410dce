"""The interface as read from a plant file."""

from pathlib import Path

import pytest

from sentinel.demo.wiring import PLANT_FILE, read_interface
from sentinel.errors import ConfigError
from sentinel.model.tags import Table, TagRole

_GOOD = "tags: {LT1: {role: process_value, unit: m, range: [0, 2], modbus: {table: input, address: 0, scale: 0.001}, opcua: 'ns=2;s=LT1'}}"


def test_the_shipped_plant_has_forty_to_sixty_odd_tags_each_on_both_protocols() -> None:
    interface = read_interface()
    assert 40 <= len(interface.tags.tags) <= 64
    assert all(tag.modbus and tag.opcua for tag in interface.tags.tags)
    assert {tag.role for tag in interface.tags.tags} >= {
        TagRole.PROCESS_VALUE,
        TagRole.SETPOINT,
        TagRole.LIMIT,
        TagRole.MODE,
        TagRole.ALARM,
    }
    writable = {tag.name for tag in interface.tags.tags if tag.writable}
    assert writable == set(interface.starts)
    assert all(interface.tags.by_name[name].modbus.table in (Table.COIL, Table.HOLDING) for name in writable)  # type: ignore[union-attr]


def test_a_small_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text(_GOOD)
    tag = read_interface(path).tags.by_name["LT1"]
    assert tag.modbus
    assert tag.modbus.decode(b"\x04\xb0") == (1200.0, pytest.approx(1.2))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("tags: [", "cannot be read"),
        ("plant: x", "no section `tags`"),
        (f"modbus: {{unit: one}}\n{_GOOD}", "modbus: its unit"),
        (f"modbus: [1]\n{_GOOD}", "modbus: its unit"),
        (_GOOD.replace("input", "outlet"), "tags.LT1"),
        (_GOOD.replace("range: [0, 2]", "range: 2"), "tags.LT1"),
        (_GOOD.replace("address: 0", "adress: 0"), "tags.LT1"),
        (_GOOD.replace("unit: m, ", ""), "tags.LT1"),
        (_GOOD[:-1] + ", LT2: {role: alarm, unit: m, range: [0, 2], modbus: {table: input, address: 0}}}", "both LT1 and LT2"),
    ],
)
def test_a_wrong_file_is_refused_and_says_where(tmp_path: Path, text: str, where: str) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"plant\.yaml") as refused:
        read_interface(path)
    assert where in str(refused.value)


def test_the_plant_file_is_part_of_the_package() -> None:
    assert PLANT_FILE.is_file()
