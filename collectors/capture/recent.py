"""The most recent raw frames of a live source, on disk, bounded by size and age: what evidence is cut from.

A directory of pcapng files, each named by its first frame; the frames in one follow each other without a gap.  So any tool reads them, and
after a restart the numbers go on where they ended.  A thread of its own writes: a disk that is slow costs frames here, which are counted,
never the sensor's time.  Nothing is forced to disk: a killed process loses nothing, a power cut the last seconds.
"""

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from collectors.capture.context import BEFORE_NS, Times, before, nearest, times_of
from collectors.capture.files import CaptureFile
from collectors.capture.packets import PacketBatch
from collectors.capture.pcapng import Interfaces, Packet, interface, interfaces_of, lay_batch, room_for, section, with_tag
from sentinel.clock import Clock
from sentinel.errors import ConfigError, InputError
from sentinel.model.time import NS_PER_S

log = logging.getLogger(__name__)

_SUFFIX = ".pcapng"
_SEGMENTS = 16  # files of a full ring: what is let go at once is a sixteenth
_WAITING_OCTETS = 16 << 20  # not yet written
_SPARE_BUFFERS = 4
_LOOK_S = 10.0  # how often age is looked at while nothing is heard
_SETTLE_S = 2.0  # an excerpt waits so long for what was heard before it was asked for
_HEAD_OCTETS = 1 << 16  # of a file, in which its interfaces stand
MAX_EXCERPT_OCTETS = 8 << 20


@dataclass(slots=True)
class _Segment:
    path: Path
    first: int  # frame
    octets: int
    begun: int  # ns UTC


@dataclass(frozen=True, slots=True)
class _Piece:
    """Packet blocks that wait for the disk."""

    first: int  # frame
    packets: int
    buffer: Any
    octets: int


class RecentFrames:
    """`keep` runs in the thread that hears, `excerpt` in any other.  Raises ConfigError for a directory that cannot be used."""

    def __init__(self, directory: Path, interfaces: Interfaces, clock: Clock, *, limit_octets: int, limit_s: float) -> None:
        self._directory, self._interfaces, self._clock = directory, tuple(interfaces), clock
        self._limit_octets, self._limit_ns = limit_octets, round(limit_s * NS_PER_S)
        self._lock = threading.Lock()
        self._waiting: queue.Queue[_Piece | threading.Event | None] = queue.Queue()
        self._waiting_octets = 0
        self._spare: list[Any] = []
        self._file = -1
        self._next = 0  # the frame that the open file goes on with
        self.skipped = 0  # frames that found no room on their way to the disk, or no disk
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._segments = [_found(path) for path in sorted(directory.glob(f"*{_SUFFIX}")) if path.stem.isdigit()]
        except OSError as error:
            raise ConfigError("recent", f"{directory}: {error.strerror or error}") from error
        self.last_frame = self._last_kept()
        self._writer = threading.Thread(target=self._write_all, name="recent", daemon=True)
        self._writer.start()

    # --- the thread that hears

    def keep(self, batch: PacketBatch) -> None:
        """Copies.  The frames of a batch follow each other."""
        if not len(batch):
            return
        room = room_for(batch)
        with self._lock:
            if self._waiting_octets + room > _WAITING_OCTETS:
                self.skipped += len(batch)
                return
            self._waiting_octets += room
            buffer = self._spare.pop() if self._spare else np.empty(0, np.uint32)
        if 4 * len(buffer) < room:
            buffer = np.empty(room // 4 + 1, np.uint32)
        octets = lay_batch(batch, buffer)
        with self._lock:
            self._waiting_octets += octets - room
        self._waiting.put(_Piece(int(batch.frame[0]), len(batch), buffer, octets))

    def close(self) -> None:
        """After everything that was handed in is written."""
        self._waiting.put(None)
        self._writer.join()

    # --- the thread that writes

    def _write_all(self) -> None:
        while True:
            try:
                piece = self._waiting.get(timeout=_LOOK_S)
            except queue.Empty:
                self._let_go()
                continue
            if isinstance(piece, threading.Event):
                self._let_go()
                piece.set()
            elif piece is None:
                self._end_file()
                return
            else:
                self._write(piece)

    def _write(self, piece: _Piece) -> None:
        try:
            if self._file < 0 or piece.first != self._next or self._is_full(self._segments[-1]):
                self._begin_file(piece.first)
            view = memoryview(piece.buffer.view(np.uint8))[: piece.octets]
            while view:
                written = os.write(self._file, view)
                self._segments[-1].octets += written
                view = view[written:]
            self._next = piece.first + piece.packets
        except OSError as error:
            if self._file >= 0 or not self.skipped:
                log.warning("recent frames cannot be written: %s", error)
            self._end_file()  # what follows begins a file of its own: a torn end hides only itself
            with self._lock:
                self.skipped += piece.packets
        finally:
            with self._lock:
                self._waiting_octets -= piece.octets
                if len(self._spare) < _SPARE_BUFFERS:
                    self._spare.append(piece.buffer)
        self._let_go()

    def _is_full(self, segment: _Segment) -> bool:
        return segment.octets * _SEGMENTS >= self._limit_octets or (self._clock.now() - segment.begun) * _SEGMENTS >= self._limit_ns

    def _begin_file(self, first: int) -> None:
        self._end_file()
        path = self._directory / f"{first:016d}{_SUFFIX}"
        head = section() + b"".join(interface(name, link) for name, link in self._interfaces)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.write(self._file, head)
        with self._lock:
            self._segments = [one for one in self._segments if one.path != path]  # one that held nothing but a torn end
            self._segments.append(_Segment(path, first, len(head), self._clock.now()))

    def _end_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _let_go(self) -> None:
        """The oldest files that are ended, while all of them are too large or the oldest is too old."""
        now = self._clock.now()
        if self._file >= 0 and self._is_full(self._segments[-1]):
            self._end_file()
        with self._lock:
            while len(self._segments) > (self._file >= 0):
                oldest = self._segments[0]
                is_too_old = now - oldest.begun > self._limit_ns
                if not is_too_old and sum(one.octets for one in self._segments) <= self._limit_octets:
                    return
                oldest.path.unlink(missing_ok=True)
                del self._segments[0]

    # --- whoever asks

    def excerpt(self, frames: Sequence[int], since: int, until: int, *, context: bool = False) -> list[Packet]:
        """Those of the frames that are still here and were heard between two instants (ns UTC), in order; at most 8 MiB of them.

        A number alone does not name a frame: it begins anew where the ring was lost.  ``context``: with what was said before them in their
        conversations (`context`), looked for in the files that hold them and in the one before.
        """
        settled = threading.Event()
        self._waiting.put(settled)
        settled.wait(_SETTLE_S)
        wanted = np.unique(np.array(list(frames), np.int64))
        with self._lock:
            segments = [(one.path, one.first) for one in self._segments]
        found = _within(segments, wanted, since, until)
        if not context or not found:
            return found
        listed = np.array([packet.frame for packet in found], np.int64)
        around = nearest(_before(_about(segments, listed), listed, times_of(found)))
        earliest = min(packet.time for packet in found) - BEFORE_NS
        return sorted([*found, *_within(segments, around, earliest, until)], key=lambda packet: packet.frame)

    def _last_kept(self) -> int:
        """The number of the last frame; 0 = there is none."""
        if not self._segments:
            return 0
        newest = self._segments[-1]
        with contextlib.suppress(InputError):  # a file that was begun and has no header yet
            return newest.first - 1 + sum(len(batch) for batch in CaptureFile(newest.path))
        return newest.first - 1


def _found(path: Path) -> _Segment:
    status = path.stat()
    return _Segment(path, int(path.stem), status.st_size, status.st_mtime_ns)


def _within(segments: Sequence[tuple[Path, int]], wanted: Any, since: int, until: int) -> list[Packet]:
    """Of these frames, between these instants, as many as fit."""
    found: list[Packet] = []
    octets = 0
    for at, (path, first) in enumerate(segments):
        inside = wanted[wanted >= first]
        if at + 1 < len(segments):
            inside = inside[inside < segments[at + 1][1]]
        if not len(inside):
            continue
        for packet in _packets(path, first, inside):
            if since <= packet.time <= until:
                octets += len(packet.octets)
                if octets > MAX_EXCERPT_OCTETS:
                    return found
                found.append(packet)
    return found


def _about(segments: Sequence[tuple[Path, int]], listed: Any) -> list[tuple[Path, int]]:
    """The files that hold these frames, and the one before each."""
    holding = np.unique(np.searchsorted([first for _, first in segments], listed, side="right") - 1)
    return [segments[at] for at in np.union1d(holding, holding[holding > 0] - 1).tolist()]


def _before(segments: Sequence[tuple[Path, int]], listed: Any, times: Times) -> Iterator[tuple[Any, Any, Any]]:
    """(frames, ns until a listed one, octets) of what was said before the listed frames in their conversations."""
    for path, first in segments:
        try:
            for batch in CaptureFile(path):
                rows, ahead = before(batch, times)
                frames = batch.frame[rows] + (first - 1)
                fresh = ~np.isin(frames, listed) & (frames < listed[-1])
                yield frames[fresh], ahead[fresh], batch.cap[rows][fresh]
                if len(batch) and batch.frame[-1] + (first - 1) >= listed[-1]:
                    break
        except (OSError, InputError) as error:  # it was let go meanwhile
            log.info("%s: %s", path.name, error)


def _packets(path: Path, first: int, wanted: Any) -> Iterator[Packet]:
    try:
        with path.open("rb") as file:
            interfaces = interfaces_of(file.read(_HEAD_OCTETS))
        for batch in CaptureFile(path):
            for row in np.flatnonzero(np.isin(batch.frame + (first - 1), wanted)).tolist():
                start = int(batch.off[row])
                yield Packet(
                    frame=int(batch.frame[row]) + first - 1,
                    time=int(batch.time[row]),
                    wire=int(batch.wire[row]),
                    interface=interfaces[int(batch.iface[row])],
                    octets=with_tag(batch.octets[start : start + int(batch.cap[row])].tobytes(), int(batch.vlan[row])),
                )
            if len(batch) and batch.frame[-1] + (first - 1) >= wanted[-1]:
                return
    except (OSError, InputError) as error:  # it was let go meanwhile
        log.info("%s: %s", path.name, error)
