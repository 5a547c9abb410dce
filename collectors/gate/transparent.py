"""The gate on the route to the server instead of at an address of its own: clients keep the server's address, the server sees theirs.

    python -m collectors.gate.transparent LISTEN UPSTREAM [--remove]

prints the commands (sh, nft, ip) that redirect what passes to UPSTREAM to the gate that listens at LISTEN, or take it off the route again.
They belong into the network namespace of the gate, which must be the only way to the server.  What they do:

- Connections to UPSTREAM are handed to the gate (TPROXY), and so is what answers the gate's own connections in the clients' names.
- Whatever else is meant for UPSTREAM is dropped.  A gate that is dead lets nothing pass (fail closed): the redirection finds nobody, and
  without the drop the packet would go on to the server.  ``--remove`` is the bypass, and a person's decision.

Sockets of both sides are IP_TRANSPARENT (ip(7)), which takes CAP_NET_ADMIN.  IPv4 only.
"""

import argparse
import asyncio
import errno
import ipaddress
import socket
import sys
from collections.abc import Sequence

from collectors.endpoint import address_of
from sentinel.errors import ConfigError

IP_TRANSPARENT, IP_BIND_ADDRESS_NO_PORT = 19, 24  # linux/in.h; Python 3.11 does not name them
TABLES = "sentinel_gate_"  # and the gate's port: each gate has its own
MARK = ROUTES = 0x5347  # of packets that are for the gate, and of the routing table that keeps them here: "SG"
_NO_OPTION = frozenset({errno.ENOPROTOOPT, errno.EOPNOTSUPP})


def why_not() -> str | None:
    """Why no socket can be transparent here; None where one can."""
    try:
        _socket().close()
    except OSError as error:
        if error.errno in _NO_OPTION:
            return "this kernel has no transparent sockets"
        return f"transparent sockets need CAP_NET_ADMIN: {error.strerror}"
    return None


def listening(host: str, port: int) -> socket.socket:
    """Raises ConfigError where the kernel or the process's rights do not allow it."""
    if reason := why_not():
        raise ConfigError("transparent", reason)
    listener = _socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


async def reaching(client: str, server: tuple[str, int]) -> socket.socket:
    """A connection to the server in the client's name.  Raises OSError."""
    connection = _socket()
    try:
        connection.setsockopt(socket.SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1)  # the port is chosen when the other end is known
        connection.bind((client, 0))
        await asyncio.get_running_loop().sock_connect(connection, server)
    except BaseException:
        connection.close()
        raise
    return connection


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
    except OSError:
        made.close()
        raise
    return made


def check(listen: str, upstream: str) -> None:
    """Raises ConfigError for what cannot be redirected."""
    for key, text in (("listen", listen), ("upstream", upstream)):
        if ipaddress.ip_address(address_of(key, text)[0]).version != 4:
            raise ConfigError(key, f"{text}: a transparent gate speaks IPv4 only")


def commands(listen: str, upstream: str) -> str:
    """Idempotent; the table is replaced as a whole."""
    check(listen, upstream)
    (gate, gate_port), (server, port) = address_of("listen", listen), address_of("upstream", upstream)
    meant = f"ip daddr {server} tcp dport {port}"
    return f"""nft -f - <<'RULES'
table ip {TABLES}{gate_port}
delete table ip {TABLES}{gate_port}
table ip {TABLES}{gate_port} {{
  chain seize {{
    type filter hook prerouting priority mangle; policy accept;
    meta l4proto tcp socket transparent 1 meta mark set {MARK:#x} accept
    {meant} tproxy to {gate}:{gate_port} meta mark set {MARK:#x} accept
    {meant} drop
  }}
}}
RULES
ip rule show fwmark {MARK:#x} lookup {ROUTES} | grep -q . || ip rule add fwmark {MARK:#x} lookup {ROUTES}
ip route replace local default dev lo table {ROUTES}
"""


def removal(listen: str) -> str:
    """Idempotent too; the mark's route goes with the last gate."""
    table = f"{TABLES}{address_of('listen', listen)[1]}"
    return f"""nft -f - <<'RULES'
table ip {table}
delete table ip {table}
RULES
if ! nft list tables ip | grep -q {TABLES}; then
  while ip rule del fwmark {MARK:#x} lookup {ROUTES} 2>/dev/null; do :; done
  ip route flush table {ROUTES} 2>/dev/null || true
fi
"""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m collectors.gate.transparent", description="Prints how the gate gets onto the route.")
    parser.add_argument("listen", metavar="LISTEN", help="address:port of the gate")
    parser.add_argument("upstream", metavar="UPSTREAM", help="address:port of the server")
    parser.add_argument("--remove", action="store_true", help="how it gets off again: the bypass")
    given = parser.parse_args(arguments)
    try:
        printed = commands(given.listen, given.upstream)
    except ConfigError as error:
        parser.error(str(error))
    print(removal(given.listen) if given.remove else printed, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
