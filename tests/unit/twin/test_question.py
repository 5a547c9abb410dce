import pytest

from sentinel.errors import InputError
from sentinel.twin.engine import Model, initial
from sentinel.twin.question import AT_THE_DESK, Limits, Question, Setting, cases, duration_s, read_setting


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("10 min", 600), ("1.5h", 5400), ("2 d", 172_800), ("0s", 0)])
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "m", "10 metre", "-", "1e3", "ten minutes", "10mm"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InputError, match="is not a duration"):
        duration_s(text)


@pytest.mark.parametrize(
    ("text", "tag", "values", "at_s"),
    [
        ("LIC101.SP=1.4", "LIC101.SP", (1.4,), 0),
        ("LIC101.SP = 1.4 m", "LIC101.SP", (1.4,), 0),
        ("LIC101.SP=140 cm@90s", "LIC101.SP", (1.4,), 90),
        ("TIC201.SP=60 degC@1.5 min", "TIC201.SP", (60,), 90),
        ("TIC201.SP=333.15 K", "TIC201.SP", (60,), 0),
        ("LIC101.OP=50", "LIC101.OP", (50,), 0),
        ("LIC101.SP=1.2,1.3,1.4", "LIC101.SP", (1.2, 1.3, 1.4), 0),
        ("LIC101.SP=120,130 cm", "LIC101.SP", (1.2, 1.3), 0),
        ("LIC101.SP=1 m, 130 cm", "LIC101.SP", (1.0, 1.3), 0),
        ("LIC101.SP=1.0:1.4:5", "LIC101.SP", (1.0, 1.1, 1.2, 1.3, 1.4), 0),
        ("LIC101.SP=100:140:2 cm@2m", "LIC101.SP", (1.0, 1.4), 120),
        ("P101.RUN=0", "P101.RUN", (0,), 0),
    ],
)
def test_settings(model: Model, text: str, tag: str, values: tuple[float, ...], at_s: float) -> None:
    read = read_setting(text, model)
    assert (read.tag, read.at_s) == (tag, at_s)
    assert read.values == pytest.approx(values, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("LIC101.SP", "expected TAG=VALUE"),
        ("=1", "expected TAG=VALUE"),
        ("LIC101.SQ=1", "did you mean 'LIC101.SP'"),
        ("LT101=1", "LT101 is a process_value: it cannot be set"),
        ("LIC101.SP=", "is not a number"),
        ("LIC101.SP=high", "is not a number"),
        ("LIC101.SP=nan", "is not a number"),
        ("LIC101.SP=1e400", "outside its range"),
        ("LIC101.SP=1.6", "LIC101.SP = 1.6 m is outside its range, 0.4 to 1.5 m"),
        ("LIC101.SP=1.2,1.6", "LIC101.SP = 1.6 m is outside"),
        ("LIC101.SP=1.4 degC", "expected a unit like 'm'"),
        ("LIC101.SP=1.4 furlongs__", "is not known"),
        ("LIC101.SP=1:2", "FROM:TO:COUNT"),
        ("LIC101.SP=1:1.2:1", "a count of 2 or more"),
        ("LIC101.SP=1.4@90", "is not a duration"),
        ("LIC101.SP=1.4@", "is not a duration"),
        ("P101.RUN=0.5", "a mode is 0 or 1"),
        ("P101.RUN=2", "outside its range, 0 to 1"),
    ],
)
def test_what_is_no_setting(model: Model, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says.replace("(", r"\(")):
        read_setting(text, model)


def a_setting(*values: float, tag: str = "LIC101.SP", at_s: float = 0.0) -> Setting:
    return Setting(tag=tag, values=values, at_s=at_s)


def test_a_grid_is_every_combination(model: Model) -> None:
    question = Question(settings=(a_setting(1.0, 1.1), a_setting(0.7, 0.8, 0.9, tag="LIC102.SP", at_s=5.0)), horizon_s=60.0, members=3)
    start, combinations, tags = cases(model, initial(model, 4), question, AT_THE_DESK)
    assert start.members == 3
    assert [(one.value, other.value) for one, other in combinations] == [(a, b) for a in (1.0, 1.1) for b in (0.7, 0.8, 0.9)]
    assert {write.unit for case in combinations for write in case} == {"m"}
    assert tags[:2] == ("LT101", "LT102")  # what the settings control comes first, then what the invariants watch
    assert {"TT201", "TT202", "TT301", "ST301"} < set(tags)
    assert "P101.RUN" not in tags


TIGHT = Limits(futures=3, members=8, horizon_s=100.0, member_steps=1000.0, tags=2, settings=2)


@pytest.mark.parametrize(
    ("settings", "horizon_s", "members", "tags", "says"),
    [
        ([], 60, None, (), "settings: 0"),
        ([a_setting(1.0, at_s=t) for t in (0.0, 1.0, 2.0)], 60, None, (), "settings: 3, expected 1 to 2"),
        ([a_setting()], 60, None, (), "no value is given"),
        ([a_setting(1.0)], 101, None, (), "horizon: 101 s"),
        ([a_setting(1.0)], float("nan"), None, (), "horizon: nan s"),
        ([a_setting(1.0)], 0, None, (), "horizon: 0 s"),
        ([a_setting(1.0, at_s=60.0)], 60, None, (), "before the horizon of 60 s"),
        ([a_setting(1.0, at_s=-1.0)], 60, None, (), "set at -1 s"),
        ([a_setting(1.0), a_setting(1.1)], 60, None, (), "set twice at 0 s"),
        ([a_setting(1.0)], 60, 0, (), "members: 0, expected 1 to 4, as many as the snapshot has"),
        ([a_setting(1.0)], 60, 9, (), "members: 9"),
        ([a_setting(1.0, 1.1), a_setting(0.7, 0.8, tag="LIC102.SP")], 60, 1, (), "the grid has 4 combinations, expected at most 3"),
        ([a_setting(1.0, 1.1)], 100, 4, (), "fewer combinations or members"),
        ([a_setting(1.0)], 60, 1, ("LT101", "LT102", "TT201"), "tags: 3, expected at most 2"),
        ([a_setting(1.0)], 60, 1, ("LT101x",), "did you mean 'LT101'"),
        ([a_setting(1.0)], 60, 1, ("LIC101.SP",), "nothing that the twin measures"),
    ],
)
def test_what_is_asked_in_vain(
    model: Model, settings: list[Setting], horizon_s: float, members: int | None, tags: tuple[str, ...], says: str
) -> None:
    question = Question(settings=tuple(settings), horizon_s=horizon_s, members=members, tags=tags)
    with pytest.raises(InputError, match=says):
        cases(model, initial(model, 4), question, TIGHT)
