from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.baseline.store import Baseline, from_octets, load, save, to_octets
from sentinel.errors import InputError

_BASELINE = Baseline(
    detectors={"limits": {"tags": ["a"], "rows": np.arange(6.0).reshape(2, 3)}, "rules": {"usual": []}},
    sources=("sensor",),
    learnt_from=10,
    learnt_until=20,
    windows=7,
)


def test_a_baseline_survives_the_disk(tmp_path: Path) -> None:
    save(_BASELINE, tmp_path / "plant.baseline")
    loaded = load(tmp_path / "plant.baseline")
    assert loaded.detectors["limits"]["tags"] == ["a"]
    assert loaded.detectors["limits"]["rows"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (loaded.sources, loaded.learnt_from, loaded.learnt_until, loaded.windows) == (("sensor",), 10, 20, 7)
    assert [path.name for path in tmp_path.iterdir()] == ["plant.baseline"]


def test_equal_baselines_give_equal_octets() -> None:
    assert to_octets(_BASELINE) == to_octets(_BASELINE)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.*cannot be read"):
        load(tmp_path / "nowhere")


@given(st.binary(max_size=200))
def test_garbage_is_refused(octets: bytes) -> None:
    with pytest.raises(InputError, match="not a baseline file"):
        from_octets(octets)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_changed_octet_goes_unnoticed(place: int, flip: int) -> None:
    octets = bytearray(to_octets(_BASELINE))
    octets[place % len(octets)] ^= flip
    try:
        loaded = from_octets(bytes(octets))
    except InputError:
        return
    assert to_octets(loaded) == to_octets(_BASELINE)  # zip keeps some fields twice, or not at all: the content is untouched


def test_pickled_arrays_are_refused() -> None:
    tainted = Baseline(detectors={"limits": {"rows": np.array([{"a": 1}], dtype=object)}})
    with pytest.raises(ValueError, match="Object arrays"):
        to_octets(tainted)


def test_another_format_is_named() -> None:
    octets = to_octets(_BASELINE)
    import io
    import json
    import zipfile

    source = zipfile.ZipFile(io.BytesIO(octets))
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        member = io.BytesIO()
        text = json.dumps({"format": "something", "version": 9}).encode()
        np.lib.format.write_array(member, np.frombuffer(text, np.uint8), allow_pickle=False)
        archive.writestr("manifest.npy", member.getvalue())
    source.close()
    with pytest.raises(InputError, match="something version 9, expected sentinel-baseline"):
        from_octets(sink.getvalue())
