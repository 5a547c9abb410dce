"""What a detector holds in its head while it learns, as named arrays and JSON values, so that learning goes on after a restart.

In: a detector that learns.  Out: a mapping that a baseline file can carry; `thaw` puts it back into a fresh detector of the same kind.
Never a pickle: only classes of the modules below are made anew, their attributes have to be those of the class, and what a fresh detector
gets from outside (tags, budgets, rules) is neither kept nor touched.  Raises ValueError for anything else.
"""

import base64
import functools
import importlib
import math
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from sentinel.model.columns import Array
from sentinel.ports import Detector

_ROOMS = (
    "automaton",
    "brute_force",
    "change",
    "channel",
    "dynamics",
    "exhaustion",
    "feature",
    "limits",
    "liveness",
    "logins",
    "lower",
    "operations",
    "phase",
    "quiet",
    "response",
    "scans",
    "sequence",
    "sources",
    "spectrum",
    "stroke",
    "strokes",
    "timing",
    "usual",
    "volume",
)
_MODULES = (*(f"sentinel.detect.{name}" for name in _ROOMS), "sentinel.twin.vitality")
# by the constructor, or while it judges
_GIVEN = frozenset(
    {"_tag_map", "_budget", "_rules", "_ranges", "_loads", "_phased", "_model", "_read", "_waiting", "_waiting_words", "_once"}
)
_LONG = 16  # a list of so many numbers is an array
MAX_DEPTH = 16


@functools.cache
def _classes() -> Mapping[str, type]:
    modules = [importlib.import_module(name) for name in _MODULES]
    own = (
        value for module in modules for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__
    )
    return {_name(each): each for each in own}


def _name(kind: type) -> str:
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__qualname__}"


def freeze(detector: Detector) -> dict[str, Any]:
    """``tree``: JSON; ``0``, ``1`` ...: the arrays it refers to."""
    arrays: list[Array] = []
    tree = {name: _frozen(value, arrays) for name, value in sorted(vars(detector).items()) if name not in _GIVEN}
    return {"tree": tree, **{str(place): array for place, array in enumerate(arrays)}}


def thaw(detector: Detector, frozen: Mapping[str, Any]) -> None:
    """Raises ValueError, and leaves the detector as it was, when this is not the memory of one of its kind."""
    try:
        tree = frozen["tree"]
        fresh = {name: value for name, value in vars(detector).items() if name not in _GIVEN}
        if tree.keys() != fresh.keys():
            raise ValueError(f"it has {', '.join(sorted(tree.keys() ^ fresh.keys()))} in one of the two only")
        thawed = {name: _thawed(value, frozen, 0) for name, value in tree.items()}
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(f"cannot be read: {error!r}") from error
    for name, before in fresh.items():
        after = thawed[name]
        if isinstance(before, defaultdict) and type(after) is dict:
            after = defaultdict(before.default_factory, after)
        if before is not None and type(after) is not type(before):
            raise ValueError(f"{name} is of type {type(after).__name__}, expected {type(before).__name__}")
        thawed[name] = after
    for name, value in thawed.items():
        setattr(detector, name, value)


def _frozen(value: Any, arrays: list[Array]) -> Any:
    match value:
        case None | bool() | str():
            return value
        case np.bool_() | np.integer() | np.floating():
            return _frozen(value.item(), arrays)
        case int():
            return int(value)
        case float():
            return value if math.isfinite(value) else {"f": str(value)}
        case bytes():
            return {"b": base64.b64encode(value).decode()}
        case np.ndarray():
            return {"a": _kept(value, arrays)}
        case list() | deque() | tuple():
            frozen = {"list": "l", "deque": "q"}.get(type(value).__name__, "t")
            return {frozen: _items(value, arrays), **({"n": value.maxlen} if isinstance(value, deque) else {})}
        case set() | frozenset():
            return {"s" if isinstance(value, set) else "z": [_frozen(each, arrays) for each in sorted(value, key=repr)]}
        case dict():
            kind = "o" if isinstance(value, OrderedDict) else "d"
            return {kind: [[_frozen(key, arrays), _frozen(each, arrays)] for key, each in value.items()]}
    name = _name(type(value))
    if _classes().get(name) is not type(value):
        raise ValueError(f"{type(value).__name__} is nothing that a memory can keep")
    return {"c": name, "v": [_frozen(getattr(value, each), arrays) for each in _attributes(value)]}


def _attributes(value: Any) -> list[str]:
    slots: Iterable[str] | None = getattr(type(value), "__slots__", None)
    return sorted(slots if slots is not None else vars(value))


def _made(kind: type, values: list[Any]) -> Any:
    """Without its constructor, which need not take what the attributes are."""
    names = sorted(getattr(kind, "__slots__", None) or vars(kind()))
    made: Any = object.__new__(kind)
    for name, value in zip(names, values, strict=True):
        object.__setattr__(made, name, value)
    return made


def _kept(array: Array, arrays: list[Array]) -> int:
    if array.dtype.kind not in "biuf":
        raise ValueError(f"an array of {array.dtype} is nothing that a memory can keep")
    arrays.append(array)
    return len(arrays) - 1


def _items(value: Any, arrays: list[Array]) -> Any:
    """Long runs of numbers, and of rows of them, go as one array: a member of a file for each would be slow."""
    items = list(value)
    if len(items) >= _LONG:
        for kind, dtype in ((int, np.int64), (float, np.float64)):
            if all(type(each) is kind for each in items):
                return {"a": _kept(np.array(items, dtype), arrays)}
        if all(isinstance(each, np.ndarray) and each.ndim == 1 and each.dtype == np.float64 for each in items):
            ends = np.cumsum([0, *map(len, items)])
            return {"a": _kept(np.concatenate(items), arrays), "ends": _kept(ends, arrays)}
    return [_frozen(each, arrays) for each in items]


def _thawed(tree: Any, arrays: Mapping[str, Any], depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"is nested more than {MAX_DEPTH} deep")
    if tree is None or isinstance(tree, bool | str | int | float):
        return tree

    def down(each: Any) -> Any:
        return _thawed(each, arrays, depth + 1)

    match tree:
        case {"f": str(text)}:
            return float(text)
        case {"b": str(text)}:
            return base64.b64decode(text, validate=True)
        case {"a": int(place)}:
            return np.array(arrays[str(place)])
        case {"l": items}:
            return _listed(items, arrays, down)
        case {"q": items, "n": most}:
            return deque(_listed(items, arrays, down), maxlen=most)
        case {"t": items}:
            return tuple(_listed(items, arrays, down))
        case {"s": list(items)}:
            return {down(each) for each in items}
        case {"z": list(items)}:
            return frozenset(down(each) for each in items)
        case {"d": list(items)}:
            return {down(key): down(each) for key, each in items}
        case {"o": list(items)}:
            return OrderedDict((down(key), down(each)) for key, each in items)
        case {"c": str(name), "v": list(values)} if name in _classes():
            return _made(_classes()[name], [down(each) for each in values])
    raise ValueError(f"{str(tree)[:60]} is nothing that a memory keeps")


def _listed(items: Any, arrays: Mapping[str, Any], down: Callable[[Any], Any]) -> list[Any]:
    if isinstance(items, list):
        return [down(each) for each in items]
    flat = arrays[str(items["a"])]
    if "ends" in items:
        return [np.array(flat[low:high]) for low, high in pairwise(arrays[str(items["ends"])].tolist())]
    return list(flat.tolist())
