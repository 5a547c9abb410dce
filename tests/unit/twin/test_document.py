import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.errors import ConfigError
from sentinel.twin.document import MAX_OCTETS, nearest, parse_document


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", "f:3", "not YAML"),
        ("a: 1\nb: 2\na: 3\n", "f:3", "declared twice, first on line 1"),
        ("a: &x 1\nb: *x\n", "f:2", "anchors"),
        ("", "f", "empty"),
        ("? [1, 2]\n: 3\n", "f:1", "a key must be a text"),
        ("a: " + "[" * 30 + "]" * 30, "f:1", "nested too deeply"),
        ("a: !!python/object/apply:os.system [x]\n", None, None),
        ("#" * (MAX_OCTETS + 1), "f", "larger than"),
    ],
)
def test_a_bad_document_is_refused_with_its_line(text: str, where: str | None, says: str | None) -> None:
    if where is None:  # a tag is only a text: nothing is ever constructed
        assert parse_document(text, "f").map()["a"].items()[0].text() == "x"
        return
    with pytest.raises(ConfigError) as caught:
        parse_document(text, "f")
    assert caught.value.where == where
    assert says is not None
    assert says in caught.value.problem


@settings(max_examples=60)
@given(st.text(max_size=200))
def test_any_text_is_an_entry_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):  # anything else that is raised fails the test
        parse_document(text, "f")


@pytest.mark.parametrize(
    ("text", "says"),
    [("a: x", "expected a number"), ("a: nan", "finite"), ("a: [1]", "found a list"), ("a: {b: 1}", "found a map")],
)
def test_a_number_is_a_finite_number(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_document(text, "f").map()["a"].number()


def test_the_nearest_name_is_offered() -> None:
    assert nearest("tenk", ["tank", "pump"]) == ", did you mean 'tank'?"
    assert nearest("zzz", ["tank", "pump"]) == "; known: pump, tank"
