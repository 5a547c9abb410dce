"""Gives up every capability but CAP_NET_ADMIN, for this process and all that it starts (capabilities(7), prctl(2)).

Raises `ConfigError` when CAP_NET_ADMIN is not there to be kept, OSError when the kernel refuses.
"""

import ctypes
import os
from pathlib import Path

from sentinel.errors import ConfigError

_CAP_NET_ADMIN, _CAP_SETPCAP, _CAP_LAST_POSSIBLE = 12, 8, 63
_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 23, 24, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 2, 4
_CAPABILITY_VERSION_3 = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Words(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def effective() -> int:
    """The mask of effective capabilities."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    raise OSError("the kernel does not tell this process's capabilities")


def keep_only_net_admin() -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def prctl(option: int, first: int = 0, second: int = 0) -> int:
        result: int = libc.prctl(option, first, second, 0, 0)
        return result

    def checked(result: int, what: str) -> None:
        if result != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{what}: {os.strerror(number)}")

    held = effective()
    if not held >> _CAP_NET_ADMIN & 1:
        raise ConfigError("enforcer", "quarantine by nftables needs CAP_NET_ADMIN in its network namespace")
    if held >> _CAP_SETPCAP & 1:
        for capability in range(_CAP_LAST_POSSIBLE + 1):
            if capability != _CAP_NET_ADMIN and prctl(_PR_CAPBSET_READ, capability) == 1:
                checked(prctl(_PR_CAPBSET_DROP, capability), "the bounding set cannot be narrowed")
    header, words = _Header(_CAPABILITY_VERSION_3, 0), (_Words * 2)()
    mask = 1 << _CAP_NET_ADMIN
    words[0] = _Words(mask, mask, mask)
    checked(libc.capset(ctypes.byref(header), words), "capabilities cannot be given up")
    # nft is started without being root's file: the ambient set hands it the one capability
    checked(prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL), "the ambient set cannot be cleared")
    checked(prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_NET_ADMIN), "the ambient set cannot be raised")
    checked(prctl(_PR_SET_NO_NEW_PRIVS, 1), "new privileges cannot be forbidden")
