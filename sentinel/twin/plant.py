"""A plant: components, wiring, controllers, interlocks, invariants, tags, and what is not known about each number.

In: YAML (a path or a text).  Out: `Plant`, whose every quantity has been checked against what its component declares.  `ConfigError` says
"file:line", what was found, what was expected, and the nearest known name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sentinel.errors import ConfigError
from sentinel.model.detection import Severity
from sentinel.model.tags import Tag, TagMap
from sentinel.twin.control import Controller, Interlock
from sentinel.twin.document import Entry, parse_document
from sentinel.twin.expression import Expression
from sentinel.twin.units import Unit
from sentinel.twin.wiring import Part, Wiring


@dataclass(frozen=True, slots=True, kw_only=True)
class UncertainParameter:
    name: str  # "P101.max_flow"
    value: float
    spread: float  # one standard deviation
    positive: bool
    unit: Unit
    wear_per_s: float = 0.0  # share of its value that it loses at most, in service


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEquation:
    name: str  # "T101.level"
    unit: Unit
    derivative: Expression
    start: Expression
    stops: tuple[Expression | None, Expression | None]
    bounds: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    tag: Tag
    unit: Unit
    expression: Expression
    accuracy: float  # in the tag's unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    tag: Tag
    unit: Unit
    start: float  # in the tag's unit
    controller: str | None = None  # whose output it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """A value that stays on one side of a limit.

    Or, where it ``counts``, a component that is started at most ``limit`` times within what is looked at: a motor's winding has to cool
    between two starts (IEC 60034-1 rates motors by them).  ``expression`` is then 1 while it runs, and ``tag`` what runs it.
    """

    name: str
    tag: Tag
    expression: Expression
    limit: float  # in the tag's unit; starts
    is_upper: bool
    unit: Unit
    severity: Severity
    impact: str | None
    says: str
    counts: bool = False

    @property
    def span(self) -> float:
        """By which distances are made comparable, in the unit of the limit."""
        return self.limit if self.counts else self.tag.high - self.tag.low


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """All expressions are SI.  `inputs` are the writable tags that the twin models; others are in `tags` only."""

    name: str
    title: str
    seed: int
    text: str
    method: str
    step_s: float
    parts: Mapping[str, Part]
    wiring: Wiring
    parameters: tuple[UncertainParameter, ...]
    states: tuple[StateEquation, ...]
    controllers: tuple[Controller, ...]
    interlocks: tuple[Interlock, ...]
    invariants: tuple[Invariant, ...]
    sensors: tuple[Sensor, ...]
    inputs: tuple[Input, ...]
    tags: TagMap
    dialect: str | None = None  # of its Modbus server (`sentinel.model.dialect`); None = not declared


def load_plant(source: Path | str) -> Plant:
    """From a file, or from a text that is handed in (then called "plant" in complaints)."""
    from sentinel.twin.reader import Reader  # it builds what is declared here

    if isinstance(source, Path):
        try:
            text = source.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(str(source), f"cannot be read: {error}") from error
        return Reader(_of_components(parse_document(text, str(source))), text).plant()
    return Reader(parse_document(source, "plant"), source).plant()


def _of_components(document: Entry) -> Entry:
    """A plant that an FMU computes is read by `foreign.load_foreign`; it has no equations that could be compiled or estimated."""
    if isinstance(document.value, dict) and "model" in document.value:
        document.value["model"].fail("a model of others is for `sentinel whatif` and `sentinel plant check`; here components are needed")
    return document
