"""The composition root of the brain, ``python -m sentinel.app SETTINGS.toml``: settings in, one wired spine out, every lifetime owned here.

Started by the supervisor.  Ends on SIGTERM, or loudly when one of its parts fails for a reason that is our bug; the supervisor starts it
again, and it goes on from its records: open findings, actions on their way, the learnt baseline.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from sandbox.casefile import Terms
from sandbox.client import CourtClient, Familiarity
from sentinel import settings as configuration
from sentinel.access import Access
from sentinel.access.authority import DAY_S
from sentinel.api import ApiState, Tls, build_app, build_enrolment_app, serve
from sentinel.brain.actions import Actions
from sentinel.brain.anchors import Anchors, Chain
from sentinel.brain.brain import Brain
from sentinel.brain.cases import Cases
from sentinel.brain.foresight import Foresight, Planning
from sentinel.brain.learning import Learning
from sentinel.brain.parameters import Parameters
from sentinel.brain.permits import Permits
from sentinel.brain.recollection import Recollection
from sentinel.brain.replays import Replays
from sentinel.catalogue import capabilities
from sentinel.clock import Clock, SystemClock
from sentinel.detect.calibrate import Budget
from sentinel.detect.catalogue import detectors
from sentinel.dissection import dissect
from sentinel.errors import SentinelError, sole_error
from sentinel.history import Bounds, History
from sentinel.intake import Intake
from sentinel.model.command import Command
from sentinel.model.ids import AssetId
from sentinel.model.tags import TagMap
from sentinel.model.time import Instant
from sentinel.pipeline import Analysis
from sentinel.places import Places
from sentinel.ports import Enforcer
from sentinel.records import Records
from sentinel.respond.enforcers.dry_run import DryRunEnforcer
from sentinel.respond.enforcers.gate import GateEnforcer
from sentinel.respond.enforcers.nftables import NftablesEnforcer
from sentinel.respond.interlock import Rules, refusal
from sentinel.respond.rehearse import rehearse
from sentinel.settings import Settings
from sentinel.twin.engine import compile_model
from sentinel.twin.plant import load_plant
from sentinel.twin.sync import Sync

_SWITCH_S = 0.0005  # how long the worker thread may keep the interpreter while a held write waits for the event loop

log = logging.getLogger(__name__)


async def run(settings: Settings, places: Places, clock: Clock, stop: asyncio.Event) -> None:
    """Until ``stop``.  Raises ConfigError for what the settings got wrong."""
    tags, model = TagMap(()), None
    if settings.appliance.plant:
        plant = load_plant(places.plant)
        tags, model = plant.tags, compile_model(plant)
    async with contextlib.AsyncExitStack() as lifetimes:
        records = Records(places.records, clock)
        lifetimes.callback(records.close)
        access = Access(places.authority, records, clock)
        tag_map = tags if tags.tags else None
        budget = Budget(alarms_per_week=settings.learning.false_alarms_per_week)
        analysis = Analysis(
            tag_map=tag_map,
            detectors=detectors(tag_map, budget),
            fresh=lambda: detectors(tag_map, budget),
            servers=map(AssetId, settings.tagged_servers()),
        )
        recollection = Recollection.of(records, clock.now())
        access.authority.server_certificate(settings.appliance.name, (settings.api.host,), clock.now())  # seals are made with its key
        anchors = Anchors(places.directory, access.authority, places.given, Chain(records.audit))
        anchor = anchors.at_start(clock.now())
        if anchor is not None:
            analysis.restore(anchor[0], recollection.findings)
        wire: CourtClient | None = None
        parameters = Parameters(anchors, records.audit, model.digest) if model is not None else None
        sync = Sync(model, seed=plant.seed, learnt=parameters.recall(clock.now())) if model is not None and parameters is not None else None
        court = _court(settings, places, clock, lambda command: _familiarity(brain, command)) if model is not None else None
        brain = Brain(settings, records, analysis, tags, court, sync, clock, _rules(settings), recollection)
        brain.parameters = parameters
        brain.learning = learning = Learning(analysis, anchors, settings.learning, clock, brain.think, anchor)
        if court is not None:
            terms = Terms(members=settings.court.members, horizon_s=settings.court.horizon_s)
            wire = CourtClient(places.wire, clock)
            brain.cases = Cases(court, plant.text, terms, access.authority.seal, records, clock, wire)
            brain.asking.replays = Replays(court, wire, clock)
        if settings.history.keep:
            brain.past = _past(settings, places, clock)
            lifetimes.push_async_callback(asyncio.to_thread, brain.past.close)
        lifetimes.callback(brain.close)
        intake = Intake(places.intake, brain.take, clock)
        brain.intake = brain.asking.intake = brain.excerpts.intake = intake
        permits = brain.asking.permits = Permits(tags, records, clock)
        actions = Actions(
            records,
            {**_enforcers(settings, places, intake, clock), permits.spec.name: permits, learning.spec.name: learning},
            clock,
            refusal=lambda target: _refusal(brain, target, clock.now()),
            rehearse=lambda action: rehearse(action.target, action.protects, brain.stock.conduits, clock.now()),
        )
        brain.actions = brain.asking.actions = actions
        state = ApiState(
            records=records,
            access=access,
            clock=clock,
            actions=actions,
            twin=Foresight(brain, court, model, tags, records, clock) if model is not None and court is not None else None,
            history=places.history if settings.history.keep else None,
            dissect=dissect,
            baselines=learning,
            planning=Planning(records, court, tags, clock),
            health=brain.health,
            capabilities=capabilities(),
            name=settings.appliance.name,
        )
        await lifetimes.enter_async_context(_listening(settings, state, access, records, clock))
        await lifetimes.enter_async_context(intake)
        await _work(brain, actions, [client for client in (court, wire) if client is not None], stop)


async def _work(brain: Brain, actions: Actions, courts: Sequence[CourtClient], stop: asyncio.Event) -> None:
    gc.collect()
    gc.freeze()  # a tenth of a second each time that the collector looks through what was imported, and a held write waits for it
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(brain.run(), name="brain"), group.create_task(actions.run(), name="actions")]
        tasks += [group.create_task(court.run(), name="court") for court in courts]
        await stop.wait()
        for task in tasks:
            task.cancel()


def _court(settings: Settings, places: Places, clock: Clock, familiarity: Callable[[Command], Familiarity]) -> CourtClient:
    return CourtClient(places.court, clock, familiarity, held_patience_s=settings.court.hold_timeout_ms / 1000)


def _past(settings: Settings, places: Places, clock: Clock) -> History:
    bounds = Bounds(octets=round(settings.history.max_megabytes * 1e6), age_s=settings.history.max_days * DAY_S)
    return History(places.history, clock, bounds)


def _familiarity(brain: Brain, command: Command) -> Familiarity:
    return Familiarity(
        is_new=brain.stock.is_new(command.source),
        scanned=brain.stock.has_scanned(command.source),
        days_without=brain.hours.days_without(command.source, command.seen),
    )


def _rules(settings: Settings) -> Rules:
    """The plant's controllers are those that the settings poll or put behind a gate; conduits show further ones."""
    return Rules(
        never_cut=frozenset(AssetId(address) for address in settings.enforce.never_cut),
        controllers=frozenset(AssetId(address) for address in settings.controllers()),
        appliance=frozenset(AssetId(address) for address in settings.own_addresses()),
    )


def _refusal(brain: Brain, target: AssetId, now: Instant) -> str | None:
    in_force = brain.actions.in_force() if brain.actions is not None else ()
    return refusal(target, brain.stock.rules(), brain.stock.assets.values(), brain.stock.conduits, now, in_force)


def _enforcers(settings: Settings, places: Places, intake: Intake, clock: Clock) -> Mapping[str, Enforcer]:
    """Dry run is always there; the others where the settings name them."""
    enforcers: dict[str, Enforcer] = {"dry_run": DryRunEnforcer(clock)}
    if settings.enforce.enforcer == "gate":
        enforcers["gate"] = GateEnforcer(intake, [gate.name for gate in settings.gate], clock)
    if settings.enforce.enforcer == "nftables":
        enforcers["nftables"] = NftablesEnforcer(places.enforcer, clock)
    return enforcers


@contextlib.asynccontextmanager
async def _listening(settings: Settings, state: ApiState, access: Access, records: Records, clock: Clock) -> AsyncIterator[None]:
    """The API, and the enrolment listener where it is open."""
    ended = asyncio.Event()
    api, name = settings.api, settings.appliance.name
    async with asyncio.TaskGroup() as group:
        tls = Tls(access, records.audit, clock, name=name, hosts=(api.host,))
        app = build_app(state)
        group.create_task(serve(app, tls, api.host, api.port, stop=ended, stopping=app.state.streams.stop), name="api")
        if api.enrol_port:
            door = Tls(access, records.audit, clock, name=name, hosts=(api.host,), clients=False)
            group.create_task(serve(build_enrolment_app(state), door, api.host, api.enrol_port, stop=ended), name="enrolment")
        try:
            yield
        finally:
            ended.set()


def main(arguments: list[str]) -> int:
    path = Path(arguments[0])
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG: end with the supervisor
    try:
        settings = configuration.read(path)
        logging.basicConfig(
            level=settings.appliance.log.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
        )
        sys.setswitchinterval(_SWITCH_S)
        asyncio.run(_until_signalled(settings, Places.of(settings, path)))
    except SentinelError as error:
        print(f"sentinel: {error}", file=sys.stderr)
        return 2
    except BaseExceptionGroup as group:
        blamed = sole_error(group)
        if blamed is None:
            raise
        print(f"sentinel: {blamed}", file=sys.stderr)
        return 2
    return 0


async def _until_signalled(settings: Settings, places: Places) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run(settings, places, SystemClock(), stop)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
