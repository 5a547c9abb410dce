"""The kernels in their Python form: what atheris can follow, and what cannot read outside of a table unnoticed.

Import this before any module of the ears.  Tables become `Table`, whose fields are Python integers as wide as they need to be: an index
below zero, or a number that its field cannot hold, is an error here, where the compiled kernel would wrap.  Unsigned words of 64 bits stay
words, since they are hashed with.
"""

from typing import Any, Literal

import numpy as np

from collectors import compiled

np.seterr(over="ignore")  # hashes wrap


class Row:
    """One row of a table."""

    __slots__ = ("_at", "_octets")

    def __init__(self, octets: Any, at: Any) -> None:
        object.__setattr__(self, "_octets", octets)
        object.__setattr__(self, "_at", at)

    def __getattr__(self, name: str) -> Any:
        value = self._octets[name][self._at]
        return value if isinstance(value, np.ndarray | np.uint64) else int(value)

    def __setattr__(self, name: str, value: Any) -> None:
        self._octets[name][self._at] = value


class Table:
    """A structured array as kernels see it."""

    def __init__(self, octets: Any) -> None:
        self.octets = octets

    def __len__(self) -> int:
        return len(self.octets)

    def __getitem__(self, at: Any) -> Row:
        places = at if isinstance(at, tuple) else (at,)
        if any(place < 0 for place in places):
            raise IndexError(f"row {at} of a table")
        return Row(self.octets, tuple(int(place) for place in places))

    def __setitem__(self, at: int, row: Row) -> None:
        self.octets[at] = row._octets[row._at]


def _kernel(function: Any = None, *, inline: bool = False) -> Any:
    return function if function is not None else _kernel


def _move(target: Any, to: int, octets: Any, at: int, size: int) -> None:
    if min(to, at, size) < 0 or to + size > target.size or at + size > octets.size:
        raise IndexError(f"{size} octets from {at} of {octets.size} to {to} of {target.size}")
    target.reshape(-1)[to : to + size] = octets[at : at + size].copy()


def _prefetch(table: Any, index: int, inside: int) -> None:
    """A wrong guess costs nothing: nothing is read."""


def _natural(number: Any) -> Any:
    if number < 0:
        raise IndexError(f"{number} is not negative, a kernel says")
    return number


def _number(size: int, order: Literal["big", "little"]) -> Any:
    def load(octets: Any, at: int) -> Any:
        if at < 0 or at + size > len(octets):
            raise IndexError(f"{size} octets from {at} of {len(octets)}")
        number = int.from_bytes(octets[at : at + size].tobytes(), order)
        return np.uint64(number) if size == 8 else number

    return load


def _fold(a: np.uint64, b: np.uint64) -> np.uint64:
    product = int(a) * int(b)
    return np.uint64((product ^ product >> 64) & (1 << 64) - 1)


def tables(made: Any) -> Any:
    """A tuple of arrays with every structured one as a `Table`."""
    return type(made)(*(Table(each) if each.dtype.names else each for each in made))


compiled.kernel = _kernel
compiled.move = _move
compiled.prefetch = _prefetch
compiled.natural = _natural
compiled.fold = _fold
for _octets in (2, 4, 8):
    setattr(compiled, f"big{8 * _octets}", _number(_octets, "big"))
    setattr(compiled, f"small{8 * _octets}", _number(_octets, "little"))
