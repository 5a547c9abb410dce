"""The second opinion: tshark's lines on a capture file, and how differences from them are listed."""

import re
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator

from sentinel.errors import InputError

_TSHARK_S = 300.0
ELEMENT = re.compile(r'\s*<(proto|field) name="([^"]*)"(?:.*? show="([^"]*)")?')
REPEATED = "tcp.analysis.retransmission or tcp.analysis.out_of_order"
UNEXPLAINED = "unexplained"


def tshark(*arguments: str) -> Iterator[str]:
    """Its lines.  Raises InputError when it is not there or cannot read the file."""
    program = shutil.which("tshark")
    if program is None:
        raise InputError("needs tshark (apt-get install tshark)")
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as out:
        done = subprocess.run([program, "-n", *arguments], stdout=out, stderr=subprocess.PIPE, text=True, timeout=_TSHARK_S, check=False)
        if done.returncode:
            raise InputError(f"tshark: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}")
        out.seek(0)
        yield from out


def listed(found: Iterable[tuple[str, int]]) -> dict[str, dict[str, object]]:
    frames: dict[str, list[int]] = defaultdict(list)
    for reason, frame in found:
        frames[reason].append(frame)
    return {reason: {"units": len(numbers), "frames": sorted(set(numbers))} for reason, numbers in sorted(frames.items())}
