"""The live ring: one AF_PACKET socket with a TPACKET_V3 ring per interface; whole blocks of packets come out as packet batches.

Layouts are those of linux/if_packet.h (Documentation/networking/packet_mmap.rst).  The kernel takes the outer VLAN tag off; it comes back
in the index.  Time stamps are the kernel's.  Raises ConfigError for an interface that is not there or may not be heard.
"""

# mypy: disable-error-code="no-any-return"
# Tables are record arrays, which have no static types; the compiler infers and checks the real ones.

import errno
import fcntl
import mmap
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from collectors.capture.packets import DTYPES, ETHERNET, RAW, PacketBatch
from collectors.compiled import kernel
from collectors.wire.loads import little16, little32
from sentinel.errors import ConfigError, TransientError
from sentinel.model.time import NS_PER_S

Table = Any

_SOL_PACKET = 263
_ADD_MEMBERSHIP, _RX_RING, _STATISTICS, _VERSION, _FANOUT, _IGNORE_OUTGOING = 1, 5, 6, 10, 18, 23
_FANOUT_HASH, _FANOUT_DEFRAG = 0, 0x8000  # by the flow's addresses and ports, the same both ways; fragments are put together before
_TPACKET_V3 = 2
_ETH_P_ALL = 3
_MR_PROMISC = 1
_SIOCGIFHWADDR = 0x8927
_ARPHRD_ETHER, _ARPHRD_LOOPBACK, _ARPHRD_NONE = 1, 772, 0xFFFE
_FRAME_OCTETS = 2048  # only a unit of size for the kernel: in version 3 packets lie as close as they fit
_STATUS_USER, _STATUS_VLAN_VALID, _STATUS_VLAN_TPID_VALID = 1, 1 << 4, 1 << 6
_BLOCK_STATUS, _BLOCK_PACKETS, _BLOCK_FIRST, _BLOCK_LENGTH = 8, 12, 16, 20
_DOT1Q = 0x8100

_little = struct.Struct("<I")


@kernel
def walk_block(octets: Table, block: int, count: int, off: Table, cap: Table, wire: Table, time: Table, vlan: Table) -> None:
    """The ``tpacket3_hdr`` records of one block, in the machine's byte order: `Ring` takes only little-endian ones."""
    at = block + little32(octets, block + _BLOCK_FIRST)
    for i in range(count):
        status = little32(octets, at + 20)
        off[i] = at + little16(octets, at + 24)
        cap[i] = little32(octets, at + 12)
        wire[i] = little32(octets, at + 16)
        time[i] = little32(octets, at + 4) * NS_PER_S + little32(octets, at + 8)
        tag = 0
        if status & _STATUS_VLAN_VALID:
            tpid = _DOT1Q
            if status & _STATUS_VLAN_TPID_VALID:
                tpid = little16(octets, at + 36)
            tag = (tpid << 16) | (little32(octets, at + 32) & 0xFFFF)
        vlan[i] = tag
        at += little32(octets, at)


class Ring:
    """Hears one interface, promiscuously, from the moment it is made; `close` it."""

    def __init__(self, interface: str, number: int, block_octets: int, blocks: int, retire_ms: int, group: int | None = None) -> None:
        """``group``: rings of one interface and group, in whatever processes, share its packets, each conversation in one of them."""
        self.interface = interface
        self._number = number
        self._block_octets, self._blocks = block_octets, blocks
        self._next = 0
        self._held = -1  # the block whose packets were handed out last
        if sys.byteorder != "little":
            raise ConfigError("interfaces", "the live ring needs a little-endian machine")
        try:
            # protocol 0: nothing is queued before the ring stands
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError as error:
            raise ConfigError("interfaces", "hearing packets needs root or CAP_NET_RAW") from error
        try:
            self._open(interface, retire_ms, group)
        except OSError as error:
            self._socket.close()
            raise ConfigError("interfaces", f"{interface!r} cannot be heard: {error.strerror or error}") from error
        except ConfigError:
            self._socket.close()
            raise

    def _open(self, interface: str, retire_ms: int, group: int | None) -> None:
        s = self._socket
        index = socket.if_nametoindex(interface)
        answer = fcntl.ioctl(s, _SIOCGIFHWADDR, struct.pack("16s24x", interface.encode()))
        hardware = struct.unpack_from("H", answer, 16)[0]
        if hardware not in (_ARPHRD_ETHER, _ARPHRD_LOOPBACK, _ARPHRD_NONE):
            raise ConfigError("interfaces", f"{interface!r} has hardware type {hardware}, neither Ethernet nor raw IP")
        self.link = RAW if hardware == _ARPHRD_NONE else ETHERNET
        s.setsockopt(_SOL_PACKET, _VERSION, _TPACKET_V3)
        frames = self._block_octets // _FRAME_OCTETS * self._blocks
        s.setsockopt(_SOL_PACKET, _RX_RING, struct.pack("7I", self._block_octets, self._blocks, _FRAME_OCTETS, frames, retire_ms, 0, 0))
        if hardware == _ARPHRD_LOOPBACK:  # there every packet passes twice
            s.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        self._map = mmap.mmap(s.fileno(), self._block_octets * self._blocks, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._octets: Any = np.frombuffer(self._map, np.uint8)
        s.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, struct.pack("iHH8s", index, _MR_PROMISC, 0, b""))
        s.bind((interface, _ETH_P_ALL))
        if group is not None:
            s.setsockopt(_SOL_PACKET, _FANOUT, struct.pack("I", group | (_FANOUT_HASH | _FANOUT_DEFRAG) << 16))

    def fileno(self) -> int:
        return self._socket.fileno()

    def batches(self, first_frame: int) -> Iterator[PacketBatch]:
        """The blocks that are ready.  A batch's octets lie in the ring: they are valid until the next batch is asked for."""
        for _ in range(self._blocks):
            self._give_back()
            block = self._next * self._block_octets
            if not _little.unpack_from(self._map, block + _BLOCK_STATUS)[0] & _STATUS_USER:
                return
            self._held = block
            self._next = (self._next + 1) % self._blocks
            count = _little.unpack_from(self._map, block + _BLOCK_PACKETS)[0]
            if not count:
                continue
            columns: dict[str, Any] = {name: np.zeros(count, dtype) for name, dtype in DTYPES.items()}
            walk_block(self._octets, block, count, *(columns[name] for name in ("off", "cap", "wire", "time", "vlan")))
            columns["frame"][:] = np.arange(first_frame, first_frame + count)
            columns["link"][:] = self.link
            columns["iface"][:] = self._number
            first_frame += count
            yield PacketBatch(octets=self._octets, **columns)
        self._give_back()

    def _give_back(self) -> None:
        if self._held >= 0:
            _little.pack_into(self._map, self._held + _BLOCK_STATUS, 0)
            self._held = -1

    def drops(self) -> int:
        """Packets that found no room in the ring since the last call."""
        return int(struct.unpack("3I", self._socket.getsockopt(_SOL_PACKET, _STATISTICS, 12))[1])

    def raise_error(self) -> None:
        """After poll said so: an interface that is down comes back by itself, one that is gone does not."""
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code not in (0, errno.ENETDOWN):
            raise TransientError(f"{self.interface}: {errno.errorcode.get(code, code)}")

    def close(self) -> None:
        self._socket.close()
        del self._octets  # the mapping itself goes with the last batch that points into it
