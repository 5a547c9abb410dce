"""Capture files: a path in, packet batches out.

Formats: pcap (micro- and nanoseconds, both byte orders), pcapng (several sections and interfaces; draft-ietf-opsawg-pcapng), each also as
``.gz`` or ``.zst``, or as the one member of a ``.zip``; but for that one through a pipe as well, ``-`` is standard input.  What is no
capture, or has a link type nobody here understands, is an `InputError` with path, offset and what was expected there.  A file that is cut,
or spoilt further on, gives all packets before that place (a compressed one perhaps not the last 64 KiB of them); `defects` says what was
wrong and where.  Offsets count in the unpacked capture.
"""

import gzip
import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from collectors.capture import index
from collectors.capture.packets import DTYPES, LINK_TYPES, PacketBatch
from sentinel.errors import InputError

READ_OCTETS = 1 << 21  # what a batch costs however few its packets are is a tenth of the time then; of more, columns leave the caches
MAX_HELD_OCTETS = 1 << 24  # a pcapng block may not be longer
MAX_INTERFACES = 4096

_PCAP_MAGICS = {
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
}
_PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
_SECTION, _INTERFACE = 0x0A0D0D0A, 1
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_OPT_TSRESOL, _OPT_TSOFFSET = 9, 14
STANDARD_INPUT = Path("-")
_EXPECTED = "expected a pcap or pcapng magic number (a1b2c3d4, a1b23c4d or 0a0d0d0a, in either byte order)"


class _Begun(io.RawIOBase):
    """A stream of which the first octets were read already."""

    def __init__(self, begin: bytes, rest: Any) -> None:
        self._begin, self._rest = begin, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._begin:
            return int(self._rest.readinto1(buffer))
        size = min(len(self._begin), len(buffer))
        buffer[:size], self._begin = self._begin[:size], self._begin[size:]
        return size

    def close(self) -> None:
        self._rest.close()
        super().close()


class CaptureFile:
    """Iterate once over the packet batches of a file; afterwards ``defects`` is complete.

    A batch lies in the reader's buffers: it is valid until the next one is asked for.
    """

    def __init__(self, path: str | Path, batch_packets: int = 65536) -> None:
        self.path = Path(path)
        self.defects: list[str] = []
        self.link = -1  # of a pcap file; of pcapng the first interface's
        self._batch_packets = batch_packets
        self._frames = 0
        self._stream: Any = None  # a binary stream
        self._buffer = np.zeros(READ_OCTETS, np.uint8)
        self._start, self._end = 0, 0  # of what was not yet taken, in the buffer
        self._offset = 0  # of the buffer's first octet, in the capture
        self._ended = False

    def __iter__(self) -> Iterator[PacketBatch]:
        try:
            with self._open() as file, self._unpacked(file) as self._stream:
                magic = self._peek(4)
                if not magic:
                    why = self.defects[0] if self.defects else "offset 0: the file is empty"
                    raise InputError(f"{self.path}: {why}; {_EXPECTED}")
                if magic in _PCAP_MAGICS:
                    yield from self._pcap(*_PCAP_MAGICS[magic])
                elif magic == _PCAPNG_MAGIC:
                    yield from self._pcapng()
                else:
                    raise InputError(f"{self.path}: offset 0: {magic.hex()} is no capture; {_EXPECTED}")
        except (OSError, zipfile.BadZipFile) as error:
            raise InputError(f"{self.path}: {error}") from error

    def _open(self) -> Any:
        is_standard = self.path == STANDARD_INPUT
        file: Any = open(sys.stdin.fileno(), "rb", closefd=False) if is_standard else self.path.open("rb")  # noqa: SIM115
        if file.seekable():
            return file
        return io.BufferedReader(_Begun(file.read(4), file), READ_OCTETS)  # a pipe is read once

    def _unpacked(self, file: Any) -> Any:
        magic = file.peek(4)[:4]
        if magic[:2] == b"\x1f\x8b":
            return gzip.open(file, "rb")
        if magic == b"\x28\xb5\x2f\xfd":  # RFC 8878, 3.1.1
            from sentinel.model.zstandard import ZstdStream  # Arrow: time and memory that no other capture needs

            return io.BufferedReader(ZstdStream(file), READ_OCTETS)
        return self._only_member(file) if magic == b"PK\x03\x04" else file

    def _only_member(self, file: Any) -> Any:
        if not file.seekable():
            raise InputError(f"{self.path}: a zip file cannot come through a pipe, its directory is at its end")
        archive = zipfile.ZipFile(file)
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) != 1:
            raise InputError(f"{self.path}: holds {len(members)} files, expected one capture")
        if members[0].flag_bits & 1:
            raise InputError(f"{self.path}: {members[0].filename} is encrypted")
        return archive.open(members[0])

    # --- octets

    def _held(self) -> int:
        return self._end - self._start

    def _fill(self, wanted: int) -> bool:
        """Have at least ``wanted`` octets from ``_start`` on.  False = the file ends before."""
        while self._held() < wanted and not self._ended:
            if self._start or wanted > len(self._buffer):
                self._make_room(wanted)
            try:
                got = self._stream.readinto1(self._buffer[self._end :].data)  # what can be unpacked before a spoilt place
            except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
                self.defects.append(f"offset {self._offset + self._end}: the compressed file is spoilt: {error}")
                got = 0
            self._ended = not got
            self._end += got
        return self._held() >= wanted

    def _make_room(self, wanted: int) -> None:
        """What was not yet taken moves to the front, of a longer buffer where a record needs one."""
        rest = self._buffer[self._start : self._end]
        buffer = self._buffer if wanted <= len(self._buffer) else np.zeros(wanted + READ_OCTETS, np.uint8)
        buffer[: len(rest)] = rest
        self._offset += self._start
        self._buffer, self._start, self._end = buffer, 0, len(rest)

    def _peek(self, octets: int) -> bytes:
        self._fill(octets)
        return self._buffer[self._start : min(self._start + octets, self._end)].tobytes()

    def _here(self) -> int:
        return self._offset + self._start

    def _note_cut(self, what: str) -> None:
        if self._held():
            self.defects.append(f"offset {self._here()}: the file ends within {what}; {self._held()} octets are left over")

    # --- pcap

    def _pcap(self, order: str, tick_ns: int) -> Iterator[PacketBatch]:
        header = self._peek(24)
        if len(header) < 24:
            raise InputError(f"{self.path}: offset {len(header)}: expected a pcap header of 24 octets, the file ends")
        self.link = struct.unpack(order + "I", header[20:24])[0] & 0x0FFF_FFFF  # the upper bits tell the FCS length
        self._check_link(self.link, 20)
        self._start += 24
        rows = index.Rows(self._batch_packets)
        while True:
            status = index.walk_pcap(self._buffer, self._start, self._end, order == ">", tick_ns, self.link, rows.arrays, rows.state)
            self._start = rows.consumed
            if rows.count:
                yield self._batch(rows)
            if status == index.SPOILT:
                self.defects.append(f"offset {self._here()}: expected a packet record, its length cannot be true; the rest is not read")
                return
            if status == index.NEED_MORE and not self._fill(max(self._held() + 1, rows.wanted)):
                if self._held():
                    self._note_cut("a packet record")
                return

    def _check_link(self, link: int, offset: int) -> None:
        if link not in LINK_TYPES:
            raise InputError(
                f"{self.path}: offset {offset}: link type {link} is not supported (Ethernet, Linux SLL and SLL2, raw IP, null are)"
            )

    def _batch(self, rows: "index.Rows") -> PacketBatch:
        count = rows.count
        columns: dict[str, Any] = {name: getattr(rows.arrays, name)[:count] for name in DTYPES if name not in ("frame", "vlan")}
        columns["frame"] = np.arange(self._frames + 1, self._frames + 1 + count, dtype=np.int64)
        columns["vlan"] = rows.untagged[:count]
        self._frames += count
        return PacketBatch(octets=self._buffer, **columns)

    # --- pcapng

    def _pcapng(self) -> Iterator[PacketBatch]:
        rows = index.Rows(self._batch_packets)
        interfaces = np.zeros(MAX_INTERFACES, index.INTERFACE)
        known, swapped = 0, False
        while True:
            status = index.walk_pcapng(self._buffer, self._start, self._end, swapped, interfaces, known, rows.arrays, rows.state)
            self._start = rows.consumed
            if rows.count:
                yield self._batch(rows)
            if status == index.SPOILT:
                self.defects.append(f"offset {self._here()}: expected a block of pcapng, its length cannot be true; the rest is not read")
                return
            if status == index.NEED_MORE:
                if rows.wanted > MAX_HELD_OCTETS:
                    self.defects.append(f"offset {self._here()}: a block of {rows.wanted} octets is too long; the rest is not read")
                    return
                if not self._fill(max(self._held() + 1, rows.wanted)):
                    self._note_cut("a block")
                    return
                continue
            if status != index.OTHER_BLOCK:
                continue
            order = ">" if swapped else "<"
            if self._peek(4) == _PCAPNG_MAGIC:
                if not self._fill(28):
                    self._note_cut("a section header")
                    return
                magic = self._peek(12)[8:]
                if magic not in (b"\x1a\x2b\x3c\x4d", b"\x4d\x3c\x2b\x1a"):
                    place = f"{self.path}: offset {self._here() + 8}"
                    if self._here() == 0:
                        raise InputError(f"{place}: {magic.hex()} where a byte-order magic 1a2b3c4d was expected")
                    self.defects.append(f"offset {self._here() + 8}: expected a byte-order magic; the rest is not read")
                    return
                swapped, known = magic == b"\x1a\x2b\x3c\x4d", 0
                rows.begin_section()
                order = ">" if swapped else "<"
            kind, size = struct.unpack(order + "II", self._peek(8))
            if size < 12 or size % 4 or size > MAX_HELD_OCTETS:
                self.defects.append(f"offset {self._here()}: a block of {size} octets cannot be; the rest is not read")
                return
            if not self._fill(size):
                self._note_cut("a block")
                return
            if kind == _INTERFACE:
                if known >= MAX_INTERFACES or size < 20:
                    self.defects.append(f"offset {self._here()}: an interface too many or cut; the rest is not read")
                    return
                self._add_interface(interfaces, known, order, self._peek(size))
                known += 1
            self._start += size

    def _add_interface(self, interfaces: Any, at: int, order: str, block: bytes) -> None:
        link = struct.unpack(order + "H", block[8:10])[0]
        snap = struct.unpack(order + "I", block[12:16])[0]
        if self.link < 0:
            self.link = link
        if link not in LINK_TYPES:
            self.defects.append(
                f"offset {self._here()}: interface {at} has link type {link}, which is not supported: its packets are refused"
            )
        resolution, offset_s, place = 6, 0, 16
        while place + 4 <= len(block) - 4:
            option, size = struct.unpack(order + "HH", block[place : place + 4])
            value = block[place + 4 : place + 4 + size]
            if option == 0 or place + 4 + size > len(block) - 4:
                break
            if option == _OPT_TSRESOL and size == 1:
                resolution = value[0]
            elif option == _OPT_TSOFFSET and size == 8:
                offset_s = struct.unpack(order + "q", value)[0]
            place += 4 + (size + 3) // 4 * 4
        if resolution & 0x7F > (63 if resolution & 0x80 else 18):
            self.defects.append(f"offset {self._here()}: interface {at} has an impossible time resolution; microseconds are assumed")
            resolution = 6
        interfaces[at] = (link, snap, resolution & 0x7F, resolution >> 7, offset_s)
