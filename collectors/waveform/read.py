"""A waveform file in, samples with their rate out: WAV (PCM or float) and NumPy's npz.

An npz holds ``samples`` (n, or n x channels), or an array of n for each channel under the channel's name; ``rate_hz``; and perhaps
``labels`` (n; not 0 = something is wrong).  Where it names no rate, the one that the reader was told counts.  Raises InputError for
whatever is not such a file, is too large, or holds values that are not finite; nothing of it is ever unpickled.
"""

import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import wavfile

from sentinel.errors import InputError

MAX_OCTETS = 1 << 28  # of the samples of one file, unpacked
MAX_CHANNELS = 32
MIN_RATE_HZ, MAX_RATE_HZ = 10.0, 1e6
_SAMPLES, _RATE, _LABELS = "samples", "rate_hz", "labels"

Array = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveform:
    """``samples``: n x channels, integers as shares of full scale.  ``names``: of the channels.  ``labels``: n, where the file has them."""

    rate_hz: float
    samples: Array
    names: tuple[str, ...] = ("1",)
    labels: Array | None = None

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate_hz


def read(path: Path, rate_hz: float | None = None) -> Waveform:
    readers = {".wav": _wav, ".npz": _npz}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: is neither {' nor '.join(readers)}")
    try:
        octets = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if octets > MAX_OCTETS:
        raise InputError(f"{path}: has more than {MAX_OCTETS} octets")
    try:
        told_hz, samples, names, labels = reader(path)
    except Exception as error:  # the readers of both formats stumble in many ways over what is none
        raise InputError(f"{path}: is no {path.suffix[1:]} that can be read: {error}") from error
    rate_hz = rate_hz if told_hz is None else told_hz
    if rate_hz is None:
        raise InputError(f"{path}: does not say its sampling rate ({_RATE})")
    return checked(path, rate_hz, samples, names, labels)


def checked(
    path: Path | str, rate_hz: float, samples: Array, names: tuple[str, ...] | None = None, labels: Array | None = None
) -> Waveform:
    """``path`` is where it came from.  Raises InputError where these are no samples."""
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise InputError(f"{path}: {rate_hz:g} Hz is no sampling rate between {MIN_RATE_HZ:g} and {MAX_RATE_HZ:g}")
    if samples.ndim == 1:
        samples = samples[:, None]
    if samples.ndim != 2 or not 1 <= samples.shape[1] <= MAX_CHANNELS or not len(samples):
        raise InputError(f"{path}: samples of shape {samples.shape}; n or n x channels are needed, at most {MAX_CHANNELS} channels")
    if samples.dtype.kind not in "iuf":
        raise InputError(f"{path}: samples of type {samples.dtype} are no numbers")
    if labels is not None and labels.shape != (len(samples),):
        raise InputError(f"{path}: {labels.shape} labels for {len(samples)} samples")
    scaled = _scaled(samples)
    if not np.isfinite(scaled).all():
        raise InputError(f"{path}: sample {int(np.argmin(np.isfinite(scaled).all(axis=1)))} is not finite")
    numbered = tuple(str(channel + 1) for channel in range(scaled.shape[1]))
    return Waveform(rate_hz=rate_hz, samples=scaled, names=names or numbered, labels=None if labels is None else labels != 0)


def _scaled(samples: Array) -> Array:
    if samples.dtype.kind == "f":
        return samples.astype(np.float64)
    bits = 8 * samples.dtype.itemsize
    middle = float(1 << (bits - 1)) if samples.dtype.kind == "u" else 0.0
    return (samples.astype(np.float64) - middle) / float(1 << (bits - 1))


_Read = tuple[float | None, Array, tuple[str, ...] | None, Array | None]  # rate, samples, names of the channels, labels


def _wav(path: Path) -> _Read:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks that carry no samples
        rate, samples = wavfile.read(path)
    return float(rate), np.asarray(samples), None, None


def _npz(path: Path) -> _Read:
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_OCTETS:
            raise ValueError(f"it unpacks to more than {MAX_OCTETS} octets")
    with np.load(path, allow_pickle=False) as arrays:
        rate_hz = None
        if _RATE in arrays:
            rate = np.asarray(arrays[_RATE])
            if rate.size != 1:
                raise ValueError(f"{_RATE} is not one number")
            rate_hz = float(rate.reshape(()))
        if _SAMPLES in arrays:
            return rate_hz, arrays[_SAMPLES], None, arrays.get(_LABELS)
        names = tuple(name for name in arrays.files if name not in (_RATE, _LABELS))
        channels = [np.asarray(arrays[name]).reshape(-1) for name in names]
        if not channels or len({len(channel) for channel in channels}) != 1:
            raise ValueError(f"it holds neither {_SAMPLES} nor channels of one length")
        return rate_hz, np.column_stack(channels), names, arrays.get(_LABELS)
