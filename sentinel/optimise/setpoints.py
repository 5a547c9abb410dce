"""The commands that a plan would need: each setpoint that an operation writes, as the protocol would carry it, for the court to judge.

In: decision rows with ``writes`` (tag to engineering value).  Out: `Command`s of origin PLANNER, one per tag and value, in the order in
which the plan needs them first.  Nothing is ever written from here.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sentinel.errors import InputError
from sentinel.model.command import Command, Origin, TagWrite, command_id
from sentinel.model.ids import AssetId, digest
from sentinel.model.modbus import operation, writes_of
from sentinel.model.tags import Tag, TagMap
from sentinel.model.time import Instant
from sentinel.optimise.problem import Shop


@dataclass(frozen=True, slots=True, kw_only=True)
class Setpoints:
    """``source``: who would write; ``target``: the controller; ``now``: when the plan is proposed."""

    tags: TagMap
    source: AssetId
    target: AssetId
    now: Instant

    def check(self, shop: Shop) -> None:
        """Raises InputError, naming the operation, for a write that the plant's own description forbids."""
        for job in shop.jobs:
            for step in job.operations:
                for name, value in step.writes.items():
                    if problem := self._forbidden(name, value):
                        raise InputError(f"job {job.name}, operation {step.name}: {problem}")

    def commands(self, rows: Sequence[dict[str, Any]]) -> tuple[Command, ...]:
        wanted = [(name, float(value)) for row in rows for name, value in row.get("writes", {}).items()]
        return tuple(self._command(self.tags.by_name[name], value) for name, value in dict.fromkeys(wanted))

    def _forbidden(self, name: str, value: float) -> str | None:
        tag = self.tags.by_name.get(name)
        if tag is None:
            return f"the plant has no tag {name}"
        if tag.safety:
            return f"{name} is safety-instrumented: we never write it"
        if not tag.writable or (tag.modbus is None and tag.opcua is None):
            return f"{name} cannot be written"
        if not (math.isfinite(value) and tag.low <= value <= tag.high):
            return f"{name} = {value:g} is outside its range {tag.low:g} to {tag.high:g} {tag.unit}"
        return None

    def _command(self, tag: Tag, value: float) -> Command:
        if tag.modbus is not None:
            pdu = _pdu(tag, value)
            protocol, name, unit, writes = "modbus", operation(pdu[0]), tag.modbus.unit, writes_of(self.tags, tag.modbus.unit, pdu) or ()
        else:
            pdu, protocol, name, unit = b"", "opcua", "write", None
            writes = (TagWrite(tag=tag.name, point=str(tag.opcua), raw=value, value=value, unit=tag.unit),)
        frame = digest(pdu or f"{tag.opcua}={value!r}")
        return Command(
            id=command_id(self.now, self.source, self.target, frame),
            origin=Origin.PLANNER,
            seen=self.now,
            source=self.source,
            target=self.target,
            protocol=protocol,
            operation=name,
            unit=unit,
            writes=writes,
            frame=frame,
            octets=pdu.hex(),
        )


def _pdu(tag: Tag, value: float) -> bytes:
    """Modbus Application Protocol V1.1b3, 6.5, 6.6 and 6.12."""
    assert tag.modbus is not None
    words = tag.modbus.encode(value)
    if tag.modbus.is_bit:
        return struct.pack(">BHH", 5, tag.modbus.address, 0xFF00 if words[0] else 0)
    if len(words) == 1:
        return struct.pack(">BHH", 6, tag.modbus.address, words[0])
    return struct.pack(f">BHHB{len(words)}H", 16, tag.modbus.address, len(words), 2 * len(words), *words)
