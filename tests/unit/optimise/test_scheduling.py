import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.errors import InputError
from sentinel.optimise.catalogue import CATALOGUE
from sentinel.optimise.dispatch import cost, dispatch
from sentinel.optimise.instances import read
from sentinel.optimise.problem import Machine, Shop
from sentinel.optimise.scheduling import SchedulingPlanner, Search
from tests.data import data_file
from tests.unit.optimise.shops import broken, job, optimum, shop

PLANNER = SchedulingPlanner(Search(time_limit_s=20))

durations = st.integers(0, 6)
operations = st.dictionaries(st.sampled_from(["A", "B"]), durations, min_size=1)
breaks = st.tuples(st.integers(0, 6), st.integers(1, 4)).map(lambda span: (span[0], span[0] + span[1]))


@st.composite
def small_shops(draw: st.DrawFn) -> Shop:
    jobs = [
        job(
            f"J{index}",
            *draw(st.lists(operations, min_size=1, max_size=2)),
            release=draw(st.integers(0, 4)),
            due=draw(st.none() | st.integers(0, 12)),
            deadline=draw(st.none() | st.integers(4, 20)),
            weight=draw(st.integers(0, 3)),
        )
        for index in range(draw(st.integers(1, 3)))
    ]
    machines = [Machine(name="A", unavailable=tuple(draw(st.lists(breaks, max_size=1)))), Machine(name="B")]
    return shop(*jobs, machines=machines, makespan_weight=draw(st.integers(1, 2)), tardiness_weight=draw(st.integers(0, 2)))


@given(small_shops())
@settings(max_examples=40)
def test_it_finds_what_trying_everything_finds(problem: Shop) -> None:
    plan, best = PLANNER.plan(problem), optimum(problem)
    if best is None:
        assert (plan.status, plan.objective, plan.decisions) == ("infeasible", None, ())
        assert plan.reason
        return
    assert broken(problem, plan) == []
    assert (plan.status, plan.objective, plan.bound, plan.gap) == ("optimal", best, best, 0)


@given(small_shops())
@settings(max_examples=40)
def test_the_dispatch_rule_gives_a_schedule_that_can_be_run(problem: Shop) -> None:
    rows = [
        {"job": problem.jobs[j].name, "operation": problem.jobs[j].operations[o].name, "machine": s.machine, "start": s.start, "end": s.end}
        for (j, o), s in dispatch(problem).items()
    ]
    plan = PLANNER.plan(problem)
    foreman = type(plan)(
        kind="scheduling", status="feasible", objective=cost(problem, dispatch(problem)), bound=0, gap=0, unit="", decisions=tuple(rows)
    )
    assert [one for one in broken(problem, foreman) if "deadline" not in one] == []


@pytest.mark.data
@pytest.mark.parametrize(
    "name",
    [
        "jobshop/ft06",
        "jobshop/la01",
        "jobshop/la05",
        "jobshop/la06",
        "flexible-jobshop/mk01",
        "flexible-jobshop/mk03",
        "flexible-jobshop/kacem1",
        "flexible-jobshop/kacem3",
    ],
)
def test_known_optima(name: str) -> None:
    folder, instance = name.split("/")
    known = {one["instance"]: one for one in json.loads(data_file(f"optimisation/{folder}/best_known.json").read_text())}[instance]
    assert known["lower_bound"] == known["upper_bound"]
    problem = read(data_file(f"optimisation/{name}.txt").read_text(), name)
    plan = PLANNER.plan(problem)
    assert broken(problem, plan) == []
    assert (plan.status, plan.objective) == ("optimal", known["upper_bound"])


@pytest.mark.data
def test_a_search_that_is_cut_short_brackets_the_optimum() -> None:
    problem = read(data_file("optimisation/jobshop/ft10.txt").read_text(), "ft10")
    planner = SchedulingPlanner(Search(time_limit_s=60, effort=1.0))
    plan = planner.plan(problem)
    assert broken(problem, plan) == []
    assert plan.status == "feasible"
    assert plan.bound is not None
    assert plan.objective is not None
    assert plan.bound <= 930 <= plan.objective
    assert plan.objective <= cost(problem, dispatch(problem))
    assert plan.gap == pytest.approx((plan.objective - plan.bound) / plan.objective)
    again = planner.plan(problem)
    assert (again.decisions, again.objective, again.bound) == (plan.decisions, plan.objective, plan.bound)


def test_a_deadline_that_one_job_cannot_reach_is_named() -> None:
    plan = PLANNER.plan(shop(job("late", {"A": 9}, {"B": 4}, release=3, deadline=15)))
    assert plan.status == "infeasible"
    assert plan.reason == "job late needs at least 13 from its release at 3: its deadline at 15 is out of reach"


def test_deadlines_that_stand_in_each_others_way_are_named() -> None:
    plan = PLANNER.plan(shop(job("one", {"A": 5}, deadline=6), job("two", {"A": 5}, deadline=8), job("free", {"B": 99})))
    assert plan.status == "infeasible"
    assert plan.reason == "no schedule holds all deadlines; in the closest one two ends at 10, 2 late"


def test_no_time_at_all_still_gives_the_foremans_plan() -> None:
    problem = shop(*(job(f"J{n}", *({"A": 3 + n % 5, "B": 4} for _ in range(10))) for n in range(30)))
    plan = SchedulingPlanner(Search(time_limit_s=1e-6)).plan(problem)
    assert broken(problem, plan) == []
    assert plan.objective == cost(problem, dispatch(problem))


def test_numbers_that_would_overflow_the_solver_are_refused() -> None:
    with pytest.raises(InputError, match="choose a coarser time unit"):
        PLANNER.plan(shop(job("J", {"A": 10**9}, due=1, weight=10**6), tardiness_weight=10**6))


@pytest.mark.parametrize("changes", [{"time_limit_s": 0}, {"time_limit_s": float("nan")}, {"workers": 0}, {"seed": -1}])
def test_a_search_has_limits(changes: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Search(**changes)  # type: ignore[arg-type]


def test_the_catalogue_names_its_planners() -> None:
    assert {name: planner.spec.name for name, planner in CATALOGUE.items()} == {name: name for name in CATALOGUE}
