"""Asks the server which endpoints it has, over a channel without security: so its certificate is first heard (OPC 10000-4, 5.5.4).

Out: what the server says of itself; whether its certificate is trusted is asked after.
"""

import asyncio
import struct
from collections.abc import Callable

from collectors.gate.opcua.binary import NULL, DecodingError, Reader, response_header, service_of, string, type_id, u32
from collectors.gate.opcua.channel import Message
from collectors.gate.opcua.policies import Mode
from collectors.gate.opcua.rewriting import Endpoint, endpoints
from collectors.gate.opcua.server_side import ServerSide
from collectors.gate.opcua.transport import Agreed
from sentinel.model.opcua import SERVICES

_REQUEST, _RESPONSE = SERVICES["GetEndpoints"]


class Discovery:
    """``offered`` comes true with the endpoints, or with a ConnectionError."""

    def __init__(self, url: bytes, stamp: Callable[[], int]) -> None:
        self._url, self._stamp = url, stamp
        self._server: ServerSide | None = None
        self.offered: asyncio.Future[list[Endpoint]] = asyncio.get_running_loop().create_future()

    def reached(self, server: ServerSide) -> None:
        self._server = server

    def agreed(self, acknowledge: Agreed) -> None:
        if self._server is not None:
            self._server.open(None, Mode.NONE, None)

    def opened(self) -> None:
        header = b"\0\0" + struct.pack("<Q", self._stamp()) + u32(1) + u32(0) + NULL + u32(0) + b"\0\0\0"
        if self._server is not None:
            self._server.send(1, type_id(_REQUEST) + header + string(self._url) + NULL + NULL)

    def answered(self, message: Message) -> None:
        try:
            _, at = response_header(message.body)
            found = endpoints(Reader(message.body, at)) if service_of(message.body) == _RESPONSE else []
        except DecodingError as error:
            self.server_lost(error.status, str(error))
            return
        if not self.offered.done():
            self.offered.set_result(found)

    def server_lost(self, status: int, reason: str) -> None:
        if not self.offered.done():
            self.offered.set_exception(ConnectionError(reason))

    def regulate(self) -> None:
        """One request needs no flow control."""

    def close(self) -> None:
        self.offered.cancel()
        if self._server is not None:
            self._server.close()
