"""The context of frames: what was said before them in their own conversations.

Whoever reads an excerpt needs it to come to the same conclusion: the rest of a message in several segments, the request of an answer, the
original of a changed copy, the calls that a closed session leaves behind.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from collectors.capture.decode import decode
from collectors.capture.flows import hash_keys
from collectors.capture.packets import PacketBatch
from collectors.capture.pcapng import Packet
from collectors.capture.tables import HEAD
from collectors.compiled import Words
from sentinel.model.columns import Array, grouped
from sentinel.model.time import NS_PER_S

BEFORE_NS = 60 * NS_PER_S  # the longest that a detector counts single messages for (`brute_force`)
MAX_CONTEXT_OCTETS = 1 << 20  # of an excerpt

Times = Mapping[int, Array]  # by conversation: when its listed packets were heard, ns UTC, in order


def spoken_in(batch: PacketBatch) -> Array:
    """A number for each packet, equal for all packets of one conversation, whichever way they go."""
    heads = np.zeros(len(batch), HEAD)
    decode(Words(heads), Words(batch.columns), 0, len(batch), Words(hash_keys(0)))
    return heads["hash"]


def times_of(packets: Sequence[Packet]) -> dict[int, Array]:
    """When each conversation of these was heard."""
    batch = PacketBatch.of([packet.octets for packet in packets], [packet.time for packet in packets])
    batch.link[:] = [packet.interface[1] for packet in packets]
    numbers, which = np.unique(spoken_in(batch), return_inverse=True)
    return dict(zip(numbers.tolist(), (np.sort(batch.time[rows]) for rows in grouped(which)), strict=True))


def before(batch: PacketBatch, listed: Times) -> tuple[Array, Array]:
    """(rows, ns until the next listed packet of the same conversation) of what was heard less than `BEFORE_NS` before one."""
    spoken = spoken_in(batch)
    own = np.flatnonzero(np.isin(spoken, np.fromiter(listed, np.uint64, len(listed))))
    numbers, which = np.unique(spoken[own], return_inverse=True)
    ahead = np.full(len(own), BEFORE_NS, np.int64)
    for number, places in zip(numbers.tolist(), grouped(which), strict=True):
        times, heard = listed[number], batch.time[own[places]]
        following = np.searchsorted(times, heard)
        is_followed = following < len(times)
        ahead[places[is_followed]] = times[following[is_followed]] - heard[is_followed]
    return own[ahead < BEFORE_NS], ahead[ahead < BEFORE_NS]


def nearest(found: Iterable[tuple[Array, Array, Array]]) -> Array:
    """Of (frames, ns until a listed one, octets) the frames for which there is room, those nearest to a listed one first."""
    parts = list(found)
    if not parts:
        return np.zeros(0, np.int64)
    frames, ahead, octets = (np.concatenate([part[at] for part in parts]) for at in range(3))
    order = np.lexsort((-frames, ahead))
    return np.sort(frames[order[np.cumsum(octets[order]) <= MAX_CONTEXT_OCTETS]])
