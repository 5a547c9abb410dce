import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.errors import InputError
from sentinel.optimise.instances import from_document, read
from sentinel.optimise.problem import Machine
from tests.data import DATA, data_file

OURS = """
scheduling: early shift
time_unit: min
objective: {makespan: 1, tardiness: 10}
machines:
  lathe: {unavailable: [[60, 90]]}
  mill:
jobs:
  shaft:
    due: 100
    weight: 2
    operations:
      - {name: rough, machines: {lathe: 30, mill: 45}, writes: {SIC301.SP: 4000}}
      - {machines: {mill: 15}}
  ring: {release: 5, deadline: 400, operations: [{machines: {lathe: 20}}]}
"""


def test_our_own_form() -> None:
    shop = read(OURS, "shift.yaml")
    assert (shop.name, shop.time_unit, shop.tardiness_weight) == ("early shift", "min", 10)
    assert shop.machines == (Machine(name="lathe", unavailable=((60, 90),)), Machine(name="mill"))
    shaft, ring = shop.jobs
    assert (shaft.due, shaft.weight, ring.release, ring.deadline) == (100, 2, 5, 400)
    assert shaft.operations[0].writes == {"SIC301.SP": 4000.0}
    assert [operation.name for operation in shaft.operations] == ["rough", "2"]
    assert shop.horizon >= 90 + 45 + 15 + 20


def test_json_is_the_same_form() -> None:
    document = {"machines": ["A"], "jobs": {"J": {"operations": [{"machines": {"A": 3}}]}}}
    assert read(json.dumps(document), "x.json") == from_document(document, "x.json")


def test_the_standard_forms() -> None:
    plain = read("# a comment\n2 2\n0 3 1 2\n1 4 0 1\n", "plain")
    assert [dict(operation.machines) for operation in plain.jobs[1].operations] == [{"1": 4}, {"0": 1}]
    flexible = read("2 2 1.5\n2 2 1 3 2 4 1 2 5\n1 1 1 7\n", "flexible")
    assert [dict(operation.machines) for operation in flexible.jobs[0].operations] == [{"0": 3, "1": 4}, {"1": 5}]
    ragged = read("2 2\n0 3 1 2 0 9\n1 4\n", "ragged")
    assert [len(job.operations) for job in ragged.jobs] == [3, 1]


@pytest.mark.data
def test_every_instance_at_hand_is_read() -> None:
    data_file("optimisation/jobshop/best_known.json")
    for folder in ("jobshop", "flexible-jobshop"):
        sizes = {
            one["instance"].removesuffix("js"): one["size"]
            for one in json.loads((DATA / f"optimisation/{folder}/best_known.json").read_text())
        }
        for file in sorted((DATA / "optimisation" / folder).glob("*.txt")):
            shop = read(file.read_text(), file.name)
            # the table is wrong about one instance's machines, so only the jobs are compared
            assert str(len(shop.jobs)) == sizes[file.stem].split(" x ")[0], file.name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a mapping is needed here, not nothing"),
        ("2 2\n0 3 1 2\n", "2 jobs are announced, 1 lines follow"),
        ("1 2\n0 3 1\n", "f:2: 3 numbers are no pairs"),
        ("1 2\n0 3 2 2\n", "machine 2 is not one of 0 to 1"),
        ("1 2\n0 3 1 x\n", "f:2: whole numbers"),
        ("1 2 1\n1 1 3 4\n", "machine 3 is not one of 1 to 2"),
        ("1 2 1\n1 2 1 4\n", "numbers are missing"),
        ("1 2 1\n1 1 1 4 9\n", "numbers are left over"),
        ("1 2\n0 3 1 -2\n", "-2 is not a whole number"),
        ("0 0\n", "0 jobs on 0 machines"),
        ("99999999 2\n", "99999999 jobs"),
        ("1\n", "f:1: the first line says"),
        ("jobs: [", "f:1"),
        ("a: &x [1]\nb: *x\n", "f:2: aliases are not taken"),
        ("machines: [A]\nmachines: [B]\n", "f:1: a key is given twice"),
        ("jobs: {J: {operations: [{machines: {A: 1}}]}}\nmachines: [A]\nmachine: 1\n", "unknown key 'machine'; known are"),
        ("machines: [A]\njobs: {J: {operations: [{machines: {B: 1}}]}}\n", "job J, operation 1: machine 'B' is not in the shop"),
        ("machines: [A]\njobs: {J: {operations: [{machines: {A: 1.5}}]}}\n", "job J, operation 1 on A: 1.5 is not a whole number"),
        ("machines: [A]\njobs: {J: {operations: [{machines: {A: 1}, writes: {X: on}}]}}\n", "writes.X: True is not a number"),
        ("machines: [A]\njobs: {J: {operations: []}}\n", "job J: no operation"),
        ("machines: [A, A]\njobs: {J: {operations: [{machines: {A: 1}}]}}\n", "machine 'A' is declared twice"),
        ("machines: {A: {unavailable: [[5, 3]]}}\njobs: {J: {operations: [{machines: {A: 1}}]}}\n", "unavailable until: 3 is not"),
        ("machines: {A: {unavailable: [5]}}\njobs: {J: {operations: [{machines: {A: 1}}]}}\n", "5 is not [from, until]"),
        ("machines: [A]\ntime_unit: fortnight\njobs: {J: {operations: [{machines: {A: 1}}]}}\n", "'fortnight' is not one of"),
        ("machines: [A]\nobjective: {makespan: 0}\njobs: {J: {operations: [{machines: {A: 1}}]}}\n", "nothing to optimise"),
        ("[" * 5000, "f"),
    ],
)
def test_what_is_wrong_is_named(text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        read(text, "f")
    assert says in str(caught.value)


@given(st.one_of(st.text(max_size=200), st.text("0123456789 -.\n", max_size=200), st.text("{}[]:,-ABC \n123&*", max_size=100)))
def test_any_text_is_a_shop_or_refused(text: str) -> None:
    try:
        read(text, "f")
    except InputError as refused:
        assert str(refused)  # noqa: PT017


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["machines", "jobs", "operations", "A", "release", "writes"]), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_any_document_is_a_shop_or_refused(document: object) -> None:
    try:
        from_document(document, "d")
    except InputError as refused:
        assert str(refused)  # noqa: PT017
