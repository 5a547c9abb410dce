"""Who is refused a channel, as it is told to the brain: who, with which certificate, why and how often.

In: refusals, as fast as somebody can knock.  Out: of each address at most one `TurnedAway` in `EVERY_S`, with the count since the last.
Bounded: the addresses that knocked longest ago are forgotten, and what a certificate says of itself is cut and made printable.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from sentinel.model.ids import AssetId

EVERY_S = 10.0
MAX_ADDRESSES = 1024
MAX_TEXT = 200


@dataclass(slots=True)
class _Knocks:
    told_s: float
    since: int = 0


@dataclass(slots=True)
class Knocks:
    _kept: "OrderedDict[AssetId, _Knocks]" = field(default_factory=OrderedDict)

    def count(self, source: AssetId, now_s: float) -> int:
        """How many refusals are to be told now; 0: it was told of this address a moment ago."""
        kept = self._kept.get(source)
        if kept is not None and now_s - kept.told_s < EVERY_S:
            kept.since += 1
            return 0
        self._kept[source] = _Knocks(now_s)
        self._kept.move_to_end(source)
        while len(self._kept) > MAX_ADDRESSES:
            self._kept.popitem(last=False)
        return 1 + (kept.since if kept is not None else 0)


def plain(text: str) -> str:
    """What a stranger has written, for a page or a terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:MAX_TEXT])
