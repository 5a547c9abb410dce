from sentinel.detect.limits import MIN_SAMPLES, Limits
from sentinel.model.command import Command, Origin, TagWrite, command_id
from sentinel.model.detection import Severity
from sentinel.model.ids import AssetId, digest
from sentinel.model.tags import ModbusPoint, Table, Tag, TagMap, TagRole
from sentinel.model.time import Instant
from tests.observations import PLC, STRANGER, at, readings, window

_TAGS = TagMap(
    (
        Tag(name="LT101", role=TagRole.PROCESS_VALUE, unit="m", low=0, high=2),
        Tag(name="LIC101.SP", role=TagRole.SETPOINT, unit="m", low=0.4, high=1.5, writable=True),
        Tag(name="LIC101.HH", role=TagRole.LIMIT, unit="m", low=0.5, high=2, modbus=ModbusPoint(unit=1, table=Table.HOLDING, address=9)),
    )
)


def write(second: float, tag: str, value: float) -> Command:
    frame = digest(tag, str(value))
    source, target, seen = AssetId(STRANGER), AssetId(PLC), Instant(at(second))
    return Command(
        id=command_id(seen, source, target, frame),
        origin=Origin.GATE,
        seen=seen,
        source=source,
        target=target,
        protocol="modbus",
        operation="write_single_register",
        writes=(TagWrite(tag=tag, point="holding 0", raw=value, value=value, unit="m"),),
        frame=frame,
    )


def _learnt(tags: TagMap | None = _TAGS, name: str = "LT101", samples: int = 2 * MIN_SAMPLES) -> Limits:
    limits = Limits(tags)
    for second in range(samples):
        limits.learn(window(second, readings=readings((second, name, 1.0 + 0.05 * (second % 3)), (second, "LIC101.SP", 1.0))))
    limits.activate()
    return limits


def test_outside_the_engineered_range_needs_no_baseline() -> None:
    (found,) = Limits(_TAGS).score(window(0, readings=readings((0.5, "LT101", 2.5))))
    assert (found.severity, found.tags, found.cause) == (Severity.HIGH, ("LT101",), "process:plant")
    assert "2.5 m" in found.observed
    assert "0 to 2 m (engineered range)" in found.expected


def test_outside_what_was_learnt_is_less_grave() -> None:
    (found,) = _learnt().score(window(9000, readings=readings((9000, "LT101", 1.6))))
    assert (found.severity, found.feature) == (Severity.MEDIUM, "learnt envelope")
    assert _learnt().score(window(9000, readings=readings((9000, "LT101", 1.18)))) == []


def test_after_a_write_the_process_may_go_elsewhere() -> None:
    limits = _learnt()
    limits.score(window(9000, commands=(write(9000, "LIC101.SP", 1.02),)))
    (found,) = limits.score(window(9100, readings=readings((9100, "LT101", 1.6))))
    assert found.severity is Severity.LOW


def test_what_still_grows_has_no_envelope() -> None:
    limits = Limits()
    for second in range(2 * MIN_SAMPLES):
        limits.learn(window(second, readings=readings((second, "counter", float(second)))))
    limits.activate()
    assert limits.score(window(9000, readings=readings((9000, "counter", 1e6)))) == []


def test_few_samples_are_no_envelope() -> None:
    limits = _learnt(None, "10.0.0.10 unit 1 holding 6", samples=20)
    assert limits.score(window(9000, readings=readings((9000, "10.0.0.10 unit 1 holding 6", 99.0)))) == []


def test_a_raw_register_folds_under_its_server() -> None:
    name = f"{PLC} unit 1 holding 6"
    (found,) = _learnt(None, name).score(window(9000, readings=readings((9000, name, 99.0))))
    assert (found.cause, found.target, found.severity) == (f"process:{PLC}", PLC, Severity.LOW)


def test_a_write_beyond_the_engineered_range_is_told_with_value_and_unit() -> None:
    (found,) = Limits(_TAGS).score(window(0, commands=(write(0, "LIC101.SP", 1.9),)))
    assert found.title == f"{STRANGER} writes LIC101.SP = 1.9 m on {PLC}: outside its engineered range (0.4 to 1.5 m)"
    assert (found.cause, found.severity) == (f"actor:{STRANGER}", Severity.HIGH)


def test_moving_an_alarm_limit_is_told() -> None:
    (found,) = _learnt().score(window(9000, commands=(write(9000, "LIC101.HH", 1.9),)))
    assert "T0838" in found.techniques


def test_a_setpoint_far_from_where_it_used_to_be_is_small_news() -> None:
    (found,) = _learnt().score(window(9000, commands=(write(9000, "LIC101.SP", 1.4),)))
    assert (found.severity, found.cause) == (Severity.LOW, f"habit:{STRANGER}")


def test_a_bad_second_of_many_tags_is_told_once() -> None:
    tags = TagMap(tuple(Tag(name=f"T{i}", role=TagRole.PROCESS_VALUE, unit="m", low=0, high=1) for i in range(9)))
    (found,) = Limits(tags).score(window(0, readings=readings(*[(0.1, f"T{i}", 5.0) for i in range(9)])))
    assert len(found.tags) == 9
