"""Tables for people and other programs: fields as numpy holds them in, Arrow tables, their rows and Parquet files out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any, NamedTuple, assert_never

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

ROWS_PER_GROUP = 1 << 17  # some 10 MB while they wait


class Known(NamedTuple):
    """Numbers, of which those that are not ``known`` are null."""

    numbers: NDArray[Any]
    known: NDArray[np.bool_] | None = None  # None = all


class Coded(NamedTuple):
    """Texts, each as its place in ``names``; a negative place is null."""

    codes: NDArray[Any]
    names: Sequence[str]


class Lists(NamedTuple):
    """``sizes[i]`` of the ``items`` to each row, in order; a row that is not ``known`` is null, and has none."""

    sizes: NDArray[Any]
    items: NDArray[Any]
    known: NDArray[np.bool_]


class Octets(NamedTuple):
    """``sizes[i]`` octets of the ``pool`` to each row, in order."""

    sizes: NDArray[Any]
    pool: NDArray[np.uint8]


Field = Known | Coded | Lists | Octets
_LEVEL = 1  # of zstd; what higher ones save is not worth their time
_STEADY = ("instant", "int64")
_ENCODINGS = {"instant": "DELTA_BINARY_PACKED", "int64": "DELTA_BINARY_PACKED", "float32": "BYTE_STREAM_SPLIT"}
_CODED = pa.dictionary(pa.int32(), pa.string())


def to_table(fields: Mapping[str, Field], types: Mapping[str, str]) -> Any:
    """An Arrow table, for `rows_of` and `write_parquet`.

    ``types``: of each field ``text``, ``instant``, ``octets``, ``list<TYPE>`` or the name of an Arrow type.
    """
    schema = _schema(types)
    return pa.table([_array(fields[name], schema.field(name).type) for name in types], schema=schema)


def rows_of(table: Any) -> list[dict[str, Any]]:
    """One dictionary per row; an instant is nanoseconds."""
    instants = [name for name in table.column_names if pa.types.is_timestamp(table.schema.field(name).type)]
    for name in instants:
        table = table.set_column(table.column_names.index(name), name, table[name].cast(pa.int64()))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def write_parquet(tables: Iterable[Any], types: Mapping[str, str], out: IO[bytes]) -> None:
    """Each table a row group of its own: ROWS_PER_GROUP are a good size.

    What grows steadily, and lists, are kept as differences, texts and small numbers as places in a dictionary, fractions by their octets'
    places.
    """
    import pyarrow.parquet as pq  # half a second that no other road needs

    encodings = {name: coding for name, type_ in types.items() if (coding := _ENCODINGS.get(type_))}
    lists = {f"{name}.list.element": "DELTA_BINARY_PACKED" for name, type_ in types.items() if type_.startswith("list<")}
    few = [name for name, type_ in types.items() if name not in encodings and not type_.startswith("list<") and type_ != "octets"]
    steady = [name for name, type_ in types.items() if type_ in _STEADY]
    with pq.ParquetWriter(
        out,
        _schema(types),
        compression="zstd",
        compression_level=_LEVEL,
        use_dictionary=few,
        column_encoding=encodings | lists,
        write_statistics=steady,
        max_rows_per_page=ROWS_PER_GROUP,  # what every page begins with costs room and time
        write_batch_size=ROWS_PER_GROUP,
    ) as writer:
        for table in tables:
            writer.write_table(table)


def _schema(types: Mapping[str, str]) -> Any:
    return pa.schema([(name, _arrow_type(type_)) for name, type_ in types.items()])


def _arrow_type(name: str) -> Any:
    if name.startswith("list<"):
        return pa.list_(pa.field("item", _arrow_type(name[5:-1]), nullable=False))
    named = {"instant": pa.timestamp("ns", tz="UTC"), "text": _CODED, "octets": pa.binary()}
    return named.get(name) or pa.type_for_alias(name)


def _array(field: Field, type_: Any) -> Any:
    """From buffers: what Arrow is given as an array or a list it holds against pandas first, and loads it for that."""
    match field:
        case Known():
            return _numbers(field.numbers, field.known, type_)
        case Coded():
            codes = _numbers(field.codes, field.codes >= 0, pa.int32())
            return pa.DictionaryArray.from_arrays(codes, _texts(field.names))
        case Lists():
            buffers = [_bits(field.known), _offsets(field.sizes)]
            return pa.Array.from_buffers(type_, len(field.sizes), buffers, children=[_numbers(field.items, None, type_.value_type)])
        case Octets():
            buffers = [None, _offsets(field.sizes), pa.py_buffer(np.ascontiguousarray(field.pool))]
            return pa.Array.from_buffers(pa.binary(), len(field.sizes), buffers)
        case _:
            assert_never(field)


def _numbers(numbers: NDArray[Any], known: NDArray[np.bool_] | None, type_: Any) -> Any:
    """Fractions are rounded to ``type_``, whole numbers have to fit it: TypeError."""
    kind = np.dtype(np.int64) if pa.types.is_timestamp(type_) else np.dtype(type_.to_pandas_dtype())
    values = np.ascontiguousarray(numbers.astype(kind, casting="same_kind" if kind.kind == "f" else "safe", copy=False))
    return pa.Array.from_buffers(type_, len(values), [None if known is None else _bits(known), pa.py_buffer(values)])


def _texts(names: Sequence[str]) -> Any:
    octets = [name.encode() for name in names]
    sizes = np.array([len(each) for each in octets], np.int64)
    return pa.Array.from_buffers(pa.string(), len(octets), [None, _offsets(sizes), pa.py_buffer(b"".join(octets))])


def _bits(known: NDArray[np.bool_]) -> Any:
    return pa.py_buffer(np.packbits(known, bitorder="little"))


def _offsets(sizes: NDArray[Any]) -> Any:
    return pa.py_buffer(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
