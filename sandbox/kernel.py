"""The Linux calls that isolation needs and Python 3.11 does not offer: namespaces, mounts, capabilities, Landlock, seccomp.

Every function raises OSError with the kernel's errno.  Structures and numbers are those of the kernel's own headers (include/uapi/linux).
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Sequence

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 16384, 1 << 18
MNT_DETACH = 2

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
LAST_CAPABILITY = 63  # more than any kernel has: dropping one that does not exist is EINVAL, which ends the list

LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_LANDLOCK_VERSION_FLAG = 1
_LANDLOCK_PATH_BENEATH = 1
_LANDLOCK_READING = 1 << 2 | 1 << 3  # files, directories
# All access rights that an ABI version knows (linux/landlock.h); what is handled and not allowed by a rule is denied.
_LANDLOCK_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_LANDLOCK_TCP_RIGHTS = 3  # bind, connect; from version 4
_LANDLOCK_SCOPES = 3  # abstract unix sockets, signals; from version 6

SYS_SECCOMP = {"x86_64": 317}
SYS_PIVOT_ROOT = {"x86_64": 155}
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC = 1, 1
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _checked(result: int, call: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result


def syscall(number: int, *arguments: int | bytes | None) -> int:
    words = [ctypes.c_long(part) if isinstance(part, int) else part for part in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *words), f"system call {number}")


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    parts = [text.encode() for text in (source, target, kind)]
    _checked(_libc.mount(*parts, ctypes.c_ulong(flags), options.encode()), f"mount {target}")


def detach(target: str) -> None:
    _checked(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def pivot_root(new_root: str, put_old: str) -> None:
    syscall(_number(SYS_PIVOT_ROOT), new_root.encode(), put_old.encode())


def prctl(option: int, argument: int = 0) -> int:
    return _checked(_libc.prctl(option, *(ctypes.c_ulong(word) for word in (argument, 0, 0, 0))), f"prctl {option}")


def drop_bounding_set() -> None:
    for capability in range(LAST_CAPABILITY + 1):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EPERM):
                raise
            return  # EINVAL: there is no such capability, the list is done; EPERM: we hold none that could be bounded


def drop_capabilities() -> None:
    """Permitted, effective, inheritable and ambient."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(header, bytes(24)), "capset")


def landlock_version() -> int:
    return syscall(LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION_FLAG)


def landlock_deny_all(but_read: Sequence[str] = ()) -> int:
    """Handle every right this kernel knows and allow none, but for reading what lies beneath some existing directories.

    Returns the ABI version.  Needs no_new_privs.
    """
    version = landlock_version()
    files = _LANDLOCK_FILE_RIGHTS[max(known for known in _LANDLOCK_FILE_RIGHTS if known <= version)]
    attributes = struct.pack("=Q", files)
    if version >= 4:
        attributes += struct.pack("=Q", _LANDLOCK_TCP_RIGHTS)
    if version >= 6:
        attributes += struct.pack("=Q", _LANDLOCK_SCOPES)
    ruleset = syscall(LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path in but_read:
            beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                rule = struct.pack("=Qi", _LANDLOCK_READING, beneath)
                syscall(LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_PATH_BENEATH, rule, 0)
            finally:
                os.close(beneath)
        syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return version


def install_filter(program: bytes) -> None:
    """A seccomp filter for all threads of this process.  Needs no_new_privs."""
    code = ctypes.create_string_buffer(program, len(program))
    descriptor = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    syscall(_number(SYS_SECCOMP), _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC, descriptor)


def _number(table: dict[str, int]) -> int:
    machine = platform.machine()
    if machine not in table:
        raise NotImplementedError(f"no system call table for {machine}")
    return table[machine]
