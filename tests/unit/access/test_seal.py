"""Seals: whole by the appliance's own root, broken by anything else."""

from pathlib import Path

import pytest

from sentinel.access.authority import ROOT, SERVER_LASTS_S, Authority
from sentinel.access.seal import check
from sentinel.clock import ManualClock
from sentinel.errors import ConfigError, InputError
from sentinel.model.time import after

WORDS = b"sentinel case 1 0123"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def an_authority(directory: Path, clock: ManualClock) -> Authority:
    made = Authority(directory, clock.now())
    made.server_certificate("sentinel", (), clock.now())
    return made


def test_a_seal_leads_to_the_root_that_people_compare(tmp_path: Path, clock: ManualClock) -> None:
    ours = an_authority(tmp_path, clock)
    signature, signer = ours.seal(WORDS)
    root = (tmp_path / ROOT).read_bytes()
    assert check(WORDS, signature, signer, clock.now(), root) == ours.fingerprint()
    assert check(WORDS, signature, signer, clock.now()) == ours.fingerprint()
    assert ours.seal(WORDS) == (signature, signer), "equal words, equal seal"


def test_a_seal_outlives_its_certificate(tmp_path: Path, clock: ManualClock) -> None:
    ours = an_authority(tmp_path, clock)
    made = clock.now()
    signature, signer = ours.seal(WORDS)
    assert check(WORDS, signature, signer, after(made, SERVER_LASTS_S - 1.0))
    with pytest.raises(InputError, match="was not valid when this was signed"):
        check(WORDS, signature, signer, after(made, SERVER_LASTS_S + 2.0))


def test_other_words_another_key_and_another_root_are_told_apart(tmp_path: Path, clock: ManualClock) -> None:
    ours, theirs = an_authority(tmp_path / "ours", clock), an_authority(tmp_path / "theirs", clock)
    signature, signer = ours.seal(WORDS)
    root = (tmp_path / "ours" / ROOT).read_bytes()
    with pytest.raises(InputError, match="does not fit"):
        check(WORDS + b"!", signature, signer, clock.now(), root)
    with pytest.raises(InputError, match="does not fit"):
        check(WORDS, theirs.seal(WORDS)[0], signer, clock.now(), root)
    with pytest.raises(InputError, match="was not issued by"):
        check(WORDS, *theirs.seal(WORDS), clock.now(), root)
    leaf, rest = signer.split(b"-----END CERTIFICATE-----\n", 1)
    mixed = leaf + b"-----END CERTIFICATE-----\n" + theirs.seal(WORDS)[1].split(b"-----END CERTIFICATE-----\n", 1)[1]
    assert rest
    with pytest.raises(InputError, match="was not issued by"):
        check(WORDS, signature, mixed, clock.now())


def test_what_is_no_certificate_is_refused(tmp_path: Path, clock: ManualClock) -> None:
    signature, signer = an_authority(tmp_path, clock).seal(WORDS)
    for octets in (b"", b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", signer * 40):
        with pytest.raises(InputError, match="the signer's certificates"):
            check(WORDS, signature, octets, clock.now())


def test_before_there_is_a_server_certificate_nothing_is_sealed(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(ConfigError, match=r"server\.pem"):
        Authority(tmp_path, clock.now()).seal(WORDS)
