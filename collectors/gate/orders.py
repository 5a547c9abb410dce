"""The brain's orders to a gate: cut an address off, let it in again; kept over time and restarts.

In: `QuarantineOrder` and `ReleaseOrder`.  Out: one receipt each, and one when a quarantine ends by itself.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

from collectors.endpoint import plain_address
from collectors.gate import quarantine
from collectors.gate.quarantine import Quarantines
from sentinel.clock import Clock
from sentinel.errors import ConfigError
from sentinel.model.action import Receipt
from sentinel.model.codec import CodecError, to_json
from sentinel.model.exchange import QuarantineOrder, ReceiptOf, ReleaseOrder
from sentinel.model.framing import FrameKind
from sentinel.model.ids import ActionId, AssetId
from sentinel.model.observation import Outage
from sentinel.model.time import NS_PER_S

_LOOK_AGAIN_S = 3600.0  # the machine's clock may be set

Start = Callable[[Coroutine[Any, Any, object]], None]

log = logging.getLogger(__name__)


class Connections(Protocol):
    def expel(self, address: AssetId) -> tuple[int, int]:
        """Resets what the address has: (connections, held writes that are discarded)."""

    def standing(self, address: AssetId) -> int: ...


class Orders:
    """``name``: of the gate; ``directory``: where its file lies; ``tell``: to the brain; ``start``: work beside."""

    def __init__(
        self, name: str, directory: Path, clock: Clock, tell: Callable[[FrameKind, bytes], None], start: Start, connections: Connections
    ) -> None:
        self._name, self._clock, self._tell, self._start, self._connections = name, clock, tell, start, connections
        self._state = directory / f"{name}.quarantine.json"
        self._quarantines = Quarantines()
        self._expiry: asyncio.TimerHandle | None = None
        self._saving = asyncio.Lock()

    def bar(self, address: AssetId) -> bool:
        return self._quarantines.holds(address, self._clock.now())

    def end(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()

    def recall(self) -> None:
        """An unreadable file must not keep the gate, and so the plant, down: it is set aside and reported.

        Raises ConfigError when the directory cannot be used.
        """
        now = self._clock.now()
        try:
            self._state.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._quarantines = quarantine.read(self._state)
        except CodecError as error:
            aside = self._state.with_suffix(".unreadable")
            self._state.replace(aside)
            log.warning("quarantines are lost, their file is set aside as %s: %s", aside, error)
            outage = Outage(process=self._name, since=now, until=now, reason=f"quarantines are lost: {error}")
            self._tell(FrameKind.OUTAGE, to_json(outage))
        except OSError as error:
            raise ConfigError("directory", f"{self._state} cannot be read: {error.strerror}") from error
        self._quarantines.expire(now)
        self._watch_expiry()

    async def cut(self, request: int, order: QuarantineOrder) -> None:
        since_s, now = self._clock.monotonic_s(), self._clock.now()
        try:
            target = AssetId(plain_address(order.target))
        except ValueError:
            self._receipt(request, order.action, since_s, False, False, f"{order.target!r} is not an IP address: a gate cuts by address")
            return
        if order.expires <= now:
            self._receipt(request, order.action, since_s, False, False, "the order has expired already")
            return
        if not self._quarantines.add(QuarantineOrder(action=order.action, target=target, expires=order.expires)):
            self._receipt(request, order.action, since_s, False, False, f"{quarantine.LIMIT} quarantines stand already")
            return
        self._watch_expiry()
        cut, writes = self._connections.expel(target)
        saved = await self._save()  # meanwhile the loop has told every connection of its end
        left = self._connections.standing(target)
        message = f"{target}: {cut} connections reset, {writes} held writes discarded, new connections refused for "
        message += f"{(order.expires - now) / NS_PER_S:.0f} s{saved}"
        self._receipt(request, order.action, since_s, True, left == 0, message)

    async def release(self, request: int, order: ReleaseOrder) -> None:
        since_s, now = self._clock.monotonic_s(), self._clock.now()
        removed = self._quarantines.remove(order.action)
        self._watch_expiry()
        saved = await self._save() if removed else ""
        target = removed.target if removed else order.target
        still = self._quarantines.holds(AssetId(target), now)
        message = f"{target}: released" if removed else f"{target}: nothing to release for this action"
        message += "; another action still cuts it" if still else ""
        self._receipt(request, order.action, since_s, True, not still, message + saved)

    def _receipt(self, request: int | None, action: ActionId, since_s: float, applied: bool, verified: bool, message: str) -> None:
        receipt = Receipt(
            action=action,
            enforcer="gate",
            applied=applied,
            verified=verified,
            at=self._clock.now(),
            message=message,
            took_ms=(self._clock.monotonic_s() - since_s) * 1000,
        )
        self._tell(FrameKind.RECEIPT, to_json(ReceiptOf(request=request, receipt=receipt)))

    # --- over time and restarts ---

    def _watch_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        expiry = self._quarantines.next_expiry()
        if expiry is not None:
            wait_s = min(max(0.0, (expiry - self._clock.now()) / NS_PER_S), _LOOK_AGAIN_S)
            self._expiry = asyncio.get_running_loop().call_later(wait_s, self._expire)

    def _expire(self) -> None:
        ended = self._quarantines.expire(self._clock.now())
        for order in ended:
            since_s = self._clock.monotonic_s()
            self._receipt(None, order.action, since_s, False, True, f"{order.target}: expired, new connections are admitted")
        if ended:
            self._start(self._save())
        self._watch_expiry()

    async def _save(self) -> str:
        """What to add to a receipt: nothing, or that a restart of the gate would forget."""
        async with self._saving:
            try:
                await asyncio.to_thread(quarantine.write, self._state, self._quarantines.orders)
            except OSError as error:
                log.warning("%s cannot be written: %s", self._state, error)
                return f"; not kept over a restart: {error.strerror}"
        return ""
