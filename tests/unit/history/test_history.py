"""What was acknowledged is found again, whatever happens to the process or to a file."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sentinel.clock import ManualClock
from sentinel.errors import ConfigError, InputError
from sentinel.history import Bounds, History, read, summarise
from sentinel.history import writer as writing
from sentinel.history.journal import MAGIC, Blocks, Journal
from sentinel.history.segments import journal_path, list_journals, list_segments, sweep
from sentinel.model.observation import Readings
from sentinel.model.time import NS_PER_S, Instant

BEGIN = 1_700_000_000 * NS_PER_S
EVERYTHING = (0, 2**62)
AMPLE = Bounds(octets=1 << 30, age_s=1e9)


def some(count: int, tags: tuple[str, ...] = ("LT101", "TT201"), start: int = 0) -> Readings:
    """Values count up; tags take turns; a millisecond apart."""
    number = np.arange(start, start + count)
    seen = BEGIN + number * 1_000_000
    return Readings.of(tags, time=seen - 5, seen=seen, tag=number % len(tags), value=number.astype(float), quality=number % 3)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    kept = History(tmp_path, ManualClock(), AMPLE, segment_values=1000)
    yield kept
    kept.close()


def values(directory: Path, *tags: str, since: int = 0, until: int = 2**62) -> list[float]:
    return read(directory, tags, since, until).readings.value.tolist()


def test_what_is_written_is_found_while_it_is_written(history: History, tmp_path: Path) -> None:
    for start in range(0, 2500, 100):
        history.add(some(100, start=start))
        assert history.flush() == start + 100
        assert sorted(values(tmp_path, "LT101", "TT201")) == list(range(start + 100))
    assert len(list_segments(tmp_path)) == 2  # and half a journal
    found = read(tmp_path, ["LT101"], BEGIN + 10 * 1_000_000, BEGIN + 20 * 1_000_000).readings
    assert found.value.tolist() == [10.0, 12.0, 14.0, 16.0, 18.0]
    assert found.decoded("tag") == ["LT101"] * 5
    assert found.quality.tolist() == [1, 0, 2, 1, 0]
    assert found.seen.tolist() == [BEGIN + n * 1_000_000 for n in (10, 12, 14, 16, 18)]
    assert values(tmp_path, "nobody") == []
    assert history.counters().accepted == 2500


def test_unknown_tags_and_what_is_no_number(history: History, tmp_path: Path) -> None:
    odd = Readings.of(("A",), time=[1, 2, 3], seen=[BEGIN, BEGIN + 1, BEGIN + 2], tag=[-1, 0, 0], value=[1.0, np.nan, 3.0])
    history.add(odd)
    history.flush()
    assert values(tmp_path, "A")[1] == 3.0
    history.close()
    found = read(tmp_path, ["A"], *EVERYTHING).readings
    assert (np.isnan(found.value[0]), found.value[1], len(found)) == (True, 3.0, 2)
    assert [(one.values, one.mean) for one in summarise(found, 1.0)] == [(1, 3.0)]


def test_a_second_writer_is_refused(history: History, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="another writer"):
        History(tmp_path, ManualClock(), AMPLE)


def test_a_place_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="no history can be kept here"):
        History(tmp_path / "file", ManualClock(), AMPLE)
    with pytest.raises(InputError, match="there is no history"):
        read(tmp_path / "none", ["A"], *EVERYTHING)


def test_a_full_queue_drops_the_oldest_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    append = Journal.append

    def slowly(self: Journal, readings: Readings) -> None:
        gate.wait()
        append(self, readings)

    monkeypatch.setattr(Journal, "append", slowly)
    monkeypatch.setattr(writing, "QUEUE_VALUES", 1000)
    history = History(tmp_path, ManualClock(), AMPLE)
    for start in range(0, 5000, 100):
        history.add(some(100, start=start))
    counted = history.counters()
    assert counted.dropped >= 5000 - 1000 - writing.BLOCK_VALUES
    assert counted.dropped > 0
    assert counted.accepted + counted.dropped == 5000
    gate.set()
    history.close()
    found = values(tmp_path, "LT101", "TT201")
    assert len(found) == counted.accepted
    assert max(found) == 4999.0  # the newest are there


def test_a_full_disk_is_counted_and_outlived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, full = os.write, [True]

    def short(file: int, octets: bytes) -> int:
        if full[0] and len(octets) > 100:
            write(file, octets[:50])
            raise OSError(28, "No space left on device")
        return write(file, octets)

    history = History(tmp_path, ManualClock(), AMPLE)
    monkeypatch.setattr(os, "write", short)
    history.add(some(100))
    assert history.flush() == 0
    assert history.counters().failed == 100
    full[0] = False
    history.add(some(100, start=100))
    assert history.flush() == 100
    history.close()
    assert sorted(values(tmp_path, "LT101", "TT201")) == list(range(100, 200))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_writer_that_died_is_loud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Journal, readings: Readings) -> None:
        raise ValueError("a bug of ours")

    history = History(tmp_path, ManualClock(), AMPLE)
    monkeypatch.setattr(Journal, "append", broken)
    history.add(some(10))
    assert history.flush() == 0
    with pytest.raises(RuntimeError, match="has died"):
        history.add(some(10))
    history.close()


CHILD = """
import sys
from pathlib import Path
from sentinel.clock import SystemClock
from sentinel.history import Bounds, History
from tests.unit.history.test_history import some
history = History(Path(sys.argv[1]), SystemClock(), Bounds(octets=1 << 30, age_s=1e9), segment_values=3000)
start = 0
while True:
    history.add(some(500, start=start))
    start += 500
    print(history.flush(), flush=True)
"""


def test_nothing_that_was_acknowledged_is_lost_by_kill(tmp_path: Path) -> None:
    """Killed at arbitrary moments, also while a journal is sealed; the next writer goes on from there."""
    for stop_after in (1, 7, 20, 41):
        directory = tmp_path / str(stop_after)
        with subprocess.Popen([sys.executable, "-c", CHILD, str(directory)], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            acknowledged = 0
            for _ in range(stop_after):
                acknowledged = int(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
        for _ in range(2):  # read as it was left, then as the next writer left it
            found = sorted(values(directory, "LT101", "TT201"))
            assert found == list(range(len(found)))
            assert len(found) >= acknowledged
            History(directory, ManualClock(), AMPLE).close()
        assert not list(directory.glob(".*"))
        assert len(list_journals(directory)) == 1


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 100, -1, -40])
def test_a_torn_journal_is_set_aside(tmp_path: Path, cut: int) -> None:
    with Journal(journal_path(tmp_path, 3)) as journal:
        journal.append(some(100))
        whole = journal.octets
        journal.append(some(100, start=100))
    path = journal_path(tmp_path, 3)
    octets = path.read_bytes()
    path.write_bytes(octets[: whole + cut] if cut > 0 else octets[:cut])
    assert sorted(values(tmp_path, "LT101", "TT201")) == list(range(100))
    history = History(tmp_path, ManualClock(), AMPLE)
    assert history.counters().refused == 1
    history.close()
    assert sorted(values(tmp_path, "LT101", "TT201")) == list(range(100))
    assert (tmp_path / "0000000003.torn").stat().st_size == len(octets[whole:][:cut])


@pytest.mark.parametrize("octets", [b"", b"x", MAGIC, b"y" * 100, MAGIC + b"\xff" * 8, MAGIC + bytes(8), MAGIC + b"\0\0\0\4" + bytes(8)])
def test_what_is_no_journal_is_no_crash(tmp_path: Path, octets: bytes) -> None:
    journal_path(tmp_path, 1).write_bytes(octets)
    assert list(Blocks(journal_path(tmp_path, 1))) == []
    History(tmp_path, ManualClock(), AMPLE).close()


def test_a_torn_segment_is_said_and_passed_over(tmp_path: Path) -> None:
    history = History(tmp_path, ManualClock(), AMPLE, segment_values=100)
    for start in (0, 100, 200):
        history.add(some(100, start=start))
        history.flush()
    history.close()
    segments = list_segments(tmp_path)
    octets = segments[1].path.read_bytes()
    segments[1].path.write_bytes(octets[: len(octets) // 2])
    found = read(tmp_path, ["LT101", "TT201"], *EVERYTHING)
    assert sorted(found.readings.value.tolist()) == [*range(100), *range(200, 300)]
    assert len(found.defects) == 1
    assert segments[1].path.name in found.defects[0]


def test_retention_by_size_and_by_age(tmp_path: Path) -> None:
    history = History(tmp_path, ManualClock(), AMPLE, segment_values=1000)
    for start in range(0, 5000, 1000):
        history.add(some(1000, start=start))
        history.flush()
    history.close()
    (tmp_path / "0000000009.torn").write_bytes(b"x")
    os.utime(tmp_path / "0000000009.torn", ns=(0, 0))
    size = list_segments(tmp_path)[0].path.stat().st_size
    assert sweep(tmp_path, 1 << 30, Instant(BEGIN + 1500 * 1_000_000)) == 2  # the first segment, and the old torn file
    assert min(values(tmp_path, "LT101", "TT201")) == 1000.0
    assert sweep(tmp_path, int(2.5 * size), Instant(0)) == 2
    assert min(values(tmp_path, "LT101", "TT201")) == 3000.0


def test_the_writer_keeps_to_its_bounds(tmp_path: Path) -> None:
    history = History(tmp_path, ManualClock(), Bounds(octets=30_000, age_s=1e9), segment_values=1000)
    for start in range(0, 20_000, 1000):
        history.add(some(1000, start=start))
        history.flush()
    history.close()
    assert sum(segment.path.stat().st_size for segment in list_segments(tmp_path)) <= 30_000
    assert max(values(tmp_path, "LT101", "TT201")) == 19_999.0


def test_more_than_asked_for_is_refused(history: History, tmp_path: Path) -> None:
    history.add(some(100))
    history.flush()
    with pytest.raises(InputError, match="more than 49 values"):
        read(tmp_path, ["LT101"], *EVERYTHING, limit=49)
    assert len(read(tmp_path, ["LT101"], *EVERYTHING, limit=50).readings) == 50


def test_summaries(history: History, tmp_path: Path) -> None:
    history.add(some(4000))
    history.flush()
    found = read(tmp_path, ["LT101", "TT201"], *EVERYTHING).readings
    buckets = summarise(found, 1.0)
    assert [(one.tag, one.time - BEGIN, one.values) for one in buckets] == [
        (tag, n * NS_PER_S, 500) for tag in ("LT101", "TT201") for n in range(4)
    ]
    assert (buckets[0].low, buckets[0].high, buckets[0].mean, buckets[0].last) == (0.0, 998.0, 499.0, 998.0)
    assert sum(one.values for one in summarise(found, 0.0333)) == 4000
    assert summarise(Readings.empty(), 1.0) == []
    for wrong in (0.0, -1.0, float("nan"), 1e300):
        with pytest.raises(InputError, match="expected more than 0"):
            summarise(found, wrong)
