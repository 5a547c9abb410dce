"""A network as a picture: ISA-95 levels as rows, assets as boxes, conduits as lines in their protocol's colour, blind spots in red.

In: assets with their suggested stations, and conduits.  Out: a standalone SVG document.  All boxes stand on one grid and lines run between
its columns, never through a box; a dot is the end that answers.  Lines of one protocol that go the same way lie upon each other.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sentinel.baseline.lines import Line, lines
from sentinel.drawing.svg import SERIES, Drawing, text_width
from sentinel.model.asset import Asset, Conduit
from sentinel.model.ids import AssetId

MAX_ASSETS = 240  # that anybody could read; further ones are named by their number
_COLUMNS = 8
_WIDTH, _HEIGHT, _GUTTER, _GAP, _BAND = 172.0, 74.0, 34.0, 12.0, 40.0  # pixels; a band lies above each level
_LEFT, _TOP, _MARGIN = 118.0, 86.0, 24.0
_STEP = 3.0  # between lines of different protocols that go the same way
_LEVELS: Mapping[int | None, str] = {
    4: "business",
    3: "site operations",
    2: "supervision",
    1: "control",
    0: "process",
    None: "level unknown",
}
_SMALL = 10.0


class _Place(NamedTuple):
    x: float
    y: float
    band: float  # above its level


def draw_network(assets: Iterable[Asset], conduits: Iterable[Conduit], title: str) -> str:
    whole, listed = list(assets), lines(conduits)
    drawn = _ordered(whole, listed)[:MAX_ASSETS]
    places, height = _places(drawn)
    shown = [one for one in listed if one.client in places and one.server in places and one.client != one.server]
    colours = _colours(listed)
    columns = max((sum(1 for _ in row) for row in _rows(drawn).values()), default=1)
    width = max(_LEFT + min(columns, _COLUMNS) * (_WIDTH + _GUTTER) + _MARGIN, 900.0)
    picture = Drawing(width, height + 64, title)
    picture.text(_MARGIN, 34, title, 18, bold=True)
    picture.text(_MARGIN, 54, _summary(whole, drawn, listed), 12, "soft")
    _levels(picture, drawn, places, width)
    for one in sorted(shown, key=lambda line: (line.industrial, line.protocol, line.client, line.server)):
        _conduit(picture, one, places, colours)
    for asset in drawn:
        _asset(picture, asset, places[asset.id], [one for one in listed if one.server == asset.id], colours)
    _key(picture, colours, height + 26)
    return picture.document()


def _summary(assets: Sequence[Asset], drawn: Sequence[Asset], listed: Sequence[Line]) -> str:
    blind = sum(bool(one.blind) for one in listed)
    said = f"{len(assets)} assets, {len(listed)} conduits, of which {blind} are not wholly seen"
    return said if len(drawn) == len(assets) else f"{said}; {len(assets) - len(drawn)} assets are not drawn"


# -- where things stand


def _rows(assets: Sequence[Asset]) -> dict[int | None, list[Asset]]:
    return {level: here for level in _LEVELS if (here := [one for one in assets if one.level == level])}


def _ordered(assets: Sequence[Asset], listed: Sequence[Line]) -> list[Asset]:
    """By level, the busy ones first, those that answer the same clients side by side."""
    busy: dict[AssetId, int] = {}
    asked: dict[AssetId, list[AssetId]] = {}
    for one in listed:
        for end in (one.client, one.server):
            busy[end] = busy.get(end, 0) + one.industrial
        if one.industrial:
            asked.setdefault(one.server, []).append(one.client)
    order = list(_LEVELS)

    def key(one: Asset) -> tuple[object, ...]:
        level = order.index(one.level if one.level in _LEVELS else None)
        return level, not busy.get(one.id), sorted(asked.get(one.id, [])), _number(one.id)

    return sorted(assets, key=key)


def _number(address: str) -> tuple[int, ...]:
    """IPv4 addresses by their numbers, everything else behind them by its text."""
    parts = address.split(".")
    return tuple(map(int, parts)) if all(part.isdigit() for part in parts) else (1 << 32, *map(ord, address))


def _places(assets: Sequence[Asset]) -> tuple[dict[AssetId, _Place], float]:
    places: dict[AssetId, _Place] = {}
    y = _TOP
    for here in _rows(assets).values():
        top = y + _BAND
        for index, one in enumerate(here):
            row, column = divmod(index, _COLUMNS)
            places[one.id] = _Place(_LEFT + _GUTTER + column * (_WIDTH + _GUTTER), top + row * (_HEIGHT + _GAP), y + _BAND / 2)
        y = top + -(-len(here) // _COLUMNS) * (_HEIGHT + _GAP)
    return places, y


def _colours(listed: Sequence[Line]) -> dict[str, str]:
    """Each industrial protocol has its own as long as there are enough; the rest is grey."""
    used = sorted({one.protocol for one in listed if one.industrial})
    return {protocol: f"series{index}" if index < SERIES else "shaft" for index, protocol in enumerate(used)}


# -- how it looks


def _levels(picture: Drawing, assets: Sequence[Asset], places: Mapping[AssetId, _Place], width: float) -> None:
    for level, here in _rows(assets).items():
        top = places[here[0].id].band - _BAND / 2
        picture.line([(_MARGIN, top), (width - _MARGIN, top)], "grid")
        picture.text(_MARGIN, top + _BAND + 16, "?" if level is None else f"Level {level}", 14, bold=True)
        picture.text(_MARGIN, top + _BAND + 32, _LEVELS[level], _SMALL, "soft")
        picture.text(_MARGIN, top + _BAND + 46, f"{len(here)} assets" if len(here) > 1 else "1 asset", _SMALL, "soft")


def _conduit(picture: Drawing, one: Line, places: Mapping[AssetId, _Place], colours: Mapping[str, str]) -> None:
    source, target = places[one.client], places[one.server]
    shift = _STEP * (list(colours).index(one.protocol) + 1 if one.protocol in colours else 0)
    colour = colours.get(one.protocol, "alone")
    out, into, band = source.x + _WIDTH + _GUTTER / 2 - shift, target.x - _GUTTER / 2 + shift, target.band + shift
    from_y, to_y = source.y + _HEIGHT / 2 + shift, target.y + _HEIGHT / 2 - shift
    dash = "" if one.messages else "5 3" if one.industrial else "1 3"
    words = ", ".join((f"{one.protocol} port {one.port}", f"{one.packets} packets", f"{one.messages} messages", *one.blind))
    with picture.group(f"{one.client} asks {one.server}: {words}", f"conduit {one.client} {one.server} {one.protocol}"):
        path = [(source.x + _WIDTH, from_y), (out, from_y), (out, band), (into, band), (into, to_y), (target.x, to_y)]
        picture.line(path, colour, 1.6 if one.industrial else 0.9, dash)
        picture.circle(target.x, to_y, 3.2, "limit" if one.blind else colour, "limit" if one.blind else colour)


def _asset(picture: Drawing, asset: Asset, place: _Place, answers: Sequence[Line], colours: Mapping[str, str]) -> None:
    said = asset.identity
    identity = " ".join(part for part in (said.vendor, said.product, said.firmware) if part) if said else ""
    blind = sorted({words for one in answers for words in one.blind})
    told = "; ".join(part for part in (asset.id, asset.mac, asset.because, identity, *blind) if part)
    with picture.group(told, f"asset {asset.id}"):
        picture.box(place.x, place.y, _WIDTH, _HEIGHT, "limit" if blind else "grid", "panel", 5)
        texts = (
            (asset.name or asset.id, 12.0, "ink"),
            (asset.kind or "not known what it is", _SMALL, "soft"),
            (identity or asset.mac or "", _SMALL, "ink" if identity else "soft"),
            (blind[0] + (f" and {len(blind) - 1} more" if len(blind) > 1 else "") if blind else "", _SMALL, "limit"),
        )
        for index, (text, size, colour) in enumerate(texts):
            picture.text(place.x + 12, place.y + 18 + 15.5 * index, _cut(text, size), size, colour, bold=index == 0)
        for index, protocol in enumerate(sorted({one.protocol for one in answers if one.protocol in colours})):
            picture.box(place.x + 12 + 18 * index, place.y + _HEIGHT - 5, 15, 5, "", colours[protocol])


def _cut(text: str, size: float) -> str:
    room = int((_WIDTH - 20) / text_width("m", size))
    return text if len(text) <= room else f"{text[: room - 1]}…"


def _key(picture: Drawing, colours: Mapping[str, str], y: float) -> None:
    x = _MARGIN
    for protocol, colour in colours.items():
        picture.line([(x, y), (x + 22, y)], colour, 2.4)
        picture.text(x + 28, y + 4, protocol, 11)
        x += 44 + text_width(protocol, 11)
    for dash, words in (("", "decoded"), ("5 3", "recognised only"), ("1 3", "other traffic")):
        picture.line([(x, y), (x + 22, y)], "alone", 1.6, dash)
        picture.text(x + 28, y + 4, words, 11, "soft")
        x += 44 + text_width(words, 11)
    picture.circle(x + 6, y, 3.2, "limit", "limit")
    picture.text(x + 16, y + 4, "answers here; red = a blind spot", 11, "soft")
