"""The door to resvg: one of our own pictures as PNG, for mail and reports that show no SVG.

In: a document of `svg.Drawing`.  Out: a file as its name asks; PNG in twice the size, so that small print stays legible.  Equal pictures
are equal octets, since the face is the one that comes with matplotlib (which PyOD brings) and never the machine's.  Nothing is loaded from
elsewhere.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from sentinel.errors import InputError

_ZOOM = 2.0
_FACE, _FILES = "DejaVu Sans", ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
FORMATS = (".svg", ".png")


def check_name(file: Path) -> None:
    """Before long work.  Raises InputError on any other name."""
    if file.suffix.lower() not in FORMATS:
        raise InputError(f"{file}: pictures are SVG or PNG: name the file .svg or .png")


def save(document: str, file: Path) -> None:
    """As the file's name asks.  Raises InputError on any other name, and where it cannot be written."""
    check_name(file)
    octets = png(document) if file.suffix.lower() == ".png" else document.encode()
    try:
        file.write_bytes(octets)
    except OSError as error:
        raise InputError(f"{file}: cannot be written: {error.strerror}") from error


def png(document: str) -> bytes:
    import resvg_py

    octets: bytes = resvg_py.svg_to_bytes(
        svg_string=document, zoom=_ZOOM, skip_system_fonts=True, font_files=_faces(), font_family=_FACE, sans_serif_family=_FACE
    )
    return octets


@cache
def _faces() -> list[str]:
    found = find_spec("matplotlib")
    places = [Path(place) / "mpl-data/fonts/ttf" for place in (found.submodule_search_locations or ())] if found else []
    for place in places:
        if all((place / name).is_file() for name in _FILES):
            return [str(place / name) for name in _FILES]
    raise InputError("there is no typeface for a PNG here: matplotlib, which brings it, is not installed; an SVG can be had")
