"""Which quantities can influence which sensor at all: correlations between the others are chance, and no reading corrects by them."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from sentinel.twin.expression import Expression, Op, leaves
from sentinel.twin.plant import Plant

Numbers = NDArray[np.int64]


def blocks(plant: Plant, outputs: Sequence[Expression]) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Block numbers of states, controllers, parameters and outputs: parts of the plant that nothing connects have different ones."""
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def find(key: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    def touched(roots: Iterable[Expression]) -> list[tuple[str, str]]:
        roots = list(roots)
        return [
            (kind, name)
            for op, kind in ((Op.STATE, "state"), (Op.PARAMETER, "parameter"), (Op.OUTPUT, "controller"), (Op.INTEGRAL, "controller"))
            for name in sorted(leaves(roots, op))
        ]

    def join(keys: Iterable[tuple[str, str]]) -> None:
        first, *others = keys
        for other in others:
            parent[find(other)] = find(first)

    for state in plant.states:
        join([("state", state.name), *touched([state.derivative])])
    for controller in plant.controllers:
        join([("controller", controller.name), *touched(controller.scan())])
    for i, output in enumerate(outputs):
        join([("output", str(i)), *touched([output])])
    numbers: dict[tuple[str, str], int] = {}

    def number(key: tuple[str, str]) -> int:
        return numbers.setdefault(find(key), len(numbers))

    return (
        np.array([number(("state", state.name)) for state in plant.states], np.int64),
        np.array([number(("controller", controller.name)) for controller in plant.controllers], np.int64),
        np.array([number(("parameter", parameter.name)) for parameter in plant.parameters], np.int64),
        np.array([number(("output", str(i))) for i in range(len(outputs))], np.int64),
    )
