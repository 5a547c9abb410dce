"""Every attack of `tests.attack_traffic` over real connections, each from an address of its own.

    python -m tests.e2e.programs.attacker MODBUS_HOST:PORT OPCUA_HOST:PORT PREFIX FIRST

The source of the n-th attack, Modbus before OPC UA, is PREFIX.(FIRST + n); its machine has these addresses.  Those by Modbus go at once,
those by OPC UA one after the other.  Says `NAME from SOURCE: N answers`; what the server makes of an attack is its own matter: it may end
the connection.
"""

import contextlib
import os
import select
import socket
import struct
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from sentinel.model.opcua import SERVICES
from tests.attack_traffic import CALDERA_MODBUS, HEAD, OPCUA, Ability, Class, issuers_turn
from tests.unit.collectors.gate.opcua.stage import NO_SESSION, hello, opening, text
from tests.unit.collectors.wire.test_opcua import named

Address = tuple[str, int]
WAIT_S = 10.0
_EPOCH_TICKS = 116_444_736_000_000_000


class Connection:
    def __init__(self, source: str, target: Address) -> None:
        self._socket = socket.create_connection(target, WAIT_S, (source, 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers = 0

    def send(self, octets: bytes) -> None:
        self._socket.sendall(octets)

    def adu(self) -> bytes:
        """Of Modbus/TCP."""
        head = self._exactly(6)
        return self._counted(head, int.from_bytes(head[4:], "big"))

    def chunk(self) -> bytes:
        """Of OPC UA."""
        head = self._exactly(8)
        return self._counted(head, int.from_bytes(head[4:], "little") - len(head))

    def _counted(self, head: bytes, more: int) -> bytes:
        whole = head + self._exactly(more)
        self.answers += 1
        return whole

    def _exactly(self, count: int) -> bytes:
        octets = b""
        while len(octets) < count:
            part = self._socket.recv(count - len(octets))
            if not part:
                raise ConnectionError("the server has ended the connection")
            octets += part
        return octets

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
        self._socket.close()


class Session:
    """An OPC UA client whose security is None: `tests.attack_traffic.Asking` against a real server."""

    def __init__(self, source: str, target: Address) -> None:
        self.connection = Connection(source, target)
        self._url = f"opc.tcp://{target[0]}:{target[1]}/plant".encode()
        self._token = NO_SESSION
        self._sequence = 1
        self.connection.send(hello(self._url))
        self.connection.chunk()
        self.connection.send(opening())
        opened = self.connection.chunk()
        at = 12 + 4 + struct.unpack_from("<i", opened, 12)[0] + 8 + 8 + 4 + 24 + 4
        self._channel = opened[at : at + 8]

    def create(self) -> None:
        application = text(b"urn:attacker") + text(None) + b"\0" + struct.pack("<I", 1) + text(None) * 2 + struct.pack("<i", -1)
        wanted = application + text(None) + text(self._url) + text(b"a") + text(os.urandom(32)) + text(None) + struct.pack("<dI", 6e4, 0)
        made = self._answer(self._send("CreateSession", HEAD + wanted))
        if struct.unpack_from("<I", made, 28 + 12)[0]:
            raise ConnectionError("the server gives no session")
        start = 28 + 24
        self._token = made[_behind_node(made, start) : _behind_node(made, _behind_node(made, start))]

    def activate(self) -> None:
        self._answer(self._send("ActivateSession", HEAD + text(None) * 2 + struct.pack("<ii", -1, -1) + b"\0\0\0" + text(None) * 2))

    def ask(
        self,
        service: str,
        at_s: float,
        body: bytes = bytes(40),
        *,
        answered: bool = True,
        parts: int = 1,
        ends: bool = True,
        off_s: float = 0.0,
    ) -> None:
        """``at_s`` is now."""
        number = self._send(service, body, parts=parts, ends=ends, off_s=off_s)
        if answered and ends:
            self._answer(number)

    def _send(self, service: str, body: bytes, *, parts: int = 1, ends: bool = True, off_s: float = 0.0) -> int:
        ticks = round((time.time() + off_s) * 1e7) + _EPOCH_TICKS
        whole = named(SERVICES[service][0]) + self._token + struct.pack("<q", ticks) + body
        number, size = self._sequence + 1, -(-len(whole) // parts)
        for part in range(parts):
            self._sequence += 1
            final = b"F" if ends and part == parts - 1 else b"C"
            octets = self._channel + struct.pack("<II", self._sequence, number) + whole[part * size : (part + 1) * size]
            self.connection.send(b"MSG" + final + struct.pack("<I", 8 + len(octets)) + octets)
        return number

    def _answer(self, number: int) -> bytes:
        while True:
            chunk = self.connection.chunk()
            if chunk[:3] == b"ERR":
                raise ConnectionError("the server has had enough")
            if struct.unpack_from("<I", chunk, 20)[0] == number:
                return chunk


def _behind_node(octets: bytes, at: int) -> int:
    sizes = {0: 2, 1: 4, 2: 7, 4: 19}
    return at + sizes.get(octets[at], 7 + (struct.unpack_from("<i", octets, at + 3)[0] if octets[at] in (3, 5) else 0))


def modbus(source: str, target: Address, ability: Ability) -> int:
    connection = Connection(source, target)
    with contextlib.closing(connection):
        for number, (question, _) in enumerate(ability.pdus):
            if number:
                select.select([], [], [], ability.wait_s)  # the attack's own pace
            connection.send(struct.pack(">HHHB", number, 0, 1 + len(question), 1) + question)
            connection.adu()
    return connection.answers


def opcua(source: str, target: Address, attack: Class) -> int:
    with contextlib.ExitStack() as stage:
        sessions: list[Session] = []
        if not attack.channels and attack.act is None:
            connection = Connection(source, target)
            stage.callback(connection.close)
            connection.send(hello())
            connection.chunk()
            connection.send(issuers_turn())
            return connection.answers
        for _ in range(attack.channels or 1):
            session = Session(source, target)
            stage.callback(session.connection.close)
            sessions.append(session)
            with contextlib.suppress(ConnectionError):
                _in(session, attack)
        return sum(session.connection.answers for session in sessions)


def _in(session: Session, attack: Class) -> None:
    if attack.act is not None:
        session.create()
        session.activate()
        attack.act(session)
        return
    for service, body in attack.services:
        if service == "CreateSession":
            session.create()
        elif service == "ActivateSession":
            session.activate()
        else:
            session.ask(service, 0.0, body)


def main(modbus_at: str, opcua_at: str, prefix: str, first: str) -> int:
    (plc, opc), sources = map(_address, (modbus_at, opcua_at)), sources_of(prefix, int(first))
    with ThreadPoolExecutor(len(CALDERA_MODBUS)) as threads:
        begun = {name: threads.submit(modbus, sources[name], plc, ability) for name, ability in CALDERA_MODBUS.items()}
        for name, attack in OPCUA.items():
            print(f"{name} from {sources[name]}: {opcua(sources[name], opc, attack)} answers", flush=True)
        for name, done in begun.items():
            print(f"{name} from {sources[name]}: {done.result()} answers", flush=True)
    print("done", flush=True)
    return 0


def _address(endpoint: str) -> Address:
    host, _, port = endpoint.rpartition(":")
    return host, int(port)


def sources_of(prefix: str, first: int) -> dict[str, str]:
    """Each attack's source."""
    return {name: f"{prefix}.{first + place}" for place, name in enumerate((*CALDERA_MODBUS, *OPCUA))}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
