"""The gate for OPC UA: what `collectors.gate.inline` leaves to the protocol, and the process.

In: an `OpcuaGateConfig`.  Out: `Command` for what `collectors.gate.opcua.judgement` does not let pass at once.
"""

import asyncio
import gc
import logging
from pathlib import Path

from collectors.certificates import Certificates
from collectors.endpoint import address_of
from collectors.gate.inline import CONNECT_S, InlineGate
from collectors.gate.opcua.config import OpcuaGateConfig
from collectors.gate.opcua.discovery import Discovery
from collectors.gate.opcua.judgement import Course, Judged, judge, nodes_of
from collectors.gate.opcua.keeper import HeldRequest, Sessions
from collectors.gate.opcua.opening import Envelope, Peer, peer_of
from collectors.gate.opcua.policies import Mode
from collectors.gate.opcua.relay import ClientSide
from collectors.gate.opcua.rewriting import Face
from collectors.gate.opcua.server_side import Asker, ServerSide
from collectors.gate.opcua.transport import LARGEST_BUFFER, MODE_REJECTED, NOT_CONNECTED, SECURITY_CHECKS_FAILED, Agreed, ChannelError
from collectors.turned_away import Knocks, plain
from sentinel.clock import Clock
from sentinel.model.codec import to_json
from sentinel.model.command import Command, Origin
from sentinel.model.framing import FrameKind
from sentinel.model.ids import digest
from sentinel.model.observation import TurnedAway
from sentinel.model.opcua import operation
from sentinel.model.protocol import Protocol

_EPOCH_100NS = 116_444_736_000_000_000  # 1970 in units of 100 ns since 1601 (OPC 10000-6, 5.2.2.5)

log = logging.getLogger(__name__)


class Gate(InlineGate[ClientSide]):
    """`run` serves until ``stop`` is set; everything happens in its event loop."""

    speaks = Protocol.OPCUA

    def __init__(self, config: OpcuaGateConfig, clock: Clock | None = None) -> None:
        super().__init__(config, clock)
        self._limits = config
        self._nodes = nodes_of(self._tags)
        host, port = address_of("listen", config.listen)
        directory = Path(config.certificates) if config.certificates else Path(config.directory) / f"{config.name}.certificates"
        self.certificates = Certificates(directory, "gate", config.name, host, self._clock)
        self._listens = f"{_bracketed(host)}:{port}".encode()
        self._upstream = f"{_bracketed(self._host)}:{self._port}".encode()
        self._servers: dict[tuple[str, Mode], Peer] = {}
        self._channel = 0
        self._knocks = Knocks()
        self.is_observed = config.observe
        self.message_octets, self.answer_octets = config.message_octets, config.answer_octets
        self.chunks, self.lifetime_ms = config.chunks, round(config.lifetime_s * 1000)
        self.sessions = Sessions(config.sessions)

    def _new_client(self) -> ClientSide:
        return ClientSide(self, self.next_flow())

    def _admitted(self, client: ClientSide) -> None:
        """The server is not bothered before the client has said something."""

    # --- what a connection asks ---

    def face(self, called: bytes) -> Face:
        return Face(self.certificates.own, called or self._listens, self._upstream)

    def next_channel(self) -> int:
        self._channel += 1
        return self._channel

    def stamp(self) -> int:
        return self._clock.now() // 100 + _EPOCH_100NS

    def why_not(self, peer: Peer) -> str | None:
        return self.certificates.why_not(peer.certificate, peer.der)

    def turn_away(self, client: ClientSide, subject: str, reason: str) -> None:
        if times := self._knocks.count(client.address, self._clock.monotonic_s()):
            told = TurnedAway(
                gate=self._config.name,
                source=client.address,
                target=self._server_asset,
                at=self._clock.now(),
                subject=plain(subject),
                reason=plain(reason),
                times=times,
            )
            self._tell(FrameKind.TURNED_AWAY, to_json(told))

    def broken_request(self, client: ClientSide, problem: str) -> None:
        self._refused += 1
        log.warning("a request of %s is refused: %s", client.address, problem)

    def reach(self, client: ClientSide, path: bytes, announces: Agreed) -> None:
        self._start(self._reach(client, path, announces))

    async def _reach(self, client: ClientSide, url: bytes, announces: Agreed) -> None:
        try:
            await self._connect(client, url, announces)
        except (OSError, TimeoutError) as error:
            self._failed += 1
            client.fail(NOT_CONNECTED, f"the server {self._host}:{self._port} cannot be reached: {error or 'no answer'}")

    async def _connect(self, asker: Asker, url: bytes, announces: Agreed) -> None:
        """Raises OSError or TimeoutError."""
        async with asyncio.timeout(CONNECT_S):
            await asyncio.get_running_loop().create_connection(
                lambda: ServerSide(asker, self.certificates.own, url, announces, self.lifetime_ms, self.stamp), self._host, self._port
            )

    def secure(self, client: ClientSide, envelope: Envelope, mode: Mode) -> None:
        if envelope.policy is None:
            client.server_known(None)
        else:
            self._start(self._secure(client, envelope.policy.uri, mode))

    async def _secure(self, client: ClientSide, policy: str, mode: Mode) -> None:
        try:
            peer = self._servers.get((policy, mode)) or await self._discover(policy, mode)
        except ChannelError as error:
            self._failed += 1
            client.fail(error.status, str(error))
        except (OSError, TimeoutError) as error:
            self._failed += 1
            client.fail(NOT_CONNECTED, f"the server does not tell its certificate: {error or 'no answer'}")
        else:
            if reason := self.why_not(peer):
                self._servers.pop((policy, mode))
                client.fail(SECURITY_CHECKS_FAILED, f"the server: {reason}")
            else:
                client.server_known(peer)

    async def _discover(self, policy: str, mode: Mode) -> Peer:
        """The server's certificate for a policy and mode, by its own word: whether to trust it is asked after.  Raises ChannelError too."""
        url = b"opc.tcp://" + self._upstream
        discovery = Discovery(url, self.stamp)
        try:
            await self._connect(discovery, url, Agreed(LARGEST_BUFFER, LARGEST_BUFFER, self.answer_octets, self.chunks))
            async with asyncio.timeout(CONNECT_S):
                offered = await discovery.offered
        finally:
            discovery.close()
        for one in offered:
            if one.policy == policy and one.mode == mode and one.certificate:
                self._servers[policy, mode] = peer_of(one.certificate)
                return self._servers[policy, mode]
        raise ChannelError(MODE_REJECTED, f"the server offers no {mode.name} with {policy}")

    # --- writes ---

    def decide(self, client: ClientSide, request: int, body: bytes, arrived_s: float) -> HeldRequest | Judged | None:
        """None: it is forwarded.  Raises DecodingError where nobody could be answered."""
        judged = judge(self._nodes, body, self._config.unknown_tag)
        if judged.course is Course.REFUSE:
            self._refused += 1
            log.warning("a request of %s is refused: %s with %#010x", client.address, operation(judged.header.service), judged.status)
            return judged
        now_s = self._clock.monotonic_s()
        command = self._command(client, body, judged)
        self._tell(FrameKind.COMMAND, to_json(command))
        if judged.course is Course.SAFETY:
            self._report(command, True, ruled=False, since_s=now_s, reason="safety-instrumented: never held")
            return None
        full = len(client.held) >= self._limits.held_per_connection
        problem = f"{len(client.held)} writes of this connection are held already" if full else ""
        held = HeldRequest(request=request, body=body, judged=judged, command=command, client=client, since_s=now_s, choice=judged.choice)
        at_once = self.hold(held, arrived_s, problem)
        return held if at_once is None else None if at_once else judged

    def _command(self, client: ClientSide, body: bytes, judged: Judged) -> Command:
        # Without the request header, which carries the session's token: who has it is the session.
        evidence = body[: 4 if body[:1] == b"\x01" else 7] + body[judged.header.end :]
        frame = digest(evidence)
        seen, identity = self._identity(client, frame)
        return Command(
            id=identity,
            origin=Origin.GATE,
            seen=seen,
            source=client.address,
            target=self._server_asset,
            protocol="opcua",
            operation=operation(judged.header.service),
            writes=judged.writes,
            frame=frame,
            octets=evidence.hex(),
        )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def run(config: OpcuaGateConfig, stop: asyncio.Event) -> None:
    """The process: it has nothing to do beside the gate."""
    gc.collect()
    gc.freeze()  # what was imported lives as long as the process: the collector need not look at it again
    await Gate(config).run(stop)
