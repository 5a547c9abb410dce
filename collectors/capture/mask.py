"""Passwords in clear text are masked in an excerpt: evidence shows that one was sent, by whom and how long it was, never what it was.

Known is the UserNameIdentityToken of OPC UA without encryption (OPC 10000-4, 7.41.3), wherever it begins within a frame.  What of it goes
on in further segments, and every repetition, is found by its place in the TCP stream.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from collectors.capture.decode import decode
from collectors.capture.flows import hash_keys
from collectors.capture.packets import PacketBatch
from collectors.capture.pcapng import Packet
from collectors.capture.tables import HEAD
from collectors.compiled import Words
from sentinel.model.protocol import FlowKind

_TOKEN = b"\x01\x00\x44\x01\x01"  # node id 324 of namespace 0 in four octets, a body of octets (OPC 10000-6, 5.2.2.9, 5.2.2.15)
_LENGTH = struct.Struct("<i")
_MASK = b"*"
_STREAM = ("source_hi", "source_lo", "target_hi", "target_lo", "source_port", "target_port")
_SEQUENCES = 1 << 32


def masked(packets: Sequence[Packet]) -> list[Packet]:
    """The same packets; where a password was, asterisks, and a note of how many."""
    if not packets:
        return []
    heads = np.zeros(len(packets), HEAD)
    batch = PacketBatch.of([packet.octets for packet in packets], [packet.time for packet in packets])
    batch.link[:] = [packet.interface[1] for packet in packets]
    decode(Words(heads), Words(batch.columns), 0, len(packets), Words(hash_keys(0)))
    is_tcp = heads["kind"] == FlowKind.TCP
    starts = (heads["payload"] - batch.off).tolist()
    streams = [tuple(int(head[name]) for name in _STREAM) for head in heads]
    secrets: dict[tuple[int, ...], list[tuple[int, int]]] = {}  # by stream: sequence number and length
    for row, packet in enumerate(packets):
        for start, length in passwords(packet.octets):
            if is_tcp[row]:
                sequence = (int(heads["seq"][row]) + start - starts[row]) % _SEQUENCES
                secrets.setdefault(streams[row], []).append((sequence, length))
            else:
                secrets.setdefault((row,), []).append((start, length))
    result = []
    for row, packet in enumerate(packets):
        octets, count = bytearray(packet.octets), 0
        for sequence, length in secrets.get(streams[row], ()) if is_tcp[row] else ():
            at = (sequence - int(heads["seq"][row]) + _SEQUENCES // 2) % _SEQUENCES - _SEQUENCES // 2 + starts[row]
            count += _blot(octets, max(at, starts[row]), at + length)
        for start, length in secrets.get((row,), ()):
            count += _blot(octets, start, start + length)
        result.append(replace(packet, octets=bytes(octets), note=f"{count} octets of a password are masked") if count else packet)
    return result


def passwords(octets: bytes) -> Iterator[tuple[int, int]]:
    """(place, length) of each that begins in these octets and is not encrypted, as far as they tell."""
    at = octets.find(_TOKEN)
    while at >= 0:
        found = _password(octets, at + len(_TOKEN))
        if found is not None:
            yield found
        at = octets.find(_TOKEN, at + 1)


def _password(octets: bytes, at: int) -> tuple[int, int] | None:
    """Behind the body's length: policy id, user name, password, name of the encryption."""
    at += 4
    for _ in ("policy id", "user name"):
        if at + 4 > len(octets):
            return None
        at += 4 + max(0, _LENGTH.unpack_from(octets, at)[0])
    if at + 4 > len(octets):
        return None
    length = _LENGTH.unpack_from(octets, at)[0]
    if length <= 0:
        return None
    behind = at + 4 + length
    is_encrypted = behind + 4 <= len(octets) and _LENGTH.unpack_from(octets, behind)[0] > 0
    return None if is_encrypted else (at + 4, length)


def _blot(octets: bytearray, start: int, end: int) -> int:
    start, end = max(0, start), min(end, len(octets))
    if end <= start:
        return 0
    octets[start:end] = _MASK * (end - start)
    return end - start
