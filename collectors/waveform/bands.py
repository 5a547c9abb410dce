"""Samples in, features of short frames out: how loud each third of an octave is, and what modulates the carrier.  Pure.

Bands are the third-octaves of IEC 61260-1 (base ten), from where a frame has `MIN_BINS` frequencies in one; what lies below is one band.
Modulation is read off the squared envelope of the upper half of the spectrum (the demodulation by which rolling bearings are watched,
ISO 13373-2): its energy in octaves from `SLOWEST_HZ`, relative to its mean, and how far its highest line stands out.
All features are decibels but the last two: logarithms of crest factor and kurtosis.  Equal samples give equal features.
"""

from typing import Any

import numpy as np

MIN_BINS = 8
SLOWEST_HZ, FASTEST_HZ = 8.0, 1024.0  # of the modulation
_HANN = 0.375  # mean square of the window
_FLOOR = 1e-20  # of a power: silence is finite
_THIRD = 10.0**0.05  # half a third of an octave
SHAPE = ("crest factor", "kurtosis")

Array = Any


def edges(rate_hz: float, frame_s: float) -> Array:
    """Limits of the bands in Hz, ascending; the first band begins above zero."""
    lowest, highest = MIN_BINS / frame_s / (_THIRD - 1.0 / _THIRD), rate_hz / 2.0
    numbers = np.arange(np.ceil(10.0 * np.log10(lowest / 1000.0)), np.floor(10.0 * np.log10(highest / _THIRD / 1000.0)) + 1)
    centres = 1000.0 * 10.0 ** (numbers / 10.0)
    first = centres[0] / _THIRD if len(centres) else highest
    return np.concatenate([[1.0 / frame_s, first], centres * _THIRD])


def _modulations(rate_hz: float, frame_s: float) -> Array:
    fastest = min(FASTEST_HZ, rate_hz / 16.0)
    slowest = max(SLOWEST_HZ, 2.0 / frame_s)
    return slowest * 2.0 ** np.arange(max(0, int(np.log2(fastest / slowest))) + 1)


def names(rate_hz: float, frame_s: float) -> tuple[str, ...]:
    """Of the features, in their order."""
    limits, modulations = edges(rate_hz, frame_s), _modulations(rate_hz, frame_s)
    centres = [f"below {limits[1]:.3g} Hz"] + [f"{_said(low * _THIRD)}" for low in limits[1:-1].tolist()]
    beats = [f"modulation {low:.3g} to {2 * low:.3g} Hz" for low in modulations[:-1].tolist()]
    return ("level", *centres, *beats, "modulation line", *SHAPE)


def _said(hertz: float) -> str:
    return f"{hertz / 1000:.3g} kHz" if hertz >= 999.5 else f"{hertz:.3g} Hz"


def features(samples: Array, rate_hz: float, frame_s: float) -> Array:
    """Frames x features of one channel; what is left at the end and fills no frame is not looked at."""
    size = round(frame_s * rate_hz)
    count = len(samples) // size
    frames = samples[: count * size].reshape(count, size)
    if not count:
        return np.zeros((0, len(names(rate_hz, frame_s))))
    frames = frames - frames.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(frames * np.hanning(size), axis=1)
    power = (spectrum.real**2 + spectrum.imag**2) * 2.0 / (_HANN * size * size)
    hertz = np.fft.rfftfreq(size, 1.0 / rate_hz)
    bands = _between(power, hertz, edges(rate_hz, frame_s))
    level = (frames**2).mean(axis=1, keepdims=True)
    return np.hstack([_decibel(level), _decibel(bands), _modulation(frames, rate_hz, frame_s), _shape(frames, level)])


def _between(power: Array, hertz: Array, limits: Array) -> Array:
    """Sums over the lines between one limit and the next."""
    sums: Array = np.cumsum(np.pad(power, ((0, 0), (1, 0))), axis=1)
    upto = sums[:, np.searchsorted(hertz, limits)]
    return np.maximum(np.diff(upto, axis=1), 0.0)


def _decibel(power: Array) -> Array:
    return 10.0 * np.log10(np.maximum(power, _FLOOR))


def _modulation(frames: Array, rate_hz: float, frame_s: float) -> Array:
    size = frames.shape[1]
    spectrum = np.fft.fft(frames, axis=1)
    analytic = np.zeros_like(spectrum)
    analytic[:, size // 4 : size // 2] = 2.0 * spectrum[:, size // 4 : size // 2]
    envelope = np.abs(np.fft.ifft(analytic, axis=1)) ** 2
    mean = np.maximum(envelope.mean(axis=1, keepdims=True), _FLOOR)
    lines = np.abs(np.fft.rfft((envelope / mean - 1.0) * np.hanning(size), axis=1)) ** 2 * 2.0 / (_HANN * size * size)
    hertz, limits = np.fft.rfftfreq(size, 1.0 / rate_hz), _modulations(rate_hz, frame_s)
    beats = _between(lines, hertz, limits)
    first, last = np.searchsorted(hertz, limits[[0, -1]]).tolist()
    heard = lines[:, min(first, lines.shape[1] - 1) : max(last, first + 1)]
    standing = heard.max(axis=1, keepdims=True) / np.maximum(np.median(heard, axis=1, keepdims=True), _FLOOR)
    return np.hstack([_decibel(beats), _decibel(standing)])


def _shape(frames: Array, level: Array) -> Array:
    power = np.maximum(level, _FLOOR)
    crest = np.abs(frames).max(axis=1, keepdims=True) / np.sqrt(power)
    kurtosis = (frames**4).mean(axis=1, keepdims=True) / power**2
    return np.log(np.maximum(np.hstack([crest, kurtosis]), _FLOOR))
