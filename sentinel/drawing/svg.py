"""A small writer of SVG: shapes in, a standalone document out.

Every text is escaped, nothing is loaded from elsewhere, numbers have one decimal, so that equal pictures are equal octets.  Colours are
named by what they mean (`COLOURS`); a viewer that prefers a dark ground gets the second of each pair, every other one the first.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

Point = tuple[float, float]

COLOURS = {  # light ground, dark ground
    "ground": ("#ffffff", "#14171c"),
    "panel": ("#f7f8fa", "#1c2027"),
    "ink": ("#1b1f24", "#e8eaed"),
    "soft": ("#5b6470", "#a3adba"),
    "grid": ("#dfe3e8", "#323843"),
    "alone": ("#8a929c", "#8a929c"),  # nothing is done
    "limit": ("#c22a2a", "#ff6b63"),
    "stream": ("#1d5fa8", "#6fb1f7"),
    "heat": ("#c05a00", "#ffa552"),
    "shaft": ("#4a4f57", "#c3c9d1"),
    "signal": ("#2f7d4f", "#6ccf95"),
    "trip": ("#b0267f", "#ff86cf"),
    "series0": ("#1d5fa8", "#6fb1f7"),
    "series1": ("#c05a00", "#ffa552"),
    "series2": ("#2f7d4f", "#6ccf95"),
    "series3": ("#8a3fb0", "#cf95f0"),
    "series4": ("#0d8390", "#58ccd8"),
    "series5": ("#8c6d00", "#e0c04a"),
}
SERIES = 6
_EM = 0.61  # of the font's size: a character of a sans-serif face, wide ones and narrow ones together


def text_width(text: str, size: float) -> float:
    """At most, for layout: what is really drawn depends on the viewer's fonts."""
    return _EM * size * len(text)


@dataclass(slots=True)
class Drawing:
    width: float
    height: float
    title: str
    parts: list[str] = field(default_factory=list)

    def line(self, points: Iterable[Point], colour: str, width: float = 1.0, dash: str = "", marker: str = "") -> None:
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        end = f' marker-end="url(#{marker})"' if marker else ""
        self.parts.append(f'<path d="{path}" {_paint("", colour, width, dash)}{end}/>')

    def area(self, points: Iterable[Point], colour: str, opacity: float) -> None:
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"
        self.parts.append(f'<path d="{path}" {_paint(colour)} fill-opacity="{opacity:g}"/>')

    def shape(self, path: str, colour: str, fill: str = "ground", width: float = 1.5) -> None:
        """A closed or open path in SVG's own words, with numbers that the caller has formatted."""
        self.parts.append(f'<path d="{path}" {_paint(fill, colour, width)}/>')

    def box(self, x: float, y: float, width: float, height: float, colour: str = "", fill: str = "", round_: float = 0.0) -> None:
        corner = f' rx="{round_:g}"' if round_ else ""
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"{corner} {_paint(fill, colour)}/>')

    def circle(self, x: float, y: float, radius: float, colour: str, fill: str = "ground", width: float = 1.5) -> None:
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" {_paint(fill, colour, width)}/>')

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 12,
        colour: str = "ink",
        anchor: str = "start",
        *,
        bold: bool = False,
        halo: bool = False,
    ) -> None:
        """``halo``: kept legible over what lies below it."""
        weight = ' font-weight="bold"' if bold else ""
        where = f'x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}"'
        paint = f'{_paint(colour, "ground", 3)} paint-order="stroke" stroke-linejoin="round"' if halo else _paint(colour)
        self.parts.append(f"<text {where}{weight} {paint}>{escape(text)}</text>")

    def group(self, told: str, of: str = "") -> "Group":
        """Shapes that belong together, with a tooltip; ``of`` marks what the group shows, for whoever reads the file."""
        return Group(self, told, of)

    def document(self, definitions: Sequence[str] = ()) -> str:
        light = "".join(f".f-{name}{{fill:{pair[0]}}}.s-{name}{{stroke:{pair[0]}}}" for name, pair in COLOURS.items())
        dark = "".join(f".f-{name}{{fill:{pair[1]}}}.s-{name}{{stroke:{pair[1]}}}" for name, pair in COLOURS.items())
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width:.0f}" height="{self.height:.0f}" '
                f'viewBox="0 0 {self.width:.0f} {self.height:.0f}" font-family="sans-serif" role="img">',
                f"<title>{escape(self.title)}</title>",
                f"<style>{light}@media (prefers-color-scheme:dark){{{dark}}}</style>",
                *(["<defs>", *definitions, "</defs>"] if definitions else []),
                f'<rect width="100%" height="100%" {_paint("ground")}/>',
                *self.parts,
                "</svg>\n",
            ]
        )


@dataclass(slots=True)
class Group:
    drawing: Drawing
    told: str
    of: str

    def __enter__(self) -> Drawing:
        mark = f' data-of="{escape(self.of)}"' if self.of else ""
        self.drawing.parts.append(f"<g{mark}><title>{escape(self.told)}</title>")
        return self.drawing

    def __exit__(self, *_: object) -> None:
        self.drawing.parts.append("</g>")


def _paint(fill: str = "", stroke: str = "", width: float = 1.0, dash: str = "") -> str:
    """Attributes for viewers that know no style sheets, classes for those that choose by their ground."""
    classes = " ".join([*([f"f-{fill}"] if fill else []), *([f"s-{stroke}"] if stroke else [])])
    edge = f' stroke="{COLOURS[stroke][0]}" stroke-width="{width:g}"' if stroke else ""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'class="{classes}" fill="{COLOURS[fill][0] if fill else "none"}"{edge}{dashed}'
