import json
from pathlib import Path

import pytest

from sentinel import settings
from sentinel.errors import ConfigError
from sentinel.places import Places
from sentinel.processes import processes


def test_the_sample_is_the_default() -> None:
    assert settings.parse(settings.sample(), "sample") == settings.Settings()


def test_every_option_uncommented_is_understood() -> None:
    lines = settings.sample().splitlines()
    options = [line.lstrip("#") for line in lines if line.startswith("#[") or (line.startswith("#") and not line.startswith("# "))]
    headers = [line for line in lines if line.startswith("[")]
    assert len(options) > 30
    assert len(headers) == 6
    text = "\n".join(line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in lines)
    parsed = settings.parse(text, "sample")
    assert parsed.gate == (settings.Gate(),)
    assert parsed.api == settings.Api()


def test_what_is_written_is_read_back() -> None:
    given = settings.Settings(
        appliance=settings.Appliance(name='a "quoted" \\ name', plant="plant.yaml"),
        enforce=settings.Enforce(never_cut=("10.0.0.1", "::1")),
        gate=(settings.Gate(upstream="127.0.0.10:1502", observe=False), settings.Gate(name="second")),
    )
    assert settings.parse(settings.write(given), "written") == given


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("[api]\nhost = '::1'\n\nprot = 1\n", "f.toml:4", "did you mean 'port'"),
        ("[apy]\n", "f.toml:1", "did you mean 'api'"),
        ("[[gate]]\nname = 'a'\n[[gate]]\nname='b'\nlisen = ''\n", "f.toml:5", "did you mean 'listen'"),
        ("[api]\nport = 'x'\n", "f.toml:2", "api.port"),
        ("[api\n", "f.toml:1", "Expected"),
        ("[gate]\n", "f.toml:1", "[[gate]]"),
        ("[[api]]\n", "f.toml:1", "[api]"),
        ("[[gate]]\nname='x'\n[[capture]]\nname='x'\n", "f.toml", "two processes"),
        ("[enforce]\nenforcer = 'nft'\n", "f.toml:2", "not one of dry_run, gate, nftables"),
        ("[[gate]]\nname='../x'\n", "f.toml", "'../x' cannot name a process"),
        ("[[gate]]\nprotocol='dnp3'\n", "f.toml:2", "not one of modbus, opcua"),
        ("[[gate]]\nprotocol='opcua'\ntransparent=true\n", "f.toml", "has a certificate and an address of its own"),
        ("[[gate]]\nname='court'\n", "f.toml", "'court' cannot name a process"),
        ("[enforce]\n\nlasts_s = 90000\n", "f.toml:3", "enforce.lasts_s is 90000, not between 1 and 86400"),
        ("[learning]\nlasts_s = nan\n", "f.toml:2", "learning.lasts_s is nan"),
        ("[api]\nport = 70000\n", "f.toml:2", "api.port is 70000"),
        ("[enforce]\nenforcer = 'gate'\n", "f.toml", "needs a [[gate]]"),
        ("[enforce]\nnever_cut = ['plc']\n", "f.toml", "'plc' is not an IP address"),
        ("[[capture]]\nworkers = 0\n", "f.toml:2", "capture.workers is 0, not between 1 and 64"),
        ("[[capture]]\nrecent_megabytes = 1\n", "f.toml", "1: 0, or at least 2"),
        ("[[poll_opcua]]\npolicy = 'Basic256'\n", "f.toml:2", "poll_opcua.policy is 'Basic256', not one of"),
        ("[[poll_opcua]]\nuser = 'a'\npassword_file = 'b'\n", "f.toml", "'poll-opcua' would log in without a policy"),
        ("[[poll_opcua]]\npolicy = 'Basic256Sha256'\nuser = 'a'\n", "f.toml", "both are needed"),
        ("[[capture]]\nworkers = 2\n[[gate]]\nname = 'capture-2'\n", "f.toml", "two processes are called 'capture-2'"),
    ],
)
def test_what_is_not_understood_is_refused_where_it_stands(text: str, where: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.parse(text, "f.toml")
    assert caught.value.where == where
    assert says in caught.value.problem


def test_addresses_of_controllers_and_of_the_box_are_read_from_the_sections() -> None:
    given = settings.Settings(
        gate=(
            settings.Gate(listen="0.0.0.0:502", upstream="10.0.0.10:502"),
            settings.Gate(name="b", listen="10.0.0.2:502", upstream="plc:1"),
        ),
        poll_modbus=(
            settings.PollModbus(server="[fd00::10]:502", source="10.0.0.5"),
            settings.PollModbus(name="c", server="10.0.0.10:502"),
        ),
        poll_opcua=(settings.PollOpcua(url="opc.tcp://10.0.0.11:4840/x"),),
    )
    assert given.controllers() == ("10.0.0.10", "fd00::10", "10.0.0.11")
    assert given.own_addresses() == ("10.0.0.2", "10.0.0.5")


def test_workers_are_processes_with_names_of_their_own() -> None:
    assert settings.Capture().processes() == ("capture",)
    assert settings.Capture(name="east", workers=3).processes() == ("east-1", "east-2", "east-3")


def test_a_poll_is_told_its_security(tmp_path: Path) -> None:
    given = settings.parse(
        f"""[appliance]
directory = {str(tmp_path / "var")!r}
[[poll_opcua]]
url = 'opc.tcp://10.0.0.11:4840/x'
policy = 'Aes256_Sha256_RsaPss'
user = 'reader'
password_file = 'reader.password'
[[waveform]]
url = 'opc.tcp://10.0.0.11:4840/x'
""",
        "f.toml",
    )
    places = Places.of(given, tmp_path / "f.toml")
    places.make()
    told = {process.name: json.loads(Path(process.argv[-1]).read_text()) for process in processes(given, places) if process.name != "brain"}
    assert told["poll-opcua"]["security"] == {
        "policy": "Aes256_Sha256_RsaPss",
        "mode": "SignAndEncrypt",
        "user": "reader",
        "certificates": str(tmp_path / "var/polls/poll-opcua"),
        "password_file": str(tmp_path / "reader.password"),
    }
    assert told["waveform"]["security"] == {"policy": "", "mode": "SignAndEncrypt", "user": ""}
