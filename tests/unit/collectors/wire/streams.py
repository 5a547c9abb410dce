"""Feeding a decoder in a line."""

from collectors.wire.modbus import Segment, StreamDecoder
from sentinel.model.ids import AssetId
from sentinel.model.observation import Messages
from sentinel.model.time import Instant

HMI, PLC = AssetId("10.0.0.1"), AssetId("10.0.0.2")


def segment(octets: bytes, from_client: bool = True, time: int = 0, flow: int = 0) -> Segment:
    return Segment(Instant(time), flow, HMI, PLC, 502, from_client, octets)


def decode(*parts: tuple[bool, bytes], close: bool = False) -> Messages:
    """(from_client, octets) parts, a millisecond apart."""
    decoder = StreamDecoder(2)
    segments = [segment(octets, from_client, time=at * 1_000_000) for at, (from_client, octets) in enumerate(parts)]
    messages = [decoder.decode(segments)]
    if close:
        messages.append(decoder.close(0, Instant(len(parts) * 1_000_000)))
    return Messages.concat(messages)
