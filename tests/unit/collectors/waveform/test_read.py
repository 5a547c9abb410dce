import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile

from collectors.waveform.read import read
from sentinel.errors import InputError
from tests.unit.collectors.waveform.machine import RATE_HZ, sound, to_wav


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_every_sample_format_has_the_same_scale(tmp_path: Path, kind: Any) -> None:
    wave = 0.5 * np.sin(np.arange(8000) / 7.0)
    scale = {"u1": (127, 128), "i2": (32767, 0), "i4": (2**31 - 1, 0)}.get(np.dtype(kind).str[1:], (1, 0))
    wavfile.write(tmp_path / "a.wav", 8000, (wave * scale[0] + scale[1]).astype(kind))
    got = read(tmp_path / "a.wav")
    assert (got.rate_hz, got.samples.shape, got.seconds) == (8000.0, (8000, 1), 1.0)
    assert np.abs(got.samples[:, 0] - wave).max() < 0.02


def test_an_npz_carries_channels_and_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", samples=np.zeros((100, 3)), rate_hz=50.0, labels=np.arange(100) > 90)
    got = read(tmp_path / "a.npz")
    assert got.samples.shape == (100, 3)
    assert got.labels is not None
    assert int(got.labels.sum()) == 9


def test_an_npz_may_hold_an_array_for_each_channel_and_no_rate(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", DE=np.ones((100, 1)), FE=np.zeros(100))
    got = read(tmp_path / "a.npz", 12_000.0)
    assert (got.rate_hz, got.names, got.samples.shape) == (12_000.0, ("DE", "FE"), (100, 2))
    assert got.samples[:, 0].all()


def _npz(**arrays: Any) -> bytes:
    octets = io.BytesIO()
    np.savez(octets, **arrays)
    return octets.getvalue()


def _bomb() -> bytes:
    octets = io.BytesIO()
    with zipfile.ZipFile(octets, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("samples.npy", bytes(1 << 29))
    return octets.getvalue()


@pytest.mark.parametrize(
    ("name", "octets", "says"),
    [
        ("a.mp3", b"ID3", "is neither .wav nor .npz"),
        ("a.wav", b"", "is no wav"),
        ("a.wav", b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0", "is no wav"),
        ("a.npz", b"PK\x03\x04", "is no npz"),
        ("a.npz", _npz(samples=np.zeros(9)), "does not say its sampling rate"),
        ("a.npz", _npz(DE=np.zeros(9), FE=np.zeros(8), rate_hz=50.0), "neither samples nor channels of one length"),
        ("a.npz", _npz(samples=np.zeros(9), rate_hz=np.zeros(2)), "rate_hz is not one number"),
        ("a.npz", _npz(samples=np.zeros(9), rate_hz=0.0), "no sampling rate"),
        ("a.npz", _npz(samples=np.array([0.0, np.nan]), rate_hz=50.0), "sample 1 is not finite"),
        ("a.npz", _npz(samples=np.array(["a"]), rate_hz=50.0), "are no numbers"),
        ("a.npz", _npz(samples=np.array([{}], dtype=object), rate_hz=50.0), "is no npz"),
        ("a.npz", _npz(samples=np.zeros((9, 99)), rate_hz=50.0), "at most 32 channels"),
        ("a.npz", _npz(samples=np.zeros(9), rate_hz=50.0, labels=np.zeros(8)), "labels for 9 samples"),
        ("a.npz", _bomb(), "unpacks to more"),
    ],
)
def test_what_is_none_is_refused_with_its_name(tmp_path: Path, name: str, octets: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(octets)
    with pytest.raises(InputError, match=says) as refused:
        read(tmp_path / name)
    assert str(tmp_path / name) in str(refused.value)


def test_a_recording_that_was_cut_is_refused_or_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = to_wav(tmp_path / "whole.wav", sound(1.0, 1)).read_bytes()
    for cut in (10, 43, 44, 45, 1000, len(whole) - 1):
        (tmp_path / "cut.wav").write_bytes(whole[:cut])
        try:
            got = read(tmp_path / "cut.wav")
        except InputError:
            continue
        assert len(got.samples) <= RATE_HZ
