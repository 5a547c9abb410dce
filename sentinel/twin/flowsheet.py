"""A plant as a picture: its components as symbols with their tags and limits, process lines, controllers and interlocks with their signals.

In: a `Plant`.  Out: a standalone SVG document.  Controllers are circles above the process and interlocks diamonds below it (ISA-5.1);
signals are dashed.  What flows decides the colour of a line: material, heat, or a shaft.  Where a component gives to another, the line
leads there; where it draws or only looks, from there.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sentinel.drawing.svg import COLOURS, Drawing, text_width
from sentinel.model.tags import Tag
from sentinel.twin.component import Wire
from sentinel.twin.document import Entry, parse_document
from sentinel.twin.layout import Edge, Layout, Node, Path, Placed, Signal, arrange
from sentinel.twin.plant import Plant
from sentinel.twin.symbols import HEIGHT, WIDTH, draw_symbol
from sentinel.twin.units import unit
from sentinel.twin.wiring import Part

_MARGIN, _HEAD, _LINE, _SMALL = 24.0, 56.0, 14.0, 10.5
_LOGIC = 46.0  # pixels: a circle or diamond
_MAX_CHARACTERS = 44
_STUB = 22.0
_COMPARED = re.compile(r"\s*(?:<=|>=|<|>)\s*")


@dataclass(slots=True)
class _Box:
    """What stands beside a symbol: (colour, text), the first one bold."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def say(self, colour: str, text: str) -> None:
        self.lines.append((colour, text if len(text) <= _MAX_CHARACTERS else f"{text[: _MAX_CHARACTERS - 1]}…"))

    @property
    def text_width(self) -> float:
        return max(text_width(text, 12 if i == 0 else _SMALL) for i, (_, text) in enumerate(self.lines))


@dataclass(slots=True)
class _Sheet:
    """The plant as what is drawn."""

    parts: dict[str, _Box]
    controllers: dict[str, _Box]
    interlocks: dict[str, _Box]
    streams: list[tuple[str, str, str]] = field(default_factory=list)  # tail, head, colour
    signals: list[tuple[str, str, str, bool]] = field(default_factory=list)  # part, logic, colour, towards the part


def draw(plant: Plant) -> str:
    sheet = _sheet(plant)
    layout = arrange(
        [_part_node(name, box) for name, box in sheet.parts.items()],
        [Edge(tail=tail, head=head) for tail, head, _ in sheet.streams],
        [_logic_node("controller", name, box) for name, box in sheet.controllers.items()],
        [_logic_node("interlock", name, box) for name, box in sheet.interlocks.items()],
        [Signal(part=part, logic=logic) for part, logic, _, _ in sheet.signals],
    )
    width = max(layout.width, 620.0) + 2 * _MARGIN
    picture = Drawing(width, layout.height + _HEAD + 2 * _MARGIN + 26, plant.title)
    picture.text(_MARGIN, 30, plant.title, 18, bold=True)
    said = f"{len(plant.parts)} components, {len(plant.controllers)} controllers, {len(plant.interlocks)} interlocks, "
    picture.text(_MARGIN, 48, f"{said}{len(plant.invariants)} invariants, {len(plant.tags.tags)} tags", 12, "soft")
    for (part, logic, colour, to_part), path in zip(sheet.signals, layout.signals, strict=True):
        ends = tuple(reversed(_moved(path))) if not to_part else _moved(path)
        told = f"{part} to {logic.partition(' ')[2]}" if not to_part else f"{logic.partition(' ')[2]} to {part}"
        with picture.group(told, "signal"):
            picture.line(reversed(ends), colour, 1.2, "5 3", f"arrow-{colour}")
    for (tail, head, colour), path in zip(sheet.streams, layout.edges, strict=True):
        with picture.group(f"{tail} to {head}", "line"):
            picture.line(_moved(path), colour, 2.2, "", f"arrow-{colour}")
    for name, box in sheet.parts.items():
        _part(picture, plant.parts[name], box, _shifted(layout, name), sheet)
    for name, box in sheet.controllers.items():
        _logic(picture, "controller", name, box, _shifted(layout, f"controller {name}"))
    for name, box in sheet.interlocks.items():
        _logic(picture, "interlock", name, box, _shifted(layout, f"interlock {name}"))
    _key(picture, layout.height + _HEAD + 2 * _MARGIN + 8)
    return picture.document([_arrow(colour) for colour in ("stream", "heat", "shaft", "signal", "trip")])


# -- what there is


def _sheet(plant: Plant) -> _Sheet:
    document = parse_document(plant.text, plant.name).map()
    sheet = _Sheet(
        parts={name: _Box([("ink", name)]) for name in plant.parts},
        controllers={one.name: _Box([("ink", one.name)]) for one in plant.controllers},
        interlocks={one.name: _Box([("ink", one.name)]) for one in plant.interlocks},
    )
    measured = {name: _of(entry) for name, entry in document["tags"].entries() if _of(entry) in plant.parts}
    for part in plant.parts.values():
        sheet.parts[part.name].say("soft", part.kind.name.replace("_", " "))
        sheet.streams.extend(_streams(part))
    for tag in plant.tags.tags:
        if tag.name in measured:
            sheet.parts[measured[tag.name]].say("ink", f"{tag.name} · {_range(tag)}")
            for one in plant.invariants:
                if one.tag is tag and not one.counts:
                    sheet.parts[measured[tag.name]].say("limit", f"{'≤' if one.is_upper else '≥'} {one.limit:g} {tag.unit} · {one.name}")
    controllers = {one.name for one in plant.controllers}
    for part in plant.parts.values():
        for tag_name in dict.fromkeys(name for name in part.signals.values() if name not in controllers):
            sheet.parts[part.name].say("signal", f"{tag_name} · {_range(plant.tags.by_name[tag_name])}")
            for one in plant.invariants:
                if one.counts and one.tag.name == tag_name:
                    sheet.parts[part.name].say("limit", f"≤ {one.limit:g} starts · {one.name}")
        for name in part.signals.values():
            if name in controllers:
                sheet.signals.append((part.name, f"controller {name}", "signal", True))
    for controller in plant.controllers:
        box = sheet.controllers[controller.name]
        box.say("soft", f"PV {controller.pv}")
        box.say("signal", f"SP {controller.sp} · {_range(plant.tags.by_name[controller.sp])}")
        if controller.pv in measured:
            sheet.signals.append((measured[controller.pv], f"controller {controller.name}", "signal", False))
    for interlock in plant.interlocks:
        box = sheet.interlocks[interlock.name]
        when = document["interlocks"].map()[interlock.name].map()["when"].text()
        box.say("soft", f"when {when}")
        for name in _COMPARED.split(when, maxsplit=1):
            if name in measured:
                sheet.signals.append((measured[name], f"interlock {interlock.name}", "signal", False))
            elif name in plant.tags.by_name:
                box.say("signal", f"{name} · {_range(plant.tags.by_name[name])}")
        box.say("trip", f"trips {', '.join(interlock.trips)}")
        sheet.signals.extend((name, f"interlock {interlock.name}", "trip", True) for name in interlock.trips)
    return sheet


def _of(entry: Entry) -> str:
    keys = entry.map()
    return keys["of"].text().partition(".")[0] if "of" in keys else ""


def _streams(part: Part) -> Iterator[tuple[str, str, str]]:
    for key, wire in part.kind.wires.items():
        other, gives = part.wires[key], wire.collects and not key.startswith("from")
        yield (part.name, other, _medium(wire)) if gives else (other, part.name, _medium(wire))


def _medium(wire: Wire) -> str:
    """What goes over a wire, by what it measures."""
    units = [*wire.collects.values(), *wire.offers.values()]
    if any(unit(one).dimension == unit("W").dimension for one in wire.collects.values()):
        return "heat"
    return "shaft" if any(unit(one).dimension == unit("rpm").dimension for one in units) else "stream"


def _range(tag: Tag) -> str:
    return f"{tag.low:g} to {tag.high:g}" + ("" if tag.unit == "1" else f" {tag.unit}")


# -- how it looks


def _part_node(name: str, box: _Box) -> Node:
    return Node(name=name, width=max(WIDTH, box.text_width) + 16, height=HEIGHT + _LINE * len(box.lines) + 16)


def _logic_node(kind: str, name: str, box: _Box) -> Node:
    return Node(name=f"{kind} {name}", width=_LOGIC + 8 + box.text_width, height=max(_LOGIC, _LINE * len(box.lines)) + 6)


def _moved(path: Path) -> Path:
    return tuple((x + _MARGIN, y + _HEAD + _MARGIN) for x, y in path)


def _shifted(layout: Layout, name: str) -> Placed:
    place = layout.places[name]
    return Placed(x=place.x + _MARGIN, y=place.y + _HEAD + _MARGIN, width=place.width, height=place.height)


def _part(picture: Drawing, part: Part, box: _Box, place: Placed, sheet: _Sheet) -> None:
    with picture.group(f"{part.name}: {part.kind.says}", f"component {part.name}"):
        picture.box(place.x, place.y, place.width, place.height, "grid", "panel", 5)
        middle = place.x + place.width / 2
        draw_symbol(picture, part.kind.name, middle, place.y + HEIGHT / 2 + 5)
        for index, (colour, text) in enumerate(box.lines):
            size = 12 if index == 0 else _SMALL
            picture.text(middle, place.y + HEIGHT + 19 + _LINE * index, text, size, colour, "middle", bold=index == 0)
    _outside(picture, part, place, sheet)


def _outside(picture: Drawing, part: Part, place: Placed, sheet: _Sheet) -> None:
    """A stub where material comes from, or goes to, what is not part of the plant."""
    balance = part.kind.balance
    if balance is None or balance.source is None or unit(balance.unit).dimension == unit("W").dimension:
        return
    y = place.y + place.height / 2
    if not any(head == part.name for _, head, _ in sheet.streams):
        picture.line([(place.x - _STUB, y), (place.x, y)], "stream", 2.2, "", "arrow-stream")
    elif not any(tail == part.name for tail, _, _ in sheet.streams):
        y = place.y + 10
        right = place.x + place.width
        picture.line([(right, y), (right + _STUB, y)], "stream", 2.2, "", "arrow-stream")


def _logic(picture: Drawing, kind: str, name: str, box: _Box, place: Placed) -> None:
    x, y, r = place.x + _LOGIC / 2, place.y + place.height / 2, _LOGIC / 2 - 1
    with picture.group(name, f"{kind} {name}"):
        picture.box(place.x, place.y, place.width, place.height, "", "ground")
        letters, number = (re.fullmatch(r"([A-Za-z]{1,5})[-_]?(.*)", name) or re.fullmatch(r"()(.*)", name, re.S)).groups()  # type: ignore[union-attr]
        if kind == "controller":
            picture.circle(x, y, r, "signal")
            picture.line([(x - r, y), (x + r, y)], "signal", 1.0)
        else:
            picture.shape(f"M{x:.1f} {y - r:.1f}L{x + r:.1f} {y:.1f}L{x:.1f} {y + r:.1f}L{x - r:.1f} {y:.1f}Z", "trip")
        inside = _LOGIC - (12 if kind == "controller" else 21)
        for text, below in ((letters, -4.0), (number, 11.0)) if kind == "controller" else ((letters, -1.0), (number, 9.0)):
            size = min(11.0, inside / (text_width("x", 1.0) * max(1, len(text))))
            picture.text(x, y + below, text, round(size, 1), "ink", "middle")
        start = place.y + (place.height - _LINE * len(box.lines)) / 2 + 11
        for index, (colour, text) in enumerate(box.lines):
            size = 12 if index == 0 else _SMALL
            picture.text(place.x + _LOGIC + 5, start + _LINE * index, text, size, colour, bold=index == 0)


def _key(picture: Drawing, y: float) -> None:
    x = _MARGIN
    for colour, text, dash in (
        ("stream", "material", ""),
        ("heat", "heat", ""),
        ("shaft", "shaft", ""),
        ("signal", "signal", "5 3"),
        ("trip", "trip", "5 3"),
        ("limit", "invariant", ""),
    ):
        picture.line([(x, y - 4), (x + 26, y - 4)], colour, 2, dash)
        picture.text(x + 32, y, text, 11, "soft")
        x += 32 + text_width(text, 11) + 22


def _arrow(colour: str) -> str:
    return (
        f'<marker id="arrow-{colour}" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" '
        f'orient="auto"><path d="M0 0.5L8 4L0 7.5Z" class="f-{colour}" fill="{COLOURS[colour][0]}"/></marker>'
    )
