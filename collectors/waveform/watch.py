"""Follows a directory into which a data acquisition system writes one sensor's waveforms: ``python -m collectors waveform CONFIG.json``.

In: files that are whole, because nobody has written to them for `SETTLED_S`.  Out: `Polled` readings, one per feature, frame and channel,
stamped by the file's own time: its last write is its last sample.  Files are read and left where they are.  One that cannot be read is
counted, said once, and passed over.
"""

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from collectors.outbox import Outbox
from collectors.pause import pause
from collectors.poll.rows import Row, polled
from collectors.waveform import bands
from collectors.waveform.read import Waveform, read
from sentinel.clock import Clock, SystemClock
from sentinel.errors import ConfigError, InputError, TransientError
from sentinel.model.observation import Counters
from sentinel.model.protocol import Quality
from sentinel.model.spectrum import MARK, feature_tag
from sentinel.model.time import NS_PER_S

SETTLED_S = 1.0
MAX_FILES = 10_000  # known ones, and those that a directory may hold
MAX_ROWS = 20_000  # of one hand-over
FAREWELL_S = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveformConfig:
    name: str = "waveform"
    intake: str  # the brain's socket
    sensor: str
    directory: str
    frame_s: float = 1.0
    period_s: float = 2.0  # between looks into the directory

    def __post_init__(self) -> None:
        check_sensor(self.sensor, self.frame_s)
        if not 0.1 <= self.period_s <= 3600.0:
            raise ConfigError("period_s", f"{self.period_s!r} is not between 0.1 and 3600")


def check_sensor(sensor: str, frame_s: float) -> None:
    if not sensor or MARK in sensor or len(sensor) > 64 or not sensor.isprintable():
        raise ConfigError("sensor", f"{sensor!r} cannot name a sensor: 1 to 64 characters, none of them {MARK!r}")
    if not 0.05 <= frame_s <= 60.0:
        raise ConfigError("frame_s", f"{frame_s!r} is not between 0.05 and 60")


class Watcher:
    def __init__(self, config: WaveformConfig, outbox: Outbox, clock: Clock) -> None:
        self._config, self._outbox, self._clock = config, outbox, clock
        self._known: OrderedDict[tuple[str, int], None] = OrderedDict()  # name and time of the last write
        self._first = True
        self._accepted = self._refused = self._dropped = self._failed = 0

    @property
    def counters(self) -> Counters:
        """accepted: files that were read; refused: that are none; dropped: that were there before we were; failed: looks in vain."""
        return Counters(accepted=self._accepted, refused=self._refused, dropped=self._dropped, failed=self._failed)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for path, written in await asyncio.to_thread(self._news):
                await self._take(path, written)
            await pause(stop, self._config.period_s)

    def _news(self) -> list[tuple[Path, int]]:
        """The oldest first.  What lies there when we begin is history: only its names are taken."""
        try:
            found = [(path, path.stat().st_mtime_ns) for path in Path(self._config.directory).iterdir() if path.suffix in (".wav", ".npz")]
        except OSError as error:
            self._failed += 1
            log.warning("%s cannot be looked into: %s", self._config.directory, error.strerror)
            return []
        settled = self._clock.now() - round(SETTLED_S * NS_PER_S)
        news = sorted((written, path) for path, written in found if written <= settled and (path.name, written) not in self._known)
        for written, path in news[-MAX_FILES:]:
            self._known[path.name, written] = None
        while len(self._known) > MAX_FILES:
            self._known.popitem(last=False)
        is_first, self._first = self._first, False
        if is_first:
            self._dropped += len(news)
            return []
        return [(path, written) for written, path in news]

    async def _take(self, path: Path, written: int) -> None:
        try:
            rows = await asyncio.to_thread(self._rows, path, written)
        except InputError as error:
            self._refused += 1
            log.warning("%s", error)
            return
        self._accepted += 1
        try:
            for first in range(0, len(rows), MAX_ROWS):
                some = rows[first : first + MAX_ROWS]
                now = self._clock.now()
                await self._outbox.readings(polled(self._config.name, now, some, self.counters, seen=[now] * len(some)))
        except TransientError as error:
            log.warning("readings are lost: %s", error)

    def _rows(self, path: Path, written: int) -> list[Row]:
        waveform = read(path)
        return rows_of(waveform, self._config.sensor, self._config.frame_s, written - round(waveform.seconds * NS_PER_S))


def rows_of(waveform: Waveform, sensor: str, frame_s: float, begin: int) -> list[Row]:
    """A frame's time is that of its end.  Several channels are sensors of their own: "NAME.1", or "NAME.DE" where the file names them."""
    named = bands.names(waveform.rate_hz, frame_s)
    channels = waveform.samples.shape[1]
    rows = list[Row]()
    for channel in range(channels):
        who = sensor if channels == 1 else f"{sensor}.{waveform.names[channel]}"
        tags = [feature_tag(who, name) for name in named]
        for number, frame in enumerate(bands.features(waveform.samples[:, channel], waveform.rate_hz, frame_s).tolist(), start=1):
            at = begin + round(number * frame_s * NS_PER_S)
            rows += [(at, tag, value, Quality.GOOD) for tag, value in zip(tags, frame, strict=True)]
    return rows


async def run(config: WaveformConfig, stop: asyncio.Event) -> None:
    clock = SystemClock()
    outbox = Outbox(Path(config.intake), config.name, clock=clock)
    async with outbox.open(FAREWELL_S):
        await Watcher(config, outbox, clock).run(stop)
