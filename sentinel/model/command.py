"""A command: someone means to change the plant.  Seen on the wire, held in the gate, or proposed by a person or a planner."""

from dataclasses import dataclass
from enum import StrEnum

from sentinel.model.ids import AssetId, CommandId, Digest, short_id
from sentinel.model.observation import NO_FRAME
from sentinel.model.time import Instant


class Origin(StrEnum):
    WIRE = "wire"  # seen passively: it has reached the plant already
    GATE = "gate"  # held inline: its verdict decides
    API = "api"  # a person asks "what if"
    PLANNER = "planner"  # a plan would need it


@dataclass(frozen=True, slots=True, kw_only=True)
class TagWrite:
    """One value that a command would set.  ``tag`` is None where the tag map does not know the address."""

    tag: str | None
    point: str  # the protocol's own address: "holding 12", "coil 3", "ns=2;s=LIC101.SP"
    raw: float
    value: float | None = None  # engineering value
    unit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    id: CommandId
    origin: Origin
    seen: Instant
    stamped: Instant | None = None  # the device's own time, never mixed up with ours
    source: AssetId
    target: AssetId
    protocol: str  # "modbus", "opcua"
    operation: str  # the standard's own name: "write_multiple_registers"
    unit: int | None = None  # Modbus unit identifier
    writes: tuple[TagWrite, ...]
    frame: Digest  # of the application octets
    frame_number: int = NO_FRAME
    octets: str = ""  # the same octets in hexadecimal: evidence, and input of the wire replay


def command_id(seen: Instant, source: AssetId, target: AssetId, frame: Digest) -> CommandId:
    return CommandId(short_id("command", str(seen), source, target, frame))
