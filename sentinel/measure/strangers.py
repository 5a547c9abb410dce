"""Strangers who write once each, on time: ``python -m sentinel.measure.strangers TARGET PAUSE_S ADDRESS...``, where they live.

Every address opens a connection of its own to TARGET, sets a harmless setpoint, and says as a line of JSON when the request left.  Pauses
vary by half a second either way, from a seed, so that the writes fall anywhere within their seconds.
"""

import asyncio
import json
import struct
import sys
from collections.abc import Sequence

import numpy as np

from sentinel.clock import SystemClock

_SEED = 5
_ANSWER_S = 5.0
_WRITE = struct.pack(">HHHBBHH", 1, 0, 6, 1, 6, 0, 1195)


async def write_once(target: str, source: str) -> int:
    """When its octets were handed to the kernel, ns UTC."""
    host, _, port = target.rpartition(":")
    async with asyncio.timeout(_ANSWER_S):
        reader, writer = await asyncio.open_connection(host, int(port), local_addr=(source, 0))
        at = SystemClock().now()
        writer.write(_WRITE)
        await reader.readexactly(len(_WRITE))
        writer.close()
        await writer.wait_closed()
    return at


async def run(target: str, pause_s: float, sources: Sequence[str]) -> None:
    chance = np.random.default_rng(_SEED)
    for source in sources:
        await asyncio.sleep(pause_s + float(chance.uniform(-0.5, 0.5)))
        print(json.dumps({"source": source, "at_ns": await write_once(target, source)}), flush=True)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
