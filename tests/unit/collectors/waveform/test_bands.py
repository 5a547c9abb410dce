import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.waveform import bands
from tests.unit.collectors.waveform.machine import RATE_HZ, sound

FRAME_S = 1.0
NAMES = bands.names(RATE_HZ, FRAME_S)


def test_bands_are_the_standard_s_and_do_not_overlap() -> None:
    limits = bands.edges(RATE_HZ, FRAME_S)
    assert (np.diff(limits) > 0).all()
    assert limits[-1] <= RATE_HZ / 2
    centres = limits[1:-1] * 10**0.05
    assert np.allclose(10 * np.log10(centres / 1000.0), np.round(10 * np.log10(centres / 1000.0)))
    assert "1 kHz" in NAMES
    assert len(set(NAMES)) == len(NAMES) == bands.features(np.zeros(RATE_HZ), RATE_HZ, FRAME_S).shape[1]


@pytest.mark.parametrize("hertz", [100.0, 1000.0, 6310.0])
def test_a_tone_is_as_loud_as_it_is_in_its_band_alone(hertz: float) -> None:
    tone = 0.1 * np.sin(2 * np.pi * hertz * np.arange(2 * RATE_HZ) / RATE_HZ)
    told = dict(zip(NAMES, bands.features(tone, RATE_HZ, FRAME_S)[1].tolist(), strict=True))
    own = {100.0: "100 Hz", 1000.0: "1 kHz", 6310.0: "6.31 kHz"}[hertz]
    assert told["level"] == pytest.approx(-23.01, abs=0.05)  # 10 lg(0.1^2 / 2)
    assert told[own] == pytest.approx(-23.01, abs=0.1)
    others = [value for name, value in told.items() if name != own and name.endswith("Hz") and " " in name and "modulation" not in name]
    assert max(others) < -60.0


def test_a_beat_shows_where_it_is() -> None:
    time = np.arange(40 * RATE_HZ) / RATE_HZ
    chance = np.random.default_rng(1)
    steady = chance.normal(0, 0.1, len(time))
    flat, beating = (
        dict(zip(NAMES, bands.features(one, RATE_HZ, FRAME_S).mean(axis=0).tolist(), strict=True))
        for one in (steady, steady * (1 + 0.5 * np.sin(2 * np.pi * 90.0 * time)))
    )
    assert beating["modulation 64 to 128 Hz"] - flat["modulation 64 to 128 Hz"] > 10.0
    assert abs(beating["modulation 16 to 32 Hz"] - flat["modulation 16 to 32 Hz"]) < 3.0
    assert beating["modulation line"] - flat["modulation line"] > 10.0


def test_a_worn_bearing_is_heard_before_it_is_loud() -> None:
    well, worn = (bands.features(sound(20.0, 3, worn=size, begins_s=-30.0), RATE_HZ, FRAME_S).mean(axis=0) for size in (0.0, 0.01))
    level, kurtosis = NAMES.index("level"), NAMES.index("kurtosis")
    line = NAMES.index("modulation line")
    assert worn[level] - well[level] < 1.0
    assert worn[line] - well[line] > 3.0
    assert worn[kurtosis] > well[kurtosis]


@given(
    st.lists(st.floats(-1, 1) | st.sampled_from([0.0, 1.0, -1.0]), max_size=900),
    st.sampled_from([50.0, 1000.0, 16_000.0]),
    st.floats(0.05, 2.0),
)
def test_any_samples_have_finite_features(samples: list[float], rate_hz: float, frame_s: float) -> None:
    told = bands.features(np.array(samples), rate_hz, frame_s)
    assert np.isfinite(told).all()
    assert told.shape[1] == len(bands.names(rate_hz, frame_s))
