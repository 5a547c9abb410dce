"""An excerpt as text for a person: in, the path of a capture file; out, a tree of each packet.

The dissector (scapy) reads octets that an attacker chose and is not ours: it runs in a process of its own, one at a time, with limits on
time, memory and output, and what it gives is text.
"""

import subprocess
import threading
from pathlib import Path

from sentinel.errors import PermanentError, TransientError
from sentinel.supervisor import python

_LIMIT_S = 30.0
_PATIENCE_S = 10.0  # for another one to end
MAX_OCTETS = 8 << 20

_running = threading.Lock()


def dissect(path: Path) -> bytes:
    """UTF-8.  Raises TransientError when it takes too long, PermanentError for what is no capture, or breaks the dissector."""
    if not _running.acquire(timeout=_PATIENCE_S):
        raise TransientError("another excerpt is being dissected")
    try:
        command = python("-m", "collectors.capture.dissect", str(path))
        done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL, timeout=_LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise TransientError(f"{path.name}: its dissection takes longer than {_LIMIT_S:g} s") from error
    finally:
        _running.release()
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise PermanentError(said[-1] if said else f"{path.name}: the dissector ended with status {done.returncode}")
    return done.stdout[:MAX_OCTETS]
