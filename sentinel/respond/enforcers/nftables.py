"""Quarantine at a routed choke point: hands approved actions to the enforcing process and gives back its receipts.

A process that is dead, slow or answers nonsense gives a receipt that says: not enforced (or not released), and why.  Nothing is raised.
"""

import asyncio
from pathlib import Path
from typing import ClassVar

from sentinel.clock import Clock
from sentinel.errors import PermanentError, SentinelError, TransientError
from sentinel.model.action import Action, Receipt
from sentinel.model.codec import CodecError, from_json, to_json
from sentinel.model.exchange import Failure, QuarantineOrder, ReleaseOrder
from sentinel.model.framing import Frame, FrameKind, FrameReader, FramingError
from sentinel.model.time import after
from sentinel.ports import Spec, Stability
from sentinel.respond.enforcers.protocol import MAX_FRAME_OCTETS, Greeting
from sentinel.respond.enforcers.ruleset import Held

TIMEOUT_S = 8.0  # longer than the process's own patience with nft
_CHUNK_OCTETS = 65536


class NftablesEnforcer:
    spec: ClassVar[Spec] = Spec(
        name="nftables",
        summary="drops what an address sends and receives through this machine, in an own nftables table before the site's rules",
        stability=Stability.STABLE,
        config={"socket": ("enforcer.sock", "unix socket of the enforcing process"), "timeout_s": (TIMEOUT_S, "how long to wait for it")},
    )

    def __init__(self, path: Path | str, clock: Clock, timeout_s: float = TIMEOUT_S) -> None:
        self._path = str(path)
        self._clock = clock
        self._timeout_s = timeout_s

    async def apply(self, action: Action) -> Receipt:
        expires = action.expires if action.expires is not None else after(self._clock.now(), action.lasts_s)
        return await self._order(action, FrameKind.QUARANTINE, QuarantineOrder(action=action.id, target=action.target, expires=expires))

    async def release(self, action: Action) -> Receipt:
        return await self._order(action, FrameKind.RELEASE, ReleaseOrder(action=action.id, target=action.target))

    async def in_force(self) -> tuple[Held, ...]:
        """What the kernel cuts now.  Raises TransientError or PermanentError."""
        greeting, _ = await self._call(None)
        return greeting.in_force

    async def _order(self, action: Action, kind: FrameKind, order: QuarantineOrder | ReleaseOrder) -> Receipt:
        began = self._clock.monotonic_s()
        try:
            _, receipt = await self._call(Frame(kind, 1, to_json(order)))
            if receipt is None or receipt.action != action.id:
                raise PermanentError("its receipt is of another action")
        except SentinelError as error:
            took_ms = (self._clock.monotonic_s() - began) * 1000
            message = f"{'not enforced' if kind is FrameKind.QUARANTINE else 'not released'}: the enforcing process {error}"
            return Receipt(
                action=action.id,
                enforcer=self.spec.name,
                applied=False,
                verified=False,
                at=self._clock.now(),
                message=message,
                took_ms=took_ms,
            )
        return receipt

    async def _call(self, order: Frame | None) -> tuple[Greeting, Receipt | None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await asyncio.open_unix_connection(self._path)
                try:
                    return await _converse(reader, writer, order)
                finally:
                    writer.close()
        except TimeoutError as error:
            raise TransientError(f"did not answer within {self._timeout_s:g} s") from error
        except OSError as error:
            raise TransientError(f"cannot be reached: {error.strerror or error}") from error
        except (FramingError, CodecError) as error:
            raise PermanentError(f"does not speak our protocol: {error}") from error


async def _converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, order: Frame | None) -> tuple[Greeting, Receipt | None]:
    frames, greeting = FrameReader(MAX_FRAME_OCTETS), None
    while octets := await reader.read(_CHUNK_OCTETS):
        for frame in frames.feed(octets):
            match frame.kind:
                case FrameKind.HELLO:
                    greeting = from_json(Greeting, frame.payload)
                    if order is None:
                        return greeting, None
                    writer.write(order.encode())
                case FrameKind.RECEIPT if greeting is not None:
                    return greeting, from_json(Receipt, frame.payload)
                case FrameKind.FAILURE:
                    raise PermanentError(f"refuses: {from_json(Failure, frame.payload).problem}")
                case unexpected:
                    raise FramingError(f"unexpected {unexpected.name}")
    raise TransientError("ended the connection")
