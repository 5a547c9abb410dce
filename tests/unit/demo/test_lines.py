"""How the demo's processes are told what to do."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from sentinel.demo.lines import endpoint, read_config
from sentinel.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    name: str = "x"
    count: int = 1
    share: float = 0.5
    loud: bool = False
    names: tuple[str, ...] = ()


def test_a_whole_file_and_an_empty_one(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"name": "y", "count": 2, "share": 1, "loud": True, "names": ["a"]}))
    assert read_config(path, Sample) == Sample(name="y", count=2, share=1, loud=True, names=("a",))
    path.write_text("{}")
    assert read_config(path, Sample) == Sample()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON"),
        ("[1]", "not a JSON object"),
        ('{"shar": 1}', "did you mean 'share'"),
        ('{"zzz": 1}', "known are"),
        ('{"count": true}', "not a whole number"),
        ('{"count": 1.5}', "not a whole number"),
        ('{"loud": 1}', "not true or false"),
        ('{"name": null}', "not a text"),
        ('{"names": [1]}', "not a list of texts"),
    ],
)
def test_a_wrong_file_is_refused_and_says_why(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"c\.json") as refused:
        read_config(path, Sample)
    assert says in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "none.json", Sample)


def test_an_endpoint() -> None:
    assert endpoint("x", "127.0.0.1:502") == ("127.0.0.1", 502)


@pytest.mark.parametrize("text", ["", "127.0.0.1", "plc:502", "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:-1", "::1:502", "1.2.3:5"])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="IPv4 address:port"):
        endpoint("x", text)
