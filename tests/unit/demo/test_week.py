"""A week of routine: the same for a seed, one thing at a time, everything left as it was found."""

from itertools import pairwise

import pytest

from sentinel.demo.leap import leap
from sentinel.demo.simulation import ReferencePlant
from sentinel.demo.week import BANDS, DAY_S, HOUR_S, week
from sentinel.demo.wiring import read_interface
from sentinel.model.tags import TagRole


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_week(seed: int) -> None:
    doings = week(seed)
    assert doings == week(seed)
    assert doings != week(seed + 100)
    assert doings[0].at_s > 0.0
    assert doings[-1].at_s < 7 * DAY_S
    interface = read_interface()
    free_from_s = 0.0
    standing = dict(interface.starts)
    for doing in doings:
        assert doing.at_s > free_from_s, f"{doing.says} begins before what came before it has ended"
        free_from_s = doing.at_s + doing.writes[-1][0]
        times = [after_s for after_s, _, _ in doing.writes]
        assert times == sorted(times)
        for _, name, value in doing.writes:
            tag = interface.tags.by_name[name]
            assert tag.writable
            assert name != "BYPASS"
            standing[name] = value
        for name, value in standing.items():
            tag = interface.tags.by_name[name]
            if tag.role in (TagRole.MODE, TagRole.LIMIT):
                assert value == interface.starts[name], f"{doing.says} leaves {name} at {value:g}"
            elif name in BANDS:
                low, high, _ = BANDS[name]
                assert low <= value <= high


def test_a_changeover_brings_an_overhauled_pump() -> None:
    """What P101 loses between two of them stays within what a plant file would call uncertain."""
    for seed in range(1, 6):
        doings = week(seed)
        changed = [doing.at_s for doing in doings if doing.overhauls]
        assert {doing.writes[-1][1:] for doing in doings if doing.overhauls} == {("P101.RUN", 1.0)}
        assert max(after - before for before, after in pairwise([0.0, *changed, 7 * DAY_S])) < 1.5 * DAY_S
    plant = ReferencePlant(seed=2, noise=False)
    as_new = plant.truth["FT101"]
    plant.physics.noise = True
    leap(plant, 6 * HOUR_S)
    worn = plant.physics.inflow(plant.physics.state)
    plant.physics.overhaul()
    assert worn < 0.99 * plant.physics.inflow(plant.physics.state)
    assert plant.physics.inflow(plant.physics.state) == pytest.approx(as_new, rel=0.02)
