"""Columns: one numpy array per field, all of one length, plus a name table and a byte pool that rows point into.

A subclass is a frozen dataclass whose array fields are declared by `column` (numbers) or `coded` (an index into ``names``, -1 for
unknown).  ``names`` and ``pool`` are shared, not copied, when rows are taken.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cache, wraps
from itertools import pairwise
from typing import Any, ClassVar, Self, TypeVar
from weakref import ref

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
T = TypeVar("T")
C = TypeVar("C", bound="Columns")
UNKNOWN_CODE = -1


def column(dtype: str, doc: str, *, points_into_pool: bool = False) -> Any:
    """A numeric field; ``points_into_pool`` marks an offset that must move when pools are joined."""
    return field(metadata={"dtype": np.dtype(dtype), "doc": doc, "pool": points_into_pool, "coded": False})


def coded(doc: str) -> Any:
    return field(metadata={"dtype": np.dtype("i4"), "doc": doc, "pool": False, "coded": True})


@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """Base of all column sets.  Raises ValueError when lengths or dtypes do not agree with the declaration."""

    names: tuple[str, ...] = ()
    pool: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))

    _shared: ClassVar[frozenset[str]] = frozenset({"names", "pool"})

    def __post_init__(self) -> None:
        sizes = set()
        for name, dtype in self.dtypes().items():
            array = getattr(self, name)
            if array.dtype != dtype:
                raise ValueError(f"{type(self).__name__}.{name} is {array.dtype}, declared {dtype}")
            sizes.add(array.shape)
        if len(sizes) > 1 or any(len(shape) != 1 for shape in sizes):
            raise ValueError(f"{type(self).__name__}: columns of unequal length {sorted(sizes)}")

    def __len__(self) -> int:
        return len(getattr(self, next(iter(self.dtypes()))))

    @classmethod
    @cache
    def dtypes(cls) -> dict[str, np.dtype[Any]]:
        return {f.name: f.metadata["dtype"] for f in fields(cls) if f.name not in cls._shared}

    @classmethod
    @cache
    def coded_fields(cls) -> tuple[str, ...]:
        return tuple(f.name for f in fields(cls) if f.metadata.get("coded"))

    @classmethod
    @cache
    def pool_fields(cls) -> tuple[str, ...]:
        return tuple(f.name for f in fields(cls) if f.metadata.get("pool"))

    @classmethod
    @cache
    def empty(cls) -> Self:
        arrays: dict[str, Any] = {name: np.zeros(0, dtype) for name, dtype in cls.dtypes().items()}
        return cls(**arrays)

    @classmethod
    def of(cls, names: tuple[str, ...] = (), pool: bytes = b"", **arrays: Iterable[Any]) -> Self:
        """Build from plain sequences; a field that is left out is all zero (all unknown where it is coded)."""
        size = len(list(next(iter(arrays.values())))) if arrays else 0
        blank = {n: np.full(size, UNKNOWN_CODE if n in cls.coded_fields() else 0, d) for n, d in cls.dtypes().items()}
        given = {name: np.asarray(list(values), cls.dtypes()[name]) for name, values in arrays.items()}
        return cls(names=names, pool=np.frombuffer(pool, np.uint8), **{**blank, **given})

    def take(self, rows: Array | slice) -> Self:
        """The rows of a mask, index array or slice."""
        return type(self)(names=self.names, pool=self.pool, **{n: getattr(self, n)[rows] for n in self.dtypes()})

    def name_of(self, code: int) -> str | None:
        return self.names[code] if code >= 0 else None

    def decoded(self, column_name: str) -> list[str | None]:
        return [self.name_of(int(code)) for code in getattr(self, column_name)]

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Join parts in order: name tables are merged, pool offsets moved."""
        parts = [part for part in parts if len(part)]
        if len(parts) <= 1:
            return parts[0] if parts else cls.empty()
        table: dict[str, int] = {}
        pools: dict[int, tuple[int, NDArray[np.uint8]]] = {}
        pool_size = 0
        recodes, shifts = list[Array](), list[int]()
        for part in parts:
            recodes.append(np.array([table.setdefault(name, len(table)) for name in part.names] + [UNKNOWN_CODE], np.int32))
            if id(part.pool) not in pools:
                pools[id(part.pool)] = (pool_size, part.pool)
                pool_size += len(part.pool)
            shifts.append(pools[id(part.pool)][0])
        arrays: dict[str, Array] = {}
        for name, dtype in cls.dtypes().items():  # one field after the other: what is changed of it is held no longer than needed
            values: list[Array] = [getattr(part, name) for part in parts]
            if name in cls.coded_fields():
                values = [recode[codes] for recode, codes in zip(recodes, values, strict=True)]
            elif name in cls.pool_fields():
                values = [starts + dtype.type(shift) for shift, starts in zip(shifts, values, strict=True)]
            arrays[name] = np.concatenate(values)
        return cls(names=tuple(table), pool=np.concatenate([pool for _, pool in pools.values()]), **arrays)


_RADIX_LIMIT = 1 << 62
_DIGIT_BITS = 16  # numpy sorts these by counting, ten times as fast as it compares wider ones
_TABLE_SHARE = 4  # times as many places as there are rows: a table of that size is quicker than a sort, and nobody chooses its size


def ordered(codes: Array) -> Array:
    """The places of whole numbers, none negative, from the smallest on; equal ones stay in their order.  By digits, the last one first."""
    order = np.argsort(codes.astype(np.uint16), kind="stable")
    left = int(codes.max(initial=0)) >> _DIGIT_BITS
    while left:
        codes = codes >> _DIGIT_BITS
        order = order[np.argsort(codes.astype(np.uint16)[order], kind="stable")]
        left >>= _DIGIT_BITS
    return order


def distinct(*keys: Array) -> tuple[Array, Array]:
    """(first, which) of combined integer keys: the rows at which each combination first appears, in that order, and for every row its index
    into them.  Exact (no hashing), and independent of how names are numbered."""
    if not len(keys[0]):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    packed, radix = _packed(keys)
    return _by_table(packed, radix) if radix <= _TABLE_SHARE * len(packed) else _by_sort(packed)


def _packed(keys: Sequence[Array]) -> tuple[Array, int]:
    """One number per row, the same for the same combination; and how many there may be."""
    packed, radix = np.zeros(len(keys[0]), np.int64), 1
    for key in keys:
        digits, low = key, int(key.min())
        span = int(key.max()) - low + 1
        if span >= _RADIX_LIMIT // len(key):
            digits = np.unique(key, return_inverse=True)[1]
            low, span = 0, int(digits.max()) + 1
        if radix * span >= _RADIX_LIMIT:
            packed = np.unique(packed, return_inverse=True)[1]
            radix = int(packed.max()) + 1
        if span > 1:
            packed *= span
            packed += digits
            packed -= low
            radix *= span
    return packed, radix


def _by_table(packed: Array, radix: int) -> tuple[Array, Array]:
    table = np.full(radix, len(packed), np.int64)
    table[packed[::-1]] = np.arange(len(packed) - 1, -1, -1)  # of equal ones the first is written last
    first = np.sort(table[table < len(packed)])
    table[packed[first]] = np.arange(len(first))
    return first, table[packed]


def _by_sort(packed: Array) -> tuple[Array, Array]:
    order = ordered(packed)
    begins = np.diff(packed[order], prepend=-1) != 0
    first = order[begins]  # of equal ones the first came first
    places = np.argsort(first)
    rank = np.empty_like(places)
    rank[places] = np.arange(len(places))
    which = np.empty_like(order)
    which[order] = rank[np.cumsum(begins) - 1]
    return first[places], which


def grouped(which: Array) -> list[Array]:
    """For each index of `distinct` the places that carry it, in order; -1 belongs to none.  One sort, however many groups there are: a
    search per group would let whoever forges addresses choose our running time."""
    places = ordered(which + 1)
    places = places[np.count_nonzero(which < 0) :]
    edges = [0, *np.cumsum(np.bincount(which[places])).tolist()] if len(places) else [0]
    return [places[low:high] for low, high in pairwise(edges)]


def remembered(function: Callable[[C], T]) -> Callable[[C], T]:
    """The answer for the newest columns is kept as long as they live: detectors, anchor and candidate all ask the same of one window.
    Only for what follows from the columns alone, and is changed by nobody who gets it."""
    kept: tuple[ref[C], T] | None = None

    def forget(gone: ref[C]) -> None:
        nonlocal kept
        if kept is not None and kept[0] is gone:
            kept = None

    @wraps(function)
    def answer(columns: C) -> T:
        nonlocal kept
        known = kept
        if known is not None and known[0]() is columns:
            return known[1]
        found = function(columns)
        kept = (ref(columns, forget), found)
        return found

    return answer
