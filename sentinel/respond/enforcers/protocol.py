"""What the enforcing process takes and gives over its unix socket: frames of `sentinel.model.framing`, nothing else.

On connection it says HELLO with what is in force; QUARANTINE carries a `QuarantineOrder`, RELEASE a `ReleaseOrder`; each is answered by a
RECEIPT with the same sequence number.  Anything else is answered by FAILURE, and the connection ends.
"""

from dataclasses import dataclass

from sentinel.respond.enforcers.ruleset import Held

MAX_FRAME_OCTETS = 512 * 1024  # HELLO with every cut that fits the kernel's sets: 2 * 1024, none above 210 octets
MAX_ORDER_OCTETS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    process: str
    pid: int
    in_force: tuple[Held, ...]
