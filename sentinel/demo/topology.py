"""Where the demo's processes live: on loopback addresses (no rights needed), or in network namespaces of their own (needs root).

Loopback: the gate stands inline at its own address, and everybody who knows the plant's address could go round it.
Namespaces: the box routes between three subnets, so it hears all that passes and can cut it:

    sntl-PID-plc  10.77.1.10 ──plc── sntl-PID-box ──hmi── 10.77.2.20  sntl-PID-hmi
                                          └──att── 10.77.3.66  sntl-PID-att

Only these namespaces are touched.  They are removed at the end, also after an error; those of a killed run are found by the dead process
in their names and removed by the next.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sentinel.errors import TransientError

ROLES = ("plc", "box", "hmi", "att")
NAMESPACES = Path("/run/netns")
_NAME = re.compile(r"sntl-(\d+)-(?:plc|box|hmi|att)")
_COMMAND_S = 10.0
_LINKS = {"plc": ("10.77.1.1", "10.77.1.10"), "hmi": ("10.77.2.1", "10.77.2.20"), "att": ("10.77.3.1", "10.77.3.66")}  # box, host


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Who is where.  ``namespaces`` maps each of the `ROLES` to its network namespace; empty on loopback."""

    plant_modbus: str  # address:port
    plant_opcua: str
    gate: str
    operator: str  # source address
    attacker: str
    attacker_target: str  # the gate on loopback, the plant by the routed path in namespaces
    namespaces: Mapping[str, str]
    interfaces: tuple[str, ...]  # of the box: what it can capture on

    def namespace(self, role: str) -> str:
        """Its name under /run/netns; empty = the process's own."""
        return self.namespaces.get(role, "")

    def argv(self, role: str, *command: str) -> tuple[str, ...]:
        """The command as it runs where ``role`` lives; `ip netns exec` becomes the command, so its process id is the command's."""
        name = self.namespace(role)
        return ("ip", "netns", "exec", name, *command) if name else command


def loopback(*, usual_ports: bool = True) -> Setting:
    """Own addresses on loopback; where a usual port is taken, or none is wanted, any other."""
    modbus, opcua = (1502, 14840) if usual_ports else (0, 0)
    gate = _free("127.0.0.2", modbus)
    return Setting(
        plant_modbus=_free("127.0.0.10", modbus),
        plant_opcua=_free("127.0.0.10", opcua),
        gate=gate,
        operator="127.0.0.20",
        attacker="127.0.0.66",
        attacker_target=gate,
        namespaces={},
        interfaces=(),
    )


@contextlib.contextmanager
def namespaces() -> Iterator[Setting]:
    """Creates the namespaces and removes them.  Raises TransientError, with nothing left behind, where this machine does not allow them."""
    sweep()
    names = {role: f"sntl-{os.getpid()}-{role}" for role in ROLES}
    try:
        _build(names)
        yield Setting(
            plant_modbus="10.77.1.10:502",
            plant_opcua="10.77.1.10:4840",
            gate="10.77.2.1:502",
            operator="10.77.2.20",
            attacker="10.77.3.66",
            attacker_target="10.77.1.10:502",
            namespaces=names,
            interfaces=tuple(_LINKS),
        )
    finally:
        for name in names.values():
            _remove(name)


def why_not() -> str | None:
    """Why this machine allows no namespaces; None where it does (it tries one)."""
    for tool in ("ip", "nft"):
        if shutil.which(tool) is None:
            return f"the program {tool!r} is not installed"
    if os.geteuid() != 0:
        return "it needs root"
    name = f"sntl-{os.getpid()}-box"
    try:
        _run("ip", "netns", "add", name)
    except TransientError as error:
        return str(error)
    try:
        _run("ip", "netns", "exec", name, "nft", "add", "table", "inet", "probe")
    except TransientError as error:
        return str(error)
    finally:
        _remove(name)
    return None


def sweep() -> tuple[str, ...]:
    """Removes what killed runs have left, with the processes still inside; returns the names."""
    found = sorted(path.name for path in NAMESPACES.iterdir()) if NAMESPACES.is_dir() else []
    left = abandoned(found, lambda number: Path(f"/proc/{number}").exists())
    for name in left:
        _remove(name)
    return left


def abandoned(names: Iterable[str], is_alive: Callable[[int], bool]) -> tuple[str, ...]:
    """Those names that are the demo's and whose process is gone."""
    return tuple(name for name in names if (match := _NAME.fullmatch(name)) and not is_alive(int(match[1])))


def _build(names: Mapping[str, str]) -> None:
    for name in names.values():
        _run("ip", "netns", "add", name)
        # no IPv6: its neighbour and router traffic belongs to no story
        _run("ip", "netns", "exec", name, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 || true")
        _run("ip", "-n", name, "link", "set", "lo", "up")
    box = names["box"]
    _run("ip", "netns", "exec", box, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    for role, (near, far) in _LINKS.items():
        _run("ip", "link", "add", role, "netns", box, "type", "veth", "peer", "name", "eth0", "netns", names[role])
        for namespace, device, address in ((box, role, near), (names[role], "eth0", far)):
            _run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", device)
            _run("ip", "-n", namespace, "link", "set", device, "up")
        _run("ip", "-n", names[role], "route", "add", "default", "via", near)


def _remove(name: str) -> None:
    """Ends what still runs inside, then the namespace; its links vanish with it."""
    if not (NAMESPACES / name).exists():
        return
    inside = _run("ip", "netns", "pids", name).split()
    for number in inside:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(number), signal.SIGKILL)
    _run("ip", "netns", "delete", name)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_S, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TransientError(f"{' '.join(command)}: {error}") from error
    if done.returncode:
        raise TransientError(f"{' '.join(command)}: {done.stderr.strip() or f'ended with status {done.returncode}'}")
    return done.stdout


def _free(address: str, wanted: int) -> str:
    for port in (wanted, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                continue
            return f"{address}:{probe.getsockname()[1]}"
    raise TransientError(f"no port of {address} is free")
