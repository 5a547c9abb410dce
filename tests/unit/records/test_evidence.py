import hashlib
import stat
from pathlib import Path

import pytest

from sentinel.clock import ManualClock
from sentinel.errors import InputError
from sentinel.model.codec import from_json
from sentinel.model.record import Excerpt
from sentinel.records import Records
from sentinel.records import records as module
from sentinel.records.evidence import MAX_FILE_OCTETS, EvidenceFiles


def test_a_file_is_named_by_its_plain_digest(records: Records) -> None:
    excerpt = records.keep_excerpt(b"pcap octets")
    assert excerpt.digest == hashlib.sha256(b"pcap octets").hexdigest()
    assert records.evidence(excerpt.digest) == b"pcap octets"
    path = records.directory / "evidence" / excerpt.digest[:2] / excerpt.digest
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_same_octets_are_kept_once(records: Records) -> None:
    first = records.keep_excerpt(b"same")
    assert records.keep_excerpt(b"same") == first
    assert records.count(Excerpt) == 1


def test_the_directory_is_bounded_and_the_oldest_go_first(tmp_path: Path, clock: ManualClock) -> None:
    records = Records(tmp_path, clock, evidence_limit_octets=250)
    kept = []
    for i in range(5):
        clock.advance(1)
        kept.append(records.keep_excerpt(bytes([i]) * 100))
    assert [records.evidence(excerpt.digest) is not None for excerpt in kept] == [False, False, False, True, True]
    rows = [records.find(Excerpt, excerpt.digest) for excerpt in kept]
    assert [row is not None and row.dropped is not None for row in rows] == [True, True, True, False, False]
    assert list(records.problems()) == []
    records.close()
    again = Records(tmp_path, clock, evidence_limit_octets=250)  # the sum is known again after a restart
    again.keep_excerpt(bytes([9]) * 100)
    assert again.evidence(kept[3].digest) is None
    assert again.evidence(kept[4].digest) is not None
    again.close()


def test_a_full_store_reads_what_it_drops_and_not_what_it_ever_held(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[type] = []

    def counting(kind: type, body: str) -> object:
        decoded.append(kind)
        return from_json(kind, body)

    monkeypatch.setattr(module, "from_json", counting)
    records = Records(tmp_path, clock, evidence_limit_octets=250)
    costs = []
    for i in range(400):
        clock.advance(1)
        decoded.clear()
        records.keep_excerpt(i.to_bytes(2, "big") * 50)
        costs.append(len(decoded))
    assert max(costs) <= 2 * 100 + 4  # two pages at most, however many were dropped before
    assert sum(excerpt.dropped is None for excerpt in records.each(Excerpt)) == 2
    records.close()


def test_a_clock_that_was_set_back_hides_nothing_from_the_bound(tmp_path: Path) -> None:
    clock = ManualClock()
    records = Records(tmp_path, clock, evidence_limit_octets=250)
    for i in range(250):
        if i == 200:
            clock.advance(-1000)
        clock.advance(1)
        records.keep_excerpt(bytes([i]) * 100)
        assert sum(excerpt.octets for excerpt in records.each(Excerpt) if excerpt.dropped is None) <= 300
    records.close()


def test_what_was_dropped_may_come_back(tmp_path: Path, clock: ManualClock) -> None:
    records = Records(tmp_path, clock, evidence_limit_octets=150)
    first = records.keep_excerpt(b"a" * 100)
    clock.advance(1)
    records.keep_excerpt(b"b" * 100)
    assert records.evidence(first.digest) is None
    clock.advance(1)
    again = records.keep_excerpt(b"a" * 100)
    assert again.dropped is None
    assert records.evidence(first.digest) == b"a" * 100
    records.close()


def test_an_altered_file_is_found(records: Records) -> None:
    excerpt = records.keep_excerpt(b"pcap octets")
    path = records.directory / "evidence" / excerpt.digest[:2] / excerpt.digest
    path.write_bytes(b"pcap Octets")
    with pytest.raises(InputError, match="another digest"):
        records.evidence(excerpt.digest)
    assert [problem for problem in records.problems() if excerpt.digest in problem]


def test_a_missing_file_is_found(records: Records) -> None:
    excerpt = records.keep_excerpt(b"pcap octets")
    (records.directory / "evidence" / excerpt.digest[:2] / excerpt.digest).unlink()
    assert records.evidence(excerpt.digest) is None
    assert list(records.problems()) == [f"evidence {excerpt.digest}: the file is missing"]


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "AB" * 32, "ab" * 31, "ab" * 32 + "/.."])
def test_only_a_digest_names_a_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="not a SHA-256 digest"):
        EvidenceFiles(tmp_path).path_of(name)


def test_one_file_is_bounded(records: Records) -> None:
    with pytest.raises(InputError, match="at most"):
        records.keep_excerpt(bytes(MAX_FILE_OCTETS + 1))
