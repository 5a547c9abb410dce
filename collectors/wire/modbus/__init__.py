"""Modbus/TCP: octets of byte streams in, rows of `sentinel.model.observation.Messages` out (Messaging on TCP/IP V1.0b, 3.1.3)."""

from collectors.wire.modbus.decoder import Segment, StreamDecoder

__all__ = ["Segment", "StreamDecoder"]
