"""The enforcing process in the router cuts a real client's real session, and nothing else."""

import json
import re
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from sentinel.clock import SystemClock
from sentinel.model.action import Action, ActionKind, ActionState
from sentinel.model.framing import Frame, FrameKind, FrameReader
from sentinel.model.ids import ActionId, AssetId
from sentinel.model.time import after
from sentinel.respond.enforcers import journal
from sentinel.respond.enforcers.nftables import NftablesEnforcer
from sentinel.respond.enforcers.ruleset import TABLE
from tests.e2e.bed import Bed, Running, need, wait_until
from tests.e2e.programs.stubborn_client import DEAFEN
from tests.unit.respond.values import enforcer_config

pytestmark = pytest.mark.netns

SITE = """
table inet site {
    chain passing { type filter hook forward priority 0; policy drop;
        ct state established,related accept
        ip saddr 10.77.0.0/24 tcp dport 502 accept
    }
}
"""
POLL = "stdbuf -oL mbpoll -m tcp -a 1 -t 3 -r 1 -c 1 -l 50"
ONCE = "mbpoll -1 -q -m tcp -a 1 -o 1 -t 3 -r 1 -c 1"


@dataclass
class Site:
    bed: Bed
    server: Running
    directory: Path
    enforcer: Running
    client: NftablesEnforcer

    @property
    def plc(self) -> str:
        return self.bed.address("plc")

    def action(self, lasts_s: float = 60.0, target: str | None = None, name: str = "a1") -> Action:
        now = SystemClock().now()
        return Action(
            id=ActionId(name),
            kind=ActionKind.QUARANTINE,
            state=ActionState.APPLYING,
            target=AssetId(target or self.bed.address("att")),
            reason="test",
            enforcer="nftables",
            dry_run=False,
            lasts_s=lasts_s,
            proposed=now,
            changed=now,
            expires=after(now, lasts_s),
        )

    def restart(self) -> None:
        self.enforcer = start_enforcer(self.bed, self.directory)

    def reaches_plc(self, node: str) -> bool:
        return self.bed.run(node, *ONCE.split(), self.plc).returncode == 0

    def in_kernel(self) -> list[str]:
        listing = json.loads(self.bed.run("router", "nft", "-j", "list", "table", "inet", TABLE).stdout)
        sets = [entry["set"] for entry in listing["nftables"] if entry.get("set", {}).get("name") == "cut4"]
        return [item["elem"]["val"] for item in sets[0].get("elem", ())]


def start_enforcer(bed: Bed, directory: Path, **changes: object) -> Running:
    config = directory / "enforcer.json"
    paths = {"socket": str(directory / "e.sock"), "journal": str(directory / "enforcer.jsonl")}
    config.write_text(json.dumps(enforcer_config(**{"never_cut": [bed.address("plc")], **paths, **changes})))
    enforcer = bed.python("router", "-m", "sentinel.respond.enforcers", str(config))
    enforcer.wait_for("ready")
    return enforcer


@pytest.fixture
def site(bed: Bed, tmp_path: Path) -> Iterator[Site]:
    need("nft", "mbpoll", "conntrack", "stdbuf")
    done = bed.run("router", "nft", "-f", "-", stdin=SITE)
    assert done.returncode == 0, done.stderr
    server = bed.python("plc", "-m", "tests.e2e.programs.libmodbus_server", "0.0.0.0", "502")
    server.wait_for("ready")
    enforcer = start_enforcer(bed, tmp_path)
    yield Site(bed, server, tmp_path, enforcer, NftablesEnforcer(tmp_path / "e.sock", SystemClock()))
    assert journal.verify(tmp_path / "enforcer.jsonl") > 0


async def test_the_attacker_and_only_the_attacker_is_cut(site: Site) -> None:
    bed = site.bed
    before = bed.run("router", "nft", "list", "table", "inet", "site").stdout
    operator, attacker = bed.start("hmi", *POLL.split(), site.plc), bed.start("att", *POLL.split(), site.plc)
    operator.wait_for("[1]")
    attacker.wait_for("[1]")

    receipt = await site.client.apply(site.action())

    assert receipt.applied
    assert receipt.verified
    assert "10.77.0.66 is cut until" in receipt.message
    assert receipt.took_ms < 2000
    attacker.wait_for("failed")  # the established session is dead
    assert not site.reaches_plc("att")  # and no new one begins
    asked = len(operator.lines)
    wait_until(lambda: len(operator.lines) > asked + 60, "the operator polls on")
    operator.stop(signal.SIGINT)
    statistics = re.search(r"(\d+) frames transmitted, (\d+) received, (\d+) errors", "\n".join(operator.lines))
    assert statistics is not None
    assert statistics.group(1) == statistics.group(2)
    assert statistics.group(3) == "0"
    assert bed.run("router", "nft", "list", "table", "inet", "site").stdout == before
    (held,) = await site.client.in_force()
    assert held.action == "a1"
    assert held.packets > 0  # the kernel counted what it refused

    assert (await site.client.apply(site.action())).applied
    assert site.in_kernel() == ["10.77.0.66"]

    assert (await site.client.release(site.action())).applied
    assert site.in_kernel() == []
    assert site.reaches_plc("att")
    assert (await site.client.release(site.action())).applied  # harmless when there is nothing left


async def test_a_cut_ends_by_itself_when_the_enforcer_is_killed(site: Site) -> None:
    assert site.reaches_plc("att")
    assert (await site.client.apply(site.action(lasts_s=3))).applied
    site.enforcer.stop(signal.SIGKILL)
    assert not site.reaches_plc("att")
    assert site.reaches_plc("hmi")
    wait_until(lambda: site.reaches_plc("att"), "the kernel ends the cut")
    assert site.in_kernel() == []
    dead = await site.client.apply(site.action(name="a2"))
    assert not dead.applied
    assert "not enforced: the enforcing process cannot be reached" in dead.message


async def test_a_session_that_was_cut_stays_dead_after_the_end(site: Site) -> None:
    bed, plc = site.bed, site.plc
    need("tcpdump")
    bed.run("att", "nft", DEAFEN)
    client = bed.python("att", "-m", "tests.e2e.programs.stubborn_client", plc, "502")
    client.wait_for("written")
    assert (await site.client.apply(site.action(lasts_s=2))).applied
    seen = len(client.lines)
    wait_until(lambda: not site.in_kernel(), "the kernel ends the cut")
    heard = len(client.lines)
    trace = bed.start("router", "tcpdump", "-lni", "sup", "src", bed.address("att"), "and", "tcp", "port", "502", "and", "greater", "70")
    trace.wait_for("listening")
    trace.wait_for("> 10.78.0.10.502")  # the old session tries again
    fresh = bed.run("att", *["mbpoll", "-m", "tcp", "-a", "1", "-1", "-t", "4", "-r", "100", "10.78.0.10", "4242"])
    assert fresh.returncode == 0, fresh.stdout
    site.server.wait_for("write 060063")  # a new session of the same client works
    late = [line for line in site.server.lines if line.startswith("write 060009")]
    assert len(client.lines) == heard
    assert len(late) <= seen + 1  # nothing of the old one arrived after the cut
    assert client.process.poll() is None


async def test_after_a_kill_it_knows_what_is_in_force(site: Site) -> None:
    assert (await site.client.apply(site.action())).applied
    site.enforcer.stop(signal.SIGKILL)
    site.restart()
    assert site.enforcer.lines[-1].endswith("ready, 1 addresses are cut")
    assert not site.reaches_plc("att")
    (held,) = await site.client.in_force()
    assert (held.target, held.action) == ("10.77.0.66", "a1")
    assert (await site.client.release(site.action())).applied
    assert site.reaches_plc("att")


async def test_what_it_refuses(site: Site) -> None:
    refusals = {
        "own list of what is never cut": site.action(target=site.plc),
        "this machine itself": site.action(target="127.0.0.1"),
        "no single asset": site.action(target="224.0.0.1"),
        "not one IP address": site.action(target="localhost"),
        "longer than": site.action(lasts_s=25 * 3600),
        "its time is over": site.action(lasts_s=-5),
        "no action id": replace(site.action(), id=ActionId('x" ; flush ruleset')),
    }
    for reason, action in refusals.items():
        receipt = await site.client.apply(action)
        assert not receipt.applied, reason
        assert reason in receipt.message
    assert (await site.client.apply(site.action())).applied
    second = await site.client.apply(site.action(name="b2"))
    assert not second.applied
    assert "cut already, by action a1" in second.message
    assert site.in_kernel() == ["10.77.0.66"]
    untouched = await site.client.release(site.action(name="b2"))
    assert "stays cut by action a1" in untouched.message
    assert site.in_kernel() == ["10.77.0.66"]


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        Frame(FrameKind.QUARANTINE, 1, b'{"action": "a", "target": "10.77.0.66", "expires": 1, "table": "site"}').encode(),
        Frame(FrameKind.QUARANTINE, 1, b"\xff" * 512).encode(),
        Frame(FrameKind.QUARANTINE, 1, b" " * 2000).encode(),
        Frame(FrameKind.JUDGE, 1, b"{}").encode(),
    ],
)
async def test_what_is_no_order_ends_the_connection_and_nothing_else(site: Site, octets: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(10)
        stranger.connect(str(site.directory / "e.sock"))
        stranger.sendall(octets)
        answer = b""
        while chunk := stranger.recv(4096):
            answer += chunk
    greeting, failure = FrameReader().feed(answer)
    assert (greeting.kind, failure.kind) == (FrameKind.HELLO, FrameKind.FAILURE)
    assert site.in_kernel() == []
    assert (await site.client.apply(site.action())).applied


async def test_a_flushed_firewall_gets_the_cut_back(site: Site) -> None:
    assert (await site.client.apply(site.action())).applied
    site.bed.run("router", "nft", "flush", "ruleset")
    assert site.reaches_plc("att")
    wait_until(lambda: not site.reaches_plc("att"), "the cut is put back")
    assert site.reaches_plc("hmi")


async def test_the_box_itself_is_out_of_reach_too(site: Site) -> None:
    box = site.bed.python("router", "-m", "tests.e2e.programs.libmodbus_server", "0.0.0.0", "502")
    box.wait_for("ready")
    reach = [*ONCE.split(), site.bed.address("router")]
    assert site.bed.run("att", *reach).returncode == 0
    assert (await site.client.apply(site.action())).applied
    assert site.bed.run("att", *reach).returncode != 0
    assert site.bed.run("hmi", *reach).returncode == 0


async def test_both_address_families(site: Site) -> None:
    receipt = await site.client.apply(site.action(target="FD00::66"))
    assert receipt.applied
    assert "fd00::66 is cut" in receipt.message
    assert (await site.client.apply(site.action(target="::ffff:10.77.0.66", name="b2"))).applied
    assert [(held.target, held.action) for held in await site.client.in_force()] == [("10.77.0.66", "b2"), ("fd00::66", "a1")]
    assert not site.reaches_plc("att")
    assert (await site.client.release(site.action(target="fd00:0::66"))).applied
    assert [held.target for held in await site.client.in_force()] == ["10.77.0.66"]


def test_it_keeps_one_capability(site: Site) -> None:
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{site.enforcer.pid}/status").read_text().splitlines() if ":\t" in line)
    net_admin = 1 << 12
    for mask in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"):
        assert int(status[mask], 16) == net_admin, mask
    assert status["NoNewPrivs"] == "1"


async def test_a_safety_pair_passes_any_cut(bed: Bed, tmp_path: Path) -> None:
    """The pair's ends cannot be targets; here the table is loaded by hand to see that its rule comes first."""
    need("nft", "mbpoll")
    server = bed.python("plc", "-m", "tests.e2e.programs.libmodbus_server", "0.0.0.0", "502")
    server.wait_for("ready")
    pair = (bed.address("att"), bed.address("plc"))
    start_enforcer(bed, tmp_path, safety_pairs=[pair], never_cut=[])
    client = NftablesEnforcer(tmp_path / "e.sock", SystemClock())
    here = Site(bed, server, tmp_path, server, client)
    refused = await client.apply(here.action())
    assert "never cut" in refused.message
    done = bed.run("router", "nft", "add", "element", "inet", TABLE, "cut4", "{ 10.77.0.66 timeout 60s, 10.77.0.20 timeout 60s }")
    assert done.returncode == 0, done.stderr
    assert here.reaches_plc("att")
    assert not here.reaches_plc("hmi")
