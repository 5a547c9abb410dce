"""What passed the OPC UA gate, decoded for the observer: one `ConnectionDecoder` per connection."""

from collections.abc import Iterable

from collectors.wire.modbus.decoder import Segment
from collectors.wire.opcua.decoder import ConnectionDecoder
from sentinel.model.observation import Messages
from sentinel.model.time import Instant


class ConnectionDecoders:
    """The caller limits its connections and closes them here."""

    def __init__(self) -> None:
        self._decoders: dict[int, ConnectionDecoder] = {}

    def decode(self, segments: Iterable[Segment]) -> Messages:
        return Messages.concat([self._of(segment.flow).decode([segment]) for segment in segments])

    def close(self, flow: int, time: Instant) -> Messages:
        decoder = self._decoders.pop(flow, None)
        return decoder.close(time) if decoder is not None else Messages.empty()

    def _of(self, flow: int) -> ConnectionDecoder:
        if flow not in self._decoders:
            self._decoders[flow] = ConnectionDecoder()
        return self._decoders[flow]
