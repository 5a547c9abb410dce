"""What every enforcer of the catalogue must do.  The one for nftables is asked through its process in `tests/e2e/test_quarantine.py`; here
it meets a process that is dead, silent or talks nonsense."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from sentinel.clock import Clock, SystemClock
from sentinel.errors import PermanentError, TransientError
from sentinel.model.action import Action, ActionState, Receipt
from sentinel.model.codec import to_json
from sentinel.model.exchange import Failure, QuarantineOrder, ReleaseOrder
from sentinel.model.framing import Frame, FrameKind
from sentinel.model.ids import AssetId
from sentinel.model.time import after
from sentinel.ports import Enforcer
from sentinel.respond.enforcers import CATALOGUE
from sentinel.respond.enforcers.dry_run import DryRunEnforcer
from sentinel.respond.enforcers.gate import GateEnforcer
from sentinel.respond.enforcers.nftables import NftablesEnforcer
from sentinel.respond.enforcers.protocol import Greeting
from tests.unit.respond.values import action as an_action
from tests.unit.respond.values import receipt as a_receipt

CLOCK: Clock = SystemClock()


def due(state: ActionState = ActionState.APPLYING, **changes: object) -> Action:
    now = CLOCK.now()
    return an_action(state, expires=after(now, 60), proposed=now, changed=now, **changes)


class Gates:
    """Keeps what is cut per gate; ``broken`` gates answer as told."""

    def __init__(self, **broken: Exception | bool | None) -> None:
        self.cut: dict[str, set[str]] = {}
        self._broken = broken

    async def quarantine(self, process: str, order: QuarantineOrder) -> Receipt:
        return await self._answer(process, order, lambda: self.cut.setdefault(process, set()).add(order.target))

    async def release(self, process: str, order: ReleaseOrder) -> Receipt:
        return await self._answer(process, order, lambda: self.cut.setdefault(process, set()).discard(order.target))

    async def _answer(self, process: str, order: QuarantineOrder | ReleaseOrder, change: Callable[[], None]) -> Receipt:
        fault = self._broken.get(process, True)
        if isinstance(fault, Exception):
            raise fault
        if fault is None:
            await asyncio.Event().wait()
        if fault:
            change()
        return a_receipt(bool(fault), order.action)


def test_the_catalogue_names_its_plugs() -> None:
    assert {name: plug.spec.name for name, plug in CATALOGUE.items()} == {name: name for name in CATALOGUE}
    assert all(plug.spec.summary for plug in CATALOGUE.values())


@pytest.mark.parametrize("name", ["dry_run", "gate"])
async def test_twice_is_once_and_release_always_works(name: str) -> None:
    gates = Gates()
    enforcer: Enforcer = {"dry_run": DryRunEnforcer(CLOCK), "gate": GateEnforcer(gates, ("north", "south"), CLOCK)}[name]
    assert (await enforcer.release(due())).applied  # harmless before
    for _ in range(2):
        receipt = await enforcer.apply(due())
        assert (receipt.applied, receipt.action, receipt.enforcer) == (True, "a1", name)
    if name == "gate":
        assert gates.cut == {"north": {"10.0.0.66"}, "south": {"10.0.0.66"}}
    for _ in range(2):
        assert (await enforcer.release(due())).applied
    assert not any(gates.cut.values())


async def test_a_dry_run_says_what_it_would_do() -> None:
    receipt = await DryRunEnforcer(CLOCK).apply(due())
    assert not receipt.verified
    assert "dry run: would cut 10.0.0.66 until" in receipt.message
    assert receipt.message.endswith("nothing was changed")


@pytest.mark.parametrize("target", ["localhost", "10.0.0.0/8", "224.0.0.1"])
async def test_a_dry_run_refuses_what_could_not_be_cut(target: str) -> None:
    receipt = await DryRunEnforcer(CLOCK).apply(due(target=AssetId(target)))
    assert not receipt.applied
    assert target in receipt.message


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (TransientError("south is not connected"), "south: south is not connected"),
        (PermanentError("no"), "south: no"),
        (None, "south: no answer within 0.05 s"),
        (False, "south: said"),
    ],
)
async def test_one_gate_that_fails_undoes_the_others(fault: Exception | bool | None, says: str) -> None:
    gates = Gates(south=fault)
    receipt = await GateEnforcer(gates, ("north", "south"), CLOCK, timeout_s=0.05).apply(due())
    assert not receipt.applied
    assert "not enforced" in receipt.message
    assert says in receipt.message
    assert gates.cut == {"north": set()}


@pytest.mark.parametrize("fault", [TransientError("south is not connected"), None])
async def test_a_gate_that_is_away_does_not_open_the_others_while_a_cut_is_in_force(fault: Exception | None) -> None:
    """It lets nobody pass while it is dead and comes back with what it cut; the attacker must not get in at the gate beside it."""
    gates = Gates(south=fault)
    gates.cut["north"] = {"10.0.0.66"}
    receipt = await GateEnforcer(gates, ("north", "south"), CLOCK, timeout_s=0.05).apply(due(state=ActionState.APPLIED))
    assert (receipt.applied, receipt.verified) == (True, False)
    assert "south: away" in receipt.message
    assert gates.cut == {"north": {"10.0.0.66"}}


async def test_a_gate_that_refuses_a_cut_in_force_ends_it_everywhere() -> None:
    gates = Gates(south=False)
    receipt = await GateEnforcer(gates, ("north", "south"), CLOCK).apply(due(state=ActionState.APPLIED))
    assert not receipt.applied
    assert gates.cut == {"north": set()}


HELLO = Frame(FrameKind.HELLO, 0, to_json(Greeting(process="enforcer", pid=1, in_force=()))).encode()


class Impostor:
    """Says its octets on each connection; stays silent after them, or hangs up."""

    def __init__(self, *octets: bytes, hangs_up: bool = True) -> None:
        self._octets = b"".join(octets)
        self._hangs_up = hangs_up
        self.served: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._octets)
        if self._hangs_up:
            writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()
        self.served.put_nowait(None)


@pytest.mark.parametrize(
    ("impostor", "says"),
    [
        (Impostor(), "ended the connection"),
        (Impostor(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "does not speak our protocol"),
        (Impostor(HELLO[:-2], hangs_up=False), "did not answer within 0.2 s"),
        (Impostor(HELLO, hangs_up=False), "did not answer within 0.2 s"),
        (Impostor(HELLO, Frame(FrameKind.RECEIPT, 1, to_json(a_receipt(True, "other"))).encode()), "of another action"),
        (Impostor(HELLO, Frame(FrameKind.RECEIPT, 1, b'{"applied": true}').encode()), "does not speak our protocol"),
        (Impostor(HELLO, Frame(FrameKind.FAILURE, 1, to_json(Failure(problem="user 7 may not"))).encode()), "user 7 may not"),
        (Impostor(Frame(FrameKind.RECEIPT, 1, to_json(a_receipt(True))).encode()), "unexpected RECEIPT"),
    ],
)
async def test_a_process_that_misbehaves_enforces_nothing(tmp_path: Path, impostor: Impostor, says: str) -> None:
    async with await asyncio.start_unix_server(impostor, str(tmp_path / "s")):
        enforcer = NftablesEnforcer(tmp_path / "s", CLOCK, timeout_s=0.2)
        for order, outcome in ((enforcer.apply, "not enforced"), (enforcer.release, "not released")):
            receipt = await order(due())
            assert not receipt.applied
            assert receipt.message.startswith(f"{outcome}: the enforcing process ")
            assert says in receipt.message
            await asyncio.wait_for(impostor.served.get(), 10)


async def test_a_process_that_is_not_there_enforces_nothing(tmp_path: Path) -> None:
    receipt = await NftablesEnforcer(tmp_path / "none", CLOCK).apply(due())
    assert not receipt.applied
    assert "cannot be reached: No such file or directory" in receipt.message
    with pytest.raises(TransientError, match="cannot be reached"):
        await NftablesEnforcer(tmp_path / "none", CLOCK).in_force()
