import pytest

from sentinel.model.asset import Conduit
from sentinel.model.ids import AssetId
from sentinel.model.time import after
from sentinel.respond.interlock import Rules, refusal, stations, unusable
from tests.unit.respond.values import ATTACKER, BOX, CONDUITS, HMI, LEARNT, NOW, PLC, SECOND_HMI, START, asset, conduit

RULES = Rules(appliance=frozenset({BOX}), learnt_until=LEARNT)


def refused(target: str, rules: Rules = RULES, conduits: tuple[Conduit, ...] = CONDUITS, **more: object) -> str | None:
    return refusal(AssetId(target), rules, more.get("assets", ()), conduits, NOW, more.get("in_force", ()))  # type: ignore[arg-type]


def test_the_attacker_may_be_cut() -> None:
    assert refused(ATTACKER) is None


@pytest.mark.parametrize("spelling", ["10.0.0.10", " 10.0.0.10 ", "::ffff:10.0.0.10", "::FFFF:a00:a"])
def test_a_controller_may_not_whatever_its_spelling(spelling: str) -> None:
    assert "controller of the plant" in (refused(spelling) or "")


def test_who_becomes_a_server_after_learning_is_no_controller() -> None:
    decoy = conduit(AssetId("10.0.0.67"), ATTACKER, first=after(LEARNT, 5))
    assert refused(ATTACKER, conduits=(*CONDUITS, decoy)) is None
    assert refused(ATTACKER, rules=Rules(learnt_until=None), conduits=(*CONDUITS, decoy)) is not None


def test_who_talks_after_learning_is_no_operator_station() -> None:
    assert stations(RULES, CONDUITS) == {HMI}


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        (Rules(never_cut=frozenset({ATTACKER})), "list of what is never cut"),
        (Rules(appliance=frozenset({ATTACKER})), "the appliance itself"),
        (Rules(safety=frozenset({ATTACKER})), "safety-instrumented"),
        (Rules(controllers=frozenset({ATTACKER})), "controller of the plant"),
        (Rules(operators=frozenset({ATTACKER})), "last operator station"),
    ],
)
def test_what_the_site_declares(rules: Rules, says: str) -> None:
    assert says in (refused(ATTACKER, rules) or "")


def test_a_safety_instrumented_asset() -> None:
    assert "safety-instrumented" in (refused(ATTACKER, assets=(asset(ATTACKER, safety=True),)) or "")


def test_the_last_operator_station() -> None:
    assert "last operator station" in (refused(HMI) or "")
    two = (*CONDUITS, conduit(SECOND_HMI, PLC))
    assert refused(HMI, conduits=two) is None
    assert "last operator station" in (refused(HMI, conduits=two, in_force=(SECOND_HMI,)) or "")


def test_a_silent_station_replaces_nobody() -> None:
    silent = conduit(SECOND_HMI, PLC, last=after(START, 10))
    assert "last operator station" in (refused(HMI, conduits=(*CONDUITS, silent)) or "")
    assert refused(HMI, conduits=(*CONDUITS, silent), assets=(asset(SECOND_HMI),)) is None


@pytest.mark.parametrize(
    "target",
    [
        "",
        "localhost",
        "10.0.0.0/8",
        "10.0.0.010",
        "0.0.0.0",
        "::",
        "224.0.0.5",
        "ff02::1",
        "255.255.255.255",
        "fe80::1%eth0",
        "00:11:22:33:44:55",
    ],
)
def test_what_is_no_single_address(target: str) -> None:
    assert unusable(target) is not None
    assert refused(target) == unusable(target)
