import ipaddress
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.model.time import after
from sentinel.respond.enforcers import ruleset
from tests.unit.respond.values import NOW


@given(st.one_of(st.text(max_size=40), st.ip_addresses().map(str)), st.text(max_size=20))
def test_only_one_address_and_an_id_reach_nft(target: str, action: str) -> None:
    try:
        document = ruleset.cut(target, action, after(NOW, 60), NOW)
    except ValueError:
        return
    values = {entry[verb]["element"]["elem"][0]["elem"]["val"] for entry in document["nftables"] for verb in entry}
    assert values == {str(ipaddress.ip_address(target))}
    assert all(character in "0123456789abcdef" for character in action)


def test_every_command_names_our_own_table() -> None:
    pairs = [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")]
    documents = [ruleset.setup(pairs), ruleset.cut("10.0.0.9", "ab", after(NOW, 5), NOW), ruleset.release("fd00::9")]
    for document in documents:
        for command in document["nftables"]:
            ((verb, thing),) = command.items()
            ((kind, content),) = thing.items()
            assert verb in {"add", "delete", "flush"}
            assert content["name" if kind == "table" else "table"] == ruleset.TABLE
            assert content["family"] == "inet"


def test_a_cut_ends_when_it_should() -> None:
    commands = ruleset.cut("10.0.0.9", "ab", after(NOW, 59.2), NOW)["nftables"]
    timeouts = {
        entry["add"]["element"]["name"]: entry["add"]["element"]["elem"][0]["elem"]["timeout"] for entry in commands if "add" in entry
    }
    assert timeouts == {"cut4": 60, "once4": 60 + ruleset.MEMORY_S}
    with pytest.raises(ValueError, match="its time is over"):
        ruleset.cut("10.0.0.9", "ab", NOW, NOW)


def test_a_pair_of_two_families_is_refused() -> None:
    with pytest.raises(ValueError, match="two address families"):
        ruleset.setup([("10.0.0.1", "fd00::1")])


def test_a_listing_is_read_back() -> None:
    element = {"val": "10.0.0.9", "timeout": 60, "expires": 42, "comment": "action ab12", "counter": {"packets": 7, "bytes": 420}}
    stranger = {"val": "10.0.0.8", "timeout": 60, "expires": 3}
    listing = {
        "nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"set": {"table": "other", "name": "cut4", "elem": [{"elem": element}]}},
            {"set": {"table": ruleset.TABLE, "name": "cut6"}},
            {"set": {"table": ruleset.TABLE, "name": "cut4", "elem": [{"elem": element}, {"elem": stranger}]}},
        ]
    }
    one, other = ruleset.in_force(json.loads(json.dumps(listing)), NOW)
    assert (one.target, one.action) == ("10.0.0.8", None)
    assert (other.target, other.action, other.packets, other.expires) == ("10.0.0.9", "ab12", 7, after(NOW, 42))


@pytest.mark.parametrize(
    "listing", [{}, {"nftables": [1]}, {"nftables": [{"set": {"table": ruleset.TABLE, "name": "cut4", "elem": ["10.0.0.9"]}}]}]
)
def test_a_listing_of_another_shape_is_refused(listing: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="unexpected listing"):
        ruleset.in_force(listing, NOW)
