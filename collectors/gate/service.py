"""The gate for Modbus/TCP: what `collectors.gate.inline` leaves to the protocol, and the process.

In: a `GateConfig`.  Out: `Command` for what `collectors.gate.judgement` would hold.
"""

import asyncio
import gc
import logging

from collectors.gate import transparent
from collectors.gate.config import GateConfig
from collectors.gate.inline import CONNECT_S, InlineGate
from collectors.gate.judgement import PASS, Course, Decision, at_deadline, decide
from collectors.gate.relay import ClientSide, HeldWrite, ServerSide
from sentinel.clock import Clock
from sentinel.model.codec import to_json
from sentinel.model.command import Command, Origin
from sentinel.model.framing import FrameKind
from sentinel.model.ids import digest
from sentinel.model.modbus import operation, writes_of
from sentinel.model.protocol import Protocol

log = logging.getLogger(__name__)


class Gate(InlineGate[ClientSide]):
    """`run` serves until ``stop`` is set; everything happens in its event loop."""

    speaks = Protocol.MODBUS

    def __init__(self, config: GateConfig, clock: Clock | None = None) -> None:
        super().__init__(config, clock)
        self.waiting_octets, self.refusal = config.waiting_octets, config.refusal

    def _new_client(self) -> ClientSide:
        return ClientSide(self, self.next_flow())

    def _admitted(self, client: ClientSide) -> None:
        self._start(self._connect(client))

    async def _connect(self, client: ClientSide) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S):
                if self._config.transparent:
                    connection = await transparent.reaching(client.address, (self._host, self._port))
                    await loop.create_connection(lambda: ServerSide(client), sock=connection)
                else:
                    await loop.create_connection(lambda: ServerSide(client), self._host, self._port)
        except (OSError, TimeoutError) as error:
            self._failed += 1
            log.warning("the server %s:%d cannot be reached for %s: %s", self._host, self._port, client.address, error)
            client.close()

    def decide(self, client: ClientSide, adu: bytes, arrived_s: float) -> Decision | HeldWrite:
        unit, pdu = adu[6], adu[7:]
        decision = decide(self._tags, unit, pdu)
        if decision.course is Course.PASS:
            return decision
        if decision.course is Course.REFUSE:
            self._refused += 1
            return decision
        now_s = self._clock.monotonic_s()
        command = self._command(client, unit, pdu, adu)
        self._tell(FrameKind.COMMAND, to_json(command))
        if decision.course is Course.SAFETY:
            self._report(command, True, ruled=False, since_s=now_s, reason="safety-instrumented: never held")
            return decision
        choice = at_deadline(self._tags, unit, pdu, self._config.unknown_tag)
        held = HeldWrite(adu=adu, command=command, client=client, since_s=now_s, choice=choice)
        at_once = self.hold(held, arrived_s)
        if at_once is None:
            return held
        return PASS if at_once else Decision(Course.REFUSE, self.refusal)

    def _command(self, client: ClientSide, unit: int, pdu: bytes, adu: bytes) -> Command:
        frame = digest(adu)
        seen, identity = self._identity(client, frame)
        return Command(
            id=identity,
            origin=Origin.GATE,
            seen=seen,
            source=client.address,
            target=self._server_asset,
            protocol="modbus",
            operation=operation(pdu[0]),
            unit=unit,
            writes=writes_of(self._tags, unit, pdu) or (),
            frame=frame,
            octets=adu.hex(),
        )


async def run(config: GateConfig, stop: asyncio.Event) -> None:
    """The process: it has nothing to do beside the gate."""
    gc.collect()
    gc.freeze()  # what was imported lives as long as the process: the collector need not look at it again
    await Gate(config).run(stop)
