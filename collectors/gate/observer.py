"""The observer: what the relay wrote down becomes the rows that a sensor on the clients' side of the gate would give.

In: `collectors.gate.records` on standard input, until it ends.  Out: one `Heard` per mark, to the brain, by an outbox of its own.
A connection that opened, closed or was refused is a flow row of one packet with the TCP flags that say so.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from collectors.gate.opcua.heard import ConnectionDecoders
from collectors.gate.records import ObserverConfig, Record, RecordReader, Told
from collectors.outbox import Outbox, heard_frames
from collectors.wire.modbus import Segment, StreamDecoder
from sentinel.errors import TransientError
from sentinel.model.codec import from_json
from sentinel.model.ids import AssetId
from sentinel.model.observation import Counters, Flows, Heard, Messages
from sentinel.model.protocol import FlowKind, Protocol
from sentinel.model.time import Instant

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10
NICE = 10  # the relay goes first where both want a processor
_OCTETS = frozenset({Record.FROM_CLIENT, Record.FROM_SERVER})
_UNKNOWN = AssetId("")

log = logging.getLogger(__name__)


class Observer:
    """Pure: records in, `Heard` out."""

    def __init__(self, config: ObserverConfig) -> None:
        self._config = config
        self._decoder: StreamDecoder | ConnectionDecoders
        if config.protocol is Protocol.OPCUA:
            self._decoder = ConnectionDecoders()
        else:
            self._decoder = StreamDecoder(config.connections)
        self._clients: dict[int, AssetId] = {}
        self._accepted = self._dropped = 0

    def observe(self, told: list[Told], until: Instant) -> Heard:
        parts: list[Messages] = []
        flows: list[tuple[Instant, AssetId, bool, int]] = []
        for is_octets, run in groupby(told, lambda record: record.kind in _OCTETS):
            if is_octets:
                segments = [self._segment(record) for record in run if record.flow in self._clients]
                self._accepted += len(segments)
                parts.append(self._decoder.decode(segments))
            else:
                for record in run:
                    parts += self._event(record, flows)
        counters = Counters(accepted=self._accepted, dropped=self._dropped)
        return Heard(
            source=self._config.source, until=until, messages=Messages.concat(parts), flows=self._flow_rows(flows), counters=counters
        )

    def _segment(self, record: Told) -> Segment:
        config, client = self._config, self._clients[record.flow]
        return Segment(record.time, record.flow, client, config.server, config.port, record.kind is Record.FROM_CLIENT, record.octets)

    def _event(self, record: Told, flows: list[tuple[Instant, AssetId, bool, int]]) -> Iterable[Messages]:
        kind, time = record.kind, record.time
        if kind in (Record.OPENED, Record.KNOWN):
            client = self._clients[record.flow] = AssetId(record.octets.decode())
            if kind is Record.OPENED:
                flows.append((time, client, True, SYN))
        elif kind in (Record.CLOSED, Record.RESET):
            client = self._clients.pop(record.flow, _UNKNOWN)
            flows.append((time, client, True, FIN | ACK if kind is Record.CLOSED else RST))
            yield self._decoder.close(record.flow, time)
        elif kind is Record.REFUSED:
            client = AssetId(record.octets.decode())
            flows += ((time, client, True, SYN), (time, client, False, RST | ACK))
        elif kind is Record.HOLE:
            self._dropped = int.from_bytes(record.octets, "big")
            for flow in self._clients:  # what is half known of them can never become whole
                yield self._decoder.close(flow, time)

    def _flow_rows(self, rows: list[tuple[Instant, AssetId, bool, int]]) -> Flows:
        if not rows:
            return Flows.empty()
        config = self._config
        names = tuple(dict.fromkeys([config.server, *(client for _, client, _, _ in rows)]))
        code = {name: at for at, name in enumerate(names)}
        server = code[config.server]
        times = [time for time, _, _, _ in rows]
        return Flows.of(
            names,
            time=times,
            last=times,
            source=[code[client] if from_client else server for _, client, from_client, _ in rows],
            target=[server if from_client else code[client] for _, client, from_client, _ in rows],
            kind=[FlowKind.TCP] * len(rows),
            port=[config.port] * len(rows),
            from_client=[from_client for _, _, from_client, _ in rows],
            packets=[1] * len(rows),
            tcp_flags=[flags for _, _, _, flags in rows],
            protocol=[config.protocol] * len(rows),
        )


async def run(source: asyncio.StreamReader) -> None:
    config = from_json(ObserverConfig, await source.readline())
    observer, records = Observer(config), RecordReader()
    outbox = Outbox(Path(config.intake), config.name)
    told: list[Told] = []
    async with outbox.open(config.farewell_s):
        while octets := await source.read(1 << 18):
            for record in records.feed(octets):
                if record.kind is not Record.MARK:
                    told.append(record)
                    continue
                heard = observer.observe(told, record.time)
                told = []
                try:
                    outbox.put(heard_frames(heard))
                except TransientError as error:
                    log.warning("observations are lost: %s", error)


async def _main() -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: None)  # it ends when its input does
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    await run(reader)


if __name__ == "__main__":
    os.nice(NICE)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asyncio.run(_main())
