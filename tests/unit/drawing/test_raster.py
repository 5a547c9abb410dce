import struct
import zlib

import numpy as np

from sentinel.drawing.raster import png
from sentinel.drawing.svg import COLOURS, Drawing


def pixels(octets: bytes) -> np.ndarray:
    """(height, width, channels) of a PNG of eight bits, without interlacing (RFC 2083)."""
    assert octets[:8] == b"\x89PNG\r\n\x1a\n"
    at, data = 8, b""
    width = height = channels = 0
    while at < len(octets):
        (length,) = struct.unpack(">I", octets[at : at + 4])
        kind, body = octets[at + 4 : at + 8], octets[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            assert depth == 8
            channels = {2: 3, 6: 4}[colour]
        elif kind == b"IDAT":
            data += body
        at += 12 + length
    raw = zlib.decompress(data)
    stride = width * channels
    rows = np.zeros((height + 1, stride), np.int64)
    for row in range(height):
        how, line = raw[row * (stride + 1)], np.frombuffer(raw, np.uint8, stride, row * (stride + 1) + 1).astype(np.int64)
        above = rows[row]
        for x in range(stride):
            left = line[x - channels] if x >= channels else 0
            corner = above[x - channels] if x >= channels else 0
            guess = (0, left, above[x], (left + above[x]) // 2, _paeth(int(left), int(above[x]), int(corner)))[how]
            line[x] = (line[x] + guess) & 255
        rows[row + 1] = line
    return rows[1:].reshape(height, width, channels)[:, :, :3]


def _paeth(left: int, above: int, corner: int) -> int:
    guess = left + above - corner
    return min((left, above, corner), key=lambda one: abs(guess - one))


def _colour(name: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(COLOURS[name][0][1:]))


def test_shapes_and_words_are_there() -> None:
    drawing = Drawing(60, 40, "two things")
    drawing.box(5, 5, 20, 10, "", "limit")
    drawing.text(5, 32, "LT101", 12)
    octets = png(drawing.document())
    shown = pixels(octets)
    assert shown.shape == (80, 120, 3)
    assert tuple(shown[20, 30]) == _colour("limit")
    assert tuple(shown[2, 2]) == _colour("ground")
    words = shown[44:68, 8:100]
    dark = (words.sum(axis=2) < 200).sum()
    assert 60 < dark < 800  # strokes of letters: neither an empty place nor a black one
    assert octets == png(drawing.document())
