import contextlib
import json
from pathlib import Path

import pytest
from basyx.aas.model import SubmodelElementCollection

from sentinel.errors import ConfigError, InputError
from sentinel.model.tags import Table, TagRole
from sentinel.twin.draft import Draft, draft
from sentinel.twin.engine import compile_model
from sentinel.twin.foreign import load_foreign
from sentinel.twin.plant import load_plant
from tests.unit.sandbox.fmu.packages import package, zipped
from tests.unit.twin.shells import as_json, as_package, as_xml, described, interface, simulated, value

FMU_AT = "/aasx/files/heater.fmu"


def modbus() -> SubmodelElementCollection:
    return interface(
        "InterfaceMODBUS",
        "modbus+tcp://192.0.2.7:1502/3/",
        value(
            "T",
            {"href": "10?quantity=2", "modv_entity": "InputRegister", "modv_type": "xsd:float", "modv_mostSignificantWord": "false"},
            unit="degC",
            span=(0.0, 200.0),
            title="in the vessel",
        ),
        value("u", {"href": "/20", "modv_function": "writeSingleHoldingRegister", "modv_zeroBasedAddressing": "false"}, "integer"),
        value("on", {"href": "7", "modv_function": "5"}, "boolean"),
        value("door", {"href": "9", "modv_entity": "DiscreteInput"}, "boolean"),
        value("odd", {"href": "30?quantity=4", "modv_entity": "HoldingRegister"}),
        value("swapped", {"href": "31", "modv_entity": "HoldingRegister", "modv_mostSignificantByte": "false"}),
        value("nowhere", {"href": "70000", "modv_entity": "HoldingRegister"}),
        value("strange", {"href": "1", "modv_entity": "HoldingRegister"}, unit="furlong per fortnight"),
        value("again", {"href": "11", "modv_entity": "InputRegister"}),
    )


def opcua() -> SubmodelElementCollection:
    return interface(
        "InterfaceOPCUA",
        "opc.tcp://192.0.2.7:4840",
        value("T", {"href": "/?id=ns=2;s=Vessel.T"}, unit="degC", span=(0.0, 200.0)),
        value("P", {"href": "/?id=ns=2;s=Vessel.P"}, unit="bar", span=(0.0, 10.0)),
        value("Q", {"href": "/?id=nsu=urn:vessel;s=Q"}),
    )


def http() -> SubmodelElementCollection:
    return interface("InterfaceHTTP", "https://192.0.2.7/", value("T", {"href": "/t"}))


def drafted(octets: bytes) -> Draft:
    return draft(octets, "vessel", "vessel.fmu")


def test_it_is_the_same_plant_however_it_was_written(tmp_path: Path) -> None:
    submodel = described(modbus(), opcua(), http())
    drafts = [drafted(octets) for octets in (as_json(submodel), as_xml(submodel), as_package(tmp_path, submodel))]
    drafts.append(drafted(as_package(tmp_path, submodel, as_json=True)))
    assert len({one.text for one in drafts}) == 1
    assert len({one.left for one in drafts}) == 1
    plant = load_plant(drafts[0].text)
    tags = plant.tags.by_name
    assert plant.name == "Vessel"
    assert set(tags) == {"T", "u", "on", "door", "P"}
    place, bound = tags["T"].modbus, tags["T"].opcua
    assert place is not None
    assert (place.unit, place.table, place.address, place.type, place.word_order) == (3, Table.INPUT, 10, "float32", "little")
    assert (bound, tags["T"].unit, tags["T"].high, tags["T"].doc) == ("ns=2;s=Vessel.T", "degC", 200.0, "in the vessel")
    written = tags["u"].modbus
    assert written is not None
    assert (written.table, written.address, written.type, tags["u"].writable, tags["u"].role) == (
        Table.HOLDING, 19, "uint16", True, TagRole.SETPOINT,
    )  # fmt: skip
    assert [tags[name].role for name in ("on", "door", "P")] == [TagRole.MODE, TagRole.STATUS, TagRole.PROCESS_VALUE]
    with pytest.raises(ConfigError, match="Vessel: no component has a state: there are tags"):
        compile_model(plant)


@pytest.mark.parametrize(
    "said",
    [
        "odd: 4 registers, expected 1 or 2",
        "swapped: the less significant octet",
        "nowhere: address 70000 is outside 0 to 65535",
        "strange: its unit: 'furlong per fortnight' is not a unit",
        "again: lies where T lies",
        "Q: href '/?id=nsu=urn:vessel;s=Q' names no node by a namespace index",
        "InterfaceHTTP: https interface",
        "u: no range (min_max) is given, 0 to 65535 is written",
        "u: a whole number's scale is nothing that the description says",
        "T: whether addresses begin at 0 or at 1 is not said",
    ],
)
def test_what_could_not_be_used_is_named(said: str) -> None:
    left = drafted(as_json(described(modbus(), opcua(), http()))).left
    assert any(said in line for line in left), left


def test_an_fmu_inside_is_the_model(tmp_path: Path) -> None:
    found = drafted(as_package(tmp_path, described(modbus()), simulated(FMU_AT), files={FMU_AT: package(2)}))
    assert found.fmu == package(2)
    (tmp_path / "vessel.fmu").write_bytes(found.fmu)
    (tmp_path / "vessel.yaml").write_text(found.text, encoding="utf-8")
    model = load_foreign(tmp_path / "vessel.yaml")
    assert [one.tag for one in model.inputs] == ["u", "on"]
    assert [one.tag for one in model.outputs] == ["T"]
    assert "door: the FMU has no variable of this name: the model does not move with it" in found.left


def test_an_fmu_alone_brings_its_own_tags(tmp_path: Path) -> None:
    found = drafted(as_package(tmp_path, simulated(FMU_AT), files={FMU_AT: package(3)}))
    (tmp_path / "vessel.fmu").write_bytes(package(3))
    (tmp_path / "vessel.yaml").write_text(found.text, encoding="utf-8")
    assert [one.tag for one in load_foreign(tmp_path / "vessel.yaml").inputs] == ["u", "on"]


def test_an_fmu_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    found = drafted(as_package(tmp_path, described(modbus()), simulated(FMU_AT), files={FMU_AT: b"PK nothing"}))
    assert found.fmu is None
    assert any("heater.fmu: is no zip package" in line for line in found.left)
    outside = drafted(as_json(described(modbus()), simulated("../../etc/passwd.fmu")))
    assert any("did not come with it" in line for line in outside.left)
    with pytest.raises(InputError, match="no interface and no simulation model that could be used: SimulationModels"):
        drafted(as_json(simulated(FMU_AT)))


def test_what_is_no_shell() -> None:
    deep = b"[" * 100_000
    relations = b'<Relationships><Relationship Type="x/relationships/aasx-origin" Target="/../../etc/passwd"/></Relationships>'
    for octets, why in (
        (b"", "neither XML nor JSON"),
        (deep, "neither XML nor JSON"),
        (b"[]", "expected an environment, found a list"),
        (b"<html/>", "expected an environment of version 3"),
        (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><environment/>', "a document type"),
        (b"{}", "no interface and no simulation model"),
        (zipped({}), "its relationships lead to no Asset Administration Shell"),
        (zipped({"_rels/.rels": relations}), "its relationships lead to no"),
    ):
        with pytest.raises(InputError, match=why):
            drafted(octets)


def test_any_change_is_refused_or_read() -> None:
    octets = as_json(described(modbus(), opcua()))
    for at in range(0, len(octets), 97):
        changed = bytearray(octets)
        changed[at] ^= 0x15
        with contextlib.suppress(InputError):
            load_plant(drafted(bytes(changed)).text)


@pytest.mark.parametrize("wrong", [None, 7, "text", [], [[]], {"value": 3}, [{"modelType": 5, "value": {"a": 1}}]])
def test_elements_that_are_none_are_passed_over(wrong: object) -> None:
    told = json.loads(as_json(described(modbus())))
    told["submodels"][0]["submodelElements"][0]["value"] = wrong
    with pytest.raises(InputError, match="no interface"):
        drafted(json.dumps(told).encode())
