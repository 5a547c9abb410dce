"""The offline road: a capture file in, `Heard` out, the same rows that a sensor on the wire would have given."""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from collectors.capture.files import CaptureFile
from collectors.capture.packets import ETHERNET, PacketBatch
from collectors.capture.sensor import Sensor
from sentinel.errors import InputError
from sentinel.model.observation import Heard
from sentinel.model.time import NS_PER_S

BATCH_PACKETS = 65536
_PCAP_NS_HEADER = struct.Struct("<IHHiIII")
_RECORD = struct.Struct("<IIII")
_SNAP_OCTETS = 262_144


def replay(
    path: str | Path, source: str | None = None, batch_packets: int = BATCH_PACKETS, defects: list[str] | None = None
) -> Iterator[Heard]:
    """Everything that the file holds, in order; the last `Heard` closes the source.

    ``source`` is the file's name where none is given.  What was wrong with the file further on is appended to ``defects``.
    Raises InputError for what is no capture.
    """
    capture = CaptureFile(path, batch_packets)
    sensor = Sensor(source if source is not None else Path(path).name)
    for batch in capture:
        yield sensor.feed(batch)
    yield sensor.close()
    if defects is not None:
        defects.extend(capture.defects)


def to_pcap(packets: Sequence[tuple[int, int, bytes]], link: int) -> bytes:
    """(time in ns, octets on the wire, captured octets) as a pcap file with nanosecond stamps."""
    parts = [_PCAP_NS_HEADER.pack(0xA1B23C4D, 2, 4, 0, 0, _SNAP_OCTETS, link)]
    for time, wire, octets in packets:
        seconds, rest = divmod(time, NS_PER_S)
        parts += [_RECORD.pack(seconds & 0xFFFF_FFFF, rest, len(octets), max(wire, len(octets))), octets]
    return b"".join(parts)


def packets_of(batch: PacketBatch, rows: Sequence[int]) -> list[tuple[int, int, bytes]]:
    """What `to_pcap` takes, of some rows of a batch."""
    packets = []
    for row in rows:
        start = int(batch.off[row])
        packets.append((int(batch.time[row]), int(batch.wire[row]), batch.octets[start : start + int(batch.cap[row])].tobytes()))
    return packets


def excerpt(path: str | Path, frames: Sequence[int]) -> bytes:
    """A pcap of just these frames (counted from 1), in the file's order, with their times and link type.

    Frames that the file does not hold are left out; where the interfaces of a pcapng file differ, the first frame's link type rules.
    """
    wanted = np.unique(np.array(list(frames), np.int64))
    packets: list[tuple[int, int, bytes]] = []
    link = -1
    for batch in CaptureFile(path):
        rows = np.flatnonzero(np.isin(batch.frame, wanted))
        if len(rows) and link < 0:
            link = int(batch.link[rows[0]])
        packets += packets_of(batch, [int(row) for row in rows if batch.link[row] == link])
        if not len(wanted) or (len(batch) and batch.frame[-1] >= wanted[-1]):
            break
    return to_pcap(packets, link if link >= 0 else ETHERNET)


def read_frames(path: str | Path) -> tuple[int, list[bytes]]:
    """(link type, packets) of a small capture, such as an excerpt."""
    capture = CaptureFile(path)
    frames = [octets for batch in capture for _, _, octets in packets_of(batch, range(len(batch)))]
    if capture.link < 0:
        raise InputError(f"{path}: holds no packets")
    return capture.link, frames
