"""Sections: parts of a plant that nothing connects.  A reading that the twin does not follow says nothing of another section.

In: a `Plant`.  Out: tag name to the numbers of the sections it belongs to.  An interlock belongs to what it reads and to what it trips; a
bypass of all interlocks belongs to every section that has one, an alarm to none.
"""

from collections.abc import Iterable, Mapping

from sentinel.twin.expression import Op, leaves
from sentinel.twin.filter import blocks
from sentinel.twin.plant import Plant


def sections(plant: Plant) -> Mapping[str, frozenset[int]]:
    in_states, in_controllers, _, in_outputs = blocks(plant, [sensor.expression for sensor in plant.sensors])
    states = {state.name: number for state, number in zip(plant.states, in_states.tolist(), strict=True)}
    found: dict[str, set[int]] = {tag.name: set() for tag in plant.tags.tags}

    def add(tags: Iterable[str], numbers: Iterable[int]) -> None:
        for tag in tags:
            found[tag].update(numbers)

    for sensor, number in zip(plant.sensors, in_outputs.tolist(), strict=True):
        add([sensor.tag.name], [number])
    for state in plant.states:
        add(leaves([state.derivative], Op.INPUT), [states[state.name]])
    for controller, number in zip(plant.controllers, in_controllers.tolist(), strict=True):
        add({controller.op, controller.auto_tag, *leaves(controller.scan(), Op.INPUT)}, [number])
    for interlock in plant.interlocks:
        tripped = {states[one.name] for one in plant.states if interlock.name in leaves([one.derivative], Op.TRIPPED)}
        read = {states[name] for name in leaves([interlock.condition], Op.STATE)}
        add(leaves([interlock.tripped], Op.INPUT), tripped | read)
    return {name: frozenset(numbers) for name, numbers in found.items()}
