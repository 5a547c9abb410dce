"""Both ends of an OPC UA measurement: a node-opcua server (JavaScript, none of ours), and clients that know each answer beforehand.

The clients speak by the gate's own parts of the protocol, so that they cost little beside what is measured.  Nodes `ns=2;s=R0` to `R7` hold
what `VALUES` says; `SETPOINT` belongs to whoever writes.
"""

import contextlib
import os
import select
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from collectors.certificates import Own
from collectors.gate.opcua import opening
from collectors.gate.opcua.binary import NULL, Reader, response_header, service_of, string, type_id, u32
from collectors.gate.opcua.channel import Channel, Message, Sequence, Token
from collectors.gate.opcua.opening import ISSUE, Peer, peer_of
from collectors.gate.opcua.policies import NONCE_OCTETS, POLICIES, Keys, Mode
from collectors.gate.opcua.transport import LARGEST_BUFFER, Agreed, hello
from sentinel.errors import TransientError
from sentinel.model.opcua import SERVICES

POLICY = POLICIES["http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256"]
SETPOINT = "LIC101.SP"
VALUES = tuple(1.25 * number for number in range(8))
CONNECTIONS = 40
DENIED = 0x801F0000  # Bad_UserAccessDenied
WAIT_S = 20.0
_START_S = 60.0
_LIFETIME_MS = 3_600_000
_WRITE_EVERY = 100  # requests under load
_SERVER = """
const opcua = require("node-opcua");
const [port, pki, ...tags] = process.argv.slice(1);
(async () => {
  const trust = new opcua.OPCUACertificateManager({ rootFolder: pki, automaticallyAcceptUnknownCertificate: true });
  await trust.initialize();
  const modes = opcua.MessageSecurityMode;
  const server = new opcua.OPCUAServer({
    host: "127.0.0.1", hostname: "127.0.0.1", port: Number(port), resourcePath: "/plant", serverCertificateManager: trust,
    userCertificateManager: trust, securityModes: [modes.None, modes.Sign, modes.SignAndEncrypt], allowAnonymous: true,
    securityPolicies: [opcua.SecurityPolicy.None, opcua.SecurityPolicy.Basic256Sha256], maxConnectionsPerEndpoint: 200,
    registerServerMethod: opcua.RegisterServerMethod.HIDDEN,
    serverCapabilities: { maxSessions: 200 },
    serverInfo: { applicationUri: "urn:measure:plant", productUri: "urn:measure:plant" },
  });
  await server.initialize();
  const space = server.engine.addressSpace, plant = space.registerNamespace("urn:measure:tags");
  for (const tag of tags) {
    const [name, start] = tag.split("=");
    let value = Number(start);
    plant.addVariable({
      organizedBy: space.rootFolder.objects, nodeId: `s=${name}`, browseName: name, dataType: "Double",
      value: {
        get: () => new opcua.Variant({ dataType: opcua.DataType.Double, value }),
        set: (variant) => { value = variant.value; return opcua.StatusCodes.Good; },
      },
    });
  }
  await server.start();
  console.log("ready");
  process.on("SIGTERM", () => process.exit(0));
})();
"""


def why_not(modules: Path) -> str | None:
    """Why nothing can be measured here; None where it can."""
    if shutil.which("node") is None or not (modules / "node-opcua").is_dir():
        return f"node, or node-opcua below {modules}, is not installed"
    return None


@contextlib.contextmanager
def serving(modules: Path, directory: Path, port: int) -> Iterator[Path]:
    """A server, until the context ends; gives the file of its certificate (PEM).  Raises TransientError when it does not start."""
    tags = [f"{SETPOINT}=1.2", *(f"R{number}={value}" for number, value in enumerate(VALUES))]
    environment = {**os.environ, "NODE_PATH": str(modules.absolute()), "HOME": str(directory)}
    pki = directory / "server"
    child = subprocess.Popen(
        ["node", "-e", _SERVER, str(port), str(pki), *tags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    assert child.stdout is not None
    try:
        until = time.monotonic() + _START_S
        while child.stdout.readline() not in (b"ready\n", b"") and time.monotonic() < until:
            pass
        if child.poll() is not None:
            raise TransientError("the node-opcua server did not start")
        yield pki / "own" / "certs" / "certificate.pem"
    finally:
        child.terminate()
        try:
            child.communicate(timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()


class Speaker:
    """A client with a session, on a blocking socket.  ``own``: its certificate; ``server``: whom it expects, None without security."""

    def __init__(self, port: int, mode: Mode, own: Own, server: Peer | None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), WAIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._own, self._server, self._mode = own, server, mode
        self._policy = None if mode is Mode.NONE else POLICY
        self._held = b""
        self._requests = 1
        self._token = b"\0\0"
        self._url = f"opc.tcp://127.0.0.1:{port}/plant".encode()
        self._channel = self._open()
        self._create()

    def close(self) -> None:
        self.socket.close()

    def read(self) -> bytes:
        """The request for all of `VALUES`."""
        nodes = b"".join(_node(f"R{number}") + u32(13) + NULL + b"\0\0" + NULL for number in range(len(VALUES)))
        return self._request(SERVICES["Read"][0], struct.pack("<dI", 0.0, 3) + u32(len(VALUES)) + nodes)

    def write(self, value: float) -> bytes:
        item = _node(SETPOINT) + u32(13) + NULL + b"\x01\x0b" + struct.pack("<d", value)
        return self._request(SERVICES["Write"][0], u32(1) + item)

    def timed(self, body: bytes) -> tuple[float, Message]:
        """(milliseconds, the answer)."""
        start = time.perf_counter_ns()
        number = self.send(body)
        message = self.receive()
        took_ms = (time.perf_counter_ns() - start) / 1e6
        if message.request != number:
            raise TransientError(f"request {number} was answered as {message.request}")
        return took_ms, message

    def send(self, body: bytes) -> int:
        self._requests += 1
        self.socket.sendall(self._channel.seal(self._requests, body))
        return self._requests

    def receive(self) -> Message:
        while True:
            message, _ = self._channel.open(self._chunk())
            if message is not None:
                return message

    def waiting(self) -> list[Message]:
        """What has come, without waiting for more than there is."""
        self._held += self.socket.recv(1 << 16)
        found = []
        while len(self._held) >= 8 and len(self._held) >= (size := int.from_bytes(self._held[4:8], "little")):
            message, _ = self._channel.open(self._held[:size])
            self._held = self._held[size:]
            if message is not None:
                found.append(message)
        return found

    def _chunk(self) -> bytes:
        while len(self._held) < 8 or len(self._held) < int.from_bytes(self._held[4:8], "little"):
            octets = self.socket.recv(1 << 16)
            if not octets:
                raise TransientError("the connection was closed")
            self._held += octets
        size = int.from_bytes(self._held[4:8], "little")
        chunk, self._held = self._held[:size], self._held[size:]
        if chunk[:4] == b"ERRF":
            raise TransientError(f"the connection was refused: {chunk[8:200]!r}")
        return chunk

    def _open(self) -> Channel:
        sequence, nonce = Sequence(), os.urandom(NONCE_OCTETS) if self._policy else b""
        self.socket.sendall(hello(Agreed(LARGEST_BUFFER, LARGEST_BUFFER, 0, 0), self._url))
        self._chunk()
        body = opening.request(ISSUE, self._mode, nonce, _LIFETIME_MS, 0)
        self.socket.sendall(opening.wrap(0, sequence.next(), 1, body, self._policy, self._own, self._server))
        chunk = self._chunk()
        number, _, answer = opening.unwrap(chunk, opening.read_envelope(chunk), self._own)
        sequence.check(number)
        said = opening.read_response(answer)
        channel = Channel(said.number, self._policy, self._mode, sequence, serves=False)
        channel.sends = LARGEST_BUFFER
        mine = Keys(POLICY, said.nonce, nonce) if self._policy else None
        theirs = Keys(POLICY, nonce, said.nonce) if self._policy else None
        channel.renew(Token(said.token, mine, theirs))
        return channel

    def _create(self) -> None:
        application = string(self._own.uri.encode()) + NULL + b"\0" + u32(1) + NULL + NULL + NULL
        certificate = self._own.der if self._policy else None
        parameters = application + NULL + string(self._url) + string(b"measure") + string(bytes(32)) + string(certificate)
        made = self._must(self._request(SERVICES["CreateSession"][0], parameters + struct.pack("<dI", 3.6e6, 0)))
        made.node()
        at = made.at
        made.node()
        self._token = made.octets[at : made.at]
        made.u64()
        nonce = made.string() or b""
        signature = NULL + NULL
        if self._policy is not None and self._server is not None:
            signature = string(POLICY.signature) + string(POLICY.sign(self._own.key, self._server.der + nonce))
        self._must(self._request(SERVICES["ActivateSession"][0], signature + NULL + NULL + b"\0\0\0" + NULL + NULL))

    def _must(self, body: bytes) -> Reader:
        _, message = self.timed(body)
        result, at = response_header(message.body)
        if result:
            raise TransientError(f"service {service_of(body)} is refused with {result:#010x}")
        return Reader(message.body, at)

    def _request(self, service: int, parameters: bytes) -> bytes:
        return type_id(service) + self._token + struct.pack("<QII", 0, 1, 0) + NULL + u32(0) + b"\0\0\0" + parameters


def _node(name: str) -> bytes:
    return b"\x03\x02\x00" + string(name.encode())


def are_values(message: Message) -> bool:
    if service_of(message.body) != SERVICES["Read"][1]:
        return False
    reader = Reader(message.body, response_header(message.body)[1])
    return tuple(reader.data_value() for _ in range(reader.count())) == VALUES


def written(message: Message) -> int | None:
    """The status of the only item; None: it is no answer to a Write."""
    if service_of(message.body) != SERVICES["Write"][1]:
        return None
    reader = Reader(message.body, response_header(message.body)[1])
    return reader.u32() if reader.count() == 1 else None


def peer_in(pem: Path) -> Peer:
    return peer_of(x509.load_pem_x509_certificate(pem.read_bytes()).public_bytes(Encoding.DER))


@dataclass(slots=True)
class _Load:
    speaker: Speaker
    open: dict[int, tuple[bool, float]] = field(default_factory=dict)  # request: (is a write, when it was sent)


def load(speakers: list[Speaker], rate: float, seconds: float, value: float) -> tuple[int, int, int, list[float], list[float]]:
    """(requests, wrong answers, those of them that refuse a write, milliseconds of each read, of each write).

    Sent by the clock, whether or not the last ones were answered; one request in a hundred writes ``value``.
    """
    loads = {part.speaker.socket.fileno(): part for part in (_Load(speaker) for speaker in speakers)}
    waiting = select.poll()
    for number in loads:
        waiting.register(number, select.POLLIN)
    order = list(loads.values())
    total, wrong, refused, sent = round(rate * seconds), 0, 0, 0
    took_ms: tuple[list[float], list[float]] = ([], [])
    start = time.perf_counter()
    deadline = start + seconds + WAIT_S
    while (sent < total or any(part.open for part in order)) and time.perf_counter() < deadline:
        while sent < total and start + sent / rate <= time.perf_counter():
            part, writes = order[sent % len(order)], sent % _WRITE_EVERY == _WRITE_EVERY - 1
            body = part.speaker.write(value) if writes else part.speaker.read()
            part.open[part.speaker.send(body)] = writes, time.perf_counter()
            sent += 1
        next_ms = max(0.0, (start + sent / rate - time.perf_counter()) * 1000) if sent < total else 100.0
        for number, _ in waiting.poll(next_ms):
            part = loads[number]
            for message in part.speaker.waiting():
                writes, since = part.open.pop(message.request, (False, 0.0))
                took_ms[writes].append((time.perf_counter() - since) * 1000)
                wrong += not (written(message) == 0 if writes else since and are_values(message))
                refused += writes and written(message) == DENIED
    wrong += sum(len(part.open) for part in order) + (total - sent)
    return total, wrong, refused, *took_ms
