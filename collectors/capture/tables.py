"""Record layouts, limits and memory of the capture kernels.

Every table has a limit here and a counter in `STATE`.  Addresses are 128 bits (two words) with a family; a hardware address has its
48 bits in the low word.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from collectors.wire.modbus.layout import CARRY_OCTETS, GARBAGE_OCTETS, LEAST_FRAME_OCTETS, OUT, SCRATCH_OCTETS, zeros
from collectors.wire.modbus.layout import State as ModbusState
from collectors.wire.opcua.layout import KEPT_OCTETS as OPCUA_OCTETS
from collectors.wire.opcua.layout import State as OpcuaState
from sentinel.model.observation import SLOT_NS
from sentinel.model.time import NS_PER_MS

Records = NDArray[Any]

BATCH_PACKETS = 4096  # decoded at once: the header records stay in the second-level cache
MAX_FLOWS = 1 << 17  # conversations known at once
OPCUA_FLOWS = 1024  # of them, decoded as OPC UA at once: a further one takes the place of one that is silent
BUCKETS = MAX_FLOWS * 2
KEY_WORDS = 16  # of the secret that the hashes are keyed with
HISTORY_OCTETS = 512  # of a stream's past, per direction, to compare repeated octets with
HISTORIES = 1 << 16  # streams whose past is kept; of more the newest, and what an older one repeats is compared with what it sent since
HELD_BLOCKS = 4096  # segments that wait for an earlier one, over all streams
HELD_OCTETS = 2048  # of one of them; a longer segment takes several
HELD_PER_STREAM = 32
HOLD_NS = SLOT_NS  # after this packet time a hole is given up
MIRROR_NS = (
    5 * NS_PER_MS
)  # copies of a packet follow it within; no sender sends again that soon (RFC 6298, 2.4: after a second; Linux 0.2 s)
RECENT_PACKETS = 4096  # remembered for their copies, 0.8 million packets/s for MIRROR_NS; each until two others take its place
WINDOW_OCTETS = 1 << 20  # a sequence number further away than this is a new start, not a hole
MAX_SLOT_ROWS = 2 * MAX_FLOWS  # flow rows of one slot
CLOSED_ROWS = 1 << 13  # of slots that are over: of more, none waits for the end of its batch
FLOW_ROWS = MAX_SLOT_ROWS + 2 * CLOSED_ROWS  # of several slots, until they are handed over
MAX_MAC_PAIRS = 8  # per flow direction and slot; later ones are counted with the last
MESSAGE_POOL = 2 << 20
# What one packet can complete at most: its own octets, those that waited on either side, and of each piece a frame that is reported as cut.
PIECES_PER_PACKET = 2 * HELD_PER_STREAM + 2
OCTETS_PER_PACKET = SCRATCH_OCTETS + 2 * (HELD_PER_STREAM * HELD_OCTETS + CARRY_OCTETS)
ROWS_PER_PACKET = 2 * (OCTETS_PER_PACKET // (LEAST_FRAME_OCTETS + 1) + 1) + 2 * PIECES_PER_PACKET
POOL_PER_PACKET = 2 * OCTETS_PER_PACKET + GARBAGE_OCTETS * PIECES_PER_PACKET + 4 * OPCUA_OCTETS  # two directions, of two connections
NAME_BITS = 18
NAMES_PER_ROW = 4  # two addresses, two hardware addresses
NAMES_PER_PACKET = NAMES_PER_ROW * PIECES_PER_PACKET
NAMES = 130_000  # of a batch; where the rows of a slot have more, they come in parts, whose joining costs memory
NAME_BUCKETS = 1 << NAME_BITS
MAX_VLAN_TAGS = 4
MAX_EXTENSION_HEADERS = 8
EVICTION_SAMPLE = 8
BUCKET_AHEAD, FLOW_AHEAD, ROW_AHEAD = 24, 16, 8  # packets before theirs, at which each part of their conversation is asked for

TCP_IDLE_S, TCP_OPENING_S, TCP_CLOSED_S, OTHER_IDLE_S = 600, 20, 10, 120
WHEEL_SECONDS = 64
WHEEL_STEP_S = 16  # every conversation is looked at this often

NO_MAC = np.uint64(1 << 63)
FAMILY_MAC, FAMILY_IP4, FAMILY_IP6 = 1, 4, 6
UNREADABLE, TICK, END = 255, 254, 253  # besides FlowKind, in `HEAD.kind`
NEVER = -(1 << 62)

# One packet, decoded down to the transport layer.
HEAD = np.dtype(
    [
        ("source_hi", "u8"),
        ("source_lo", "u8"),
        ("target_hi", "u8"),
        ("target_lo", "u8"),
        ("source_mac", "u8"),
        ("target_mac", "u8"),
        ("hash", "u8"),  # of the conversation
        ("likeness", "u8"),  # equal for copies of one packet (`copies`); 0 = it has none
        ("seq", "i8"),
        ("ack", "i8"),
        ("payload", "i8"),  # offset in the octets
        ("payload_cap", "i4"),  # captured
        ("payload_wire", "i4"),  # sent
        ("source_port", "i4"),
        ("target_port", "i4"),
        ("proto", "i4"),  # Ethernet type or IP protocol, else -1
        ("flags", "i4"),
        ("kind", "u1"),
        ("family", "u1"),
        ("defect", "u1"),
        ("side", "u1"),  # which side of the conversation sends: 0 = a, the one with the smaller (address, port)
        ("flow", "i4"),  # what was found in its first bucket a few packets before: mostly its conversation's index, + 1
    ],
    align=True,
)

# A conversation.  Side a has the smaller (address, port).  Two cache lines; what every packet is compared with lies in the first.
FLOW = np.dtype(
    [
        ("hash", "u8"),
        ("a_lo", "u8"),
        ("b_lo", "u8"),
        ("a_hi", "u8"),
        ("b_hi", "u8"),
        ("a_port", "i4"),
        ("b_port", "i4"),
        ("last", "i8"),
        ("proto", "i4"),
        ("kind", "u1"),
        ("family", "u1"),
        ("client", "u1"),  # 0 = side a opened it, 1 = side b
        ("protocol", "u1"),
        ("number", "i8"),
        ("names_of", "i8"),  # the batch in which the two codes below are valid
        ("client_code", "i4"),
        ("server_code", "i4"),
        ("wheel_next", "i4"),
        ("probes", "i4"),  # payloads in which a protocol was looked for
        ("used", "u1"),
        ("closed", "u1"),
        ("answered", "u1"),  # both sides were heard
        ("opcua", "i2"),  # its place in the OPC UA tables, from 1; 0 = none yet, -1 = another one took it
        ("lined", "i8"),  # when it was last heard before it took its place in the line of those that may be forgotten
        ("ended", "i8"),  # the frame that ended it
        ("line_next", "i4"),  # who stands behind it, + 1; 0 = nobody
        ("in_line", "u1"),
        ("line_end", "u1", 3),
    ],
    align=True,
)

# One direction of a conversation.
SIDE = np.dtype(
    [
        ("next", "i8"),  # sequence number of the next octet that is expected
        ("isn", "i8"),  # of the SYN; -1 = not heard
        ("row", "i8"),  # ordinal of the flow row of this slot that was written last
        ("past", "i8"),  # octets delivered since the last gap
        ("written", "u4"),  # octets delivered in all: where the history goes on
        ("acked", "u4"),  # up to which the other side says it has received
        ("left", "u4"),  # where the hole begins that was given up last
        ("anew", "u4"),  # of a SYN that nobody has confirmed, within a conversation that goes on: the octet behind it
        ("held", "i4"),  # first block that waits, + 1
        ("history", "i4"),  # its row there, + 1; 0 = it had none yet
        ("held_count", "u1"),
        ("synced", "u1"),
        ("fin", "u1"),
        ("has_acked", "u1"),
        ("opened", "u1"),  # the application's stream was begun
        ("has_left", "u1"),
        ("has_anew", "u1"),
    ],
    align=True,
)

# A part of a segment that waits for an earlier one.
HELD = np.dtype(
    [
        ("seq", "i8"),
        ("time", "i8"),
        ("frame", "i8"),
        ("source_mac", "u8"),
        ("target_mac", "u8"),
        ("size", "i4"),  # captured
        ("cut", "i4"),  # octets behind it that were not captured
        ("next", "i4"),
    ],
    align=True,
)

# A packet that was heard a moment ago.
RECENT = np.dtype(
    [
        ("likeness", "u8"),
        ("path", "u8"),  # both its hardware addresses
        ("time", "i8"),
        ("line_end", "u1", 8),
    ],
    align=True,
)

# A flow row, before its addresses are named.  What every packet changes lies in the first cache line.
FLOW_ROW = np.dtype(
    [
        ("last", "i8"),
        ("octets", "i8"),
        ("packets", "i4"),
        ("port", "i4"),
        ("source_mac", "u8"),
        ("target_mac", "u8"),
        ("names_of", "i8"),  # the batch in which the two codes below are valid
        ("source_mac_code", "i4"),
        ("target_mac_code", "i4"),
        ("tcp_flags", "u1"),
        ("protocol", "u1"),
        ("defect", "u1"),
        ("family", "u1"),
        ("kind", "u1"),
        ("from_client", "u1"),
        ("time", "i8"),
        ("frame", "i8"),
        ("source_hi", "u8"),
        ("source_lo", "u8"),
        ("target_hi", "u8"),
        ("target_lo", "u8"),
        ("source", "i4"),
        ("target", "i4"),
        ("before", "i8"),  # the row of the same direction and slot with other hardware addresses; -1 = none
    ],
    align=True,
)

NAME = np.dtype([("hi", "u8"), ("lo", "u8"), ("family", "i4")], align=True)

COUNTERS = (
    "packets",  # understood
    "unreadable",  # not understood: link type, or too short for its own headers
    "duplicates",  # copies of a packet under the same hardware addresses: a mirror port that sees it twice; they are in no row
    "duplicates_redundant",  # copies that a network sends on purpose, along two paths
    "duplicates_relayed",  # copies under others: it was mirrored before and behind a router, or somebody relays it
    "retransmissions",  # TCP segments that their sender sent again
    "fragments",  # parts of IP packets, but for those that completed theirs
    "clock_steps_back",
    "flows_evicted",
    "openings_doubted",  # SYNs within a conversation that goes on, which nobody confirmed
    "endings_doubted",  # FINs and RSTs beside the octet that was expected
    "rows_refused",  # packets that found no flow row, because MAX_SLOT_ROWS was reached
    "mac_pairs_folded",
    "held_refused",  # segments that found no place to wait
    "opcua_displaced",  # conversations in OPC UA that lost their place in the tables to others, and are read anew when they go on
    "gaps",
    "contradictions",
    "octets_unchecked",  # repeated octets too old to be compared
)
STATE = np.dtype(
    [
        ("slot", "i8"),  # start of the open slot; NEVER = no packet yet
        ("last", "i8"),
        ("swept", "i8"),  # second up to which idle conversations were looked for
        ("row_base", "i8"),  # ordinal of the first row in the buffer
        ("rows", "i8"),  # in the buffer
        ("closed_rows", "i8"),  # of them: slot over, to be handed over
        ("flow_number", "i8"),
        ("batch", "i8"),
        ("names", "i8"),
        ("free_flows", "i8"),
        ("eviction_at", "i8"),
        ("line_first", "i8"),  # of those that may be forgotten, + 1; 0 = nobody
        ("line_last", "i8"),
        ("displaced_at", "i8"),
        ("history_at", "i8"),  # the row that is given away next
        ("ending", "i8"),
        ("sweep_steps", "i8"),
        ("seed", "u8"),
        ("free_held", "i4"),
        ("sweeping", "i4"),
        ("is_swept", "i4"),  # for the open slot
        *((name, "i8") for name in COUNTERS),
    ],
    align=True,
)


class Tables(NamedTuple):
    """Everything that a sensor remembers between batches, as kernels see it."""

    state: Records
    flows: Records
    sides: Records
    buckets: Records
    free: Records
    wheel: Records
    history: Records
    history_owners: Records  # of each row: its side, from 1; 0 = free
    held: Records
    held_octets: Records
    recent: Records
    flow_rows: Records
    names: Records
    name_buckets: Records  # of each: the batch in which it was taken, shifted by NAME_BITS, and the name's code
    messages: Records
    message_pool: Records
    streams: Records
    carry: Records
    pending: Records
    scratch: Records
    tally: Records
    source: Records
    opcua_owners: Records  # of each place: the conversation's index, from 1; 0 = free
    opcua_streams: Records
    opcua_carry: Records
    opcua_long: Records
    opcua_long_owners: Records
    opcua_pending: Records


def make_tables(seed: int) -> Tables:
    """An idle sensor costs little: see `zeros`."""
    modbus, opcua = ModbusState(MAX_FLOWS), OpcuaState(OPCUA_FLOWS)
    state = np.zeros(1, STATE)
    state["slot"] = state["last"] = state["swept"] = NEVER
    state["seed"] = seed
    state["batch"] = 1
    state["free_flows"] = MAX_FLOWS
    state["free_held"] = state["is_swept"] = 1
    held = np.zeros(HELD_BLOCKS, HELD)
    held["next"][:-1] = np.arange(2, HELD_BLOCKS + 1)
    return Tables(
        state=state,
        flows=zeros(MAX_FLOWS, FLOW),
        sides=zeros(2 * MAX_FLOWS, SIDE),
        buckets=np.zeros(BUCKETS, np.int32),
        free=np.arange(MAX_FLOWS - 1, -1, -1, dtype=np.int32),
        wheel=np.zeros(WHEEL_SECONDS, np.int32),
        history=zeros(HISTORIES * HISTORY_OCTETS, np.dtype("u1")).reshape(HISTORIES, HISTORY_OCTETS),
        history_owners=np.zeros(HISTORIES, np.int32),
        held=held,
        held_octets=zeros(HELD_BLOCKS * HELD_OCTETS, np.dtype("u1")),
        recent=zeros(RECENT_PACKETS, RECENT),
        flow_rows=zeros(FLOW_ROWS, FLOW_ROW),
        names=zeros(NAMES, NAME),
        name_buckets=zeros(NAME_BUCKETS, np.dtype("i8")),
        messages=zeros(1, OUT),
        message_pool=zeros(MESSAGE_POOL, np.dtype("u1")),
        streams=modbus.streams,
        carry=modbus.carry,
        pending=modbus.pending,
        scratch=modbus.scratch,
        tally=modbus.tally,
        source=modbus.source,
        opcua_owners=np.zeros(OPCUA_FLOWS, np.int32),
        opcua_streams=opcua.streams,
        opcua_carry=opcua.carry,
        opcua_long=opcua.long,
        opcua_long_owners=opcua.long_owners,
        opcua_pending=opcua.pending,
    )
