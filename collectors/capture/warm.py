"""`python -m collectors.capture.warm`: compile every kernel of the ears into the cache, so that no start pays for it.

Runs each kernel once over a small conversation, which loads what was compiled before.  An image is built with it; `NUMBA_CPU_NAME` and
`NUMBA_CPU_FEATURES` name the machine that the code is made for, where that is not the one it is built on.
"""

import sys
import time

import numpy as np

from collectors import compiled
from collectors.capture import index, packets, pcapng, ring
from collectors.capture.packets import ETHERNET, PacketBatch
from collectors.capture.sensor import Sensor
from collectors.released import release
from collectors.wire.announced import ENIP_PORT
from collectors.wire.modbus import Segment, StreamDecoder
from sentinel.model.ids import AssetId
from sentinel.model.time import NS_PER_S, Instant

_READ = bytes.fromhex("000100000006010300000002")
_LABEL = bytes.fromhex("884700010140")  # MPLS before the packet
_NODES = bytes.fromhex("4d5347461c0000000100000001000000020000000200000001007702")  # an OPC UA read request that is cut short


def _frame(port: int, payload: bytes, source_port: int = 40_000) -> bytes:
    return b"".join(
        (
            bytes.fromhex("0200000000020200000000010800"),  # Ethernet
            bytes.fromhex("4500") + (40 + len(payload)).to_bytes(2, "big") + bytes.fromhex("00010000400600000a0000010a000002"),  # IPv4
            source_port.to_bytes(2, "big") + port.to_bytes(2, "big") + bytes.fromhex("0000000100000001501800ff00000000"),  # TCP, PSH ACK
            payload,
        )
    )


def warm() -> float:
    """Seconds that it took; next to nothing when everything was cached.  The loader's memory is given back."""
    started = time.perf_counter()
    _run_each()
    release()
    return time.perf_counter() - started


def _run_each() -> None:
    sensor = Sensor("warm", seed=0)
    modbus, opcua, announcing = _frame(502, _READ), _frame(4840, _NODES), _frame(1, _READ, ENIP_PORT)
    labelled = modbus[:12] + _LABEL + modbus[14:]
    sensor.feed(PacketBatch.of([modbus, opcua, announcing, labelled, modbus], [*4 * [NS_PER_S], 3 * NS_PER_S], link=ETHERNET))
    sensor.flush(Instant(5 * NS_PER_S))
    sensor.close()
    decoder = StreamDecoder(1)
    decoder.decode([Segment(Instant(0), 0, AssetId("a"), AssetId("b"), 502, True, _READ)])
    decoder.close(0, Instant(0))
    octets, rows = np.zeros(64, np.uint8), index.Rows(1)
    index.walk_pcap(octets, 0, 0, False, 1, ETHERNET, rows.arrays, rows.state)
    ring.walk_block(octets, 0, 0, *(np.zeros(0, packets.DTYPES[name]) for name in ("off", "cap", "wire", "time", "vlan")))
    batch = PacketBatch.of([modbus], [NS_PER_S])
    pcapng.lay_batch(batch, np.zeros(pcapng.room_for(batch), np.uint32))
    index.walk_pcapng(octets, 0, 0, False, np.zeros(1, index.INTERFACE), 0, rows.arrays, rows.state)


def main() -> int:
    seconds = warm()
    sys.stdout.write(f"kernels ready after {seconds:.1f} s in {compiled.cache_directory()}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
