"""The blast radius of a cut, before anybody asks for it: which known conversations would end, which go on.

In: the target, the assets it is to be kept from, every conduit that was heard.  Out: a `BlastRadius`.
"""

from collections.abc import Collection

from sentinel.model.action import BlastRadius
from sentinel.model.asset import Conduit
from sentinel.model.ids import AssetId
from sentinel.model.time import Instant, seconds_between
from sentinel.respond.interlock import canonical

RECENT_S = 7 * 24 * 3600.0  # a weekly job must show up in the rehearsal; what was silent for longer is history
MAX_LISTED = 64


def rehearse(
    target: AssetId,
    protects: Collection[AssetId],
    conduits: Collection[Conduit],
    now: Instant,
    refused: str | None = None,
    twin: str | None = None,
) -> BlastRadius:
    """A quarantine cuts an address off in both directions; ``kept`` counts the other conversations with ``protects`` (all when empty)."""
    name = canonical(target)
    guarded = {canonical(asset) for asset in protects}
    cut, kept = [], 0
    for conduit in conduits:
        if seconds_between(conduit.last_seen, now) > RECENT_S:
            continue
        client, server = canonical(conduit.client), canonical(conduit.server)
        if name in (client, server):
            cut.append(f"{conduit.client} -> {conduit.server} {conduit.protocol}:{conduit.port}")
        elif not guarded or client in guarded or server in guarded:
            kept += 1
    listed = tuple(sorted(cut)[:MAX_LISTED])
    if len(cut) > MAX_LISTED:
        listed = (*listed, f"and {len(cut) - MAX_LISTED} more")
    return BlastRadius(cut=listed, kept=kept, refused=refused, twin=twin)
