import pytest

from sentinel.errors import InputError
from sentinel.model.command import Origin
from sentinel.model.ids import AssetId
from sentinel.model.modbus import writes_of
from sentinel.model.tags import ModbusPoint, Table, Tag, TagMap, TagRole
from sentinel.model.time import Instant
from sentinel.optimise.problem import Job, Machine, Operation, Shop
from sentinel.optimise.scheduling import SchedulingPlanner, Search
from sentinel.optimise.setpoints import Setpoints


def tag(name: str, table: Table = Table.HOLDING, address: int = 0, kind: str = "uint16", **changes: object) -> Tag:
    point = ModbusPoint(unit=1, table=table, address=address, type=kind, scale=0.5)
    values: dict[str, object] = {"role": TagRole.SETPOINT, "unit": "rpm", "low": 0.0, "high": 8000.0, "writable": True, "modbus": point}
    return Tag(name=name, **(values | changes))  # type: ignore[arg-type]


TAGS = TagMap(
    (
        tag("SPEED", address=4),
        tag("FINE", address=10, kind="float32"),
        tag("RUN", Table.COIL, 3),
        tag("NODE", modbus=None, opcua="ns=2;s=NODE"),
        tag("SAFE", address=20, safety=True),
        tag("SEEN", address=21, writable=False),
    )
)
SETPOINTS = Setpoints(tags=TAGS, source=AssetId("planner"), target=AssetId("plant"), now=Instant(7))


def shop(*writes: dict[str, float]) -> Shop:
    operations = tuple(Operation(name=str(n), machines={"A": 2}, writes=each) for n, each in enumerate(writes, start=1))
    return Shop(name="s", machines=(Machine(name="A"),), jobs=(Job(name="J", operations=operations),))


def planner(setpoints: Setpoints | None = SETPOINTS) -> SchedulingPlanner:
    return SchedulingPlanner(Search(time_limit_s=10), setpoints)


def test_each_value_becomes_one_command_as_the_wire_would_carry_it() -> None:
    plan = planner().plan(shop({"SPEED": 4000}, {"FINE": 12.5, "RUN": 1}, {"SPEED": 4000}, {"SPEED": 100, "NODE": 3}))
    told = [(command.operation, command.octets, [(w.tag, w.value) for w in command.writes]) for command in plan.commands]
    assert told == [
        ("write_single_register", "0600041f40", [("SPEED", 4000.0)]),
        ("write_multiple_registers", "10000a00020441c80000", [("FINE", 12.5)]),
        ("write_single_coil", "050003ff00", [("RUN", 1.0)]),
        ("write_single_register", "06000400c8", [("SPEED", 100.0)]),
        ("write", "", [("NODE", 3.0)]),
    ]
    for command in plan.commands:
        assert (command.origin, command.seen, command.target) == (Origin.PLANNER, 7, "plant")
        if command.octets:
            assert writes_of(TAGS, 1, bytes.fromhex(command.octets)) == command.writes
    assert len({command.id for command in plan.commands}) == 5
    assert plan.decisions[0]["writes"] == {"SPEED": 4000.0}


@pytest.mark.parametrize(
    ("writes", "says"),
    [
        ({"OTHER": 1.0}, "the plant has no tag OTHER"),
        ({"SAFE": 1.0}, "SAFE is safety-instrumented"),
        ({"SEEN": 1.0}, "SEEN cannot be written"),
        ({"SPEED": 8000.5}, "SPEED = 8000.5 is outside its range 0 to 8000 rpm"),
        ({"SPEED": float("nan")}, "SPEED = nan is outside"),
    ],
)
def test_what_the_plant_forbids_is_refused_before_planning(writes: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match="job J, operation 2") as caught:
        planner().plan(shop({}, writes))
    assert says in str(caught.value)


def test_without_a_plant_the_plan_says_that_nothing_was_judged() -> None:
    plan = planner(None).plan(shop({"SPEED": 1}))
    assert plan.commands == ()
    assert "not judged: no plant was named" in (plan.reason or "")
