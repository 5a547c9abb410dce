"""The passive sensor: batches of packets in, `Heard` out.  A pure function of the packets, however they are batched.

Messages are handed over as they complete, in the order of their last octet; flow rows when their one-second slot is over, ordered by
first frame.  A slot is over when a packet of a later one was heard, or when `flush` says that none of this one can come any more.
A relayed or repeated segment whose octets contradict the first copy marks its flow row, and its frames are message rows of their own
with `Defect.CONTRADICTING_COPY`, which change no pairing.
"""

import secrets
from ipaddress import IPv6Address
from typing import Any, NamedTuple

import numpy as np

from collectors.capture.announcements import Announcements
from collectors.capture.decode import decode
from collectors.capture.flows import drop_closed_rows, hash_keys, name_flow_rows
from collectors.capture.fragments import Reassembler
from collectors.capture.packets import PacketBatch
from collectors.capture.tables import BATCH_PACKETS, COUNTERS, END, FAMILY_IP4, FAMILY_IP6, FAMILY_MAC, HEAD, NEVER, TICK, make_tables
from collectors.capture.track import track
from collectors.capture.tunnels import Tunnels
from collectors.compiled import Words
from collectors.wire.modbus.decoder import columns, written
from collectors.wire.opcua.details import BodyReader
from sentinel.model.columns import UNKNOWN_CODE
from sentinel.model.observation import SLOT_NS, U1, Counters, Details, Flows, Heard, Messages
from sentinel.model.time import Instant

_KNOWN_NAMES = 1 << 18  # texts kept, so that an address is spelt once
_FAMILY_SHIFT = 48  # an IPv4 or hardware address fits below
_FLOW_FIELDS = {"source_mac": "source_mac_code", "target_mac": "target_mac_code"}


def spell(family: int, hi: int, lo: int) -> str:
    """An address as text."""
    if family == FAMILY_MAC:
        return (lo & 0xFFFF_FFFF_FFFF).to_bytes(6, "big").hex(":")
    return f"{lo >> 24}.{lo >> 16 & 255}.{lo >> 8 & 255}.{lo & 255}" if family == FAMILY_IP4 else str(IPv6Address(hi << 64 | lo))


class Parts(NamedTuple):
    messages: list[Messages]
    flows: list[Flows]
    details: list[Details]


class Sensor:
    """``seed`` keys the hash tables against chosen addresses; it never shows in a row."""

    def __init__(self, source: str, seed: int | None = None) -> None:
        self.source = source
        seed = secrets.randbits(64) if seed is None else seed
        self._t = make_tables(seed)
        self._words = Words(self._t)
        self._written = written(self._t.messages)
        self._bodies = BodyReader(seed)
        keys = hash_keys(seed)
        self._fragments = Reassembler(keys)
        self._tunnels = Tunnels(keys, self._fragments.join)
        self._announcements = Announcements(spell)
        self._heads: Any = np.zeros(BATCH_PACKETS, HEAD)
        self._head_words, self._key_words = Words(self._heads), Words(keys)
        self._spelt: dict[int | tuple[int, int], str] = {}
        self._dropped = 0
        self._closed = False

    def feed(self, batch: PacketBatch) -> Heard:
        heard = Parts([], [], [])
        packets, octets = Words(batch.columns), Words(batch.octets)
        for first in range(0, len(batch), BATCH_PACKETS):
            count = min(BATCH_PACKETS, len(batch) - first)
            fragments, announcing, others = decode(self._head_words, packets, first, count, self._key_words)
            joined = Words(self._fragments.join(self._heads, batch, first, count)) if fragments else octets
            if others and self._tunnels.find(self._head_words, count):
                self._track_carried(batch, joined.value, first, count, heard)
            else:
                self._track(self._head_words, packets, joined, first, count, heard, fragments + announcing > 0)
        self._drain(heard)
        return self._heard(heard)

    def flush(self, until: Instant) -> Heard:
        """No packet before this instant will come any more."""
        return self._advance(TICK, until)

    def close(self) -> Heard:
        """The source has ended: what is open is handed over, what was begun is reported as cut."""
        self._fragments.close()
        heard = self._advance(END, Instant(0))
        self._closed = True
        return heard

    def drop(self, packets: int) -> None:
        """Count packets that were lost before they could be fed."""
        self._dropped += packets

    @property
    def counts(self) -> dict[str, int]:
        """What happened below the rows: every limit and every kind of loss, since the start."""
        state = self._t.state[0]
        tally = self._t.tally[0]
        return (
            {name: int(state[name]) for name in COUNTERS}
            | {
                "dropped": self._dropped,
                "requests_forgotten": int(tally["forgotten"]),
                "octets_skipped": int(tally["skipped"]),
                "announcements_passed_over": self._announcements.passed_over,
            }
            | self._bodies.counts
            | self._fragments.counts
            | self._tunnels.counts
        )

    def _track_carried(self, batch: PacketBatch, octets: U1, first: int, count: int, heard: Parts) -> None:
        """As `_track`, with what tunnels carry."""
        heads, octets, rows = self._tunnels.opened(self._heads, octets, batch, first, count)
        told = {name: getattr(batch, name)[rows] for name in ("off", "cap", "wire", "time", "frame", "link")}
        packets = Words(batch.columns._replace(**told))
        where = Words(octets)
        for start in range(0, len(rows), BATCH_PACKETS):
            part = heads[start : start + BATCH_PACKETS]
            self._track(Words(part), packets, where, start, len(part), heard, True)

    def _track(self, heads: Words, packets: Words, octets: Words, first: int, count: int, heard: Parts, may_announce: bool) -> None:
        """The first ``count`` of ``heads``, of the ``packets`` ``first`` on."""
        if self._closed:
            raise ValueError("the sensor was closed")
        taken, announcing, times = 0, list[int](), packets.value.time
        if may_announce:
            announcing = self._announcements.places(heads.value, octets.value, times[first : first + count], count)
        for stop in sorted({*(place + 1 for place in announcing), count}):
            while taken < stop:
                taken = track(self._words, heads, octets, packets, first, taken, stop)
                if taken < stop:
                    self._drain(heard)
            if stop - 1 in announcing:  # its details come where its packet does, however packets are batched
                self._drain(heard)
                at, slot = first + stop - 1, int(self._t.state[0]["slot"])
                head, time = heads.value[stop - 1], max(int(times[at]), slot)
                heard.details.append(self._announcements.read(head, octets.value, time, int(packets.value.frame[at])))

    def _advance(self, kind: int, instant: int) -> Heard:
        heard = Parts([], [], [])
        self._heads[0]["kind"] = kind
        self._heads[0]["defect"] = 0
        batch = PacketBatch.of([b""], [instant])
        self._track(self._head_words, Words(batch.columns), Words(batch.octets), 0, 1, heard, False)
        self._drain(heard)
        return self._heard(heard)

    def _heard(self, heard: Parts) -> Heard:
        slot = int(self._t.state[0]["slot"])
        until = 0 if slot == NEVER else slot + SLOT_NS if self._t.state[0]["ending"] else slot
        counts = self.counts
        counters = Counters(
            accepted=counts["packets"],
            refused=counts["unreadable"],
            dropped=self._dropped + counts["rows_refused"] + counts["held_refused"] + counts["opcua_displaced"],
            repeated=counts["duplicates"],  # not what a router or a relay passed on: its hardware addresses tell of that
            unopened=counts["tunnels_unread"],
        )
        return Heard(
            source=self.source,
            until=Instant(until),
            messages=Messages.concat(heard.messages),
            flows=Flows.concat(heard.flows),
            details=Details.concat(heard.details),
            counters=counters,
        )

    def _drain(self, heard: Parts) -> None:
        t = self._t
        state = t.state[0]
        if t.tally[0]["rows"]:
            part = columns(self._written, t.message_pool, t.tally, self._names())
            heard.details.append(self._bodies.read(part))
            heard.messages.append(part)
        state["names"] = 0
        state["batch"] += 1
        if closed := int(state["closed_rows"]):
            heard.flows.append(self._closed_flows(closed))
            drop_closed_rows(t.state, t.flow_rows)

    def _closed_flows(self, closed: int) -> Flows:
        """The first rows of the buffer.  They are named in parts, and laid where they stay: a second of a large plant is long."""
        t, table, start = self._t, dict[str, int](), 0
        arrays: dict[str, Any] = {name: np.empty(closed, dtype) for name, dtype in Flows.dtypes().items()}
        while start < closed:
            count = name_flow_rows(t.state, t.flow_rows, t.names, t.name_buckets, start, closed - start)
            rows = t.flow_rows[start : start + count]
            codes = np.array([table.setdefault(name, len(table)) for name in self._names()] + [UNKNOWN_CODE], np.int32)
            for name, column in arrays.items():
                told = rows[_FLOW_FIELDS.get(name, name)]
                column[start : start + count] = codes[told] if name in Flows.coded_fields() else told
            start += count
            t.state[0]["names"] = 0
            t.state[0]["batch"] += 1
        return Flows(names=tuple(table), **arrays)

    def _names(self) -> tuple[str, ...]:
        known = self._t.names[: int(self._t.state[0]["names"])]
        if len(self._spelt) > _KNOWN_NAMES:
            self._spelt.clear()
        # one word is enough for each but IPv6 addresses
        words = (known["lo"] + (known["family"].astype(np.uint64) << np.uint64(_FAMILY_SHIFT))).tolist()
        names: list[Any] = list(map(self._spelt.get, words))
        for row in np.flatnonzero(known["family"] == FAMILY_IP6).tolist():
            names[row] = self._spelt.get((int(known["hi"][row]), int(known["lo"][row])))
        if all(names):
            return tuple(names)
        unspelt = [row for row, text in enumerate(names) if text is None]
        new = known[unspelt]
        for row, family, hi, lo in zip(unspelt, new["family"].tolist(), new["hi"].tolist(), new["lo"].tolist(), strict=True):
            names[row] = self._spelt[(hi, lo) if family == FAMILY_IP6 else words[row]] = spell(family, hi, lo)
        return tuple(names)
