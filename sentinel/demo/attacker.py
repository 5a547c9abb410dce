"""The attacker as a process: `python -m sentinel.demo.attacker CONFIG.json [--case NAME]`.

In: an `AttackConfig` as JSON.  Out: one of the `CASES` over raw Modbus/TCP, bounded in requests and in time, then reads and the case's last
write again and again until it is cut or its time is over.  On stdout a line for each request with what came back, {"event": "cut"} with the
instant at which answers stopped, and {"event": "summary"}.

It attacks nothing but the demo: a target is on loopback, or a private address reached from inside the network namespace that the
configuration names.  Anything else is refused before a socket exists.
"""

import argparse
import ipaddress
import os
import select
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

from sentinel.clock import Clock, SystemClock
from sentinel.demo.attacks import CASES, Shot, read
from sentinel.demo.lines import endpoint, fail, read_config, say
from sentinel.demo.wiring import PLANT_FILE, Interface, read_interface
from sentinel.errors import ConfigError, SentinelError
from sentinel.model.modbus import MAX_ADU_OCTETS, MBAP_OCTETS, operation
from sentinel.model.time import NS_PER_S

MAX_REQUESTS = 2_000
MAX_SECONDS = 900.0
_CUT_REQUESTS, _CUT_S = 3, 1.5  # so many requests in a row without an answer, for so long: a restarting server is back before that
_RETRY_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackConfig:
    case: str = "setpoint"
    target: str = "127.0.0.2:1502"
    source: str = "127.0.0.66"
    namespace: str = ""  # the network namespace that it must be in; without it only loopback
    plant: str = str(PLANT_FILE)
    pause_ms: float = 400.0  # between the writes of a case
    insist_ms: float = 500.0  # between requests after them
    timeout_ms: float = 1000.0
    limit_s: float = 60.0
    limit_requests: int = 500

    def __post_init__(self) -> None:
        if self.case not in CASES:
            raise ConfigError("case", f"{self.case!r} is not one of {', '.join(CASES)}")
        if not 0 < self.limit_s <= MAX_SECONDS or not 0 < self.limit_requests <= MAX_REQUESTS:
            raise ConfigError("limit_s, limit_requests", f"are bounded by {MAX_SECONDS:g} s and {MAX_REQUESTS} requests")
        if not 10 <= self.timeout_ms <= 10_000 or self.pause_ms < 0 or self.insist_ms < 10:
            raise ConfigError("timeout_ms, pause_ms, insist_ms", "are out of their bounds (10 to 10000, 0 or more, 10 or more)")
        permit(self.target, self.source, self.namespace)


def permit(target: str, source: str, namespace: str) -> None:
    """Raises ConfigError unless the target is ours to attack: loopback, or private and this process inside ``namespace``."""
    address = ipaddress.IPv4Address(endpoint("target", target)[0])
    try:
        own = ipaddress.IPv4Address(source)
    except ValueError as error:
        raise ConfigError("source", f"{source!r} is not an IPv4 address") from error
    if address.is_loopback and own.is_loopback:
        return
    if not namespace:
        raise ConfigError("target", f"{address} is not on loopback, and no namespace is named: refused")
    if not address.is_private or address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        raise ConfigError("target", f"{address} is not a private address: refused")
    if "/" in namespace or namespace in (".", ".."):
        raise ConfigError("namespace", f"{namespace!r} is not a name")
    try:
        inside = os.stat("/proc/self/ns/net").st_ino == os.stat(f"/run/netns/{namespace}").st_ino
    except OSError as error:
        raise ConfigError("namespace", f"{namespace!r} cannot be found: {error.strerror}") from error
    if not inside:
        raise ConfigError("namespace", f"this process is not inside {namespace!r}: refused")


class Attack:
    def __init__(self, config: AttackConfig, interface: Interface, clock: Clock, stop: Event) -> None:
        self._config = config
        self._interface = interface
        self._clock = clock
        self._stop = stop
        self._socket: socket.socket | None = None
        self._transaction = 0
        self._requests = 0
        self._answers: dict[str, int] = {}
        self._silent_since: int | None = None
        self._silent = 0
        self._answered_ns: int | None = None
        self.cut_ns: int | None = None

    def run(self) -> None:
        began = self._clock.monotonic_s()
        say("started", at_ns=self._clock.now(), case=self._config.case, target=self._config.target, source=self._config.source)
        try:
            for shot in self._shots():
                over = self._clock.monotonic_s() - began + shot.after_s >= self._config.limit_s
                if over or self._requests >= self._config.limit_requests or self._pause(shot.after_s):
                    break
                self._fire(shot)
                if self.cut_ns is not None:
                    break
        finally:
            self._hang_up()
            say(
                "summary",
                at_ns=self._clock.now(),
                case=self._config.case,
                requests=self._requests,
                answers=dict(self._answers),
                cut_ns=self.cut_ns,
                seconds=round(self._clock.monotonic_s() - began, 3),
            )

    def _shots(self) -> Iterator[Shot]:
        last = None
        for shot in CASES[self._config.case](self._interface, self._config.pause_ms / 1000):
            last = shot if shot.tag else last
            yield shot
        look = read(self._interface, 4, 1, "looks what became of it")
        insist_s = self._config.insist_ms / 1000
        while True:
            yield replace(look, after_s=insist_s)
            if last:
                yield replace(last, after_s=insist_s)

    def _fire(self, shot: Shot) -> None:
        """Until it was answered in some way, or has found nobody long enough to know that it is cut."""
        while not self._stop.is_set():
            sent_ns, began = self._clock.now(), self._clock.monotonic_s()
            self._requests += 1
            answer = self._exchange(shot)
            self._answers[answer] = self._answers.get(answer, 0) + 1
            fields: dict[str, Any] = {"says": shot.says, "operation": operation(shot.pdu[0]), "unit": shot.unit, "pdu": shot.pdu.hex()}
            if shot.tag is not None:
                fields |= {"tag": shot.tag, "value": shot.value}
            ms = round((self._clock.monotonic_s() - began) * 1000, 3)
            say("request", at_ns=sent_ns, **fields, answer=answer, ms=ms)
            if answer == "ok" or answer.startswith("exception"):
                self._answered_ns, self._silent, self._silent_since = self._clock.now(), 0, None
                return
            self._hang_up()
            self._silent += 1
            self._silent_since = self._silent_since or sent_ns
            if self._silent >= _CUT_REQUESTS and self._clock.now() - self._silent_since >= _CUT_S * NS_PER_S:
                if self._answered_ns is not None:
                    self.cut_ns = self._silent_since
                    say("cut", at_ns=self.cut_ns, last_answer_ns=self._answered_ns, answer=answer)
                return
            if self._requests >= self._config.limit_requests or self._stop.wait(_RETRY_S):
                return

    def _pause(self, seconds: float) -> bool:
        """True when it is told to stop.  A connection that the other side ends meanwhile is noticed at once."""
        until = self._clock.monotonic_s() + seconds
        while self._socket and (rest := until - self._clock.monotonic_s()) > 0 and not self._stop.is_set():
            if select.select([self._socket], [], [], min(rest, 0.05))[0]:
                self._silent_since = self._silent_since or self._clock.now()
                say("disconnected", at_ns=self._silent_since)
                self._hang_up()
        return self._stop.wait(max(until - self._clock.monotonic_s(), 0.0))

    def _exchange(self, shot: Shot) -> str:
        """ "ok", "exception N", "wrong answer", or how the connection failed: "timeout", "reset", "closed", "refused", "unreachable"."""
        self._transaction = self._transaction % 0xFFFF + 1
        head = self._transaction.to_bytes(2, "big") + b"\x00\x00" + (len(shot.pdu) + 1).to_bytes(2, "big") + bytes([shot.unit])
        try:
            connection = self._socket or self._connect()
            self._socket = connection
            connection.sendall(head + shot.pdu)
            answer = _receive(connection)
        except TimeoutError:
            return "timeout"
        except ConnectionRefusedError:
            return "refused"
        except (ConnectionResetError, BrokenPipeError, ConnectionAbortedError):
            return "reset"
        except OSError:
            return "unreachable"
        if answer is None:
            return "closed"
        if answer[:2] != head[:2] or len(answer) < MBAP_OCTETS + 2:
            return "wrong answer"
        if answer[MBAP_OCTETS] == shot.pdu[0] | 0x80:
            return f"exception {answer[MBAP_OCTETS + 1]}"
        return "ok" if answer[MBAP_OCTETS] == shot.pdu[0] else "wrong answer"

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.settimeout(self._config.timeout_ms / 1000)
        try:
            connection.bind((self._config.source, 0))
            connection.connect(endpoint("target", self._config.target))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            connection.close()
            raise
        return connection

    def _hang_up(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None


def _receive(connection: socket.socket) -> bytes | None:
    """One ADU; None where the peer closed before it was whole.  A header beyond Modbus/TCP's size ends at that size."""
    adu = b""
    wanted = MBAP_OCTETS
    while len(adu) < wanted:
        piece = connection.recv(wanted - len(adu))
        if not piece:
            return None
        adu += piece
        if len(adu) == MBAP_OCTETS:
            wanted = min(6 + max(int.from_bytes(adu[4:6], "big"), 2), MAX_ADU_OCTETS)
    return adu


def main(arguments: Sequence[str] | None = None) -> int:
    import signal

    parser = argparse.ArgumentParser(prog="sentinel demo attacker", description="An attacker for the demo, and for nothing else.")
    parser.add_argument("config", type=Path, help="JSON file; its keys are those of `AttackConfig`")
    parser.add_argument("--case", choices=tuple(CASES), help="instead of the configuration's case")
    options = parser.parse_args(arguments)
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        config = read_config(options.config, AttackConfig)
        if options.case:
            config = replace(config, case=options.case)
        Attack(config, read_interface(Path(config.plant)), SystemClock(), stop).run()
    except SentinelError as error:
        return fail(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
