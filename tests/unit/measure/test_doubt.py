"""What must hold: where the twin's picture of the plant is wrong, the court does not certify.

The plant is the reference plant with its own physics; the twin hears of it what polls read, or what somebody on the way lets through.  Each
write that is asked about is harmless, and is called safe when nothing is wrong.
"""

import random
from collections.abc import Callable, Mapping
from functools import cache

import pytest

from sandbox.config import Thresholds
from sandbox.judge import judge
from sandbox.protocol import Context
from sandbox.replay import Replay
from sentinel.demo.wiring import PLANT_FILE, read_interface
from sentinel.measure.courtroom import command
from sentinel.measure.stage import Distortion, LivePlant, Stage
from sentinel.model.command import Origin
from sentinel.model.tags import TagRole
from sentinel.model.verdict import Judgement, Verdict
from sentinel.twin.compiled import Model
from sentinel.twin.engine import compile_model
from sentinel.twin.plant import load_plant

INTERFACE = read_interface(PLANT_FILE)
WRITES = {"1": ("LIC101.SP", 1.25), "2": ("TIC201.SP", 58.0), "3": ("SIC301.SP", 6100.0)}  # by section, as its tags are numbered
SENSORS = [tag.name for tag in INTERFACE.tags.tags if tag.role is TagRole.PROCESS_VALUE]
WATCHED = sorted({one.tag.name for one in load_plant(PLANT_FILE).invariants if not one.counts})
CURVE = "max_flow: 4.22 L/s +- 3 %"


@cache
def twin(max_flow: float = 4.22) -> Model:
    text = PLANT_FILE.read_text()
    assert text.count(CURVE) == 1
    return compile_model(load_plant(text.replace(CURVE, f"max_flow: {max_flow:g} L/s +- 3 %")))


def section_of(tag: str) -> str:
    return tag.lstrip("ACFIJLSTZ")[0]


def ask(stage: Stage, model: Model) -> dict[str, Verdict]:
    """A verdict on each section's write."""
    snapshot, replay = stage.snapshot(), Replay(model=model, members=256, horizon_s=600.0)
    asked = {section: command(INTERFACE, Origin.GATE, stage.now, tag, value) for section, (tag, value) in WRITES.items()}
    return {section: judge(one, snapshot, replay, Context(), Thresholds(), 0, stage.now) for section, one in asked.items()}


def followed(model: Model, until_s: float, distort: Distortion | None = None) -> Stage:
    stage = Stage(model, LivePlant.of_reference(3, INTERFACE), distort=distort)
    stage.follow(until_s)
    return stage


class Tape:
    """Half a minute of what was read, played again and again from then on, of the tags that ``plays`` says."""

    def __init__(self, from_s: float, until_s: float, plays: Callable[[str], bool]) -> None:
        self._from_s, self._until_s, self._plays = from_s, until_s, plays
        self._tape: list[dict[str, float]] = []
        self._at = 0

    def __call__(self, time_s: float, values: Mapping[str, float]) -> Mapping[str, float]:
        if time_s < self._until_s:
            if time_s >= self._from_s:
                self._tape.append(dict(values))
            return values
        self._at += 1
        played = self._tape[self._at % len(self._tape)]
        return {tag: played[tag] if self._plays(tag) else value for tag, value in values.items()}


def test_with_nothing_wrong_every_write_is_safe() -> None:
    assert {verdict.judgement for verdict in ask(followed(twin(), 60.0), twin()).values()} == {Judgement.SAFE}


@pytest.mark.parametrize("sensor", SENSORS)
def test_a_sensor_that_falls_silent_is_named_and_its_section_is_not_certified_any_more(sensor: str) -> None:
    """The other sections are: doubt stays where it belongs."""
    stage = followed(twin(), 60.0, lambda at_s, values: {tag: value for tag, value in values.items() if tag != sensor or at_s < 60.0})
    stage.follow(90.0)
    verdicts = ask(stage, twin())
    mine = verdicts.pop(section_of(sensor))
    assert mine.judgement is Judgement.UNDECIDED
    assert f"({sensor})" in mine.reason
    assert {verdict.judgement for verdict in verdicts.values()} == {Judgement.SAFE}


@pytest.mark.parametrize("sensor", WATCHED)
def test_what_an_invariant_watches_and_nobody_has_ever_read_is_not_certified(sensor: str) -> None:
    """What nothing watches may have no reading at all: many a plant has fewer sensors than its twin could use."""
    verdicts = ask(followed(twin(), 60.0, lambda _, values: {tag: value for tag, value in values.items() if tag != sensor}), twin())
    mine = verdicts.pop(section_of(sensor))
    assert mine.judgement is Judgement.UNDECIDED
    assert f"({sensor})" in mine.reason
    assert {verdict.judgement for verdict in verdicts.values()} == {Judgement.SAFE}


@pytest.mark.parametrize("what", ["everything", "one section"])
def test_a_recording_that_is_played_again_is_not_certified(what: str) -> None:
    """An attacker who shows yesterday's plant, at rest: physics has nothing against it."""
    tape = Tape(60.0, 90.0, lambda tag: what == "everything" or section_of(tag) == "1")
    stage = followed(twin(), 180.0, tape)
    for _ in range(4):
        verdicts = ask(stage, twin())
        assert verdicts["1"].judgement is Judgement.UNDECIDED
        if what == "everything":
            assert {verdict.judgement for verdict in verdicts.values()} == {Judgement.UNDECIDED}
        stage.follow(stage.live.plant.time_s + 30.0)


@pytest.mark.parametrize("factor", [0.8, 1.2])
def test_a_plant_file_whose_pump_curve_is_off_by_a_fifth_is_never_believed(factor: float) -> None:
    """Its spread is 3 %.  Neither at once nor when the estimator has had twenty minutes to bend the rest to it."""
    wrong = twin(4.22 * factor)
    stage = followed(wrong, 15.0)
    for until_s in (30.0, 60.0, 120.0, 300.0, 600.0, 1200.0):
        verdicts = ask(stage, wrong)
        assert verdicts["1"].judgement is Judgement.UNDECIDED
        assert "(FT101)" in verdicts["1"].reason
        assert {verdicts["2"].judgement, verdicts["3"].judgement} == {Judgement.SAFE}
        stage.follow(until_s)


@pytest.mark.parametrize("section", ["1", "2", "3"])
@pytest.mark.parametrize("noise", [0.0005, 0.001, 0.02])
def test_a_section_that_somebody_else_speaks_for_is_not_certified(section: str, noise: float) -> None:
    """Every tag of it stands where it stood, with noise of its own: consistent, at rest, never twice the same, and not the instruments'."""
    chance, kept = random.Random(section), dict[str, float]()

    def speaks(at_s: float, values: Mapping[str, float]) -> Mapping[str, float]:
        if at_s < 300.0:
            kept.update(values)
            return values
        return {tag: kept[tag] * (1.0 + chance.gauss(0.0, noise)) if spoken(tag) else value for tag, value in values.items()}

    def spoken(tag: str) -> bool:
        return section_of(tag) == section and (tag in SENSORS or tag.endswith(".OP"))

    stage = followed(twin(), 600.0, speaks)
    verdicts = ask(stage, twin())
    mine = verdicts.pop(section)
    assert mine.judgement is Judgement.UNDECIDED
    assert {verdict.judgement for verdict in verdicts.values()} == {Judgement.SAFE}
