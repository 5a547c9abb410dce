"""Symbols of process equipment after ISO 10628-2 and ISA-5.1, as outlines around a middle; a kind without one is a box with its name in it.

A symbol is drawn within `WIDTH` x `HEIGHT` pixels.  To give a kind its symbol: one line in `SYMBOLS`.
"""

from collections.abc import Callable, Mapping

from sentinel.drawing.svg import Drawing

WIDTH, HEIGHT = 60.0, 50.0
Symbol = Callable[[Drawing, float, float], None]


def draw_symbol(picture: Drawing, kind: str, x: float, y: float) -> None:
    """Around the middle (x, y)."""
    symbol = SYMBOLS.get(kind)
    if symbol is not None:
        symbol(picture, x, y)
        return
    picture.box(x - 30, y - 20, 60, 40, "ink", "ground", 3)
    picture.text(x, y + 4, kind if len(kind) <= 10 else f"{kind[:9]}…", 9, "soft", "middle")


def _tank(picture: Drawing, x: float, y: float) -> None:
    picture.area([(x - 20, y), (x + 20, y), (x + 20, y + 24), (x - 20, y + 24)], "stream", 0.25)
    picture.line([(x - 20, y - 24), (x - 20, y + 24), (x + 20, y + 24), (x + 20, y - 24)], "ink", 2)
    picture.line([(x - 20, y), (x + 20, y)], "stream", 1.5)


def _pump(picture: Drawing, x: float, y: float) -> None:
    picture.circle(x, y, 20, "ink", width=2)
    picture.line([(x, y - 20), (x + 20, y), (x, y + 20)], "ink", 2)


def _pipe(picture: Drawing, x: float, y: float) -> None:
    picture.line([(x - 28, y), (x + 28, y)], "stream", 3)
    for end in (x - 22, x + 22):
        picture.line([(end, y - 9), (end, y + 9)], "ink", 2)


def _valve(picture: Drawing, x: float, y: float) -> None:
    picture.shape(f"M{x - 22:.1f} {y - 4:.1f}V{y + 22:.1f}L{x + 22:.1f} {y - 4:.1f}V{y + 22:.1f}Z", "ink", width=2)
    picture.line([(x, y + 9), (x, y - 10)], "ink", 2)
    picture.shape(f"M{x - 13:.1f} {y - 10:.1f}A13 13 0 0 1 {x + 13:.1f} {y - 10:.1f}Z", "ink", width=2)


def _heater(picture: Drawing, x: float, y: float) -> None:
    picture.box(x - 28, y - 18, 56, 36, "ink", "ground", 2)
    zigzag = [(x - 28, y), (x - 20, y), *((x - 15 + 10 * i, y + (-10 if i % 2 == 0 else 10)) for i in range(4)), (x + 20, y), (x + 28, y)]
    picture.line(zigzag, "heat", 2)


def _vessel(picture: Drawing, x: float, y: float) -> None:
    picture.shape(
        f"M{x - 18:.1f} {y - 14:.1f}A18 10 0 0 1 {x + 18:.1f} {y - 14:.1f}V{y + 14:.1f}A18 10 0 0 1 {x - 18:.1f} {y + 14:.1f}Z",
        "ink",
        width=2,
    )
    picture.line([(x - 9, y + 8), (x - 9, y - 6)], "heat", 1.5)
    picture.line([(x, y + 10), (x, y - 9)], "heat", 1.5)
    picture.line([(x + 9, y + 8), (x + 9, y - 6)], "heat", 1.5)


def _exchanger(picture: Drawing, x: float, y: float) -> None:
    picture.circle(x, y, 21, "ink", width=2)
    picture.line([(x - 28, y + 12), (x - 8, y + 12), (x - 2, y - 12), (x + 4, y + 12), (x + 10, y - 8), (x + 28, y - 8)], "stream", 2)


def _motor(picture: Drawing, x: float, y: float) -> None:
    picture.circle(x - 4, y, 20, "ink", width=2)
    picture.text(x - 4, y + 7, "M", 20, "ink", "middle", bold=True)
    picture.line([(x + 16, y), (x + 30, y)], "shaft", 3)


def _bearing(picture: Drawing, x: float, y: float) -> None:
    picture.line([(x - 30, y), (x + 30, y)], "shaft", 3)
    for top in (y - 22, y + 6):
        picture.box(x - 14, top, 28, 16, "ink", "ground")
        picture.line([(x - 14, top), (x + 14, top + 16)], "ink")
        picture.line([(x - 14, top + 16), (x + 14, top)], "ink")


SYMBOLS: Mapping[str, Symbol] = {
    "tank": _tank,
    "pump": _pump,
    "circulator": _pump,
    "pipe": _pipe,
    "valve": _valve,
    "heater": _heater,
    "thermal_mass": _vessel,
    "coolant_loop": _exchanger,
    "spindle": _motor,
    "bearing": _bearing,
}
