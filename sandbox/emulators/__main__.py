"""`python -m sandbox.emulators CONFIG.json`: the warm process of the wire tier.

Speaks the court's protocol (`sandbox.protocol`) over a unix socket, one client and one case at a time, each case in a fork of this process
that lives at most a second.  CONFIG is the court's.  What a case answers is treated as hostile: bounded, checked as the client checks a
court.  Exit status: 0 after SIGTERM, 2 when the configuration is wrong, 3 where the machine gives no network namespace: then this tier is
off, and says so.
"""

import argparse
import gc
import logging
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from sandbox import isolation, kernel, protocol
from sandbox.config import NO_NAMESPACE, CourtConfig, read
from sandbox.emulators import case
from sandbox.isolation import own_layers
from sandbox.replay import Replay
from sandbox.server import MAX_SNAPSHOTS, rehearse
from sentinel.clock import SystemClock
from sentinel.errors import ConfigError
from sentinel.model.codec import CodecError
from sentinel.model.framing import Frame, FrameKind, FrameReader, FramingError
from sentinel.model.ids import Digest
from sentinel.twin.engine import compile_model, initial
from sentinel.twin.plant import load_plant
from sentinel.twin.snapshot import Snapshot

MISCONFIGURED = 2
CASE_S = 1.0
_MAX_DYING = 2  # cases that are ended and not gone: an answer does not wait until the kernel has taken one apart
_REHEARSAL_MEMBERS = 16
_CHUNK = 65536

log = logging.getLogger("wire")


class Tier:
    def __init__(self, config: CourtConfig, replay: Replay) -> None:
        self._config, self._replay, self._clock = config, replay, SystemClock()
        self._snapshots: OrderedDict[Digest, tuple[Snapshot, Mapping[str, float]]] = OrderedDict()  # and what a client would read then
        self._dying: deque[int] = deque()

    def serve(self, connection: socket.socket) -> None:
        frames = FrameReader(protocol.MAX_REQUEST_OCTETS)
        try:
            connection.sendall(protocol.HELLO.encode())
            while octets := connection.recv(_CHUNK):
                for frame in frames.feed(octets):
                    if frame.kind is FrameKind.JUDGE:
                        connection.sendall(protocol.begun(frame.sequence).encode())
                    if answer := self._take(frame):
                        connection.sendall(answer.encode())
        except FramingError as error:
            connection.sendall(protocol.failure(0, str(error)).encode())
        except ConnectionError as error:
            log.info("a connection ended: %s", error)
        finally:
            self._bury(0)

    def _take(self, frame: Frame) -> Frame | None:
        try:
            if frame.kind is FrameKind.SNAPSHOT:
                self._keep(Snapshot.from_octets(frame.payload))
                return None
            if frame.kind is FrameKind.JUDGE:
                return self._judge(frame.sequence, protocol.request_of(frame))
        except CodecError as error:
            return protocol.failure(frame.sequence, str(error))
        return protocol.failure(frame.sequence, f"the wire tier does not take {frame.kind.name} frames")

    def _keep(self, snapshot: Snapshot) -> None:
        if objection := self._replay.objection(snapshot):
            raise CodecError(objection)
        self._snapshots[snapshot.fingerprint()] = snapshot, case.image(self._replay, snapshot)
        while len(self._snapshots) > MAX_SNAPSHOTS:
            self._snapshots.popitem(last=False)
        self._replay.without(snapshot, {})  # every fork has it then

    def _judge(self, sequence: int, request: protocol.Request) -> Frame:
        if problem := case.objection(request.command):
            return protocol.failure(sequence, problem)
        if request.snapshot not in self._snapshots:
            return protocol.failure(sequence, "the snapshot it refers to is not here")
        snapshot, values = self._snapshots[request.snapshot]
        self._bury(_MAX_DYING)
        out, into = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(out)
            self._become_case(sequence, request, case.Scene(snapshot=snapshot, values=values, replay=self._replay), into)
        os.close(into)
        self._dying.append(child)
        octets = _until_closed(out, child)
        try:
            (frame,) = FrameReader(protocol.MAX_ANSWER_OCTETS).feed(octets)
            if frame.kind is not FrameKind.VERDICT:
                return protocol.failure(sequence, protocol.problem_of(frame))
            return protocol.answer(sequence, protocol.verdict_of(frame, request, snapshot.digest))
        except (CodecError, FramingError, ValueError) as error:
            return protocol.failure(
                sequence, f"the case gave no verdict: {error}" if octets else f"the case gave nothing within {CASE_S:g} s"
            )

    def _bury(self, most: int) -> None:
        """Until no more than so many are left."""
        while len(self._dying) > most:
            os.waitpid(self._dying.popleft(), 0)

    def _become_case(self, sequence: int, request: protocol.Request, scene: case.Scene, into: int) -> NoReturn:
        try:
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            gc.disable()  # it lives a second at most: looking through what the zygote holds would copy it
            os.dup2(into, 3)
            os.closerange(4, os.sysconf("SC_OPEN_MAX"))
            began_s = self._clock.monotonic_s()
            case.own_network()
            layers, config = own_layers(str(self._config.socket.parent)), self._config
            verdict = case.hear(request, scene, config.thresholds, config.seed, self._clock.now(), layers)
            took_ms = 1000.0 * (self._clock.monotonic_s() - began_s)
            answer = protocol.answer(sequence, replace(verdict, took_ms=took_ms))
        except BaseException as error:  # noqa: BLE001 - the last frame of a process: whatever it is, say it and end
            traceback.print_exception(error)
            answer = protocol.failure(sequence, f"the case failed: {type(error).__name__}: {error}")
        octets = answer.encode()
        while octets:
            octets = octets[os.write(3, octets) :]
        os.close(3)  # before its memory is taken apart, which takes longer than many a verdict
        os._exit(0)


def _until_closed(pipe: int, child: int) -> bytes:
    """What the case says, at most one answer's worth, within its time; then it is ended, whatever it does."""
    deadline, octets = time.monotonic() + CASE_S, b""
    while len(octets) <= protocol.MAX_ANSWER_OCTETS and (left_s := deadline - time.monotonic()) > 0.0:
        if not select.select([pipe], [], [], left_s)[0]:
            octets = b""
            break
        more = os.read(pipe, _CHUNK)
        if not more:
            break
        octets += more
    os.kill(child, signal.SIGKILL)
    os.close(pipe)
    return octets


def _shut_off() -> str | None:
    """None when this process has an empty network of its own, as each case will have; or why there is none."""
    try:
        case.own_network()
    except OSError as refused:
        try:
            isolation.enter_user_namespace()
            case.own_network()
        except OSError as error:
            return f"{refused.strerror}; {error.strerror} with a user namespace"
    return None


def run(config: CourtConfig) -> int:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="wire: %(message)s")
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    replay = Replay(model=compile_model(load_plant(config.plant)), members=config.members, horizon_s=config.horizon_s)
    rehearse(replay, config)
    if problem := _shut_off():
        log.warning("there is no network namespace to be had: %s.  Wire replay is off", problem)
        return NO_NAMESPACE
    start = initial(replay.model, _REHEARSAL_MEMBERS)
    case.rehearse(case.Scene(snapshot=start, values=case.image(replay, start), replay=replay))
    gc.collect()
    gc.freeze()
    config.socket.unlink(missing_ok=True)
    mask = os.umask(0o177)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(config.socket))
        os.umask(mask)
        listening.listen(1)
        log.info("in session, model %s", replay.model.digest[:16])
        try:
            while True:
                connection, _ = listening.accept()
                with connection:
                    Tier(config, replay).serve(connection)
        finally:
            config.socket.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox.emulators", description="Plays captured octets to an emulated device.")
    parser.add_argument("config", type=Path, help="JSON: the court's configuration, with a socket of its own")
    try:
        return run(read(parser.parse_args(arguments).config))
    except ConfigError as error:
        print(f"wire: {error}", file=sys.stderr)
        return MISCONFIGURED


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())
