"""A twin where there is no model at all: each tag as a linear recursion over what it and the others were (ARX), of low trust.

In: a plant file whose `model` is `arx`, as `arx_fit` writes it.  Out: `Arx`, with the face of a compiled model, which lives ahead by itself
(`live`).  It knows what the recording showed and nothing else: outside of that it guesses, so that nothing which it finds to be kept is
thereby safe.  Members differ by a lasting error of each tag, drawn from what was held out of the fit.

    model:
      arx:
        step: 10 s
        lags: 2
        tags:
          LT101: {start: 1.2, error: 0.03, constant: 0.01, terms: {LT101: [0.9, 0.05], LIC101.SP: [0.04, 0.0]}}

Coefficients are of values scaled by their tags' ranges, the latest value first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentinel.model.ids import Digest, digest
from sentinel.model.time import Instant, after
from sentinel.twin.compiled import Input, Output, Watched, outputs_of, watched_of
from sentinel.twin.document import Entry, nearest
from sentinel.twin.engine import Rollout, Schedule
from sentinel.twin.ensemble import BEGINNING, MAX_RECORD_OCTETS, MAX_STEPS, check_writes, draw_parameters
from sentinel.twin.expression import Expression, Op, leaf
from sentinel.twin.plant import Input as PlantInput
from sentinel.twin.plant import Plant, Sensor, UncertainParameter
from sentinel.twin.reader import MAX_STEP_S, MIN_STEP_S, Reader
from sentinel.twin.snapshot import MAX_MEMBERS, Grade, Health, Snapshot
from sentinel.twin.tagging import read_tags
from sentinel.twin.whatif import Ahead
from sentinel.twin.wiring import no_wiring

F8 = NDArray[np.float64]

MAX_LAGS = 16
LOST = 0.5  # of a tag's range: a member that is so far outside is no longer believed
_TOP = ("title", "seed", "invariants", "modbus", "opcua")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recursion:
    """``constant``: (tags,).  ``own``: (lags, tags, tags), ``driven``: (lags, tags, inputs): y[k] = constant + sum over lags of
    own[l] y[k-1-l] + driven[l] u[k-1-l], all scaled to 0..1 of their ranges."""

    constant: F8
    own: F8
    driven: F8

    def run(self, past: F8, inputs: F8) -> F8:
        """(steps, tags, columns) from ``past`` (lags, tags, columns), latest first, and ``inputs`` (lags - 1 + steps, inputs, columns)."""
        lags, steps = len(self.own), len(inputs) - len(self.own) + 1
        history = np.concatenate([past[::-1], np.zeros((steps, *past.shape[1:]))])
        for step in range(steps):
            now = np.broadcast_to(self.constant[:, None], past.shape[1:]).copy()
            for lag in range(lags):
                now += self.own[lag] @ history[lags + step - 1 - lag] + self.driven[lag] @ inputs[lags + step - 1 - lag]
            history[lags + step] = now
        lived: F8 = history[lags:]
        return lived

    @property
    def radius(self) -> float:
        """Of its spectrum: above 1 it grows without end."""
        lags, tags = len(self.own), len(self.constant)
        companion = np.eye(lags * tags, k=-tags)
        companion[:tags] = np.concatenate(list(self.own), axis=1)
        return float(np.abs(np.linalg.eigvals(companion)).max())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arx:
    plant: Plant
    digest: Digest
    recursion: Recursion
    errors: tuple[float, ...]  # held-out, of `outputs`, in the tags' units
    starts: tuple[float, ...]  # likewise
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    invariants: tuple[Watched, ...]
    step_s: float

    @property
    def output_rows(self) -> Mapping[str, int]:
        return {output.tag: row for row, output in enumerate(self.outputs)}

    @property
    def input_rows(self) -> Mapping[str, int]:
        return {given.tag: row for row, given in enumerate(self.inputs)}

    @property
    def is_low_trust(self) -> bool:
        return True

    @property
    def caveats(self) -> tuple[str, ...]:
        worst = max(range(len(self.errors)), key=lambda row: self.errors[row] / _span(self.outputs[row]))
        share = 100.0 * self.errors[worst] / _span(self.outputs[worst])
        return (
            "low trust: fitted to a recording, without a model; what it finds broken is a warning, what it finds kept is no proof",
            f"its worst error on what was held out is {share:.2g} % of range, of {self.outputs[worst].tag}",
        )

    def initial(self, members: int, at: Instant = BEGINNING) -> Snapshot:
        """Where the recording ended, at rest."""
        if not 1 <= members <= MAX_MEMBERS:
            raise ValueError(f"{members} members, expected 1 to {MAX_MEMBERS}")
        return Snapshot(
            at=at,
            digest=self.digest,
            states=np.tile(np.array(self.starts), (members, 1)),
            controllers=np.zeros((members, 0)),
            parameters=draw_parameters(self.plant, members, self.plant.seed),
            inputs=np.array([one.start for one in self.plant.inputs], np.float64),
            trusted=False,
            health=Health(grade=Grade.LOST, reason="nothing has been read yet", since=at),
        )

    def live(self, ahead: Ahead) -> Iterator[Rollout]:
        """For `whatif.ask`."""
        for schedule in ahead.schedules:
            yield self.rollout(ahead.start, schedule, ahead.horizon_s, ahead.record, ahead.record_every_s)

    def rollout(self, snapshot: Snapshot, schedule: Schedule, horizon_s: float, record: Sequence[str], record_every_s: float) -> Rollout:
        """Whole steps; the states of a snapshot are the outputs, at rest.  Raises ValueError on what cannot be asked."""
        steps, lags = round(horizon_s / self.step_s), len(self.recursion.own)
        if snapshot.digest != self.digest or snapshot.states.shape[1] != len(self.outputs):
            raise ValueError(f"a snapshot of model {snapshot.digest[:16]}, this is {self.digest[:16]}")
        if not 1 <= steps <= MAX_STEPS or 8 * steps * len(self.outputs) * snapshot.members > MAX_RECORD_OCTETS:
            raise ValueError(f"{steps} steps of {self.step_s:g} s for {snapshot.members} members: expected at least one, and fewer")
        inputs = self._told(snapshot, schedule, steps)
        lows, spans = (np.array([function(one) for one in self.outputs]) for function in (lambda one: one.low, _span))
        past = np.repeat(((snapshot.states[:1] - lows) / spans).T[None], lags, axis=0)
        # one future for all: the equations are common, and the members' errors are added to what comes out
        lived = self.recursion.run(past, inputs[:, :, None])[:, :, 0] * spans + lows
        paths = lived[:, :, None] + snapshot.parameters.T[None]
        outside = np.maximum(lows[:, None] - paths, paths - (lows + spans)[:, None]) / spans[:, None]
        valid = np.asarray((outside <= LOST).all(axis=(0, 1)), np.bool_)
        return self._rollout(snapshot, paths, valid, record, record_every_s)

    def _told(self, snapshot: Snapshot, schedule: Schedule, steps: int) -> F8:
        """(lags - 1 + steps, inputs), scaled; before the start they stood as the snapshot says."""
        lags, rows, tags = len(self.recursion.own), self.input_rows, [one.tag for one in self.plant.inputs]
        told = np.tile(snapshot.inputs, (lags - 1 + steps, 1))
        for at_s, writes in schedule:
            check_writes(self, writes)
            for tag, value in writes.items():
                told[lags - 1 + round(at_s / self.step_s) :, rows[tag]] = value
        lows, spans = np.array([one.low for one in tags]), np.array([one.high - one.low for one in tags])
        scaled: F8 = (told - lows) / spans
        return scaled

    def _rollout(self, snapshot: Snapshot, paths: F8, valid: NDArray[np.bool_], record: Sequence[str], record_every_s: float) -> Rollout:
        rows = self.output_rows
        every = max(1, round(record_every_s / self.step_s))
        distance = np.empty((len(self.invariants), snapshot.members))
        violation = np.full_like(distance, np.inf)
        for row, one in enumerate(self.invariants):
            path = paths[:, rows[one.tag]]
            margin = one.limit - path if one.is_upper else path - one.limit
            distance[row] = margin.min(axis=0)
            broken = margin < 0.0
            violation[row] = np.where(broken.any(axis=0), self.step_s * (1 + broken.argmax(axis=0)), np.inf)
        lost = np.where(valid, 0.0, np.nan)
        for tag in record:
            if tag not in rows:
                raise ValueError(f"{tag!r} cannot be recorded{nearest(tag, rows)}")
        return Rollout(
            invariants=tuple(one.name for one in self.invariants),
            robustness=distance + lost,
            time_to_violation_s=violation + lost,
            valid=valid,
            final=Snapshot(
                at=after(snapshot.at, self.step_s * len(paths)),
                digest=self.digest,
                states=paths[-1].T - snapshot.parameters,
                controllers=snapshot.controllers,
                parameters=snapshot.parameters,
                inputs=snapshot.inputs,
                trusted=False,
                health=snapshot.health,
            ),
            times_s=self.step_s * every * np.arange(1.0, len(paths) // every + 1.0),
            trajectories={tag: paths[every - 1 :: every, rows[tag]] for tag in record},
        )


def _span(output: Output) -> float:
    return output.high - output.low


class ArxReader(Reader):
    """Tags and invariants as in any plant file; what moves a tag is said by the model's `terms`."""

    def __init__(self, document: Entry, text: str) -> None:
        self.text = text
        self.top = document.map(_TOP, ("plant", "model", "tags"))
        self.tags, self.tag_entries = read_tags(self.top["tags"], self.top.get("modbus"))
        self.controller_entries, self.interlock_entries, self.parts = {}, {}, {}
        self.wiring = no_wiring()
        keys = self.top["model"].map((), ("arx",))["arx"].map((), ("step", "lags", "tags"))
        self.step_s = self._quantity(keys["step"], "s").value
        if not MIN_STEP_S <= self.step_s <= 60.0 * MAX_STEP_S:
            keys["step"].fail(f"a step of {self.step_s:g} s, expected {MIN_STEP_S} s to {60.0 * MAX_STEP_S:g} s")
        self.lags = keys["lags"].whole(1, MAX_LAGS)
        self.modelled = dict(keys["tags"].entries())
        if not self.modelled:
            keys["tags"].fail("no tag is modelled")
        for name, entry in self.modelled.items():
            if name not in self.tag_entries or self.tag_entries[name].tag.writable:
                entry.fail(f"{name} is no tag that is measured{nearest(name, self.tag_entries)}")

    def arx(self) -> Arx:
        top = self.top
        told = {name: entry.map((), ("start", "error", "constant", "terms")) for name, entry in self.modelled.items()}
        terms = {name: dict(keys["terms"].entries()) for name, keys in told.items()}
        moving = {tag for one in terms.values() for tag in one} - set(told)
        for name, one in terms.items():
            for tag, entry in one.items():
                if tag not in told and (tag not in self.tag_entries or not self.tag_entries[tag].tag.writable):
                    entry.fail(f"{name} hangs on {tag}, which is neither modelled nor writable")
        driving = [name for name in self.tag_entries if name in moving]
        for name in driving:
            if self.tag_entries[name].start is None:
                self.tag_entries[name].entry.fail("key 'start' is missing: the twin must know the value at start-up")
        errors = {name: keys["error"].number() for name, keys in told.items()}
        for name, error in errors.items():
            if error <= 0.0:
                told[name]["error"].fail("must be more than 0: no fit is without one")
        plant = Plant(
            name=top["plant"].text("a name"),
            title=top["title"].text() if "title" in top else top["plant"].text(),
            seed=top["seed"].whole(0, 2**63 - 1) if "seed" in top else 0,
            text=self.text,
            method="arx",
            step_s=self.step_s,
            parts={},
            wiring=self.wiring,
            parameters=tuple(
                UncertainParameter(name=f"{name}.error", value=0.0, spread=error, positive=False, unit=self.tag_entries[name].unit)
                for name, error in errors.items()
            ),
            states=(),
            controllers=(),
            interlocks=(),
            invariants=tuple(self._invariant(name, entry) for name, entry in top["invariants"].entries()) if "invariants" in top else (),
            sensors=tuple(
                Sensor(
                    tag=self.tag_entries[name].tag,
                    unit=self.tag_entries[name].unit,
                    expression=self._measured(name),
                    accuracy=self.tag_entries[name].accuracy,
                )
                for name in told
            ),
            inputs=tuple(self._driving(name) for name in driving),
            tags=self.tags,
            dialect=self._dialect(),
        )
        return Arx(
            plant=plant,
            digest=digest("arx", self.text),
            recursion=self._recursion(told, terms, driving),
            errors=tuple(errors.values()),
            starts=tuple(keys["start"].number() for keys in told.values()),
            inputs=tuple(Input(tag=one.tag.name, unit=one.tag.unit, role=one.tag.role) for one in plant.inputs),
            outputs=outputs_of(plant),
            invariants=watched_of(plant),
            step_s=self.step_s,
        )

    def _driving(self, name: str) -> PlantInput:
        read = self.tag_entries[name]
        assert read.start is not None
        return PlantInput(tag=read.tag, unit=read.unit, start=read.start)

    def _measured(self, name: str) -> Expression:
        if name not in self.modelled:
            self.tag_entries[name].entry.fail(f"{name} is not modelled: nothing can be said of it")
        return leaf(Op.STATE, name, self.tag_entries[name].unit.dimension)

    def _recursion(
        self, told: Mapping[str, Mapping[str, Entry]], terms: Mapping[str, Mapping[str, Entry]], driving: Sequence[str]
    ) -> Recursion:
        names = list(told)
        own, driven = np.zeros((self.lags, len(names), len(names))), np.zeros((self.lags, len(names), len(driving)))
        for row, name in enumerate(names):
            for tag, entry in terms[name].items():
                numbers = [item.number() for item in entry.items()]
                if len(numbers) != self.lags:
                    entry.fail(f"{len(numbers)} coefficients, expected {self.lags}")
                if tag in told:
                    own[:, row, names.index(tag)] = numbers
                else:
                    driven[:, row, driving.index(tag)] = numbers
        return Recursion(constant=np.array([told[name]["constant"].number() for name in names]), own=own, driven=driven)
