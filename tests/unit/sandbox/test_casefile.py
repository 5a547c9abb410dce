"""A case file: equal cases give equal octets, the same verdict comes out of them again, and nothing altered passes for whole."""

import io
import zipfile
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.casefile import CASE, PLANT, SNAPSHOT, VERDICT, CaseFile, Seal, Stated, Terms, rerun
from sandbox.config import Thresholds
from sandbox.judge import hearing, judge
from sandbox.protocol import Context, Step
from sandbox.replay import Replay
from sentinel.errors import ConfigError, InputError
from sentinel.model.codec import CodecError
from sentinel.model.ids import AssetId
from sentinel.model.time import after
from sentinel.model.verdict import Judgement
from sentinel.twin.snapshot import Snapshot
from tests.unit.sandbox.conftest import NOW, command
from tests.unit.sandbox.conftest import PLANT as PLANT_FILE

TERMS = Terms(members=64, horizon_s=300.0, seed=7)


@pytest.fixture(scope="module")
def case(snapshot: Snapshot, replay: Replay) -> CaseFile:
    """An unsafe write by somebody who drifted before."""
    before = Step(seen=after(NOW, -5.0), source=AssetId("10.0.0.66"), tag="LIC101.SP", value=1.5, applied=True)
    stated = Stated(command=command({"LIC101.SP": 1.95}, seen=NOW), context=Context(steps=(before,), source_is_new=True), terms=TERMS)
    court = Replay(model=replay.model, members=TERMS.members, horizon_s=TERMS.horizon_s)
    verdict = judge(stated.command, snapshot, court, stated.context, TERMS.thresholds, TERMS.seed, NOW)
    assert verdict.judgement is Judgement.UNSAFE
    return CaseFile(plant=PLANT_FILE.read_text(), snapshot=snapshot, stated=stated, verdict=replace(verdict, took_ms=12.5))


def test_the_same_verdict_comes_out_of_a_file(case: CaseFile) -> None:
    back = CaseFile.from_octets(case.to_octets())
    assert rerun(back) == case.verdict


def test_a_verdict_that_was_never_completed_comes_out_as_it_was_given(case: CaseFile, replay: Replay) -> None:
    court, stated = Replay(model=replay.model, members=TERMS.members, horizon_s=TERMS.horizon_s), case.stated
    first = next(hearing(stated.command, case.snapshot, court, stated.context, TERMS.thresholds, TERMS.seed, NOW))
    assert first is not None
    assert not first.complete
    given = replace(case, verdict=first)
    assert rerun(CaseFile.from_octets(given.to_octets())) == first
    assert rerun(given) != case.verdict


def test_equal_cases_give_equal_octets(case: CaseFile) -> None:
    assert CaseFile.from_octets(case.to_octets()).to_octets() == case.to_octets()
    assert CaseFile.from_octets(case.to_octets()).statement == case.statement


def test_anybody_can_open_it(case: CaseFile) -> None:
    with zipfile.ZipFile(io.BytesIO(case.to_octets())) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [PLANT, SNAPSHOT, CASE, VERDICT]


@pytest.mark.parametrize(
    "changed",
    [
        {"terms": replace(TERMS, seed=8)},
        {"context": Context()},
        {"terms": replace(TERMS, thresholds=Thresholds(confidence=0.99))},
        {"command": command({"LIC101.SP": 1.25}, seen=NOW)},
    ],
)
def test_what_was_stated_otherwise_is_another_statement_and_another_verdict(case: CaseFile, changed: dict[str, object]) -> None:
    other = replace(case, stated=replace(case.stated, **changed))  # type: ignore[arg-type]
    assert other.statement != case.statement
    assert rerun(other) != case.verdict


def test_a_seal_travels_and_changes_no_statement(case: CaseFile) -> None:
    sealed = replace(case, seal=Seal(signature=b"signature", signer=b"signer"))
    assert sealed.statement == case.statement
    assert CaseFile.from_octets(sealed.to_octets()).seal == sealed.seal


def test_another_plant_is_refused(case: CaseFile) -> None:
    with pytest.raises(InputError, match=r"the snapshot is of model [0-9a-f]{16}, plant\.yaml gives"):
        rerun(replace(case, plant=case.plant.replace("area: 0.25 m^2", "area: 0.26 m^2")))
    with pytest.raises(ConfigError, match="plant:1"):
        rerun(replace(case, plant="nonsense: {"))


def packed(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, octets in entries.items():
            archive.writestr(name, octets)
    return target.getvalue()


def entries(case: CaseFile) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(case.to_octets())) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_what_is_no_case_is_refused_and_named(case: CaseFile) -> None:
    whole = entries(case)
    for octets, problem in (
        (b"garbage", "not a whole ZIP archive"),
        (case.to_octets()[:-30], "not a whole ZIP archive"),
        (packed({**whole, "../../etc/passwd": b"x"}), "does not belong there"),
        (packed({name: octets for name, octets in whole.items() if name != VERDICT}), f"{VERDICT} is missing"),
        (packed({**whole, "signature.der": b"x"}), "signer.pem is missing"),
        (packed(whole, zipfile.ZIP_DEFLATED), "is compressed"),
        (packed({**whole, PLANT: b"\xff"}), "is not UTF-8"),
        (packed({**whole, CASE: b"{}"}), "Stated"),
        (packed({**whole, SNAPSHOT: b"TWINSNP1"}), "snapshot"),
    ):
        with pytest.raises(CodecError, match=problem):
            CaseFile.from_octets(octets)


@settings(max_examples=150)
@given(st.data())
def test_no_altered_octet_raises_anything_else_or_passes_for_the_same(case: CaseFile, data: st.DataObject) -> None:
    octets = bytearray(case.to_octets())
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] ^= data.draw(st.integers(1, 255))
    try:
        other = CaseFile.from_octets(bytes(octets))
    except CodecError:
        return
    assert other.statement == case.statement, "a changed entry fails its checksum; what remains are the archive's own fields"
