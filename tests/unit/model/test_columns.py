import gc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.model.codec import CodecError, from_arrow, to_arrow
from sentinel.model.columns import distinct, grouped, ordered, remembered
from sentinel.model.observation import Messages, Readings

ROWS = st.lists(st.tuples(st.integers(0, 2**40), st.sampled_from(["a", "b", "c", None]), st.binary(max_size=5)), max_size=12)


def messages(rows: list[tuple[int, str | None, bytes]]) -> Messages:
    names = tuple(dict.fromkeys(name for _, name, _ in rows if name))
    starts = np.cumsum([0] + [len(pdu) for _, _, pdu in rows])[:-1].tolist() if rows else []
    return Messages.of(
        names=names,
        pool=b"".join(pdu for _, _, pdu in rows),
        time=[time for time, _, _ in rows],
        client=[names.index(name) if name else -1 for _, name, _ in rows],
        pdu_start=starts,
        pdu_octets=[len(pdu) for _, _, pdu in rows],
    )


def rows_of(columns: Messages) -> list[tuple[int, str | None, bytes]]:
    clients = columns.decoded("client")
    return [(int(columns.time[i]), clients[i], columns.pdu(i)) for i in range(len(columns))]


@given(st.lists(ROWS, max_size=4))
def test_joined_parts_say_what_the_parts_said(parts: list[list[tuple[int, str | None, bytes]]]) -> None:
    joined = Messages.concat([messages(part) for part in parts])
    assert rows_of(joined) == [row for part in parts for row in part]


@given(ROWS)
def test_arrow_carries_everything(rows: list[tuple[int, str | None, bytes]]) -> None:
    back, metadata = from_arrow(Messages, to_arrow(messages(rows), {"until": "7"}))
    assert rows_of(back) == rows
    assert metadata == {"until": "7"}


@given(st.binary(max_size=300))
def test_foreign_octets_are_refused(octets: bytes) -> None:
    with pytest.raises(CodecError):
        from_arrow(Messages, octets)


def test_a_row_that_points_outside_is_refused() -> None:
    outside = Messages.of(pool=b"abc", time=[1], pdu_start=[2], pdu_octets=[2])
    with pytest.raises(CodecError, match="outside the pool"):
        from_arrow(Messages, to_arrow(outside))
    uncoded = Messages.of(names=("a",), time=[1], client=[1])
    with pytest.raises(CodecError, match="outside the name table"):
        from_arrow(Messages, to_arrow(uncoded))


def test_columns_of_another_kind_are_refused() -> None:
    with pytest.raises(CodecError):
        from_arrow(Messages, to_arrow(Readings.of(time=[1], value=[2.0])))


def test_unequal_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="unequal"):
        Readings.of(time=[1, 2], value=[1.0])


@given(st.lists(st.integers(-1, 5), max_size=30))
def test_groups_are_what_a_search_for_each_would_find(wanted: list[int]) -> None:
    codes = {code: place for place, code in enumerate(dict.fromkeys(code for code in wanted if code >= 0))}
    which = np.array([codes.get(code, -1) for code in wanted], np.int64)
    groups = grouped(which)
    assert [group.tolist() for group in groups] == [np.flatnonzero(which == index).tolist() for index in range(len(codes))]


CODES = st.one_of(st.integers(-2, 3), st.integers(-(2**62), 2**62), st.integers(65_530, 65_540))


@given(st.lists(st.tuples(CODES, CODES, CODES), max_size=40))
def test_combinations_are_told_apart_as_python_tells_tuples_apart(rows: list[tuple[int, int, int]]) -> None:
    keys = [np.array(column, np.int64) for column in zip(*rows, strict=True)] or [np.zeros(0, np.int64)]
    first, which = distinct(*keys)
    places: dict[tuple[int, int, int], int] = {}
    for place, row in enumerate(rows):
        places.setdefault(row, place)
    assert first.tolist() == list(places.values())
    assert which.tolist() == [list(places).index(row) for row in rows]


@given(st.lists(st.one_of(st.integers(0, 3), st.integers(65_530, 65_540), st.integers(0, 2**62)), max_size=40))
def test_places_are_in_the_order_of_their_codes_and_of_equal_ones_in_their_own(codes: list[int]) -> None:
    assert ordered(np.array(codes, np.int64)).tolist() == sorted(range(len(codes)), key=lambda place: codes[place])


def test_what_was_asked_of_the_same_columns_is_not_worked_out_again_and_not_kept_beyond_them() -> None:
    asked = []

    @remembered
    def rows(columns: Messages) -> np.ndarray:
        asked.append(len(columns))
        return np.arange(len(columns))

    one, other = messages([(1, "a", b"x")]), messages([(1, "a", b"x"), (2, "b", b"")])
    assert rows(one) is rows(one)
    assert len(rows(other)) == 2
    assert len(rows(one)) == 1, "only the newest columns are remembered"
    assert asked == [1, 2, 1]
    answer = weakref.ref(rows(one))
    assert answer() is not None
    del one
    gc.collect()
    assert answer() is None
