"""An answer as a picture: a panel per tag, the band of each future over the band of doing nothing, limits drawn where they lie.

In: `whatif.Answer`.  Out: a standalone SVG document.  One future is shown with its band (median, 5 to 95 %); of several the medians are
told apart by colour and number, with their bands as long as there are few.  Panels that nothing moves are left out and named below.
"""

import math
from collections.abc import Iterator, Sequence
from textwrap import wrap

from sentinel.drawing.svg import SERIES, Drawing, Point, text_width
from sentinel.twin.whatif import Answer, Axis, Band, Future, Watching, said_of

MAX_PANELS, MAX_SERIES = 12, 24
_COLUMNS, _WIDTH, _HEIGHT = 2, 470.0, 230.0  # pixels: a panel with its axes
_LEFT, _RIGHT, _ABOVE, _BELOW = 58.0, 14.0, 30.0, 34.0  # pixels within a panel
_TOP, _LINE = 62.0, 18.0
_BANDS_UP_TO = 3  # futures: more bands hide each other
_MOVED = 0.002  # of the axis: a smaller difference is not seen
_HEADROOM = 0.06


def draw(answer: Answer) -> str:
    shown = answer.futures[:MAX_SERIES]
    moved = [axis for axis in answer.axes if _is_moved(axis, answer, shown)] or list(answer.axes)
    panels = moved[:MAX_PANELS]
    still = [axis.tag for axis in answer.axes if axis not in panels]
    rows = math.ceil(len(panels) / _COLUMNS)
    columns = min(_COLUMNS, max(1, len(panels)))
    fits = int((columns * _WIDTH - 40) / text_width("x", 12))
    legend = [(colour if not i else "", line) for colour, text in _legend(answer, shown) for i, line in enumerate(wrap(text, fits))]
    footer = wrap(f"not drawn, nothing moves them: {', '.join(still)}", fits) if still else []
    legend += [("", line) for caveat in answer.caveats for line in wrap(f"mind: {caveat}", fits)]
    top = _TOP + _LINE * len(legend)
    picture = Drawing(columns * _WIDTH + 20, top + rows * _HEIGHT + _LINE * len(footer) + 14, f"{answer.plant}: what if")
    picture.text(14, 24, answer.plant, 15, bold=True)
    picture.text(14, 43, _heading(answer), 12, "soft")
    for index, (colour, text) in enumerate(legend):
        y = _TOP + _LINE * index
        if colour:
            picture.box(14, y - 7, 22, 8, "", colour)
        picture.text(42, y + 1, text, 12)
    for index, axis in enumerate(panels):
        x, y = 10 + _WIDTH * (index % _COLUMNS), top + _HEIGHT * (index // _COLUMNS)
        _panel(picture, x, y, axis, answer, shown)
    for index, text in enumerate(footer):
        picture.text(14, top + rows * _HEIGHT + _LINE * index + 12, text, 11, "soft")
    return picture.document()


def _heading(answer: Answer) -> str:
    return f"{_time(answer.horizon_s)} ahead, {answer.members} members; line: median, band: 5 to 95 %"


def _legend(answer: Answer, shown: Sequence[Future]) -> list[tuple[str, str]]:
    entries = [("alone", "nothing is done" + _risk(answer.nothing))]
    entries += [(_colour(index), said_of(future) + _risk(future)) for index, future in enumerate(shown)]
    if len(shown) < len(answer.futures):
        entries.append(("soft", f"{len(answer.futures) - len(shown)} more are not drawn"))
    return entries


def _risk(future: Future) -> str:
    if not future.valid:
        return ": no member stays within what is physically possible"
    return ": keeps every invariant" if not future.broken else f": breaks an invariant in {100 * future.broken:.3g} %"


def _is_moved(axis: Axis, answer: Answer, shown: Sequence[Future]) -> bool:
    alone = _band_of(answer.nothing, axis.tag)
    if alone is None:
        return True
    least = _MOVED * (axis.high - axis.low)
    bands = [band for future in shown if (band := _band_of(future, axis.tag)) is not None]
    return any(abs(a - b) > least for band in bands for a, b in zip((*band.low, *band.high), (*alone.low, *alone.high), strict=True))


def _band_of(future: Future, tag: str) -> Band | None:
    return next((band for band in future.bands if band.tag == tag), None)


def _panel(picture: Drawing, x: float, y: float, axis: Axis, answer: Answer, shown: Sequence[Future]) -> None:
    limits = [one for one in answer.invariants if one.tag == axis.tag and one.unit == axis.unit]
    bands = [("alone", _band_of(answer.nothing, axis.tag)), *((_colour(i), _band_of(one, axis.tag)) for i, one in enumerate(shown))]
    drawn = [(colour, band) for colour, band in bands if band is not None]
    with_bands = len(shown) <= _BANDS_UP_TO
    low, high = _range(axis, [band for _, band in drawn], limits, with_bands)
    left, right, top, bottom = x + _LEFT, x + _WIDTH - _RIGHT, y + _ABOVE, y + _HEIGHT - _BELOW

    def at(time_s: float, value: float) -> Point:
        inside = min(max(value, low), high)
        return left + (right - left) * time_s / answer.horizon_s, bottom - (bottom - top) * (inside - low) / (high - low)

    unit = "" if axis.unit == "1" else f" ({axis.unit})"
    with picture.group(f"{axis.tag}: {axis.says}", axis.tag):
        picture.text(left, y + 18, f"{axis.tag}{unit}", 13, bold=True)
        aside = left + text_width(f"{axis.tag}{unit}", 13) + 12
        picture.text(aside, y + 18, _cut(axis.says, right - aside, 11), 11, "soft")
        picture.box(left, top, right - left, bottom - top, "grid", "panel")
        for value in ticks(low, high, 5):
            height = at(0.0, value)[1]
            picture.line([(left, height), (right, height)], "grid")
            picture.text(left - 6, height + 4, f"{value:.6g}", 11, "soft", "end")
        for time_s, label in _time_ticks(answer.horizon_s):
            across = at(time_s, low)[0]
            picture.line([(across, bottom), (across, bottom + 4)], "soft")
            picture.text(across, bottom + 17, label, 11, "soft", "middle")
        for colour, band in drawn:
            if with_bands or colour == "alone":
                edge = [at(t, v) for t, v in zip(answer.times_s, band.high, strict=True)]
                edge += reversed([at(t, v) for t, v in zip(answer.times_s, band.low, strict=True)])
                picture.area(edge, colour, 0.22)
        inside = [(one, at(0.0, one.limit)[1]) for one in limits if low <= one.limit <= high]
        for one, height in inside:
            side = top if one.is_upper else bottom  # where it must not go is tinted
            picture.area([(left, height), (right, height), (right, side), (left, side)], "limit", 0.07)
            picture.line([(left, height), (right, height)], "limit", 1.5)
        for colour, band in drawn:
            dash = "5 3" if colour == "alone" else ""
            picture.line([at(t, v) for t, v in zip(answer.times_s, band.median, strict=True)], colour, 1.8, dash)
        for one, height in inside:
            label = f"{one.name} {'≤' if one.is_upper else '≥'} {one.limit:g} {one.unit}"
            above = height - 5 if height - top > 16 else height + 13
            picture.text(right - 5, above, _cut(label, right - left - 10, 11), 11, "limit", "end", halo=True)


def _range(axis: Axis, bands: Sequence[Band], limits: Sequence[Watching], with_bands: bool) -> tuple[float, float]:
    """What is drawn, and the limits that lie near it: a limit far away would flatten everything."""
    values = [value for band in bands for value in (*band.median, *((*band.low, *band.high) if with_bands else ()))]
    alone = [value for band in bands[:1] for value in (*band.low, *band.high)]
    low, high = min([*values, *alone], default=axis.low), max([*values, *alone], default=axis.high)
    reach = max(1.5 * (high - low), 0.25 * (axis.high - axis.low))
    near = [one.limit for one in limits if low - reach <= one.limit <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    least = 1e-3 * (axis.high - axis.low) or 1.0
    if high - low < least:
        low, high = low - least, high + least
    room = _HEADROOM * (high - low)
    return low - room, high + room


def ticks(low: float, high: float, about: int) -> Iterator[float]:
    """Round numbers from low to high, about so many."""
    raw = (high - low) / max(1, about)
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if size * factor >= raw * (1 - 1e-9))
    for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        yield index * step


def _time_ticks(horizon_s: float) -> Iterator[tuple[float, str]]:
    sizes = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"))
    unit, name = next(((size, name) for size, name in sizes if horizon_s >= 2 * size), (1.0, "s"))
    times = list(ticks(0.0, horizon_s / unit, 6))
    for value in times:
        last = value == times[-1]
        yield value * unit, f"{value:g} {name}" if last else f"{value:g}"


def _time(seconds: float) -> str:
    for size, name in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size and seconds % size == 0.0:
            return f"{seconds / size:g} {name}"
    return f"{seconds:g} s"


def _cut(text: str, width: float, size: float) -> str:
    fits = int(width / text_width("x", size))
    return text if len(text) <= fits else f"{text[: max(0, fits - 1)]}…"


def _colour(index: int) -> str:
    return f"series{index % SERIES}"
