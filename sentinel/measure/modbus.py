"""Both ends of a Modbus measurement: a libmodbus server (C, by ctypes), and clients on raw sockets that know each answer beforehand.

    python -m sentinel.measure.modbus PORT        serves until it is ended

Registers below `PLANT` belong to whoever writes; the others hold what `register` says, so that every read of them has one right answer.
"""

import ctypes
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass, field

from sentinel.model.modbus import SERVER_DEVICE_FAILURE

WRITE_SINGLE_REGISTER = 6  # function code
_LIBRARY = "libmodbus.so.5"
REGISTERS, PLANT = 1000, 100
CONNECTIONS = 40
WAIT_S = 10.0
_LOADED_READS = PLANT, 700  # under load: first address, how many first addresses
_WRITE_EVERY = 100  # requests under load
_EVENT_POLL_MS = 100.0


def register(address: int) -> int:
    return address * 7 % 65536


def is_installed() -> bool:
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return False
    return True


def serve(port: int) -> None:
    """The library reads, answers and writes; we only wait for its sockets.  Raises OSError without libmodbus, or with the port taken."""
    library = ctypes.CDLL(_LIBRARY)
    for name in ("modbus_new_tcp", "modbus_mapping_new"):
        getattr(library, name).restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.modbus_new_tcp(b"127.0.0.1", port))
    mapping = ctypes.c_void_p(library.modbus_mapping_new(16, 16, REGISTERS, REGISTERS))
    # modbus_mapping_t of 3.1: eight ints, then the tables of bits, input bits, input registers, registers
    tables = ctypes.cast(ctypes.c_void_p((mapping.value or 0) + 32), ctypes.POINTER(ctypes.POINTER(ctypes.c_uint16)))
    for address in range(REGISTERS):
        tables[3][address] = register(address)
    listening = library.modbus_tcp_listen(context, 64)
    if listening < 0:
        raise OSError(f"libmodbus cannot listen on port {port}")
    accepting = socket.socket(fileno=listening)
    waiting = select.epoll()
    waiting.register(listening, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    request = ctypes.create_string_buffer(260)
    while True:
        for number, _ in waiting.poll():
            if number == listening:
                client, _ = accepting.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[client.fileno()] = client
                waiting.register(client.fileno(), select.EPOLLIN)
                continue
            library.modbus_set_socket(context, number)
            size = library.modbus_receive(context, request)
            if size > 0:
                library.modbus_reply(context, request, size, mapping)
            elif size < 0:
                waiting.unregister(number)
                clients.pop(number).close()


def connect(port: int) -> socket.socket:
    """Waits for the other process to listen."""
    until = time.monotonic() + WAIT_S
    while True:
        try:
            connection = socket.create_connection(("127.0.0.1", port), WAIT_S)
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection


def read_request(transaction: int, address: int, count: int) -> bytes:
    return struct.pack(">HHHBBHH", transaction, 0, 6, 1, 3, address, count)


def expected_answer(transaction: int, address: int, count: int) -> bytes:
    values = (register(at) for at in range(address, address + count))
    return struct.pack(f">HHHBBB{count}H", transaction, 0, 3 + 2 * count, 1, 3, 2 * count, *values)


def write_request(transaction: int, address: int, value: int) -> bytes:
    return struct.pack(">HHHBBHH", transaction, 0, 6, 1, WRITE_SINGLE_REGISTER, address, value)


def is_write(unit: bytes) -> bool:
    return unit[7] == WRITE_SINGLE_REGISTER


def refusal(request: bytes, code: int) -> bytes:
    return request[:4] + b"\0\3" + bytes((request[6], request[7] | 0x80, code))


def first_unit(octets: bytes) -> bytes:
    """The answer that ``octets`` begin with; nothing while it is not whole."""
    size = 6 + int.from_bytes(octets[4:6], "big")
    return octets[:size] if 6 <= len(octets) >= size else b""


def exchange(connection: socket.socket, request: bytes) -> tuple[bytes, float]:
    """(answer, milliseconds until its first octets were there)."""
    start = time.perf_counter_ns()
    connection.sendall(request)
    got = connection.recv(512)
    took_ms = (time.perf_counter_ns() - start) / 1e6
    while not (answer := first_unit(got)):
        got += connection.recv(512)
    return answer, took_ms


@dataclass(slots=True)
class _Load:
    """Requests on their way over one connection, oldest first."""

    connection: socket.socket
    open: list[tuple[bytes, float]] = field(default_factory=list)  # the answer it must be, when it was sent
    received: bytes = b""


def _request(number: int, written: int) -> tuple[bytes, bytes]:
    """(request, the answer it must get)."""
    if number % _WRITE_EVERY == _WRITE_EVERY - 1:
        request = write_request(number % 65536, 0, written)
        return request, request
    first, span = _LOADED_READS
    asked = number % 65536, first + number * 13 % span, 1 + number % 125
    return read_request(*asked), expected_answer(*asked)


def load(port: int, rate: float, seconds: float, written: int) -> tuple[int, int, int, list[float]]:
    """(requests, wrong answers, among these the writes that were refused, milliseconds each): sent by the clock, whether or not the last
    ones were answered.

    One request in a hundred writes ``written`` to register 0.
    """
    loads = {part.connection.fileno(): part for part in (_Load(connect(port)) for _ in range(CONNECTIONS))}
    waiting = select.poll()
    for number in loads:
        waiting.register(number, select.POLLIN)
    order = list(loads.values())
    total, wrong, refused, sent = round(rate * seconds), 0, 0, 0
    took_ms: list[float] = []
    start = time.perf_counter()
    deadline = start + seconds + WAIT_S
    while sent < total or any(part.open for part in order):
        now = time.perf_counter()
        if now > deadline:
            break
        while sent < total and start + sent / rate <= now:
            part = order[sent % CONNECTIONS]
            request, answer = _request(sent, written)
            part.connection.sendall(request)
            part.open.append((answer, time.perf_counter()))
            sent += 1
        next_ms = max(0.0, (start + sent / rate - time.perf_counter()) * 1000) if sent < total else _EVENT_POLL_MS
        for number, _ in waiting.poll(next_ms):
            part = loads[number]
            part.received += part.connection.recv(65536)
            while part.open and (got := first_unit(part.received)):
                answer, since = part.open.pop(0)
                took_ms.append((time.perf_counter() - since) * 1000)
                wrong += got != answer
                refused += is_write(answer) and got == refusal(answer, SERVER_DEVICE_FAILURE)
                part.received = part.received[len(got) :]
    wrong += sum(len(part.open) for part in order) + (total - sent)
    for part in order:
        part.connection.close()
    return total, wrong, refused, took_ms


if __name__ == "__main__":
    serve(int(sys.argv[1]))
