"""Values to octets and back: row types as JSON, columns as Arrow IPC streams.

What comes back is checked against the type's own annotations: a field too many, too few or of the wrong kind is a `CodecError`.
The same value always gives the same octets (sorted keys, no white space), so digests of them are stable.
"""

import json
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from sentinel.model.columns import Columns

T = TypeVar("T")
C = TypeVar("C", bound=Columns)

_NAMES, _POOL = b"names", b"pool"
_END = b"\xff\xff\xff\xff\0\0\0\0"  # of an IPC stream (Arrow columnar format, "IPC Streaming Format")


class CodecError(ValueError):
    """The octets are not what they claim to be."""


_adapters: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def to_jsonable(value: Any) -> Any:
    return _adapter(type(value)).dump_python(value, mode="json")


def to_json(value: Any) -> bytes:
    return json.dumps(to_jsonable(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def from_json(kind: type[T], octets: bytes | str) -> T:
    try:
        value: T = _adapter(kind).validate_json(octets, extra="forbid")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "whole value"
        raise CodecError(f"{getattr(kind, '__name__', kind)}: {where}: {first['msg']}") from error
    return value


def to_arrow(columns: Columns, metadata: dict[str, str] | None = None) -> bytes:
    """An Arrow IPC stream of one batch; names and the pool travel in the schema's metadata."""
    arrays = {name: pa.array(getattr(columns, name)) for name in columns.dtypes()}
    extra = {key.encode(): value.encode() for key, value in (metadata or {}).items()}
    extra |= {_NAMES: json.dumps(columns.names).encode(), _POOL: columns.pool.tobytes()}
    batch = pa.record_batch(list(arrays.values()), names=list(arrays))
    batch = batch.replace_schema_metadata(extra)
    # a stream writer gives the same octets and copies them twice more; Arrow's own pool gives pages back that are wanted again at once
    pool = pa.system_memory_pool()
    return b"".join((batch.schema.serialize(memory_pool=pool), batch.serialize(memory_pool=pool), _END))


def load_arrow(kind: type[Columns]) -> None:
    """What Arrow loads with the first columns takes a third of a second: to be called before anybody waits for it."""
    from_arrow(kind, to_arrow(kind.empty()))


def from_arrow(kind: type[C], octets: bytes) -> tuple[C, dict[str, str]]:
    """(columns, metadata).  Codes and pool offsets are checked, so that no row can point outside."""
    try:
        with pa.ipc.open_stream(octets) as reader:
            schema, table = reader.schema, reader.read_all()
        metadata = dict(schema.metadata or {})
        names = tuple(str(name) for name in json.loads(metadata.pop(_NAMES, b"[]")))
        pool = np.frombuffer(metadata.pop(_POOL, b""), np.uint8)
        arrays = {name: table[name].to_numpy() for name in kind.dtypes()}
        columns = kind(names=names, pool=pool, **arrays)
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise CodecError(f"{kind.__name__}: {error}") from error
    for name in kind.coded_fields():
        codes = getattr(columns, name)
        if len(codes) and not (codes.min() >= -1 and codes.max() < len(names)):
            raise CodecError(f"{kind.__name__}.{name}: a code outside the name table")
    for name in kind.pool_fields():
        starts, sizes = getattr(columns, name), getattr(columns, name.replace("_start", "_octets"))
        if len(starts) and not (starts.min() >= 0 and sizes.min() >= 0 and (starts + sizes).max() <= len(pool)):
            raise CodecError(f"{kind.__name__}.{name}: a row points outside the pool")
    return columns, {key.decode(): value.decode() for key, value in metadata.items()}
