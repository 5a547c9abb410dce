"""The reader of plant files: every name is looked up, every quantity checked against what is declared, every complaint has its line."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sentinel.model.attack import is_technique_id
from sentinel.model.detection import Severity
from sentinel.model.dialect import DIALECTS
from sentinel.model.tags import TagRole
from sentinel.twin.components import CATALOGUE
from sentinel.twin.control import Controller, Interlock
from sentinel.twin.document import Entry, nearest
from sentinel.twin.expression import DimensionError, Expression, Op, greater, leaf, leaves, where
from sentinel.twin.plant import Input, Invariant, Plant, Sensor, StateEquation, UncertainParameter
from sentinel.twin.tagging import TagEntry, loops, read_tags
from sentinel.twin.units import ONE, Quantity, UnitError, quantity, unit
from sentinel.twin.wiring import Part, Wiring

METHODS = ("heun", "rk3", "rk4")
DEFAULT_METHOD, DEFAULT_STEP_S = "rk4", 0.5
MAX_STEP_S, MIN_STEP_S = 60.0, 1e-3
_TOP = ("title", "seed", "engine", "controllers", "interlocks", "bypass", "invariants", "modbus", "opcua")
_STARTS = re.compile(r"(?P<limit>[0-9]{1,4}) starts of (?P<part>\S+)")
_COMPARISON = re.compile(r"(?P<tag>\S+)\s*(?P<sign><=|>=|<|>)\s*(?P<limit>.+)")


class Reader:
    """One document; `plant` reads it."""

    def __init__(self, document: Entry, text: str) -> None:
        self.text = text
        self.top = document.map(_TOP, ("plant", "components", "tags"))
        self.tags, self.tag_entries = read_tags(self.top["tags"], self.top.get("modbus"))
        self.controller_entries = dict(self.top["controllers"].entries()) if "controllers" in self.top else {}
        self.interlock_entries = dict(self.top["interlocks"].entries()) if "interlocks" in self.top else {}
        component_entries = dict(self.top["components"].entries())
        self.parts = {name: self._part(name, entry, component_entries) for name, entry in component_entries.items()}
        self.wiring = Wiring(self.parts, self._drive, self._trips())

    def plant(self) -> Plant:
        top = self.top
        method, step_s = self._engine()
        for part in self.parts.values():
            self._check_part(part)
        controllers = tuple(self._controller(name, entry) for name, entry in self.controller_entries.items())
        interlocks = self._ordered(tuple(self._interlock(name, entry) for name, entry in self.interlock_entries.items()))
        invariants = tuple(self._invariant(name, entry) for name, entry in top["invariants"].entries()) if "invariants" in top else ()
        if "opcua" in top:
            top["opcua"].map({"port"})
        return Plant(
            name=top["plant"].text("a name"),
            title=top["title"].text() if "title" in top else top["plant"].text(),
            seed=top["seed"].whole(0, 2**63 - 1) if "seed" in top else 0,
            text=self.text,
            method=method,
            step_s=step_s,
            parts=self.parts,
            wiring=self.wiring,
            parameters=self._parameters(),
            states=tuple(self._state(part, name) for part in self.parts.values() for name in part.kind.states),
            controllers=controllers,
            interlocks=interlocks,
            invariants=invariants,
            sensors=tuple(
                Sensor(tag=read.tag, unit=read.unit, expression=self._measured(name), accuracy=read.accuracy)
                for name, read in self.tag_entries.items()
                if read.of is not None
            ),
            inputs=self._inputs(controllers, interlocks),
            tags=replace(self.tags, loops=loops(controllers, self.parts.values(), self.tag_entries)),
            dialect=self._dialect(),
        )

    def _dialect(self) -> str | None:
        section = self.top.get("modbus")
        given = section.map() if section is not None else {}
        return given["dialect"].one_of(DIALECTS, "dialect") if "dialect" in given else None

    # -- components

    def _part(self, name: str, entry: Entry, known: Mapping[str, Entry]) -> Part:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,31}", name):
            entry.fail("a component's name is a letter followed by letters, digits, - or _")
        kinds = {kind.name: kind for kind in CATALOGUE}
        given = entry.map()
        if "type" not in given:
            entry.fail(f"key 'type' is missing; known: {', '.join(kinds)}")
        kind = kinds[given["type"].one_of(kinds, "component type")]
        keys = entry.map((*kind.keys, "type"), kind.required)
        parameters = {}
        for key, declared in kind.parameters.items():
            parameters[key] = self._quantity(keys[key], declared.unit) if key in keys else quantity(declared.default or "", declared.unit)
            if declared.positive and declared.unit != "degC" and parameters[key].value <= 0.0:
                keys[key].fail("must be more than 0")
        starts = {
            state.start: self._quantity(keys[state.start], state.unit) for state in kind.states.values() if isinstance(state.start, str)
        }
        for key, start in starts.items():
            if start.spread:
                keys[key].fail("a start has no spread: the readings tell")
        return Part(
            name=name,
            kind=kind,
            entry=entry,
            parameters=parameters,
            starts=starts,
            wires={key: keys[key].one_of(known, "component") for key in kind.wires},
            signals={key: keys[key].text("a controller or tag") for key in kind.signals},
        )

    def _quantity(self, entry: Entry, expected: str) -> Quantity:
        try:
            return quantity(entry.text(f"a quantity like '1 {expected}'"), expected)
        except UnitError as error:
            entry.fail(str(error))

    def _check_part(self, part: Part) -> None:
        keys = part.entry.map()
        for key, wire in part.kind.wires.items():
            other = self.parts[part.wires[key]].kind
            for name, expected in wire.offers.items():
                offered = other.unit_of(name)
                if offered is None or unit(offered).dimension != unit(expected).dimension:
                    keys[key].fail(f"{part.wires[key]} is a {other.name}, which has no {name} in {expected}; expected {wire.says}")
            for name, expected in wire.collects.items():
                taken = other.collects.get(name)
                if taken is None or unit(taken).dimension != unit(expected).dimension:
                    keys[key].fail(f"{part.wires[key]} is a {other.name}, which takes no {name} in {expected}; expected {wire.says}")
        for key, signal in part.kind.signals.items():
            name = part.signals[key]
            if name in self.controller_entries:
                given = "%"
            elif name in self.tag_entries:
                read = self.tag_entries[name]
                if not read.tag.writable:
                    keys[key].fail(f"tag {name} is not writable, it drives nothing")
                if signal.is_mode and read.tag.role is not TagRole.MODE:
                    keys[key].fail(f"tag {name} is a {read.tag.role}, expected a mode")
                given = read.tag.unit
            else:
                keys[key].fail(f"unknown controller or tag {name!r}{nearest(name, (*self.controller_entries, *self.tag_entries))}")
            if unit(given).dimension != unit(signal.unit).dimension:
                keys[key].fail(f"{name} is in {given!r}, expected a signal like {signal.unit!r}")

    def _drive(self, name: str) -> Expression:
        if name in self.controller_entries:
            return leaf(Op.OUTPUT, name, ONE)
        return self._input(name)

    def _input(self, name: str) -> Expression:
        return leaf(Op.INPUT, name, self.tag_entries[name].unit.dimension)

    def _trips(self) -> dict[str, tuple[str, ...]]:
        trips: dict[str, tuple[str, ...]] = {}
        for name, entry in self.interlock_entries.items():
            keys = entry.map(("alarm",), ("when", "trip"))
            for item in keys["trip"].items():
                tripped = item.one_of(self.parts, "component")
                if not any(signal.is_mode for signal in self.parts[tripped].kind.signals.values()):
                    item.fail(f"{tripped} is a {self.parts[tripped].kind.name}: it has no run signal to trip")
                trips[tripped] = (*trips.get(tripped, ()), name)
        return trips

    # -- equations

    def _parameters(self) -> tuple[UncertainParameter, ...]:
        return tuple(
            UncertainParameter(
                name=f"{part.name}.{name}",
                value=given.value,
                spread=given.spread,
                positive=part.kind.parameters[name].positive and given.value > 0.0,
                unit=given.unit,
                wear_per_s=self._wear(part, name),
            )
            for part in self.parts.values()
            for name, given in part.parameters.items()
            if given.spread > 0.0
        )

    def _wear(self, part: Part, name: str) -> float:
        key = part.kind.parameters[name].wears
        if key is None:
            return 0.0
        given = part.parameters[key]
        if given.value < 0.0 or given.spread:
            part.entry.map()[key].fail("must not be less than 0, and has no spread: it is the most that is lost")
        return given.value

    def _state(self, part: Part, name: str) -> StateEquation:
        declared = part.kind.states[name]
        measured = unit(declared.unit)
        derivative = self.wiring.derivative(part, name)
        if derivative.dimension != measured.dimension / unit("s").dimension:
            part.entry.fail(f"d({name})/dt comes out in {derivative.dimension}")
        return StateEquation(
            name=f"{part.name}.{name}",
            unit=measured,
            derivative=derivative,
            start=self.wiring.start(part, name),
            stops=self.wiring.stops(part, name),
            bounds=(measured.to_si(declared.bounds[0]), measured.to_si(declared.bounds[1])),
        )

    def _measured(self, name: str) -> Expression:
        """What a sensor tag measures."""
        read = self.tag_entries[name]
        if read.of is None:
            read.entry.fail("key 'of' is missing: the twin must know what this tag measures")
        if read.tag.writable:
            read.of.fail("a writable tag measures nothing")
        text = read.of.text("component.quantity")
        component, _, what = text.partition(".")
        if component not in self.parts:
            read.of.fail(f"unknown component {component!r}{nearest(component, self.parts)}")
        kind = self.parts[component].kind
        if kind.unit_of(what) is None:
            read.of.fail(f"a {kind.name} has no {what!r}{nearest(what, (*kind.states, *kind.variables))}")
        expression = self.wiring.variable(self.parts[component], what)
        if expression.dimension != read.unit.dimension:
            read.of.fail(f"{text} is in {expression.dimension}, but {name} is in {read.unit.name!r} ({read.unit.dimension})")
        return expression

    def _tag(self, entry: Entry, *roles: TagRole, name: str | None = None) -> TagEntry:
        """A known tag of one of these roles."""
        name = name if name is not None else entry.text("a tag")
        if name not in self.tag_entries:
            entry.fail(f"unknown tag {name!r}{nearest(name, self.tag_entries)}")
        read = self.tag_entries[name]
        if roles and read.tag.role not in roles:
            entry.fail(f"tag {name} is a {read.tag.role}, expected {' or '.join(roles)}")
        return read

    def _controller(self, name: str, entry: Entry) -> Controller:
        keys = entry.map(("ti",), ("pv", "sp", "op", "auto", "kp", "action"))
        if name in self.tag_entries:
            entry.fail("a tag has the same name")
        pv = self._tag(keys["pv"], TagRole.PROCESS_VALUE)
        sp, target = self._setpoint(name, keys["sp"], pv)
        op = self._tag(keys["op"], TagRole.OUTPUT)
        auto = self._tag(keys["auto"], TagRole.MODE)
        if op.unit.dimension != ONE:
            keys["op"].fail(f"{op.tag.name} is in {op.unit.name!r}, expected '%'")
        for key, read in (("sp", sp), ("op", op), ("auto", auto)):
            if not read.tag.writable:
                keys[key].fail(f"{read.tag.name} is not writable")
        reverse = keys["action"].one_of(("direct", "reverse"), "action") == "reverse"
        pv_unit = "K" if pv.unit.offset else f"({pv.unit.name})" if "/" in pv.unit.name or "*" in pv.unit.name else pv.unit.name
        tuned = {key: self._quantity(keys[key], wanted) for key, wanted in (("kp", f"%/{pv_unit}"), ("ti", "s")) if key in keys}
        for key, number in tuned.items():
            if number.value <= 0.0 or number.spread:
                keys[key].fail("must be more than 0, without a spread")
        tuning = {key: Expression(Op.CONSTANT, number.unit.dimension, value=number.value) for key, number in tuned.items()}
        value = self._measured(pv.tag.name)
        return Controller(
            name=name,
            error=target - value if reverse else value - target,
            gain=tuning["kp"],
            reset=tuning.get("ti"),
            auto=self._input(auto.tag.name),
            sp=sp.tag.name,
            op=op.tag.name,
            auto_tag=auto.tag.name,
            pv=pv.tag.name,
        )

    def _setpoint(self, name: str, entry: Entry, pv: TagEntry) -> tuple[TagEntry, Expression]:
        """A setpoint tag, or in a cascade the controller outside: 0 to 100 % of its output is the range of what is controlled here."""
        text = entry.text("a setpoint tag or a controller")
        if text not in self.controller_entries:
            sp = self._tag(entry, TagRole.SETPOINT)
            if sp.unit.dimension != pv.unit.dimension:
                entry.fail(f"{sp.tag.name} is in {sp.unit.name!r}, but {pv.tag.name} is in {pv.unit.name!r}")
            return sp, self._input(sp.tag.name)
        chain = [name]
        while chain[-1] in self.controller_entries:
            outside = self.controller_entries[chain[-1]].map(None, ("sp",))["sp"].text()
            if outside in chain:
                entry.fail(f"the cascade {' -> '.join((*chain, outside))} closes on itself")
            chain.append(outside)
        low, high = pv.unit.to_si(pv.tag.low), pv.unit.to_si(pv.tag.high)
        dimension = pv.unit.dimension
        span, zero = (Expression(Op.CONSTANT, dimension, value=value) for value in (high - low, low))
        keys = self.controller_entries[text].map(None, ("op",))
        return self._tag(keys["op"], TagRole.OUTPUT), zero + leaf(Op.OUTPUT, text, ONE) * span

    def _interlock(self, name: str, entry: Entry) -> Interlock:
        keys = entry.map(("alarm",), ("when", "trip"))
        match = _COMPARISON.fullmatch(keys["when"].text().strip())
        if match is None:
            keys["when"].fail(f"expected 'TAG > TAG' or 'TAG > 1.8 m', found {keys['when'].value!r}")
        read = self._tag(keys["when"], TagRole.PROCESS_VALUE, name=match["tag"])
        value, limit = self._measured(read.tag.name), self._limit(keys["when"], match["limit"], read)
        try:
            condition = greater(value, limit) if match["sign"].startswith(">") else greater(limit, value)
        except DimensionError as error:
            keys["when"].fail(f"{error}: {match['limit']} does not measure what {read.tag.name} does")
        active = condition
        if "bypass" in self.top:
            bypass = self._tag(self.top["bypass"], TagRole.MODE)
            active = condition * where(self._input(bypass.tag.name), 0.0, 1.0)
        return Interlock(
            name=name,
            condition=condition,
            tripped=active,
            trips=tuple(item.text() for item in keys["trip"].items()),
            alarm=self._tag(keys["alarm"], TagRole.ALARM).tag.name if "alarm" in keys else None,
        )

    def _limit(self, entry: Entry, text: str, read: TagEntry) -> Expression:
        if re.match(r"[-+.0-9]", text):
            try:
                limit = quantity(text, read.unit.name)
            except UnitError as error:
                entry.fail(str(error))
            return Expression(Op.CONSTANT, limit.unit.dimension, value=limit.value)
        other = self._tag(entry, name=text)
        return self._input(text) if other.tag.writable else self._measured(text)

    def _ordered(self, interlocks: tuple[Interlock, ...]) -> tuple[Interlock, ...]:
        """An interlock that reads what another one trips comes after it."""
        ordered: list[Interlock] = []
        waiting = list(interlocks)
        while waiting:
            done = {interlock.name for interlock in ordered}
            ready = [one for one in waiting if leaves([one.condition], Op.TRIPPED) <= done]
            if not ready:
                names = ", ".join(one.name for one in waiting)
                self.interlock_entries[waiting[0].name].fail(f"algebraic loop: {names} depend on what they trip")
            ordered.extend(ready)
            waiting = [one for one in waiting if one not in ready]
        return tuple(ordered)

    def _invariant(self, name: str, entry: Entry) -> Invariant:
        keys = entry.map(("impact", "always", "at_most"), ("severity", "says"))
        if ("always" in keys) == ("at_most" in keys):
            entry.fail("expected one of 'always' and 'at_most'")
        impact = keys["impact"].text() if "impact" in keys else None
        if impact is not None and not is_technique_id(impact):
            keys["impact"].fail(f"{impact!r} is not an ATT&CK technique id")
        watched = self._value_held(keys["always"]) if "always" in keys else self._starts_counted(keys["at_most"])
        severity = Severity[keys["severity"].one_of([one.name.lower() for one in Severity], "severity").upper()]
        return Invariant(name=name, severity=severity, impact=impact, says=keys["says"].text(), **watched)

    def _value_held(self, entry: Entry) -> dict[str, Any]:
        match = _COMPARISON.fullmatch(entry.text().strip())
        if match is None or not re.match(r"[-+.0-9]", match["limit"]):
            entry.fail(f"expected 'TAG <= 1.6 m', found {entry.value!r}")
        read = self._tag(entry, TagRole.PROCESS_VALUE, name=match["tag"])
        try:
            limit = quantity(match["limit"], read.unit.name)
        except UnitError as error:
            entry.fail(str(error))
        return {
            "tag": read.tag,
            "expression": self._measured(read.tag.name),
            "limit": float(read.unit.from_si(limit.value)),
            "is_upper": match["sign"].startswith("<"),
            "unit": read.unit,
        }

    def _starts_counted(self, entry: Entry) -> dict[str, Any]:
        match = _STARTS.fullmatch(entry.text().strip())
        if match is None or int(match["limit"]) == 0:
            entry.fail(f"expected '6 starts of P101', found {entry.value!r}")
        if match["part"] not in self.parts:
            entry.fail(f"unknown component {match['part']!r}{nearest(match['part'], self.parts)}")
        part = self.parts[match["part"]]
        mode = next((name for name, signal in part.kind.signals.items() if signal.is_mode), None)
        if mode is None:
            entry.fail(f"{part.name} is a {part.kind.name}: it has no run signal that starts it")
        read = self.tag_entries[part.signals[mode]]
        running = self.wiring.part(part.name).signal(mode)
        return {"tag": read.tag, "expression": running, "limit": float(match["limit"]), "is_upper": True, "unit": read.unit, "counts": True}

    def _inputs(self, controllers: tuple[Controller, ...], interlocks: tuple[Interlock, ...]) -> tuple[Input, ...]:
        """The writable tags that something reads, in the order of the plant file."""
        read_by_parts = {name for part in self.parts.values() for name in part.signals.values()}
        read_by_logic = {name for c in controllers for name in (c.sp, c.op, c.auto_tag)}
        read_by_logic |= set(leaves([one.tripped for one in interlocks], Op.INPUT))
        owners = {controller.op: controller.name for controller in controllers}
        inputs = []
        for name, read in self.tag_entries.items():
            if not read.tag.writable or name not in read_by_parts | read_by_logic:
                continue
            if read.start is None:
                read.entry.fail("key 'start' is missing: the twin must know the value at start-up")
            inputs.append(Input(tag=read.tag, unit=read.unit, start=read.start, controller=owners.get(name)))
        return tuple(inputs)

    def _engine(self) -> tuple[str, float]:
        if "engine" not in self.top:
            return DEFAULT_METHOD, DEFAULT_STEP_S
        keys = self.top["engine"].map(("method", "step"))
        method = keys["method"].one_of(METHODS, "method") if "method" in keys else DEFAULT_METHOD
        step = self._quantity(keys["step"], "s").value if "step" in keys else DEFAULT_STEP_S
        if not MIN_STEP_S <= step <= MAX_STEP_S:
            keys["step"].fail(f"expected {MIN_STEP_S} s to {MAX_STEP_S:g} s")
        return method, step
