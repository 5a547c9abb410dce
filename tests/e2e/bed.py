"""A plant network in network namespaces: two switches, a router between them, and a sensor on mirror ports.

    supervision 10.77.0.0/24            control 10.78.0.0/24
    hmi .20 ─┐                           ┌─ plc  .10
    att .66 ─┼─ switch ── router .1 ── switch
             │  (mirror0)         (mirror1) └─ opc  .11
             └────────── sensor ───────────┘

The router is the choke point where a gate or nftables can act.  Each frame that enters a port of a switch is copied once to that switch's
mirror port; the sensor's interfaces have no address.  Everything is named after this process, so that beds do not meet, and `close` takes
all of it down, processes first.
"""

import contextlib
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
STEP_S = 10.0  # one ip, tc or sysctl call
PATIENCE_S = 20.0  # a counterpart's answer
_MAX_LINES = 100_000
_COUNT = iter(range(1000))


@dataclass(frozen=True, slots=True)
class Lan:
    name: str
    prefix: str
    mirror: str  # the sensor's interface


SUPERVISION = Lan("sup", "10.77.0", "mirror0")
CONTROL = Lan("ctl", "10.78.0", "mirror1")
NODES = {"hmi": (SUPERVISION, 20), "att": (SUPERVISION, 66), "plc": (CONTROL, 10), "opc": (CONTROL, 11)}


def missing() -> str | None:
    """Why a bed cannot be built here, or None."""
    if os.geteuid() != 0:
        return "needs root for network namespaces"
    if absent := [tool for tool in ("ip", "tc", "bridge") if shutil.which(tool) is None]:
        return f"needs {', '.join(absent)} (apt: iproute2)"
    probe = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, timeout=STEP_S, check=False)
    return f"ip netns: {probe.stderr.strip()}" if probe.returncode else None


def need(*tools: str) -> None:
    """Skips the test, saying why, when the bed or one of the programs is not to be had."""
    if reason := missing():
        pytest.skip(reason)
    if absent := [tool for tool in tools if shutil.which(tool) is None]:
        pytest.skip(f"needs {', '.join(absent)}; `python -m tests.counterparts` installs it")


class Running:
    """A started process.  Its output is read line by line as it comes, so that a test waits for a line and never for a time."""

    def __init__(self, name: str, process: "subprocess.Popen[str]") -> None:
        self.name = name
        self.process = process
        self.lines: list[str] = []
        self._fresh: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for(self, text: str | Callable[[str], bool], timeout_s: float = PATIENCE_S) -> str:
        """The next line that contains the text; fails with everything that was said so far."""
        wanted = (lambda line: text in line) if isinstance(text, str) else text
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                line = self._fresh.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"{self.name} did not say {text!r} within {timeout_s:g} s; it said:\n" + "\n".join(self.lines[-40:]))
            if line is None:
                pytest.fail(f"{self.name} ended with {self.process.wait()} before {text!r}; it said:\n" + "\n".join(self.lines[-40:]))
            if wanted(line):
                return line

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = PATIENCE_S) -> int:
        """Signals, waits, kills when it does not end.  Returns the exit status; all output is in ``lines`` then."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait(timeout_s)
        self._reader.join(timeout_s)
        return status

    def _read(self, stream: IO[str] | None) -> None:
        assert stream is not None
        with stream:
            for line in stream:
                if len(self.lines) < _MAX_LINES:
                    self.lines.append(line.rstrip("\n"))
                    self._fresh.put(self.lines[-1])
        self._fresh.put(None)


@dataclass(slots=True)
class Bed:
    """Use as a context manager.  Node names: hmi, att, plc, opc, router, sensor, switch, and what `attach` adds."""

    tag: str = field(default_factory=lambda: f"sn{os.getpid()}x{next(_COUNT)}")
    _nodes: dict[str, str] = field(default_factory=dict)  # node -> address
    _spaces: list[str] = field(default_factory=list)
    _running: list[Running] = field(default_factory=list)

    def __enter__(self) -> Self:
        sweep()
        try:
            self._up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def namespace(self, node: str) -> str:
        """Its name below /run/netns."""
        return f"{self.tag}-{node}"

    def address(self, node: str) -> str:
        return self._nodes[node]

    def interfaces(self, node: str) -> tuple[str, ...]:
        """sensor: the mirror ports, supervision first; router: its two legs; others: eth0."""
        return {"sensor": (SUPERVISION.mirror, CONTROL.mirror), "router": (SUPERVISION.name, CONTROL.name)}.get(node, ("eth0",))

    def run(self, node: str, *argv: str, timeout_s: float = PATIENCE_S, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
        """To its end, in the node's namespace; the status is the caller's to look at."""
        return subprocess.run(
            ["ip", "netns", "exec", self.namespace(node), *argv],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def start(self, node: str, *argv: str, environment: Mapping[str, str] | None = None) -> Running:
        """In the node's namespace, in the background; `close` ends it at the latest.  Its pid is the program's own."""
        return self._begin(
            f"{node}: {Path(argv[0]).name} {' '.join(argv[1:4])}", ["ip", "netns", "exec", self.namespace(node), *argv], environment
        )

    def at_home(self, *arguments: str) -> Running:
        """Our Python outside of the bed, which may enter its namespaces: the appliance."""
        return self._begin(" ".join(arguments[:3]), [sys.executable, "-s", *arguments], None)

    def python(self, node: str, *arguments: str) -> Running:
        return self.start(node, sys.executable, "-s", *arguments)

    def attach(self, node: str, lan: Lan, host: int) -> str:
        """One more machine on a switch; returns its address."""
        space, port, address = self._space(node), f"p_{node}", f"{lan.prefix}.{host}"
        _ip("link", "add", "eth0", "netns", space, "type", "veth", "peer", "name", port, "netns", self.namespace("switch"))
        self._port(lan, port, mirrored=True)
        _ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", space, "link", "set", "eth0", "up")
        _quiet_offloads(space, "eth0")
        _ip("-n", space, "route", "add", "default", "via", f"{lan.prefix}.1")
        self._nodes[node] = address
        return address

    def close(self) -> None:
        for running in reversed(self._running):
            with contextlib.suppress(ProcessLookupError):
                running.stop()
        self._running.clear()
        for space in reversed(self._spaces):
            _ip("netns", "delete", space, check=False)
        self._spaces.clear()

    def _begin(self, name: str, argv: list[str], environment: Mapping[str, str] | None) -> Running:
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        process = subprocess.Popen(
            [*leash, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            bufsize=1,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            cwd=ROOT,
            start_new_session=True,
        )
        running = Running(name, process)
        self._running.append(running)
        return running

    def _up(self) -> None:
        switch, router, sensor = (self._space(name) for name in ("switch", "router", "sensor"))
        for lan in (SUPERVISION, CONTROL):
            _ip("-n", switch, "link", "add", f"br_{lan.name}", "type", "bridge", "stp_state", "0", "forward_delay", "0")
            _ip("-n", switch, "link", "set", f"br_{lan.name}", "up")
            _ip("link", "add", lan.mirror, "netns", sensor, "type", "veth", "peer", "name", f"m_{lan.name}", "netns", switch)
            _ip("-n", switch, "link", "set", f"m_{lan.name}", "up")
            _ip("-n", sensor, "link", "set", lan.mirror, "up", "promisc", "on")
            _quiet_offloads(sensor, lan.mirror)
            _ip("link", "add", lan.name, "netns", router, "type", "veth", "peer", "name", f"p_{lan.name}", "netns", switch)
            self._port(lan, f"p_{lan.name}", mirrored=True)
            _ip("-n", router, "address", "add", f"{lan.prefix}.1/24", "dev", lan.name)
            _ip("-n", router, "link", "set", lan.name, "up")
            _quiet_offloads(router, lan.name)
        self._nodes["router"] = f"{SUPERVISION.prefix}.1"
        _write(router, "net/ipv4/ip_forward", "1")
        for node, (lan, host) in NODES.items():
            self.attach(node, lan, host)

    def _space(self, node: str) -> str:
        name = self.namespace(node)
        _ip("netns", "add", name)
        self._spaces.append(name)
        _write(name, "net/ipv6/conf/all/disable_ipv6", "1")  # router solicitations would be noise on the mirror
        _write(name, "net/ipv6/conf/default/disable_ipv6", "1")
        _ip("-n", name, "link", "set", "lo", "up")
        return name

    def _port(self, lan: Lan, port: str, *, mirrored: bool) -> None:
        switch = self.namespace("switch")
        _ip("-n", switch, "link", "set", port, "master", f"br_{lan.name}", "up")
        _quiet_offloads(switch, port)
        if mirrored:
            _call("tc", "-n", switch, "qdisc", "add", "dev", port, "clsact")
            copy = ("action", "mirred", "egress", "mirror", "dev", f"m_{lan.name}")
            _call("tc", "-n", switch, "filter", "add", "dev", port, "ingress", "protocol", "all", "u32", "match", "u32", "0", "0", *copy)


@contextlib.contextmanager
def bed() -> Iterator[Bed]:
    need()
    with Bed() as built:
        yield built


def sweep() -> None:
    """Takes down beds whose test process was killed before it could."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, timeout=STEP_S, check=True).stdout
    for name in (line.split()[0] for line in listed.splitlines() if line):
        owner = re.fullmatch(r"sn(\d+)x\d+-\w+", name)
        if owner and not Path(f"/proc/{owner.group(1)}").exists():
            _ip("netns", "delete", name, check=False)


def _ip(*arguments: str, check: bool = True) -> None:
    _call("ip", *arguments, check=check)


def _call(*argv: str, check: bool = True) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=STEP_S, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")


def _write(space: str, key: str, value: str) -> None:
    _call("ip", "netns", "exec", space, "sh", "-c", f"[ ! -e /proc/sys/{key} ] || echo {value} > /proc/sys/{key}")


def _quiet_offloads(space: str, interface: str) -> None:
    """Frames as they would be on a cable: whole checksums, no segments larger than the MTU."""
    if shutil.which("ethtool"):
        _call(
            *("ip", "netns", "exec", space, "ethtool", "-K", interface, "tx", "off", "gso", "off", "tso", "off", "gro", "off"), check=False
        )


def wait_until(claim: Callable[[], bool], what: str, timeout_s: float = PATIENCE_S) -> None:
    """For what no socket tells: the claim itself must take its time (run a program, ask a kernel)."""
    deadline = time.monotonic() + timeout_s
    while not claim():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout_s:g} s: {what}")
