"""``sentinel rerun``: a sealed case leads to its verdict again; what was altered, or sealed by somebody else, is said and not accepted."""

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.casefile import CaseFile, Seal, Stated, Terms
from sandbox.judge import judge
from sandbox.protocol import Context
from sandbox.replay import Replay
from sentinel.access.authority import ROOT, Authority
from sentinel.cli import main
from sentinel.clock import ManualClock
from sentinel.model.ids import Digest
from sentinel.twin.engine import compile_model, initial
from sentinel.twin.plant import load_plant
from tests.unit.sandbox.conftest import PLANT, command, in_step


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def case(clock: ManualClock) -> CaseFile:
    model, terms = compile_model(load_plant(PLANT)), Terms(members=32, horizon_s=120.0)
    snapshot = in_step(initial(model, 32, at=clock.now()))
    stated = Stated(command=command({"SIC301.SP": 9500.0}, seen=clock.now()), context=Context(), terms=terms)
    replay = Replay(model=model, members=terms.members, horizon_s=terms.horizon_s)
    verdict = judge(stated.command, snapshot, replay, stated.context, terms.thresholds, terms.seed, clock.now())
    return CaseFile(plant=PLANT.read_text(), snapshot=snapshot, stated=stated, verdict=verdict)


def sealed(case: CaseFile, directory: Path, clock: ManualClock) -> CaseFile:
    authority = Authority(directory, clock.now())
    authority.server_certificate("sentinel", (), clock.now())
    signature, signer = authority.seal(case.statement)
    return replace(case, seal=Seal(signature=signature, signer=signer))


def test_a_sealed_case_is_whole_and_its_verdict_comes_again(
    case: CaseFile, tmp_path: Path, clock: ManualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "one.case.zip"
    file.write_bytes(sealed(case, tmp_path / "authority", clock).to_octets())
    assert main(["rerun", str(file), "--authority", str(tmp_path / "authority" / ROOT)]) == 0
    said = capsys.readouterr().out
    assert "write_multiple_registers by 10.0.0.66: SIC301.SP = 9500" in said
    assert "seal:   whole, by the given root" in said
    assert "again:  the same to the last bit, in 32 futures of 120 s" in said
    assert main(["rerun", str(file)]) == 0
    assert "by the unchecked root" in capsys.readouterr().out


def test_an_altered_case_is_neither_whole_nor_the_same(
    case: CaseFile, tmp_path: Path, clock: ManualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = sealed(case, tmp_path / "authority", clock)
    file = tmp_path / "altered.case.zip"
    file.write_bytes(replace(whole, verdict=replace(case.verdict, probability=0.01)).to_octets())
    assert main(["rerun", str(file)]) == 1
    said = capsys.readouterr().out
    assert "seal:   broken: the signature does not fit" in said
    assert "differs: probability: stated 0.01, now 0.8" in said


def test_a_case_that_nobody_or_somebody_else_sealed_is_told_apart(
    case: CaseFile, tmp_path: Path, clock: ManualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = Authority(tmp_path / "ours", clock.now()).directory / ROOT
    for name, one in (("bare", case), ("theirs", sealed(case, tmp_path / "theirs", clock))):
        file = tmp_path / f"{name}.case.zip"
        file.write_bytes(one.to_octets())
        assert main(["rerun", str(file), "--authority", str(ours)]) == 1
    said = capsys.readouterr().out
    assert "nobody vouches for this case" in said
    assert "was not issued by" in said


def test_what_is_no_case_is_refused_in_a_line(case: CaseFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "garbage").write_bytes(b"PK\x03\x04 nothing")
    foreign = replace(case, verdict=replace(case.verdict, model=Digest("0" * 64)))
    (tmp_path / "foreign").write_bytes(foreign.to_octets())
    for name, problem in (
        ("garbage", "not a whole ZIP archive"),
        ("missing", "cannot be read"),
        ("foreign", "the verdict is of model 0000"),
    ):
        assert main(["rerun", str(tmp_path / name)]) == 2
        assert problem in capsys.readouterr().err
