"""Slow drift: steps that are harmless one by one and lead out of the envelope together.

In: the values that anybody wrote to a tag lately, and the one that is asked for now.  Out: where the tag is led from here.  Of a source
that is new or has scanned: as many moves again, the median of what follows a run of unknown length (J. R. Gott, Nature 363, 1993).  Of one
that is known to write it: no further than the range that an operator's screen allows, for a ramp from one grade to another is not to be
refused for where a stranger might lead it; and once it has left that range, one more move, for every further one comes before the court
itself.  The court judges that value as if it were written now: a stranger is refused for it, about a known source a person is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sandbox.protocol import Step
from sentinel.model.tags import Tag
from sentinel.model.time import Instant, seconds_between

MIN_MOVES = 3  # two moves in one direction are a habit, three a trend
WINDOW_S = 3600.0
_SAME = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    tag: str
    first: float
    value: float  # now asked for
    moves: int  # in one direction, the last of them now
    ahead: float  # where it is led
    led: str  # in words, by which moves


def trend_of(tag: Tag, value: float, steps: Sequence[Step], now: Instant, is_stranger: bool) -> Trend | None:
    """The run of moves in one direction that ends with ``value``; None when it is shorter than `MIN_MOVES`."""
    path = [value]
    for step in sorted(steps, key=lambda step: step.seen, reverse=True):
        if step.tag != tag.name or not 0.0 <= seconds_between(step.seen, now) <= WINDOW_S:
            continue
        move = path[-1] - step.value
        if abs(move) <= _SAME * max(1.0, abs(value)):
            continue  # the same value again, or the same write seen by a second sensor
        if len(path) > 1 and (path[-2] - path[-1] > 0) != (move > 0):
            break
        path.append(step.value)
    moves = len(path) - 1
    if moves < MIN_MOVES:
        return None
    ahead, led = value + (value - path[-1]), "as many again"
    if not is_stranger:
        if tag.low <= value <= tag.high:
            ahead = min(max(ahead, tag.low), tag.high)
        else:
            ahead, led = value + max((b - a for a, b in pairwise(reversed(path))), key=abs), "one more"
    return Trend(tag=tag.name, first=path[-1], value=value, moves=moves, ahead=ahead, led=led)
