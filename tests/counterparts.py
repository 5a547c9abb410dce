"""The software that the end-to-end tests talk to and that none of us wrote: ``python -m tests.counterparts``.

As root it installs what is missing: Debian packages, and the npm packages that ``package-lock.json`` pins by digest, without their install
scripts.  Otherwise, or when an archive cannot be reached, it says what is missing and which tests are skipped for it.  Always exits 0: a
machine without them runs the rest of the suite.
"""

import ctypes.util
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
NODE_MODULES = HERE / "node_modules"
NODE_OPCUA = NODE_MODULES / "node-opcua" / "package.json"
OLDEST_NODE = 18
_APT_S, _NPM_S = 900.0, 600.0


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package, what shows that it is there, and what is skipped without it."""

    name: str
    program: str | None
    skipped: str

    def is_there(self) -> bool:
        if self.program is None:
            return ctypes.util.find_library("modbus") is not None
        return shutil.which(self.program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None


PACKAGES = (
    Package("libmodbus5", None, "everything with a real Modbus server"),
    Package("mbpoll", "mbpoll", "everything with a real Modbus client"),
    Package("nmap", "nmap", "the scanner"),
    Package("nftables", "nft", "quarantine by nftables"),
    Package("conntrack", "conntrack", "quarantine by nftables"),
    Package("iproute2", "tc", "everything in network namespaces"),
    Package("ethtool", "ethtool", "nothing: frames on the bed may be larger than on a cable"),
    Package("tcpdump", "tcpdump", "what is proved by a second capture"),
    Package("tshark", "tshark", "comparison with another decoder"),
    Package("tcpreplay", "tcpreplay", "replay of captures onto a wire"),
)


def main() -> int:
    missing = [package for package in PACKAGES if not package.is_there()]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        problem = _install(missing)
        missing = [package for package in PACKAGES if not package.is_there()]
        if missing and problem:
            print(f"counterparts: apt-get: {problem}")
    for package in missing:
        print(f"counterparts: {package.name} is missing; skipped: {package.skipped}")
    if problem := _node():
        print(f"counterparts: node-opcua is missing ({problem}); skipped: OPC UA against a stack that is not ours")
    if os.geteuid() != 0:
        print("counterparts: not root; skipped: everything in network namespaces")
    return 0


def _install(packages: Sequence[Package]) -> str | None:
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *(package.name for package in packages)]
    if _quietly(install, _APT_S) is None:
        return None
    return _quietly(["apt-get", "update", "-qq"], _APT_S) or _quietly(install, _APT_S)


def _node() -> str | None:
    """Why there is no node-opcua, or None when there is one now."""
    if NODE_OPCUA.exists():
        return None
    if shutil.which("npm") is None or shutil.which("node") is None:
        return "no node and npm here"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=30, check=False).stdout.strip()
    if not version.startswith("v") or int(version[1:].split(".")[0]) < OLDEST_NODE:
        return f"node {version or 'unknown'}, at least {OLDEST_NODE} is needed"
    return _quietly(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(HERE)], _NPM_S)


def _quietly(argv: list[str], limit_s: float) -> str | None:
    """None when it worked, else its last words."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s, env=environment, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()[-1]


def need_node_opcua(skip: Callable[[str], None]) -> Path:
    """The directory for node's module search; ``skip`` is told why when there is none."""
    if not NODE_OPCUA.exists():
        skip("needs node-opcua; `python -m tests.counterparts` installs it")
    return NODE_MODULES


if __name__ == "__main__":
    raise SystemExit(main())
