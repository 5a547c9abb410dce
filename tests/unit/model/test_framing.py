from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.model.framing import Frame, FrameKind, FrameReader, FramingError

FRAMES = st.lists(st.builds(Frame, st.sampled_from(FrameKind), st.integers(0, 2**64 - 1), st.binary(max_size=40)), max_size=6)


@given(FRAMES, st.lists(st.integers(0, 400), max_size=8))
def test_any_chunking_gives_the_same_frames(frames: list[Frame], cuts: list[int]) -> None:
    stream = b"".join(frame.encode() for frame in frames)
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    reader = FrameReader()
    heard = [frame for start, end in pairwise(edges) for frame in reader.feed(stream[start:end])]
    assert heard == frames


@pytest.mark.parametrize(
    "octets",
    [b"GET / HTTP/1.1\r\n", b"SN\x02" + bytes(20), b"SN\x01\xff" + bytes(20), b"SN\x01\x01" + bytes(8) + b"\xff\xff\xff\xff"],
)
def test_what_is_no_frame_is_refused(octets: bytes) -> None:
    with pytest.raises(FramingError):
        FrameReader().feed(octets)


def test_a_payload_above_the_limit_is_refused_before_it_arrives() -> None:
    header = Frame(FrameKind.HELLO, 1, b"x" * 11).encode()[:16]
    with pytest.raises(FramingError, match="11 octets, at most 10"):
        FrameReader(limit=10).feed(header)
