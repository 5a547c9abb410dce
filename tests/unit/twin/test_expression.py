import numpy as np
import pytest

from sentinel.twin.expression import (
    DimensionError,
    Expression,
    Op,
    clip,
    constant,
    evaluate,
    greater,
    leaf,
    magnitude,
    maximum,
    root,
    total,
    walk,
    where,
)
from sentinel.twin.units import ONE, unit

LEVEL = leaf(Op.STATE, "level", unit("m").dimension)
AREA = leaf(Op.PARAMETER, "area", unit("m^2").dimension)


def at(expression: Expression, level: float, area: float = 2.0) -> float:
    return float(evaluate([expression], lambda node: level if node.name == "level" else area)[0])


@pytest.mark.parametrize(
    "build",
    [
        lambda: LEVEL + AREA,
        lambda: LEVEL + 1.0,
        lambda: maximum(LEVEL, 0.0),
        lambda: greater(LEVEL, AREA),
        lambda: where(LEVEL, 1.0, 0.0),
        lambda: where(greater(LEVEL, constant(1.0, "m")), LEVEL, AREA),
        lambda: total([LEVEL], AREA.dimension),
    ],
)
def test_quantities_of_different_kind_do_not_mix(build) -> None:
    with pytest.raises(DimensionError):
        build()


def test_dimensions_follow_the_arithmetic() -> None:
    assert (LEVEL * AREA).dimension == unit("m^3").dimension
    assert (LEVEL / AREA).dimension == unit("1/m").dimension
    assert root(AREA).dimension == LEVEL.dimension
    assert (1.0 - LEVEL / constant(4.0, "m")).dimension == ONE
    assert total([], AREA.dimension).dimension == AREA.dimension


def test_a_division_by_a_root_needs_no_divider() -> None:
    quotient = AREA / root(LEVEL)
    assert quotient.dimension == unit("m^1.5").dimension
    assert {node.op for node in walk([quotient])}.isdisjoint({Op.ROOT, Op.DIVIDE})
    chance = np.random.default_rng(2)
    for level in (*10.0 ** chance.uniform(-300, 300, 2000), 1.0, 4.0, 2.0**-1000):
        assert at(quotient, float(level), 1.0) == pytest.approx(1.0 / np.sqrt(level), rel=6e-13)
    assert at(quotient, 0.0, 0.0) == 0.0
    assert at(quotient, 0.0, 1.0) > 1e153, "no state is within its bounds after it"


def test_what_is_taken_away_is_subtracted_at_once() -> None:
    for sum_ in (AREA + -AREA, total([AREA, -AREA], AREA.dimension)):
        assert sum_.op is Op.SUBTRACT
        assert sum_.arguments == (AREA, AREA)
    with pytest.raises(DimensionError):
        AREA + -LEVEL


def test_values_mean_what_they_say() -> None:
    assert at(root(LEVEL), 4.0) == 2.0
    assert at(root(LEVEL), -4.0) == 0.0
    assert at(-LEVEL, 4.0) == -4.0
    assert at(magnitude(LEVEL), -4.0) == 4.0
    assert at(LEVEL / AREA, 4.0) == 2.0
    assert at(clip(LEVEL / constant(1.0, "m"), 0.0, 1.0), 7.0) == 1.0
    assert at(where(greater(LEVEL, constant(100.0, "cm")), LEVEL, -LEVEL), 0.5) == -0.5
    assert at(2.0 * LEVEL, 1.5) == 3.0


def test_dividing_by_what_never_changes_becomes_a_product() -> None:
    assert (LEVEL / AREA).op is Op.MULTIPLY
    assert (AREA / LEVEL).op is Op.DIVIDE


def test_a_walk_meets_every_node_once_and_arguments_first() -> None:
    shared = LEVEL * LEVEL
    nodes = list(walk([shared + shared, shared]))
    assert len(nodes) == 3
    for place, node in enumerate(nodes):
        assert all(any(argument is before for before in nodes[:place]) for argument in node.arguments)


def test_evaluation_works_on_whole_ensembles() -> None:
    levels = np.array([1.0, 4.0, -1.0])
    assert evaluate([root(LEVEL)], lambda _: levels)[0].tolist() == [1.0, 2.0, 0.0]
