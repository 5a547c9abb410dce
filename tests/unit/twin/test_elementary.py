"""Exponential, logarithm and power against decimal arithmetic of 40 digits, and compiled against read."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from sentinel.model.ids import Digest
from sentinel.model.tags import Tag, TagMap, TagRole
from sentinel.twin.compiled import Model, Output
from sentinel.twin.elementary import HIGHEST, LOWEST, exponential, logarithm, power
from sentinel.twin.engine import rollout
from sentinel.twin.expression import DimensionError, Expression, Op, constant, evaluate, leaf
from sentinel.twin.kernel import build
from sentinel.twin.plant import Plant, StateEquation
from sentinel.twin.snapshot import Grade, Health, Snapshot
from sentinel.twin.units import ONE, unit
from sentinel.twin.wiring import Wiring

X = leaf(Op.STATE, "x", ONE)
PER_SECOND = ONE / unit("s").dimension
FUNCTIONS = {"exponential": exponential(X), "logarithm": logarithm(X), "power": power(X, 1.1544)}
ODD = [math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, 5e-324, 2.3e-308, 1.0, 1.7e308, HIGHEST, LOWEST, 709.5, -708.5]


def of(expression: Expression, values: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        return evaluate([expression], lambda _: values)[0]


def worst_ulp(got: np.ndarray, exact: list[Decimal]) -> float:
    return max(float(abs(Decimal(float(a)) - b) / Decimal(math.ulp(float(a)))) for a, b in zip(got, exact, strict=True))


def test_the_exponential_is_right_to_two_units_in_the_last_place() -> None:
    chance = np.random.default_rng(1)
    x = np.concatenate([chance.uniform(LOWEST, HIGHEST, 2000), chance.uniform(-1, 1, 2000), chance.uniform(-1e-5, 1e-5, 100)])
    with localcontext() as context:
        context.prec = 40
        assert worst_ulp(of(FUNCTIONS["exponential"], x), [Decimal(float(v)).exp() for v in x]) < 2.0


def test_the_logarithm_is_right_to_two_units_in_the_last_place() -> None:
    chance = np.random.default_rng(2)
    x = np.concatenate([10.0 ** chance.uniform(-300, 300, 2000), chance.uniform(0.5, 2.0, 2000), 1.0 + chance.uniform(-1e-8, 1e-8, 100)])
    with localcontext() as context:
        context.prec = 40
        assert worst_ulp(of(FUNCTIONS["logarithm"], x), [Decimal(float(v)).ln() for v in x]) < 2.0


def test_the_power_is_as_good_as_its_logarithm() -> None:
    x, exponent = 10.0 ** np.random.default_rng(3).uniform(-100, 100, 2000), 1.1544
    with localcontext() as context:
        context.prec = 40
        exact = [Decimal(float(v)) ** Decimal(exponent) for v in x]
        got = of(FUNCTIONS["power"], x)
        for value, true, base in zip(got, exact, x, strict=True):
            assert worst_ulp(np.array([value]), [true]) < 2.0 + 2.0 * abs(exponent * math.log(base))


def test_what_is_out_of_range_is_declared() -> None:
    values = np.array([800.0, math.inf, -800.0, -math.inf, math.nan])
    np.testing.assert_array_equal(of(FUNCTIONS["exponential"], values), [math.inf, math.inf, 0.0, 0.0, math.nan])
    values = np.array([0.0, -0.0, -1.0, 1e-310, -math.inf, math.inf, math.nan])
    np.testing.assert_array_equal(of(FUNCTIONS["logarithm"], values), [-math.inf] * 5 + [math.inf, math.nan])
    np.testing.assert_array_equal(of(FUNCTIONS["power"], values), [0.0] * 5 + [math.inf, math.nan])


@pytest.mark.parametrize("function", [exponential, logarithm, lambda x: power(x, 2.0), lambda x: power(constant(2.0), x)])
def test_only_plain_numbers_have_an_exponential(function) -> None:
    with pytest.raises(DimensionError, match="plain number"):
        function(leaf(Op.STATE, "level", unit("m").dimension))


@pytest.mark.parametrize("portable", [False, True])
def test_compiled_code_gives_the_bits_of_the_graph(portable: bool) -> None:
    """Members stand still at their values; each function is recorded once."""
    chance = np.random.default_rng(4)
    x = np.concatenate([ODD, chance.uniform(-720, 720, 1000), 10.0 ** chance.uniform(-308, 308, 1000)])
    state = StateEquation(
        name="x", unit=unit("1"), derivative=Expression(Op.CONSTANT, PER_SECOND), start=X, stops=(None, None), bounds=(-math.inf, math.inf)
    )
    tags = TagMap(tuple(Tag(name=name, role=TagRole.PROCESS_VALUE, unit="1", low=0.0, high=1.0) for name in FUNCTIONS))
    plant = Plant(
        name="functions", title="", seed=0, text="", method="heun", step_s=1.0, parts={}, wiring=Wiring({}, lambda _: X, {}),
        parameters=(), states=(state,), controllers=(), interlocks=(), invariants=(), sensors=(), inputs=(), tags=tags,
    )  # fmt: skip
    outputs = tuple(
        Output(tag=name, unit="1", low=0.0, high=1.0, role=TagRole.PROCESS_VALUE, measure=unit("1"), expression=expression)
        for name, expression in FUNCTIONS.items()
    )
    model = Model(
        plant=plant, digest=Digest("functions"), kernel=build(plant, list(FUNCTIONS.values()), portable), states=("x",), inputs=(),
        outputs=outputs, invariants=(), step_s=1.0,
    )  # fmt: skip
    start = Snapshot(
        at=0, digest=model.digest, states=x[:, None], controllers=np.zeros((len(x), 0)), parameters=np.zeros((len(x), 0)),
        inputs=np.zeros(0), trusted=True, health=Health(grade=Grade.IN_STEP, reason=""),
    )  # fmt: skip
    shown = rollout(model, start, {}, 1.0, record=list(FUNCTIONS)).trajectories
    for name, expression in FUNCTIONS.items():
        np.testing.assert_array_equal(shown[name][0], of(expression, x), err_msg=name)
