"""A command: someone means to change the plant.  Seen on the wire, held in the gate, or proposed by a person or a planner."""

from dataclasses import dataclass, field
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
    raw: float | None  # None = no number: a text, an array, a method without arguments
    value: float | None = None  # engineering value
    unit: str | None = None
    refused: bool = field(default=False, compare=False)  # the server was heard to refuse it: the plant has not got it

    def words(self) -> str:
        """ "SP101 = 2 m", "holding 12 = 7"; what is no number has no value to tell."""
        number = self.raw if self.value is None else self.value
        return f"{self.tag or self.point} = {number:g} {self.unit or ''}".rstrip() if number is not None else self.tag or self.point


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

    def reached(self) -> dict[str, float]:
        """By tag, the engineering values that the plant has got, as far as they are known and nobody was heard to refuse them."""
        return {write.tag: write.value for write in self.writes if write.tag is not None and write.value is not None and not write.refused}


def command_id(seen: Instant, source: AssetId, target: AssetId, frame: Digest) -> CommandId:
    return CommandId(short_id("command", str(seen), source, target, frame))
