"""Who is cut off, by which action, until when; kept in a small file so that a gate that was killed comes back with it.

Pure but for `read` and `write`.  An address is cut as long as one unexpired action cuts it.  The file is JSON, written beside and renamed,
so that it is either the old or the new one.
"""

from dataclasses import dataclass
from pathlib import Path

from sentinel.durable import write_whole
from sentinel.model.codec import from_json, to_json
from sentinel.model.exchange import QuarantineOrder
from sentinel.model.ids import ActionId, AssetId
from sentinel.model.time import Instant

LIMIT = 1024  # orders at once


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    orders: tuple[QuarantineOrder, ...]


class Quarantines:
    def __init__(self, orders: tuple[QuarantineOrder, ...] = ()) -> None:
        self._orders = {order.action: order for order in orders}

    @property
    def orders(self) -> tuple[QuarantineOrder, ...]:
        return tuple(self._orders.values())

    def holds(self, address: AssetId, now: Instant) -> bool:
        return any(order.target == address and order.expires > now for order in self._orders.values())

    def add(self, order: QuarantineOrder) -> bool:
        """False: there is no room.  The same action again replaces itself."""
        if len(self._orders) >= LIMIT and order.action not in self._orders:
            return False
        self._orders[order.action] = order
        return True

    def remove(self, action: ActionId) -> QuarantineOrder | None:
        return self._orders.pop(action, None)

    def expire(self, now: Instant) -> tuple[QuarantineOrder, ...]:
        """Removes and names what has ended by itself."""
        ended = tuple(order for order in self._orders.values() if order.expires <= now)
        for order in ended:
            del self._orders[order.action]
        return ended

    def next_expiry(self) -> Instant | None:
        return min((order.expires for order in self._orders.values()), default=None)


def read(path: Path) -> Quarantines:
    """Raises CodecError when the file is not one of ours, OSError when it cannot be read; no file is no quarantine."""
    try:
        octets = path.read_bytes()
    except FileNotFoundError:
        return Quarantines()
    return Quarantines(from_json(_Kept, octets).orders)


def write(path: Path, orders: tuple[QuarantineOrder, ...]) -> None:
    """On disk when it returns.  Raises OSError."""
    write_whole(path, to_json(_Kept(orders=orders)))
