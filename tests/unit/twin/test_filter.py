from sentinel.twin.filter import blocks
from sentinel.twin.plant import Plant


def test_the_sections_of_the_reference_plant_do_not_touch(plant: Plant) -> None:
    states, controllers, parameters, outputs = blocks(plant, [sensor.expression for sensor in plant.sensors])
    of_state = dict(zip((one.name for one in plant.states), states, strict=True))
    assert of_state["T101.level"] == of_state["T102.level"] == of_state["P101.speed"]
    assert of_state["H201.temperature"] == of_state["T201.temperature"] == of_state["P201.flow"]
    assert of_state["SP301.speed"] == of_state["B301.temperature"] == of_state["CL301.position"]
    assert len({of_state["T101.level"], of_state["T201.temperature"], of_state["B301.temperature"]}) == 3
    assert len(set(states) | set(controllers) | set(parameters) | set(outputs)) == 3
