from pathlib import Path

import pytest

import sentinel.demo
from sentinel.twin.engine import Model, compile_model
from sentinel.twin.plant import Plant, load_plant

PLANT_FILE = Path(sentinel.demo.__file__).with_name("plant.yaml")


@pytest.fixture(scope="session")
def plant() -> Plant:
    return load_plant(PLANT_FILE)


@pytest.fixture(scope="session")
def model(plant: Plant) -> Model:
    return compile_model(plant)


@pytest.fixture(scope="session")
def plant_text() -> str:
    return PLANT_FILE.read_text(encoding="utf-8")
