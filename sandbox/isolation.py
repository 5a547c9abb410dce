"""How the court shuts itself in.  Each layer says what it forbids, installs itself, and is then tried: does it really hold here?

In: nothing but the running process, which must be single-threaded (credentials, Landlock and namespaces belong to threads).  Out: an
`Isolation` that names every layer and whether it holds.  A layer that this machine does not offer is reported; a layer that claims to hold
and does not raises `IsolationError`: then the process must not start.

Order: `enter_namespaces` before the fork that makes the court (a PID namespace takes effect in children); the model is loaded and compiled;
then `lock_down`, after which no file is opened and no executable memory is mapped.
"""

import os
import resource
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sandbox import kernel, probes, syscall_filter
from sentinel.errors import IsolationError

NOBODY = 65534
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
_HEADROOM_OCTETS = 1 << 30  # what rollouts may need beyond what is mapped when the court locks itself in


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReport:
    name: str
    holds: bool
    says: str  # what it forbids, or why it cannot be had


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    layers: tuple[LayerReport, ...]

    @property
    def takes_untrusted(self) -> bool:
        """Bytes from the wire are judged only where neither the network nor the kernel's other calls can be reached."""
        held = {layer.name for layer in self.layers if layer.holds}
        return {"network", "calls"} <= held

    def describe(self) -> str:
        return "; ".join(f"{layer.name} {'holds' if layer.holds else 'is missing'} ({layer.says})" for layer in self.layers)


@dataclass(frozen=True, slots=True)
class Layer:
    """``install`` raises OSError or NotImplementedError when it cannot be had.  ``escaped`` returns what got through, None = nothing."""

    says: str
    install: Callable[[], None]
    escaped: Callable[[], str | None]
    everywhere: bool = False  # any machine has it: failing to install it is a defect, not a missing feature


# --- before the fork -------------------------------------------------------------------------------------------------


def enter_namespaces() -> tuple[LayerReport, ...]:
    """Network, IPC, host name and process namespaces; through an unprivileged user namespace where we are not root."""
    prefix = ""
    try:
        kernel.unshare(kernel.CLONE_NEWNET)
    except OSError as refused:
        try:
            enter_user_namespace()
            kernel.unshare(kernel.CLONE_NEWNET)
            prefix = "by a user namespace: "
        except OSError as error:
            why = f"{error.strerror}; {refused.strerror} without a user namespace"
            return (LayerReport(name="network", holds=False, says=why),)
    reached = probes.reached_network()
    if reached:
        raise IsolationError(f"the network namespace is not empty: {reached}")
    reports = [LayerReport(name="network", holds=True, says=f"{prefix}no interface but a loopback that is down")]
    for name, flag, says in (
        ("ipc", kernel.CLONE_NEWIPC, "no shared memory with others"),
        ("hostname", kernel.CLONE_NEWUTS, "cannot rename the machine"),
        ("processes", kernel.CLONE_NEWPID, "sees no other process"),
    ):
        try:
            kernel.unshare(flag)
            reports.append(LayerReport(name=name, holds=True, says=says))
        except OSError as error:
            reports.append(LayerReport(name=name, holds=False, says=str(error.strerror)))
    return tuple(reports)


def enter_user_namespace() -> None:
    user, group = os.geteuid(), os.getegid()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # our own /proc files are ours only while we are dumpable
    kernel.unshare(kernel.CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{NOBODY} {user} 1"), ("gid_map", f"{NOBODY} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as stream:
            stream.write(text)


# --- after the model is compiled -------------------------------------------------------------------------------------


def lock_down(layers: Mapping[str, Layer]) -> tuple[LayerReport, ...]:
    """Install every layer (`own_layers`).  Raises IsolationError when one that was installed lets something through."""
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise IsolationError(f"{threads} threads run: only a single-threaded process can shut itself in as a whole")
    return install(layers)


def install(layers: Mapping[str, Layer]) -> tuple[LayerReport, ...]:
    """One after the other, each tried at once, and all tried again in the end."""
    reports: list[LayerReport] = []
    for name, layer in layers.items():
        try:
            layer.install()
        except (OSError, NotImplementedError) as error:
            if layer.everywhere:
                raise IsolationError(f"isolation layer {name!r} cannot be installed: {error}") from error
            reports.append(LayerReport(name=name, holds=False, says=str(error)))
            continue
        _must_hold(name, layer)
        reports.append(LayerReport(name=name, holds=True, says=layer.says))
    for report in reports:
        if report.holds:
            _must_hold(report.name, layers[report.name])
    return tuple(reports)


def _must_hold(name: str, layer: Layer) -> None:
    through = layer.escaped()
    if through:
        raise IsolationError(f"isolation layer {name!r} ({layer.says}) does not hold: {through}")


def own_layers(anchor: str) -> dict[str, Layer]:
    """``anchor`` is an existing directory: an empty file system is mounted over it, for this process alone, and becomes its root."""
    return {
        "limits": Layer("no process, no file, bounded memory and descriptors", _set_limits, probes.exceeded_limits, everywhere=True),
        "files": Layer("an empty, read-only root", lambda: _empty_root(anchor), probes.reached_file),
        "rights": Layer("no capability, no new privilege, no other identity", _drop_rights, probes.kept_rights, everywhere=True),
        "landlock": Layer("no file can be opened, no port bound or reached", _restrict_by_landlock, probes.opened_root),
        "calls": Layer("only the system calls that answering needs", _filter_calls, probes.called),
    }


def foreign_layers(directory: str) -> dict[str, Layer]:
    """For machine code of others, which has yet to be loaded from ``directory`` with what it is linked to.  None of them may be missing."""
    readable = (directory, *(path for path in _LIBRARIES if os.path.isdir(path)))
    return {
        "limits": Layer("no process, no file, bounded memory and descriptors", _set_limits, probes.exceeded_limits, everywhere=True),
        "rights": Layer("no capability, no new privilege, no other identity", _drop_rights, probes.kept_rights, everywhere=True),
        "landlock": Layer(
            "reads its own files and the system's libraries, writes nothing, reaches no port",
            lambda: _restrict_by_landlock(readable),
            lambda: probes.opened_root() or probes.reached_file(),
            everywhere=True,
        ),
        "calls": Layer(
            "only the system calls that loading and computing need",
            lambda: kernel.install_filter(syscall_filter.program(loading=True)),
            lambda: probes.called(but=probes.LOADING),
            everywhere=True,
        ),
    }


def _empty_root(anchor: str) -> None:
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("none", anchor, "tmpfs", flags | kernel.MS_RDONLY, "size=4k,nr_inodes=2,mode=555")
    os.chdir(anchor)
    kernel.pivot_root(".", ".")  # both names are one place: the old root lies on top of the new one until it is detached
    kernel.detach(".")
    os.chdir("/")


def _set_limits() -> None:
    with open("/proc/self/statm", encoding="ascii") as stream:
        mapped = int(stream.read().split()[0]) * resource.getpagesize()
    for which, limit in (
        (resource.RLIMIT_AS, mapped + _HEADROOM_OCTETS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, probes.MAX_FILES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(which, (limit, limit))


def _drop_rights() -> None:
    """Bounds and groups while we still may, the identity next, what is left of capabilities last."""
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.drop_bounding_set()
    if os.geteuid() == 0:  # in a user namespace we are nobody already
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of identity has cleared it


def _restrict_by_landlock(but_read: Sequence[str] = ()) -> None:
    kernel.landlock_deny_all(but_read)


def _filter_calls() -> None:
    kernel.install_filter(syscall_filter.program())
