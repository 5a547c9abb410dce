import xml.etree.ElementTree as ET

import pytest

from sentinel.optimise.gantt import draw
from sentinel.optimise.problem import Machine
from sentinel.optimise.scheduling import SchedulingPlanner, Search
from tests.unit.optimise.shops import job, shop

PLANNER = SchedulingPlanner(Search(time_limit_s=10))
SVG = "{http://www.w3.org/2000/svg}"


def test_a_bar_for_every_operation_and_every_break() -> None:
    evil = '<script>alert("1")</script>'
    problem = shop(
        job(evil, {"A": 3}, {"B": 2}, due=2), job("J2", {"A": 4}), machines=[Machine(name="A", unavailable=((4, 6), (900, 901))), "B"]
    )
    picture = ET.fromstring(draw(problem, PLANNER.plan(problem)))
    titles = [title.text or "" for title in picture.iter(f"{SVG}title")]
    assert sum(" on A: " in title or " on B: " in title for title in titles) == 3
    assert "A: unavailable from 4 to 6" in titles
    assert sum(title.startswith(f"{evil} is due at 2 and ") for title in titles) == 1
    assert not list(picture.iter(f"{SVG}script"))
    width = float((picture.get("viewBox") or "").split()[2])
    for bar in picture.iter(f"{SVG}rect"):
        if bar.get("stroke"):
            assert float(bar.get("x") or -1) + float(bar.get("width") or 0) <= width


def test_nothing_planned_nothing_drawn() -> None:
    problem = shop(job("J", {"A": 3}, deadline=1))
    with pytest.raises(ValueError, match="no picture"):
        draw(problem, PLANNER.plan(problem))
