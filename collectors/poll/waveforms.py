"""Subscribes to a waveform on an OPC UA server: a node whose value is the array of the newest samples of one sensor.

In: each new array, with the sampling rate that the configuration or a second node says.  Out: the same readings as from a file
(`collectors.waveform`), one per feature and frame; the value's SourceTimestamp is its last sample.  Arrays are not joined, for nobody says
that one begins where the last one ended: each must hold a frame at least.  One that does not, or holds no finite numbers, is refused.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import numpy as np

from collectors.poll.opcua import check_server, node_id, subscribe
from collectors.poll.rows import Row, instant_of, quality_of
from collectors.poll.security import Security
from collectors.waveform.read import MAX_RATE_HZ, MIN_RATE_HZ, checked
from collectors.waveform.watch import check_sensor, rows_of
from sentinel.errors import ConfigError, InputError
from sentinel.model.protocol import Quality
from sentinel.model.time import NS_PER_S, Instant

MAX_SAMPLES = 1 << 20  # of one array
_SAMPLES, _RATE = "samples", "rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveformConfig:
    """``rate_hz`` 0: ``rate_node`` says it."""

    name: str = "waveform"
    intake: str  # the brain's socket
    sensor: str
    url: str
    node: str
    frame_s: float = 1.0
    period_ms: float = 2000.0
    rate_hz: float = 0.0
    rate_node: str = ""
    security: Security = Security()

    def __post_init__(self) -> None:
        check_server(self.url, self.period_ms)
        check_sensor(self.sensor, self.frame_s)
        node_id("node", self.node)
        if self.rate_node:
            node_id("rate_node", self.rate_node)
        elif not MIN_RATE_HZ <= self.rate_hz <= MAX_RATE_HZ:
            raise ConfigError("rate_hz", f"{self.rate_hz!r} is not between {MIN_RATE_HZ:g} and {MAX_RATE_HZ:g}, and no rate_node says it")


class Arrays:
    def __init__(self, config: WaveformConfig) -> None:
        self._config = config
        self._rate_hz = config.rate_hz
        self.names = {node_id("rate_node", config.rate_node): _RATE} if config.rate_node else {}
        self.names[node_id("node", config.node)] = _SAMPLES

    def rows(self, name: str, value: Any, now: Instant) -> list[Row]:
        content = value.Value.Value if value.Value is not None else None
        if quality_of(value.StatusCode.value if value.StatusCode is not None else 0) is not Quality.GOOD:
            raise InputError("the server does not call its value good")
        if name == _RATE:
            self._rate_hz = float(content) if isinstance(content, int | float) else 0.0
            return []
        return self._heard(content, instant_of(value.SourceTimestamp) or now)

    def _heard(self, content: Any, last: Instant) -> list[Row]:
        where = f"{self._config.url} {self._config.node}"
        if not isinstance(content, list) or len(content) > MAX_SAMPLES:
            raise InputError(f"{where}: its value is no array of at most {MAX_SAMPLES} samples")
        try:
            samples = np.array(content, np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{where}: its value is no array of numbers") from error
        if samples.ndim != 1:
            raise InputError(f"{where}: its value has {samples.ndim} dimensions, a waveform has one")
        waveform = checked(where, self._rate_hz, samples)
        if waveform.seconds < self._config.frame_s:
            raise InputError(f"{where}: {len(samples)} samples at {self._rate_hz:g} Hz are less than a frame of {self._config.frame_s:g} s")
        return rows_of(waveform, self._config.sensor, self._config.frame_s, last - round(waveform.seconds * NS_PER_S))

    def lost(self, name: str, now: Instant) -> list[Row]:
        """No reading: a spectrum that is not heard has no value."""
        if name == _RATE:
            self._rate_hz = self._config.rate_hz
        return []


async def run(config: WaveformConfig, stop: asyncio.Event) -> None:
    await subscribe(config, Arrays(config), config.intake, stop)
