import json
import math
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest

from sentinel.errors import InputError
from sentinel.model.codec import to_jsonable
from sentinel.twin.bands import draw, ticks
from sentinel.twin.engine import Model, compile_model, initial, rollout
from sentinel.twin.estimate import estimates
from sentinel.twin.plant import load_plant
from sentinel.twin.question import AT_THE_DESK, Question, read_setting
from sentinel.twin.whatif import Answer, ask, said_of, without_bands


def answer_to(model: Model, *settings: str, horizon_s: float = 300.0, members: int = 64, tags: tuple[str, ...] = ()) -> Answer:
    read = tuple(read_setting(text, model) for text in settings)
    return ask(model, initial(model, members), Question(settings=read, horizon_s=horizon_s, tags=tags), AT_THE_DESK)


def test_it_says_what_the_rollout_says(model: Model) -> None:
    answer = answer_to(model, "LIC101.AUTO=0", "LIC101.OP=70", tags=("LT101",))
    schedule = [(0.0, {"LIC101.AUTO": 0.0, "LIC101.OP": 70.0})]
    run = rollout(model, initial(model, 64), schedule, 300.0, record=["LT101"], record_every_s=2.5)
    row = run.invariants.index("T101-overfill")
    (future,) = answer.futures
    outcome = future.outcomes[row]
    broken = run.robustness[row] < 0.0
    assert 0.0 < outcome.broken == broken.mean() < 1.0
    assert outcome.broken < outcome.broken_at_most < outcome.broken + 0.2
    assert outcome.margin == pytest.approx(np.median(run.robustness[row]), rel=1e-5)
    assert outcome.margin_low == pytest.approx(np.percentile(run.robustness[row], 5.0), rel=1e-5)
    times = np.sort(run.time_to_violation_s[row])
    assert outcome.early_s == pytest.approx(times[math.ceil(6.4) - 1], rel=1e-5)
    assert outcome.median_s == (pytest.approx(times[31], rel=1e-5) if math.isfinite(times[31]) else None)
    (band,) = future.bands
    assert band.median == pytest.approx(np.median(run.trajectories["LT101"], axis=1), rel=1e-5)
    assert band.low == pytest.approx(np.percentile(run.trajectories["LT101"], 5.0, axis=1), rel=1e-5)
    assert answer.times_s == pytest.approx(run.times_s)


def test_nothing_done_is_beside_it_and_breaks_nothing(model: Model) -> None:
    answer = answer_to(model, "LIC101.SP=1.2")  # what it is anyway
    (future,) = answer.futures
    assert future.bands == answer.nothing.bands
    assert future.outcomes == answer.nothing.outcomes
    assert future.keeps_everything
    assert future.outcomes[0].broken_at_most == pytest.approx(1 - 0.05 ** (1 / 64), rel=1e-4)  # none of 64 is not never
    assert (future.outcomes[0].early_s, future.outcomes[0].median_s) == (None, None)


def test_what_breaks_anyway_is_told_apart(plant_text: str) -> None:
    tight = compile_model(load_plant(plant_text.replace("always: LT101 <= 1.60 m", "always: LT101 <= 1.10 m")))
    (future,) = answer_to(tight, "LIC101.SP=1.3").futures
    assert (future.broken, future.broken_anyway) == (1.0, 1.0)


def test_a_setting_comes_when_it_comes(model: Model) -> None:
    now, later = (answer_to(model, "P102.RUN=0" + at, tags=("LT102",)).futures[0].bands[0] for at in ("", "@150s"))
    quiet = answer_to(model, "LIC102.SP=0.8", tags=("LT102",)).nothing.bands[0]
    at_140_s = next(i for i, time_s in enumerate(answer_to(model, "LIC101.SP=1", tags=("LT102",)).times_s) if time_s > 140)
    assert later.median[:at_140_s] == quiet.median[:at_140_s]
    assert now.median[at_140_s] > later.median[at_140_s] + 0.3
    assert later.median[-1] > quiet.median[-1] + 0.3


def test_members_that_leave_physics_are_not_counted(model: Model) -> None:
    start = initial(model, 16)
    question = Question(settings=(read_setting("LIC101.SP=1.4", model),), horizon_s=60.0)
    for lost in (3, 16):
        states = start.states.copy()
        states[:lost, model.states.index("T201.temperature")] = 1e5
        (future,) = ask(model, replace(start, states=states), question, AT_THE_DESK).futures
        assert future.valid == 16 - lost
        assert json.dumps(to_jsonable(future), allow_nan=False)
    assert (future.bands, future.outcomes[0].margin, future.keeps_everything) == ((), None, False)


def test_a_snapshot_of_another_plant_is_refused(model: Model, plant_text: str) -> None:
    other = compile_model(load_plant(plant_text.replace("1.60 m", "1.61 m")))
    question = Question(settings=(read_setting("LIC101.SP=1", model),), horizon_s=60.0)
    with pytest.raises(InputError, match="another plant file"):
        ask(model, initial(other, 4), question, AT_THE_DESK)


def test_estimates_know_what_is_tripped(model: Model) -> None:
    by_tag = {one.tag: one for one in estimates(model, initial(model, 32))}
    assert by_tag["LT101"].value == pytest.approx(1.2, abs=1e-3)
    assert by_tag["TT201"].unit == "degC"
    assert by_tag["FT101"].value > 1.0
    flooded = rollout(model, initial(model, 32), [(0.0, {"P102.RUN": 0.0, "LIC101.HH": 0.5})], 30.0).final
    assert next(one for one in estimates(model, flooded) if one.tag == "LAHH101").value == 1.0


# -- the picture


def shown(answer: Answer) -> ET.Element:
    return ET.fromstring(draw(answer))


def test_a_picture_has_its_limits_bands_and_legend(model: Model) -> None:
    answer = answer_to(model, "LIC101.AUTO=0", "LIC101.OP=100@30s")
    picture = shown(answer)
    text = " ".join(picture.itertext())
    for part in (
        "LT101 (m)",
        "T101-overfill ≤ 1.6 m",
        "nothing is done",
        said_of(answer.futures[0]),
        "not drawn, nothing moves them",
        "5 min",
    ):
        assert part in text
    panels = [one.get("data-of") for one in picture.iter() if one.get("data-of")]
    assert "LT101" in panels
    assert "TT301" not in panels  # the bearing knows nothing of T101
    width, height = float(picture.get("width", 0)), float(picture.get("height", 0))
    for path in picture.iter("{http://www.w3.org/2000/svg}path"):
        numbers = path.get("d", "").replace("M", " ").replace("L", " ").replace("Z", "").split()
        assert all(0 <= float(x) <= width for x in numbers[::2])
        assert all(0 <= float(y) <= height for y in numbers[1::2])


def test_equal_answers_are_equal_octets_and_names_are_escaped(plant_text: str) -> None:
    hostile = compile_model(load_plant(plant_text.replace("title: Reference plant", 'title: "<script>&"')))
    answers = [answer_to(hostile, "LIC101.SP=1.0:1.5:30", horizon_s=60, members=8) for _ in range(2)]
    pictures = [draw(answer) for answer in answers]
    assert pictures[0] == pictures[1]
    assert "<script>" not in pictures[0]
    assert "6 more are not drawn" in pictures[0]
    assert ET.fromstring(draw(without_bands(answers[0]))).get("role") == "img"


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.2, 17.9), (1199.9, 1200.1), (0.0, 1e-6), (-1e9, 1e9)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    found = list(ticks(low, high, 5))
    assert 3 <= len(found) <= 8
    assert all(low - 1e-9 * abs(low) <= value <= high + 1e-9 * abs(high) for value in found)
