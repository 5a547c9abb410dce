"""Who is watched: a table with an entry for each conversation or request that is heard, bounded."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MAX_WATCHED = 20_000  # conversations or requests; the one longest unheard gives way


def watched(table: OrderedDict[K, V], key: K, make: Callable[[], V], limit: int | None = None) -> V:
    """The entry of a key, made where there is none."""
    entry = table.get(key)
    if entry is None:
        entry = table[key] = make()
        if len(table) > (limit or MAX_WATCHED):
            table.popitem(last=False)
    else:
        table.move_to_end(key)
    return entry
