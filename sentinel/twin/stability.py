"""Whether a plant can be followed in the steps that it declares: its linearisation at the start against what the method damps.

In: a compiled plant.  Out: nothing, or `ConfigError` at the line of the component that is too fast.  A mode that decays in the plant must
not grow in the twin: |R(step * eigenvalue)| <= 1, R the method's stability function (Hairer and Wanner, Solving Ordinary Differential
Equations II, IV.2).  Modes that grow in the plant itself are its own affair.  Controllers act between steps and are left out.  What turns
fast only later shows in the step-halving error; a member whose drawn parameters are too fast leaves its bounds and is marked invalid.
"""

import math

import numpy as np
from numpy.typing import NDArray

from sentinel.twin.compiled import Model
from sentinel.twin.ensemble import Ensemble, initial
from sentinel.twin.expression import Expression, Op, evaluate

F8 = NDArray[np.float64]
C16 = NDArray[np.complex128]

_TERMS = {"heun": 2, "rk3": 3, "rk4": 4}  # of the exponential series: what the stability function of each method is
_GROWTH = 1e-3  # in a step: less is rounding of the linearisation
_RELATIVE, _OF_BOUNDS = 1e-6, 1e-9  # by which a state is moved to see what follows


def check_step(model: Model) -> None:
    rates = _jacobian(model)
    if not np.isfinite(rates).all():
        row = int(np.argmax(~np.isfinite(rates).all(axis=1)))
        _refuse(model, row, "does not move by a number at the start: what it is made of divides by zero or lies out of range")
    eigenvalues, shapes = np.linalg.eig(rates)
    modes: C16 = eigenvalues.astype(np.complex128)
    terms = _TERMS[model.plant.method]
    growth = np.where(modes.real < 0.0, np.abs(_amplified(model.step_s * modes, terms)), 0.0)
    worst = int(np.argmax(growth))
    if growth[worst] <= 1.0 + _GROWTH:
        return
    longest = model.step_s
    while np.abs(_amplified(longest * modes[worst : worst + 1], terms))[0] > 1.0:
        longest /= 1.1
    row = int(np.argmax(np.abs(shapes[:, worst])))
    _refuse(
        model,
        row,
        f"settles in {1.0 / abs(modes[worst]):.2g} s, too fast for steps of {model.step_s:g} s with {model.plant.method}: "
        f"expected engine.step of at most {_rounded_down(longest):g} s, or slower parameters",
    )


def _refuse(model: Model, row: int, why: str) -> None:
    part, _, state = model.states[row].partition(".")
    model.plant.parts[part].entry.fail(f"{state} {why}")


def _rounded_down(value: float) -> float:
    digit = 10.0 ** math.floor(math.log10(value))
    return math.floor(value / digit) * digit


def _amplified(z: C16, terms: int) -> C16:
    result = np.ones_like(z)
    for term in range(terms, 0, -1):
        result = 1.0 + z / term * result
    return result


def _jacobian(model: Model) -> F8:
    """d(rate)/d(state), rows are rates: central differences, all columns in one evaluation."""
    plant = model.plant
    start = Ensemble.from_snapshot(model, initial(model, 1))
    at = start.states[:, :1]
    spans = np.array([state.bounds[1] - state.bounds[0] for state in plant.states])
    moves = np.maximum(_RELATIVE * np.abs(at[:, 0]), _OF_BOUNDS * spans)
    states = at + np.hstack([np.diag(moves), -np.diag(moves)])
    rows = {name: row for row, name in enumerate(model.states)}

    def value_of(node: Expression) -> F8 | float:
        if node.op is Op.STATE:
            moved: F8 = states[rows[node.name]]
            return moved
        value = start.value_of(node)
        return float(value[0]) if isinstance(value, np.ndarray) else float(value)

    with np.errstate(all="ignore"):  # what is not finite is refused
        rates = [np.broadcast_to(value, states.shape[1]) for value in evaluate([state.derivative for state in plant.states], value_of)]
        up, down = np.split(np.array(rates), 2, axis=1)
        jacobian: F8 = (up - down) / (2.0 * moves)
    return jacobian
