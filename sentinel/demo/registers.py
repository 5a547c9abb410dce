"""The controller's memory: the four Modbus data models, addressed by table and address (the wire) or by tag name (the program).

Single-register types only (uint16, int16, bits): that is what the reference plant's controller offers.  A value that does not fit its
type is clipped; a value outside a tag's engineered range is taken as it is, as a controller without range checks takes it.
"""

from collections.abc import Sequence

from sentinel.errors import ConfigError
from sentinel.model.tags import Table, TagMap

_LIMITS = {"uint16": (0, 0xFFFF), "int16": (-0x8000, 0x7FFF)}


class Registers:
    def __init__(self, tags: TagMap, unit: int = 1) -> None:
        self.unit = unit
        self.tables: dict[Table, list[int]] = {table: [] for table in Table}
        self._slots: dict[str, tuple[list[int], int, float, float, int, int]] = {}
        for tag in tags.tags:
            point = tag.modbus
            if point is None or point.unit != unit:
                continue
            low, high = (0, 1) if point.is_bit else _LIMITS.get(point.type, (0, -1))
            if high < low:
                raise ConfigError(f"tag {tag.name}", f"the controller has no {point.type}; it has uint16, int16 and bits")
            cells = self.tables[point.table]
            cells.extend([0] * (point.address + 1 - len(cells)))
            scale, offset = (1.0, 0.0) if point.is_bit else (point.scale, point.offset)
            self._slots[tag.name] = (cells, point.address, scale, offset, low, high)

    def value(self, name: str) -> float:
        """Engineering value of a tag."""
        cells, address, scale, offset, low, _ = self._slots[name]
        raw = cells[address]
        if low < 0 and raw > 0x7FFF:
            raw -= 0x10000
        return raw * scale + offset

    def put(self, name: str, value: float) -> None:
        cells, address, scale, offset, low, high = self._slots[name]
        if low == 0 and high == 1:
            cells[address] = 1 if value else 0
        else:
            raw = (value - offset) / scale
            cells[address] = (low if raw < low else high if raw > high else round(raw)) & 0xFFFF

    def read(self, table: Table, address: int, count: int) -> list[int] | None:
        """None where any of the cells does not exist."""
        cells = self.tables[table]
        return cells[address : address + count] if address >= 0 and count > 0 and address + count <= len(cells) else None

    def write(self, table: Table, address: int, raw: Sequence[int]) -> bool:
        """False, and nothing is written, where any of the cells does not exist or the table is read-only."""
        if table not in (Table.COIL, Table.HOLDING) or self.read(table, address, len(raw)) is None:
            return False
        one = table is Table.COIL
        self.tables[table][address : address + len(raw)] = [int(bool(item)) if one else int(item) & 0xFFFF for item in raw]
        return True
