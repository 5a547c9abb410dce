"""A plant whose equations are not ours: they come as an FMU (`fmu`), or were fitted to a recording (`arx`).

In: a plant file with a `model` section.  Its tags say with `of` which of the model's variables they are:

    model: {fmu: heater.fmu, step: 0.5 s}
    parameters: {gain: 2.0 K/s +- 5 %}
    tags:
      TT1: {role: process_value, unit: degC, range: [0, 120], of: T}
      HV1: {role: output, unit: "%", range: [0, 100], writable: true, of: u}

Out: `Foreign`, with the face of a compiled model: whoever rolls it out is asked for by `whatif.ask`.  A package alone (an
.fmu) gives a plant too: every input and output of the FMU is a tag.  `ConfigError` and `InputError` say where and why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinel.errors import ConfigError
from sentinel.model.ids import Digest, digest
from sentinel.model.tags import Tag, TagMap, TagRole
from sentinel.model.time import Instant
from sentinel.twin.archive import read_package
from sentinel.twin.arx import Arx, ArxReader
from sentinel.twin.compiled import Input, Output, Watched, outputs_of, watched_of
from sentinel.twin.document import Entry, nearest, parse_document
from sentinel.twin.ensemble import BEGINNING, draw_parameters
from sentinel.twin.expression import Expression, Op, leaf
from sentinel.twin.fmu import Fmu, Variable, read_fmu
from sentinel.twin.plant import Input as PlantInput
from sentinel.twin.plant import Plant, Sensor, UncertainParameter
from sentinel.twin.reader import MAX_STEP_S, MIN_STEP_S, Reader
from sentinel.twin.snapshot import MAX_MEMBERS, Grade, Health, Snapshot
from sentinel.twin.tagging import read_tags
from sentinel.twin.units import ONE, Unit, UnitError, quantity, unit
from sentinel.twin.wiring import no_wiring

F8 = NDArray[np.float64]

DEFAULT_STEP_S = 0.5
_TOP = ("title", "seed", "parameters", "invariants", "modbus", "opcua")
_UNBOUNDED = 1e6  # times the larger of nominal and start: the range of a variable for which none is given


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A tag or parameter and the variable that it is; SI = variable * scale + offset."""

    name: str
    variable: Variable
    measure: Unit  # the variable's own

    def inward(self, si: Any) -> Any:
        return self.measure.from_si(si)

    def outward(self, value: Any) -> Any:
        return value * self.measure.scale + self.measure.offset


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Foreign:
    """``inputs``, ``outputs``, ``invariants`` and ``step_s`` as of `compiled.Model`.  ``starts``: of the measured variables
    those whose value at the start can be told; a snapshot's states are these.  ``remarks``: what a person should know
    before believing it."""

    plant: Plant
    digest: Digest
    fmu: Fmu
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    invariants: tuple[Watched, ...]
    step_s: float
    given: tuple[Binding, ...]  # of `inputs`
    shown: tuple[Binding, ...]  # of `outputs`
    starts: tuple[Binding, ...]
    parameters: tuple[Binding, ...]
    remarks: tuple[str, ...] = field(default=())

    @property
    def caveats(self) -> tuple[str, ...]:
        forks = () if self.fmu.can_fork else ("its state cannot be kept and put back: for questions at the desk, not for verdicts",)
        return (f"by {self.fmu.name}, an FMU of {self.fmu.generator or 'unnamed origin'} whose equations nobody here has read", *forks)

    @property
    def is_low_trust(self) -> bool:
        return False

    @property
    def output_rows(self) -> Mapping[str, int]:
        return {output.tag: row for row, output in enumerate(self.outputs)}

    @property
    def input_rows(self) -> Mapping[str, int]:
        return {given.tag: row for row, given in enumerate(self.inputs)}

    def initial(self, members: int, at: Instant = BEGINNING, readings: Mapping[str, float] | None = None) -> Snapshot:
        """The FMU's own start, or where ``readings`` (tags' units) tell of it; parameters drawn from their spreads, member 0 nominal."""
        if not 1 <= members <= MAX_MEMBERS:
            raise ValueError(f"{members} members, expected 1 to {MAX_MEMBERS}")
        told = readings or {}
        by_tag = {one.tag.name: one for one in self.plant.sensors}
        states = [
            by_tag[one.name].unit.to_si(told[one.name]) if one.name in told else one.outward(one.variable.start or 0.0)
            for one in self.starts
        ]
        return Snapshot(
            at=at,
            digest=self.digest,
            states=np.tile(np.array(states, np.float64), (members, 1)),
            controllers=np.zeros((members, 0)),
            parameters=draw_parameters(self.plant, members, self.plant.seed),
            inputs=np.array([told.get(one.tag.name, one.start) for one in self.plant.inputs], np.float64),
            trusted=False,
            health=Health(grade=Grade.LOST, reason="nothing has been read yet", since=at),
        )


def is_foreign(file: Path) -> bool:
    """A package, or a plant file that names a model of others; whatever cannot be read is not ours to complain about here."""
    if file.suffix.lower() == ".fmu":
        return True
    try:
        text = file.read_text(encoding="utf-8")
        document = parse_document(text, str(file))
    except (OSError, UnicodeDecodeError, ConfigError):
        return False
    return isinstance(document.value, dict) and "model" in document.value


def load_foreign(file: Path) -> Foreign | Arx:
    if file.suffix.lower() == ".fmu":
        return bare(read_fmu(read_package(file), file.name))
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(file), f"cannot be read: {error}") from error
    document = parse_document(text, str(file))
    if isinstance(document.value, dict) and "model" in document.value and "arx" in document.value["model"].map():
        return ArxReader(document, text).arx()
    return _ForeignReader(document, text, file.parent).foreign()


class _ForeignReader(Reader):
    """Tags and invariants are read as in any plant file; what a tag measures is a variable of the FMU."""

    def __init__(self, document: Entry, text: str, directory: Path) -> None:
        self.text = text
        self.top = document.map(_TOP, ("plant", "model", "tags"))
        self.tags, self.tag_entries = read_tags(self.top["tags"], self.top.get("modbus"))
        self.controller_entries, self.interlock_entries, self.parts = {}, {}, {}
        self.wiring = no_wiring()
        self.remarks: list[str] = []
        keys = self.top["model"].map(("sha256", "step"), ("fmu",))
        octets = read_package(directory / keys["fmu"].text("a file's name"))
        self.fmu = read_fmu(octets, keys["fmu"].text())
        if "sha256" in keys and keys["sha256"].text() != self.fmu.digest:
            keys["sha256"].fail(f"the package is another one, {self.fmu.digest}")
        self.step_s = self.fmu.step_s or DEFAULT_STEP_S
        if "step" in keys:
            self.step_s = self._quantity(keys["step"], "s").value
        if not MIN_STEP_S <= self.step_s <= MAX_STEP_S:
            self.top["model"].fail(f"a step of {self.step_s:g} s, expected {MIN_STEP_S} s to {MAX_STEP_S:g} s")
        self.bindings: dict[str, Binding] = {}
        for name, read in self.tag_entries.items():
            if read.of is not None:
                self.bindings[name] = self._binding(name, read.of, read.unit, read.tag)

    def foreign(self) -> Foreign:
        top = self.top
        parameters = self._told() if "parameters" in top else []
        plant = _plant(
            name=top["plant"].text("a name"),
            title=top["title"].text() if "title" in top else top["plant"].text(),
            seed=top["seed"].whole(0, 2**63 - 1) if "seed" in top else 0,
            text=self.text,
            step_s=self.step_s,
            parameters=tuple(one for one, _ in parameters),
            invariants=tuple(self._invariant(name, entry) for name, entry in top["invariants"].entries()) if "invariants" in top else (),
            sensors=tuple(
                Sensor(tag=read.tag, unit=read.unit, expression=self._measured(name), accuracy=read.accuracy)
                for name, read in self.tag_entries.items()
                if read.of is not None and not read.tag.writable
            ),
            inputs=tuple(self._given(name) for name, read in self.tag_entries.items() if read.of is not None and read.tag.writable),
            tags=self.tags,
            dialect=self._dialect(),
        )
        return _foreign(plant, self.fmu, self.bindings, [binding for _, binding in parameters], self.remarks)

    def _binding(self, name: str, entry: Entry, measure: Unit, tag: Tag) -> Binding:
        variable = self._variable(entry)
        allowed = ("input",) if tag.writable else ("output", "local")
        if variable.causality not in allowed:
            which = "a writable" if tag.writable else "this"
            entry.fail(f"{variable.name} is a {variable.causality} of the FMU, {which} tag needs an {allowed[0]}")
        if not tag.writable and variable.kind != "real":
            entry.fail(f"{variable.name} is no real number")
        own = self._own_unit(variable)
        if own is not None and own.dimension != measure.dimension:
            entry.fail(f"{variable.name} is in {own.name!r} ({own.dimension}), but {name} is in {measure.name!r} ({measure.dimension})")
        if own is None and measure.name != "1":
            own = measure if measure.dimension != ONE else unit("1")
            share = f"1 of it is taken to be {measure.from_si(1.0):g} {measure.name} of {name}"
            meant = f"taken to be in {measure.name}, the unit of {name}" if own is measure else share
            self.remarks.append(f"{variable.name} has {_no_unit(variable)}: {meant}")
        return Binding(name=name, variable=variable, measure=own or measure)

    def _variable(self, entry: Entry) -> Variable:
        name = entry.text("a variable of the FMU")
        if name not in self.fmu.variables:
            entry.fail(f"the FMU has no variable {name!r} that can be used{nearest(name, self.fmu.variables)}")
        return self.fmu.variables[name]

    @staticmethod
    def _own_unit(variable: Variable) -> Unit | None:
        if not variable.unit:
            return None
        try:
            return unit(variable.unit)
        except UnitError:
            return None

    def _measured(self, name: str) -> Expression:
        read = self.tag_entries[name]
        if name not in self.bindings:
            read.entry.fail("key 'of' is missing: the model must know what this tag is")
        return leaf(Op.STATE, self.bindings[name].variable.name, read.unit.dimension)

    def _given(self, name: str) -> PlantInput:
        read, binding = self.tag_entries[name], self.bindings[name]
        start = read.start
        if start is None:
            if binding.variable.start is None:
                read.entry.fail("key 'start' is missing: neither the tag nor the FMU knows the value at start-up")
            start = float(read.unit.from_si(binding.outward(binding.variable.start)))
        return PlantInput(tag=read.tag, unit=read.unit, start=start)

    def _told(self) -> list[tuple[UncertainParameter, Binding]]:
        found = []
        for name, entry in self.top["parameters"].entries():
            variable = self.fmu.variables.get(name)
            if variable is None or variable.causality != "parameter" or variable.kind != "real":
                known = [one.name for one in self.fmu.of_causality("parameter") if one.kind == "real"]
                entry.fail(f"the FMU has no real parameter {name!r}{nearest(name, known)}")
            own = self._own_unit(variable)
            try:
                number = quantity(entry.text("a quantity"), own.name if own else "1")
            except UnitError as error:
                entry.fail(str(error))
            uncertain = UncertainParameter(
                name=name, value=number.value, spread=number.spread, positive=number.value > 0.0, unit=number.unit
            )
            found.append((uncertain, Binding(name=name, variable=variable, measure=own or unit("1"))))
        return found


def bare(fmu: Fmu) -> Foreign:
    """Every real output and every input of an FMU as a tag of its own name."""
    bindings: dict[str, Binding] = {}
    tags: list[Tag] = []
    remarks: list[str] = []
    for one in fmu.of_causality("input", "output"):
        if one.causality == "output" and one.kind != "real":
            remarks.append(f"{one.name} is no real number: it is not shown")
            continue
        own = _ForeignReader._own_unit(one)
        if own is None and one.unit:
            remarks.append(f"{one.name} has {_no_unit(one)}: shown as the bare number")
        measure = own or unit("1")
        reach = _UNBOUNDED * max(abs(one.nominal), abs(one.start or 0.0))
        role = TagRole.PROCESS_VALUE if one.causality == "output" else TagRole.MODE if one.kind == "boolean" else TagRole.SETPOINT
        low, high = -reach if one.low is None else one.low, reach if one.high is None else one.high
        if not low < high:
            remarks.append(f"{one.name} has the range {low:g} to {high:g}: it is left out")
            continue
        tags.append(Tag(name=one.name, role=role, unit=measure.name, low=low, high=high, doc=one.says, writable=one.causality == "input"))
        bindings[one.name] = Binding(name=one.name, variable=one, measure=measure)
    plant = _plant(
        name=fmu.name,
        title=fmu.name,
        seed=0,
        text=f"{fmu.digest}",
        step_s=fmu.step_s if fmu.step_s and MIN_STEP_S <= fmu.step_s <= MAX_STEP_S else DEFAULT_STEP_S,
        parameters=(),
        invariants=(),
        sensors=tuple(
            Sensor(
                tag=tag,
                unit=bindings[tag.name].measure,
                expression=leaf(Op.STATE, tag.name, bindings[tag.name].measure.dimension),
                accuracy=1.0,
            )
            for tag in tags
            if not tag.writable
        ),
        inputs=tuple(
            PlantInput(tag=tag, unit=bindings[tag.name].measure, start=bindings[tag.name].variable.start or 0.0)
            for tag in tags
            if tag.writable
        ),
        tags=TagMap(tuple(tags)),
        dialect=None,
    )
    return _foreign(plant, fmu, bindings, [], [*remarks, *fmu.unusable])


def _foreign(plant: Plant, fmu: Fmu, bindings: Mapping[str, Binding], parameters: Sequence[Binding], remarks: Sequence[str]) -> Foreign:
    if not plant.sensors:
        raise ConfigError(fmu.source, "nothing of it is measured: it needs a tag, or an output, that is a real number")
    shown = tuple(bindings[one.tag.name] for one in plant.sensors)
    return Foreign(
        plant=plant,
        digest=digest("fmu", fmu.digest, plant.text, f"{plant.step_s!r}"),
        fmu=fmu,
        inputs=tuple(Input(tag=one.tag.name, unit=one.tag.unit, role=one.tag.role) for one in plant.inputs),
        outputs=outputs_of(plant),
        invariants=watched_of(plant),
        step_s=plant.step_s,
        given=tuple(bindings[one.tag.name] for one in plant.inputs),
        shown=shown,
        starts=tuple(one for one in shown if one.variable.initial == "exact" and one.variable.start is not None),
        parameters=tuple(parameters),
        remarks=tuple(remarks),
    )


def _plant(**known: Any) -> Plant:
    """Without components of ours."""
    return Plant(method="foreign", parts={}, wiring=no_wiring(), states=(), controllers=(), interlocks=(), **known)


def _no_unit(variable: Variable) -> str:
    return f"the unit {variable.unit!r}, which is not known here" if variable.unit else "no unit"
