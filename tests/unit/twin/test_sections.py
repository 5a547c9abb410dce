from sentinel.demo.wiring import PLANT_FILE
from sentinel.twin.plant import load_plant
from sentinel.twin.sections import sections


def test_every_tag_of_the_reference_plant_belongs_where_its_name_says() -> None:
    plant = load_plant(PLANT_FILE)
    found = sections(plant)
    one, two, three = (found[tag] for tag in ("LT101", "TT201", "TT301"))
    assert len(one) == len(two) == len(three) == 1
    assert len(one | two | three) == 3
    assert {tag for tag, numbers in found.items() if numbers == one} == {
        *("LT101", "LT102", "FT101", "FT102", "FT112", "ST101", "ZT102", "P101.RUN", "P102.RUN"),
        *(f"LIC10{number}.{part}" for number in (1, 2) for part in ("SP", "OP", "AUTO", "HH")),
        "P102.LL",
    }
    assert found["SIC301.SP"] == found["SP301.HH"] == three
    assert found["H201.HH"] == found["P201.LL"] == two
    assert found["BYPASS"] == one | two | three
    assert {tag.name for tag in plant.tags.tags if not found[tag.name]} == {tag.name for tag in plant.tags.tags if tag.role == "alarm"}
