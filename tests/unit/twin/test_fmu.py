import contextlib
import io
import stat
import zipfile
from pathlib import Path

import pytest

from sentinel.errors import ConfigError, InputError
from sentinel.twin.archive import open_archive
from sentinel.twin.fmu import read_fmu
from sentinel.twin.foreign import is_foreign, load_foreign
from sentinel.twin.markup import parse
from sentinel.twin.plant import load_plant
from tests.unit.sandbox.fmu.packages import DESCRIPTIONS, FOLDERS, PLANT, library, package, zipped


def described(text: str, version: int = 2) -> bytes:
    return zipped({"modelDescription.xml": text.encode(), f"binaries/{FOLDERS[version]}/heater.so": library(version)})


DESCRIPTION = DESCRIPTIONS[2].format(token="heater-1", can_fork="true")


@pytest.mark.parametrize("version", [2, 3])
def test_what_it_says_of_itself(version: int) -> None:
    fmu = read_fmu(package(version), "heater.fmu")
    assert (fmu.version, fmu.name, fmu.identifier, fmu.token, fmu.can_fork, fmu.step_s) == (
        version,
        "Heater",
        "heater",
        "heater-1",
        True,
        0.5,
    )
    temperature = fmu.variables["T"]
    assert (temperature.reference, temperature.kind, temperature.initial, temperature.start) == (1, "real", "exact", 20.0)
    assert (temperature.unit, temperature.low, temperature.high) == ("degC", 0.0, 200.0)
    assert (fmu.variables["on"].kind, fmu.variables["on"].start) == ("boolean", 1.0)
    assert fmu.variables["gain"].causality == "parameter"
    assert fmu.unusable == {2: ("note is a String",), 3: ("profile is an array",)}[version]
    assert not read_fmu(package(version, can_fork=False), "heater.fmu").can_fork


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('fmiVersion="2.0"', 'fmiVersion="1.0"', "FMI 1.0, expected 2.0 or 3.0"),
        ("<CoSimulation ", "<ModelExchange ", "offers ModelExchange, not co-simulation"),
        ('modelIdentifier="heater"', 'modelIdentifier="../../heater"', "is not the name of a library"),
        ('modelIdentifier="heater"', 'modelIdentifier="boiler"', "no machine code for linux64 .*, it has linux64"),
        ('modelIdentifier="heater"', 'modelIdentifier="heater" needsExecutionTool="true"', "needs the tool that made it"),
        ('valueReference="1"', 'valueReference="-1"', ":7: ScalarVariable: valueReference='-1' is not one"),
        ('start="20"', 'start="warm"', "start='warm' is no number"),
        ('start="20"', 'start="inf"', "start='inf' is not finite"),
        ('name="gain"', 'name="loss"', "'loss' is declared twice"),
        ("<ModelVariables>", "<Variables>", "not XML: mismatched tag"),
        ("<fmiModelDescription ", '<!DOCTYPE x [<!ENTITY a "aaaa">]><fmiModelDescription ', "a document type, and so entities"),
        ('guid="heater-1" ', "", "attribute 'guid' is missing"),
    ],
)
def test_a_description_that_cannot_be_used(old: str, new: str, why: str) -> None:
    changed = DESCRIPTION.replace(old, new, 1)
    assert changed != DESCRIPTION
    with pytest.raises(InputError, match=why):
        read_fmu(described(changed.replace("/ModelExchange>", "/CoSimulation>")), "heater.fmu")


def test_entities_of_other_files_are_not_read() -> None:
    text = '<?xml version="1.0"?><!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>'
    with pytest.raises(InputError, match=r"heater:1: a document type"):
        parse(text.encode(), "heater")
    with pytest.raises(InputError, match="64 levels"):
        parse(b"<a>" * 100, "heater")
    with pytest.raises(InputError, match="not XML: no element found"):
        parse(b"", "heater")


def test_a_binary_of_another_machine() -> None:
    text = {"modelDescription.xml": DESCRIPTION.encode()}
    with pytest.raises(InputError, match=r"it has win64; it brings C sources: have its author compile them"):
        read_fmu(zipped({**text, "binaries/win64/heater.dll": b"MZ", "sources/heater.c": b""}), "heater.fmu")
    foreign = bytearray(library(2)[:64])
    foreign[18:20] = (8).to_bytes(2, "little")  # MIPS
    with pytest.raises(InputError, match="is no machine code of a"):
        read_fmu(zipped({**text, "binaries/linux64/heater.so": bytes(foreign)}), "heater.fmu")
    with pytest.raises(InputError, match=r"has no modelDescription.xml"):
        read_fmu(zipped({}), "heater.fmu")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:evil", "a\\..\\evil", "a\nb", "x" * 300])
def test_a_package_that_would_leave_its_place(name: str) -> None:
    with pytest.raises(InputError, match=r"heater\.fmu: member"):
        open_archive(zipped({name: b""}), "heater.fmu")


def test_packages_that_are_none() -> None:
    bomb = zipped({f"resources/{row}": bytes(1 << 26) for row in range(9)})
    assert len(bomb) < 1 << 20
    with pytest.raises(InputError, match="unpacks to more than"):
        open_archive(bomb, "heater.fmu")
    with pytest.raises(InputError, match="holds more than 1000 octets"):
        open_archive(zipped({"a": bytes(1001)}), "heater.fmu").read("a", 1000)
    with pytest.raises(InputError, match="4097 members"):
        open_archive(zipped({str(row): b"" for row in range(4097)}), "heater.fmu")
    with pytest.raises(InputError, match="is no zip package"):
        open_archive(b"PK\3\4 and so on", "heater.fmu")
    torn = bytearray(zipped({"a": b"a text of some length, again and again and again and again"}))
    torn[35:45] = bytes(10)
    with pytest.raises(InputError, match="a cannot be read"):
        open_archive(bytes(torn), "heater.fmu").read("a")
    link = io.BytesIO()
    with zipfile.ZipFile(link, "w") as file:
        entry = zipfile.ZipInfo("resources/link")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(entry, "/etc/passwd")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        open_archive(link.getvalue(), "heater.fmu")


@pytest.mark.parametrize("cut", range(0, 5000, 250))
def test_any_octets_are_refused_or_read(cut: int) -> None:
    octets = bytearray(package(2))
    octets[cut % len(octets)] ^= 0xFF
    for changed in (bytes(octets), bytes(octets[:cut])):
        with contextlib.suppress(InputError):  # anything else fails
            assert read_fmu(changed, "heater.fmu").version == 2


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("of: T,", "of: Temp,", r"plant.yaml:8: tags.TT1.of: the FMU has no variable 'Temp'"),
        ("of: T,", "of: u,", "u is a input of the FMU, this tag needs an output"),
        ("of: u,", "of: T,", "T is a output of the FMU, a writable tag needs an input"),
        ("unit: degC", "unit: m", "T is in 'degC' .*, but TT1 is in 'm'"),
        ("gain: 2.0 K/s", "gian: 2.0 K/s", "no real parameter 'gian', did you mean 'gain'"),
        ("gain: 2.0 K/s", "gain: 2.0 m", "parameters.gain"),
        ("step: 0.5 s", "step: 0.5 m", "model.step"),
        ("step: 0.5 s", "step: 500 s", "a step of 500 s"),
        ("step: 0.5 s", "sha256: abc", "the package is another one, [0-9a-f]{64}"),
        ("heater.fmu", "boiler.fmu", "boiler.fmu: cannot be read"),
        ("TT1 <= 90 degC", "TT1 <= 90 m", "invariants.vessel-hot"),
        ("always: TT1 <= 90 degC", "at_most: 3 starts of P1", "unknown component 'P1'"),
        ("title:", "components: {}\ntitle:", "unknown key 'components'"),
    ],
)
def test_a_plant_file_that_does_not_fit_its_fmu(tmp_path: Path, old: str, new: str, why: str) -> None:
    (tmp_path / "heater.fmu").write_bytes(package(2))
    assert old in PLANT
    (tmp_path / "plant.yaml").write_text(PLANT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises((ConfigError, InputError), match=why):
        load_foreign(tmp_path / "plant.yaml")


def test_a_package_alone_is_a_plant(tmp_path: Path) -> None:
    file = tmp_path / "heater.fmu"
    file.write_bytes(package(3))
    assert is_foreign(file)
    model = load_foreign(file)
    assert [one.tag for one in model.inputs] == ["u", "on"]
    assert [(one.tag, one.unit) for one in model.outputs] == [("T", "degC"), ("heating", "K/s")]
    assert model.plant.tags.by_name["heating"].high == 1e6


def test_the_appliance_wants_components(tmp_path: Path) -> None:
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT, encoding="utf-8")
    assert is_foreign(file)
    with pytest.raises(ConfigError, match=r"plant.yaml:4: model: a model of others is for"):
        load_plant(file)
