"""The compiled stepper: a plant's expression graph as LLVM vector code, eight members per lane, built in memory without a compiler.

`sentinel.twin.instructions` emits only what every processor rounds alike.  One call advances all groups of eight
members by a number of equal steps; per step it scans controllers and interlocks, integrates, checks bounds, holds states at their stops and
watches the invariants.  The call releases the interpreter lock.

Layout: structure of arrays, one row per quantity, `stride` members (a multiple of eight) per row, SI throughout.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sentinel.twin.expression import Expression, Op
from sentinel.twin.instructions import MASK, Instructions, Leaf
from sentinel.twin.machine import ATTRIBUTES, LANES, POINTER, REAL, VEC, WHOLE, assemble
from sentinel.twin.plant import Plant

_CHAINS = 4  # of dependent comparisons beside each other: one would wait for itself, many would leave the registers

Run = Callable[..., None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """`run(groups, stride, steps, dt, t0, states, controllers, parameters, inputs, robustness, violation, valid, starts, every, first,
    slots, rows, record)`: every `every` steps, for the first time after `first`, a sample is written.  Pointers are to float64 rows;
    `slots` (int64, one per output) is the row of a sample that takes the output, or -1.
    """

    run: Run
    keep: tuple[object, ...]  # owns the machine code
    processor: str  # "native" or "portable"


_ARGUMENTS = (WHOLE, WHOLE, WHOLE, REAL, REAL, *(POINTER,) * 8, WHOLE, WHOLE, POINTER, WHOLE, POINTER)


def build(plant: Plant, outputs: Sequence[Expression], portable: bool = False) -> Kernel:
    """Machine code for this processor; where LLVM does not know it, for any of its family."""
    code = assemble(_Program(plant, outputs).text(), _ARGUMENTS, portable)
    return Kernel(run=code.run, keep=code.keep, processor=code.processor)


class _Program(Instructions):
    """The text of one function."""

    def __init__(self, plant: Plant, outputs: Sequence[Expression]) -> None:
        super().__init__()
        self.plant = plant
        self.outputs = tuple(outputs)
        self.state_rows = {state.name: i for i, state in enumerate(plant.states)}
        self.controller_rows = {controller.name: i for i, controller in enumerate(plant.controllers)}
        self.parameter_rows = {parameter.name: i for i, parameter in enumerate(plant.parameters)}
        self.input_rows = {given.tag.name: i for i, given in enumerate(plant.inputs)}
        self.interlock_rows = {interlock.name: i for i, interlock in enumerate(plant.interlocks)}
        self.counted = [row for row, one in enumerate(plant.invariants) if one.counts]
        self.inputs: list[str] = []
        self.parameters: list[str] = []
        self.dt = ""

    def leaves(self, states: Sequence[str], integrals: Sequence[str], outputs: Sequence[str], trips: Sequence[str]) -> Leaf:
        rows: Mapping[Op, tuple[Mapping[str, int], Sequence[str]]] = {
            Op.STATE: (self.state_rows, states),
            Op.PARAMETER: (self.parameter_rows, self.parameters),
            Op.INPUT: (self.input_rows, self.inputs),
            Op.INTEGRAL: (self.controller_rows, integrals),
            Op.OUTPUT: (self.controller_rows, outputs),
            Op.TRIPPED: (self.interlock_rows, trips),
        }

        def leaf(node: Expression) -> str:
            if node.op is Op.STEP:
                return self.dt
            names, values = rows[node.op]
            return values[names[node.name]]

        return leaf

    # -- the function

    def text(self) -> str:
        self._open()
        plant, n = self.plant, len(self.plant.states)
        names = [f"s{i}" for i in range(n)]
        names += [f"i{i}" for i in range(len(plant.controllers))] + [f"o{i}" for i in range(len(plant.controllers))]
        names += [f"{kind}{i}" for kind in "rwp" for i in range(len(plant.invariants))] + ["ok"]
        names += [f"{kind}{i}" for i in range(len(self.counted)) for kind in ("started", "runs")]
        first = self._group_start()
        self.raw("  br label %step")
        self.raw("step:")
        for name, start in zip(names, first, strict=True):
            self.raw(f"  %{name} = phi {VEC} [ {start}, %group ], [ %n{name}, %latch ]")
        self.raw("  %k = phi i64 [ 0, %group ], [ %k1, %latch ]")
        self.raw("  %count = phi i64 [ %first, %group ], [ %count2, %latch ]")
        self.raw("  %sample = phi i64 [ 0, %group ], [ %sample2, %latch ]")
        self.raw("  %go = icmp slt i64 %k, %steps")
        self.raw("  br i1 %go, label %body, label %done")
        self.raw("body:")
        following, record_leaf = self._step(names)
        for name, value in zip(names, following, strict=True):
            self.raw(f"  %n{name} = select i1 true, {VEC} {value}, {VEC} {value}")
        self._record(record_leaf)
        self.raw("done:")
        self._group_end(names)
        return "\n".join(self.lines) + "\n"

    def _open(self) -> None:
        pointers = ", ".join(
            f"ptr noalias %{name}" for name in ("state", "control", "parameter", "input", "robust", "violation", "valid", "starts")
        )
        self.raw(f"declare {VEC} @llvm.sqrt.v{LANES}f64({VEC})")
        self.raw(f"declare {VEC} @llvm.fabs.v{LANES}f64({VEC})")
        self.raw(
            f"define void @run(i64 %groups, i64 %stride, i64 %steps, double %dt, double %t0, {pointers}, i64 %every, i64 %first, "
            f"ptr noalias %slot, i64 %rows, ptr noalias %record) #0 {{"
        )
        self.raw("entry:")
        self.dt = self.splat("%dt")
        for row in range(len(self.plant.inputs)):
            at = self.put(f"getelementptr double, ptr %input, i64 {row}")
            self.inputs.append(self.splat(self.put(f"load double, ptr {at}, align 8")))
        self.raw("  br label %next")
        self.raw("next:")
        self.raw("  %g = phi i64 [ 0, %entry ], [ %g1, %done ]")
        self.raw("  %more = icmp slt i64 %g, %groups")
        self.raw("  br i1 %more, label %group, label %end")
        self.raw("end:")
        self.raw("  ret void")
        self.raw("group:")
        self.raw(f"  %lane = mul i64 %g, {LANES}")

    def _group_start(self) -> list[str]:
        """Loads a group and looks at the invariants once before the first step."""
        plant = self.plant
        self.parameters = [self.load("%parameter", row) for row in range(len(plant.parameters))]
        states = [self.load("%state", row) for row in range(len(plant.states))]
        integrals = [self.load("%control", 2 * row) for row in range(len(plant.controllers))]
        outputs = [self.load("%control", 2 * row + 1) for row in range(len(plant.controllers))]
        robust = [self.load("%robust", row) for row in range(len(plant.invariants))]
        violation = [self.load("%violation", row) for row in range(len(plant.invariants))]
        valid = self.load("%valid", 0)
        leaf = self.leaves(states, integrals, outputs, self._trips(states, integrals, outputs))
        starts = self._starts([self.load("%starts", row) for row in range(2 * len(self.counted))], leaf)
        distances = self._distances(leaf, starts)
        now = self.splat("%t0")
        for row, distance in enumerate(distances):
            robust[row] = self._smaller(distance, robust[row])
            at_once = self.binary("fadd", now, self.binary("fmul", distance, "zeroinitializer"))
            violation[row] = self.select(self._newly(distance, violation[row]), at_once, violation[row])
        return [*states, *integrals, *outputs, *robust, *violation, *distances, valid, *starts]

    def _smaller(self, a: str, b: str) -> str:
        return self.select(self.compare("olt", a, b), a, b)

    def _newly(self, distance: str, violation: str) -> str:
        """Broken now and never before; a distance that is no number is dated by none, which stays."""
        broken = self.compare("ult", distance, "zeroinitializer")
        never = self.compare("oeq", violation, self.constant(float("inf")))
        return self.put(f"and {MASK} {broken}, {never}")

    def _starts(self, before: Sequence[str], leaf: Leaf) -> list[str]:
        """How often each counted component was started, and whether it runs; one that was never looked at is not started by being seen."""
        running = self.expressions([self.plant.invariants[row].expression for row in self.counted], leaf)
        result = []
        for count, ran, runs in zip(before[0::2], before[1::2], running, strict=True):
            began = self.put(f"and {MASK} {self.compare('oeq', ran, 'zeroinitializer')}, {self.compare('ogt', runs, self.constant(0.5))}")
            result += [self.select(began, self.binary("fadd", count, self.constant(1.0)), count), runs]
        return result

    def _distances(self, leaf: Leaf, starts: Sequence[str]) -> list[str]:
        """Signed distance to each invariant's limit in SI; negative = broken."""
        values = self.expressions([one.expression for one in self.plant.invariants], leaf)
        for row, count in zip(self.counted, starts[0::2], strict=True):
            values[row] = count
        result = []
        for one, value in zip(self.plant.invariants, values, strict=True):
            limit = self.constant(one.limit if one.counts else one.unit.to_si(one.limit))
            result.append(self.binary("fsub", limit, value) if one.is_upper else self.binary("fsub", value, limit))
        return result

    def _trips(self, states: Sequence[str], integrals: Sequence[str], outputs: Sequence[str]) -> list[str]:
        trips: list[str] = []
        for one in self.plant.interlocks:  # an interlock that reads what another one trips comes after it
            trips += self.expressions([one.tripped], self.leaves(states, integrals, outputs, trips))
        return trips

    def _step(self, names: Sequence[str]) -> tuple[list[str], Leaf]:
        plant, n, c, m = self.plant, len(self.plant.states), len(self.plant.controllers), len(self.plant.invariants)
        carried = [f"%{name}" for name in names]
        states, integrals, outputs = carried[:n], carried[n : n + c], carried[n + c : n + 2 * c]
        rest = carried[n + 2 * c :]
        robust, violation, before, valid = rest[:m], rest[m : 2 * m], rest[2 * m : 3 * m], rest[3 * m]
        starts = rest[3 * m + 1 :]

        trips = self._trips(states, integrals, outputs)
        scans = [expression for controller in plant.controllers for expression in controller.scan()]
        scanned = self.expressions(scans, self.leaves(states, integrals, outputs, trips))
        integrals, outputs = scanned[0::2], scanned[1::2]

        moved = self._integrate(states, integrals, outputs, trips)
        valid = self.select(self._inside(moved), valid, "zeroinitializer")
        states = self._stopped(moved)

        leaf = self.leaves(states, integrals, outputs, trips)
        starts = self._starts(starts, leaf)
        distances = self._distances(leaf, starts)
        for row, distance in enumerate(distances):
            robust[row] = self._smaller(distance, robust[row])
        violation = self._crossings(distances, before, violation)
        return [*states, *integrals, *outputs, *robust, *violation, *distances, valid, *starts], leaf

    def _inside(self, states: Sequence[str]) -> str:
        """Every state within its physical bounds; a number that is none is outside."""
        chains = [""] * _CHAINS
        for row, (state, value) in enumerate(zip(self.plant.states, states, strict=True)):
            for how, bound in zip(("oge", "ole"), state.bounds, strict=True):
                check = self.compare(how, value, self.constant(bound))
                last = chains[row % _CHAINS]
                chains[row % _CHAINS] = self.put(f"and {MASK} {last}, {check}") if last else check
        return self.joined("and", [chain for chain in chains if chain])

    def _crossings(self, distances: Sequence[str], before: Sequence[str], violation: Sequence[str]) -> list[str]:
        """When each limit was crossed first: where the straight line between two steps does.  Most steps cross none and pass by."""
        masks = [self._newly(distance, first) for distance, first in zip(distances, violation, strict=True)]
        news = self.put(f"bitcast {MASK} {self.joined('or', masks)} to i{LANES}")
        self.raw(f"  %crossed = icmp ne i{LANES} {news}, 0")
        self.raw("  br i1 %crossed, label %crossing, label %watched")
        self.raw("crossing:")
        step = self.put("sitofp i64 %k to double")
        begun = self.splat(self.put(f"fadd double %t0, {self.put(f'fmul double {step}, %dt')}"))
        exact = []
        for mask, distance, last, first in zip(masks, distances, before, violation, strict=True):
            share = self.binary("fdiv", last, self.binary("fsub", last, distance))
            exact.append(self.select(mask, self.binary("fadd", begun, self.binary("fmul", share, self.dt)), first))
        self.raw("  br label %watched")
        self.raw("watched:")
        return [self.put(f"phi {VEC} [ {a}, %body ], [ {b}, %crossing ]") for a, b in zip(violation, exact, strict=True)]

    def _stopped(self, states: Sequence[str]) -> list[str]:
        """States held at their stops."""
        result = []
        for state, value in zip(self.plant.states, states, strict=True):
            held, (low, high) = value, state.stops
            leaf = self.leaves(states, (), (), ())
            if low is not None:
                limit = self.expressions([low], leaf)[0]
                held = self.select(self.compare("ogt", held, limit), held, limit)
            if high is not None:
                limit = self.expressions([high], leaf)[0]
                held = self.select(self.compare("olt", held, limit), held, limit)
            result.append(held)
        return result

    def _integrate(self, states: Sequence[str], integrals: Sequence[str], outputs: Sequence[str], trips: Sequence[str]) -> list[str]:
        half = self.binary("fmul", self.dt, self.constant(0.5))

        def rates(at: Sequence[str], use: Callable[[int, str], str]) -> list[str]:
            """What `use` makes of each rate as soon as it is there, while it is in a register."""
            leaf = self.leaves(at, integrals, outputs, trips)
            values: dict[int, str] = {}
            return [use(row, self.expression(state.derivative, leaf, values)) for row, state in enumerate(self.plant.states)]

        def along(row: int, slope: str, h: str) -> str:
            return self.binary("fadd", states[row], self.binary("fmul", h, slope))

        def stage(at: Sequence[str], h: str) -> tuple[list[str], list[str]]:
            """Rates, and the states a step `h` along them."""
            slopes: list[str] = []

            def use(row: int, slope: str) -> str:
                slopes.append(slope)
                return along(row, slope, h)

            moved = rates(at, use)
            return slopes, moved

        if self.plant.method == "heun":
            k1, at = stage(states, self.dt)
            return rates(at, lambda row, k2: along(row, self.binary("fadd", k1[row], k2), half))
        if self.plant.method == "rk3":
            k1, at = stage(states, self.binary("fmul", self.dt, self.constant(1.0 / 3.0)))
            _, at = stage(at, self.binary("fmul", self.dt, self.constant(2.0 / 3.0)))
            three, quarter = self.constant(3.0), self.binary("fmul", self.dt, self.constant(0.25))
            return rates(at, lambda row, k3: along(row, self.binary("fadd", k1[row], self.binary("fmul", three, k3)), quarter))
        sixth = self.binary("fmul", self.dt, self.constant(1.0 / 6.0))
        k1, at = stage(states, half)
        k2, at = stage(at, half)
        inner: list[str] = []

        def third(row: int, k3: str) -> str:
            both = self.binary("fadd", k2[row], k3)
            inner.append(self.binary("fadd", both, both))
            return along(row, k3, self.dt)

        def last(row: int, k4: str) -> str:
            return along(row, self.binary("fadd", self.binary("fadd", k1[row], k4), inner[row]), sixth)

        return rates(rates(at, third), last)

    def _record(self, leaf: Leaf) -> None:
        """Every `every` steps the outputs that have a slot are written."""
        self.raw("  %k1 = add i64 %k, 1")
        self.raw("  %count1 = sub i64 %count, 1")
        self.raw("  %due = icmp eq i64 %count1, 0")
        self.raw("  br i1 %due, label %record0, label %latch")
        for row, output in enumerate(self.outputs):
            self.raw(f"record{row}:")
            at = self.put(f"getelementptr i64, ptr %slot, i64 {row}")
            slot = self.put(f"load i64, ptr {at}, align 8")
            wanted = self.put(f"icmp sge i64 {slot}, 0")
            self.raw(f"  br i1 {wanted}, label %write{row}, label %record{row + 1}")
            self.raw(f"write{row}:")
            value = self.expressions([output], leaf)[0]
            line = self.put(f"add i64 {self.put('mul i64 %sample, %rows')}, {slot}")
            place = self.put(f"add i64 {self.put(f'mul i64 {line}, %stride')}, %lane")
            self.raw(f"  store {VEC} {value}, ptr {self.put(f'getelementptr double, ptr %record, i64 {place}')}, align 8")
            self.raw(f"  br label %record{row + 1}")
        self.raw(f"record{len(self.outputs)}:")
        self.raw("  %sample1 = add i64 %sample, 1")
        self.raw("  br label %latch")
        last = f"%record{len(self.outputs)}"
        self.raw("latch:")
        self.raw(f"  %count2 = phi i64 [ %count1, %watched ], [ %every, {last} ]")
        self.raw(f"  %sample2 = phi i64 [ %sample, %watched ], [ %sample1, {last} ]")
        self.raw("  br label %step")

    def _group_end(self, names: Sequence[str]) -> None:
        n, c, m = len(self.plant.states), len(self.plant.controllers), len(self.plant.invariants)
        for row in range(n):
            self.store(f"%s{row}", "%state", row)
        for row in range(c):
            self.store(f"%i{row}", "%control", 2 * row)
            self.store(f"%o{row}", "%control", 2 * row + 1)
        for row in range(m):
            self.store(f"%r{row}", "%robust", row)
            self.store(f"%w{row}", "%violation", row)
        self.store("%ok", "%valid", 0)
        for i in range(len(self.counted)):
            self.store(f"%started{i}", "%starts", 2 * i)
            self.store(f"%runs{i}", "%starts", 2 * i + 1)
        self.raw("  %g1 = add i64 %g, 1")
        self.raw("  br label %next")
        self.raw("}")
        self.raw(ATTRIBUTES)
