from collections.abc import Sequence

import numpy as np
import pytest

from sentinel.detect.automaton import BLOCK_NS, MAX_BLOCKS, MAX_SYMBOLS, MIN_HELD, Automaton
from sentinel.model.time import NS_PER_S
from tests.observations import START


def learnt(symbols: Sequence[int], connections: Sequence[int] | None = None, every_s: float = 1.0) -> Automaton:
    automaton = Automaton()
    times = START + (np.arange(len(symbols)) * every_s * NS_PER_S).astype(np.int64)
    automaton.learn(np.array(symbols), times, np.zeros(len(symbols), np.int64) if connections is None else np.array(connections))
    return automaton


def order(automaton: Automaton) -> dict[int, tuple[int, ...]]:
    return {step.symbol: step.after for step in automaton.steps()}


def test_a_cycle_is_a_ring() -> None:
    assert order(learnt([0, 1, 2, 3] * 40)) == {0: (3,), 1: (0,), 2: (1,), 3: (2,)}


def test_a_capture_may_begin_anywhere_in_the_cycle() -> None:
    assert order(learnt([2, 3, *[0, 1, 2, 3] * 40, 0])) == {0: (3,), 1: (0,), 2: (1,), 3: (2,)}


def test_what_was_heard_too_seldom_has_no_place() -> None:
    assert order(learnt([0, 1, 2] * MIN_HELD)) == {}
    assert order(learnt([0, 1, 2] * (MIN_HELD + 1))) == {0: (2,), 1: (0,), 2: (1,)}


def test_a_slower_cycle_that_runs_through_a_faster_one_is_a_ring_of_its_own() -> None:
    """Wherever in the faster one it comes."""
    chance, symbols = np.random.default_rng(1), list[int]()
    for number in range(400):
        cycle = [0, 1, 2]
        if number % 5 == 0:
            at = int(chance.integers(0, 4))
            cycle[at:at] = [3, 4]
        symbols += cycle
    found = order(learnt(symbols))
    assert {symbol: after for symbol, after in found.items() if symbol < 3} == {0: (2,), 1: (0,), 2: (1,)}
    assert found[4] == (3,)
    assert found[3] == (4,)


def test_a_handshake_has_an_order_and_no_period() -> None:
    chance, symbols = np.random.default_rng(2), list[int]()
    for _ in range(600):
        symbols += [0, 1]
        if chance.random() < 0.1:
            symbols += [2, *[0, 1] * int(chance.integers(0, 3)), 3]
    found = order(learnt(symbols))
    assert found[3] == (2,)
    assert found[2] == (3,)
    assert (found[0], found[1]) == ((1,), (0,))


def test_what_an_operator_does_at_any_time_has_no_place_and_disturbs_nobodys() -> None:
    chance, symbols = np.random.default_rng(3), list[int]()
    for _ in range(300):
        symbols += [0, 1, 2]
        if chance.random() < 0.05:
            symbols.insert(len(symbols) - int(chance.integers(0, 3)), 3 + int(chance.integers(0, 2)))
    found = order(learnt(symbols))
    assert (found[0], found[1], found[2]) == ((2,), (0,), (1,))
    assert 3 not in found
    assert 4 not in found


def test_what_begins_each_of_two_phases_comes_after_either() -> None:
    chance, symbols = np.random.default_rng(4), list[int]()
    for _ in range(60):
        symbols += [[0, 1, 2], [0, 3, 4]][int(chance.integers(0, 2))] * int(chance.integers(1, 6))
    found = order(learnt(symbols))
    assert sorted(found[0]) == [2, 4]
    assert (found[2], found[4]) == ((1,), (3,))


def test_no_order_is_made_of_chance() -> None:
    chance = np.random.default_rng(5)
    for _ in range(20):
        assert order(learnt(chance.integers(0, 6, 600).tolist())) == {}


def test_two_timers_of_one_program_are_in_order_and_of_two_connections_are_not() -> None:
    symbols = [0, 1] * 100
    assert order(learnt(symbols)) == {0: (1,), 1: (0,)}
    assert order(learnt(symbols, symbols)) == {}


def test_a_new_connection_for_each_request_is_one_program() -> None:
    assert order(learnt([0, 1] * 100, range(200))) == {0: (1,), 1: (0,)}


def test_an_order_that_broke_counts_after_it_has_held_twice_as_long() -> None:
    steady, hiccup = [0, 1, 2], [0, 2]
    assert order(learnt([*steady * 50, *hiccup, *steady * 90]))[2] == (0,)
    assert order(learnt([*steady * 50, *hiccup, *steady * 110]))[2] == (1,)


def test_what_broke_is_counted_in_its_block_of_time() -> None:
    automaton = learnt([*[0, 1, 2] * 100, 0, 2, *[0, 1, 2] * 20])
    assert automaton.blocks == [0] * 30 + [1] + [0] * 5
    assert BLOCK_NS == 10 * NS_PER_S


def test_what_was_not_heard_breaks_nothing() -> None:
    automaton = learnt([0, 1, 2] * 50)
    automaton.forget_place()
    times = START + (200 + np.arange(91)) * NS_PER_S
    automaton.learn(np.array([2, *[0, 1, 2] * 30]), times, np.zeros(91, np.int64))
    assert order(automaton) == {0: (2,), 1: (0,), 2: (1,)}
    assert sum(automaton.blocks) == 0


@pytest.mark.parametrize("pieces", [1, 7, 100])
def test_in_however_many_pieces_it_hears(pieces: int) -> None:
    chance, whole = np.random.default_rng(6), Automaton()
    symbols = np.concatenate([[0, 1, 2, *chance.integers(3, 5, chance.integers(0, 2))] for _ in range(150)]).astype(np.int64)
    times = START + np.arange(len(symbols)) * NS_PER_S
    for part in np.array_split(np.arange(len(symbols)), pieces):
        whole.learn(symbols[part], times[part], np.zeros(len(part), np.int64))
    found = order(whole)
    assert (found[0], found[1], found[2]) == ((2,), (0,), (1,))


def test_the_largest_costs_what_it_says() -> None:
    automaton = learnt(list(range(MAX_SYMBOLS)) * 30)
    assert len(automaton.steps()) == MAX_SYMBOLS
    arrays = [getattr(automaton, name) for name in Automaton.__dataclass_fields__ if isinstance(getattr(automaton, name), np.ndarray)]
    assert sum(array.nbytes for array in arrays) < 120_000
    assert all(array.base is None or array.base.nbytes <= array.nbytes for array in arrays), "none is a part of what was taken at once"


def test_gaps_without_end_are_remembered_within_the_bound() -> None:
    automaton = Automaton()
    for second in range(MAX_BLOCKS + 10):
        automaton.learn(np.array([0, 1]), np.array([START + second * NS_PER_S] * 2), np.zeros(2, np.int64))
        automaton.forget_place()
    assert len(automaton.blocks) == MAX_BLOCKS
