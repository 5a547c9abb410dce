"""The only door to scapy: what a person reads beside an excerpt.

`dissect` gives a text of every frame, layer by layer, and under it what the sensor makes of it.  scapy is slow and lenient (it shows only
the first Modbus frame of a segment, and no OPC UA), so its text is for reading, never for judging; whatever it fails on is shown as
octets.  It is imported when first needed, and never into a process that holds asyncua.
"""

import argparse
import resource
import sys
from pathlib import Path
from typing import Any

from collectors.capture.packets import ETHERNET, LINUX_SLL, LINUX_SLL2, LOOP, NULL
from collectors.capture.replay import read_frames
from collectors.capture.spoken import lines_by_frame
from collectors.capture.warm import warm
from sentinel.errors import InputError

MAX_FRAMES = 100
MAX_LINES_PER_FRAME = 200
MAX_COLUMNS = 400
_MEMORY_OCTETS, _PROCESSOR_S = 2 << 30, 20  # of the process


def dissect(path: str | Path, max_frames: int = MAX_FRAMES) -> str:
    """The frames of a small capture file as text.  Raises InputError for what is no capture."""
    link, frames = read_frames(path)
    layer = _first_layer(link)
    parts, spoken = [], lines_by_frame(path)
    for number, octets in enumerate(frames[:max_frames], start=1):
        parts.append(f"frame {number}: {len(octets)} octets")
        parts += _dissect_one(layer, octets)
        if lines := spoken.get(number):
            parts += ["###[ what the sensor hears ]###", *(f"  {line}" for line in _bounded(lines)), ""]
    if len(frames) > max_frames:
        parts.append(f"{len(frames) - max_frames} further frames are not shown")
    return "\n".join(parts) + "\n"


def _first_layer(link: int) -> Any:
    import scapy.contrib.modbus  # noqa: F401  (binds its layers to port 502)
    from scapy.layers.inet import IP
    from scapy.layers.l2 import CookedLinux, CookedLinuxV2, Ether, Loopback

    return {ETHERNET: Ether, LINUX_SLL: CookedLinux, LINUX_SLL2: CookedLinuxV2, NULL: Loopback, LOOP: Loopback}.get(link, IP)


def _dissect_one(layer: Any, octets: bytes) -> list[str]:
    from scapy.utils import hexdump

    try:
        lines = str(layer(octets).show(dump=True)).rstrip().splitlines()
    except Exception as error:  # noqa: BLE001  scapy raises whatever its layers raise, on octets that an attacker chose
        lines = [f"  cannot be dissected: {type(error).__name__}", *str(hexdump(octets, dump=True)).splitlines()]
    return [*_bounded(lines), ""]


def _bounded(lines: list[str]) -> list[str]:
    if len(lines) > MAX_LINES_PER_FRAME:
        lines = [*lines[:MAX_LINES_PER_FRAME], f"  {len(lines) - MAX_LINES_PER_FRAME} further lines are not shown"]
    return [line if len(line) <= MAX_COLUMNS else f"{line[:MAX_COLUMNS]} …" for line in lines]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m collectors.capture.dissect", description="the frames of a capture file as text")
    parser.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    try:
        sys.stdout.write(dissect(options.file))
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def limit() -> None:
    """Octets that an attacker chose cost this process so much at most."""
    resource.setrlimit(resource.RLIMIT_CPU, (_PROCESSOR_S, _PROCESSOR_S))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_OCTETS, _MEMORY_OCTETS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    warm()  # should a kernel have to be compiled, then not within these limits
    limit()
    raise SystemExit(main())
