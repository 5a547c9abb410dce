"""No two boxes overlap, no line runs through one, whatever is wired to whatever."""

from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.twin.layout import Edge, Layout, Node, Placed, Signal, arrange, layers_of

_size = st.floats(20.0, 300.0)


@st.composite
def pictures(draw: st.DrawFn) -> tuple[list[Node], list[Edge], list[Node], list[Node], list[Signal]]:
    names = [f"n{i}" for i in range(draw(st.integers(1, 12)))]
    logic = [f"l{i}" for i in range(draw(st.integers(0, 6)))]
    nodes = [Node(name=name, width=draw(_size), height=draw(_size)) for name in names]
    rows = [Node(name=name, width=draw(_size), height=draw(_size)) for name in logic]
    name = st.sampled_from(names)
    edges = [Edge(tail=a, head=b) for a, b in draw(st.lists(st.tuples(name, name), max_size=20))]
    wires = st.lists(st.tuples(name, st.sampled_from(logic)), max_size=15) if logic else st.just([])
    return nodes, edges, rows[::2], rows[1::2], [Signal(part=a, logic=b) for a, b in draw(wires)]


def overlap(a: Placed, b: Placed) -> bool:
    return a.x < b.x + b.width and b.x < a.x + a.width and a.y < b.y + b.height and b.y < a.y + a.height


def crosses(a: tuple[float, float], b: tuple[float, float], box: Placed) -> bool:
    low_x, high_x, low_y, high_y = min(a[0], b[0]), max(a[0], b[0]), min(a[1], b[1]), max(a[1], b[1])
    inside = 0.01
    return (
        low_x < box.x + box.width - inside and high_x > box.x + inside and low_y < box.y + box.height - inside and high_y > box.y + inside
    )


def check(layout: Layout) -> None:
    for a, b in combinations(layout.places.values(), 2):
        assert not overlap(a, b)
    for place in layout.places.values():
        assert place.x >= 0
        assert place.y >= 0
        assert place.x + place.width <= layout.width + 0.01
        assert place.y + place.height <= layout.height + 0.01
    for path in (*layout.edges, *layout.signals):
        for a, b in pairwise(path):
            assert abs(a[0] - b[0]) < 0.11 or abs(a[1] - b[1]) < 0.11  # orthogonal
            assert all(0 <= x <= layout.width and 0 <= y <= layout.height for x, y in (a, b))
            assert not any(crosses(a, b, box) for box in layout.places.values())


@given(pictures())
@settings(max_examples=150)
def test_nothing_overlaps_and_equal_input_is_equal_layout(
    picture: tuple[list[Node], list[Edge], list[Node], list[Node], list[Signal]],
) -> None:
    layout = arrange(*picture)
    check(layout)
    assert arrange(*picture) == layout


def test_what_flows_goes_from_left_to_right_and_a_cycle_comes_back() -> None:
    edges = [Edge(tail=a, head=b) for a, b in ("ab", "bc", "ca", "xc", "bb")]
    layers = layers_of(["a", "b", "c", "x"], edges)
    assert layers["a"] < layers["b"] < layers["c"]
    assert layers["x"] == layers["c"] - 1
    nodes = [Node(name=name, width=50, height=40) for name in "abcx"]
    layout = arrange(nodes, edges)
    check(layout)
    assert layout.edges[2][0][0] > layout.edges[2][-1][0]  # from c back to a


def test_a_chain_is_straight() -> None:
    nodes = [Node(name="a", width=50, height=40), Node(name="b", width=90, height=120), Node(name="c", width=20, height=60)]
    layout = arrange(nodes, [Edge(tail="a", head="b"), Edge(tail="b", head="c")])
    assert all(len(path) == 2 for path in layout.edges)


def test_nothing_to_lay_out() -> None:
    assert arrange([], []).places == {}
