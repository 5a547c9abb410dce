"""How long what is only heard takes from the wire to the analyst: a running appliance in namespaces, and strangers who write past its gate.

In: how many writes.  Out: milliseconds from the moment when a request left its sender until the API's stream of changes told of a finding
about that sender, capture, brain and records between.  Needs root.
"""

import asyncio
import contextlib
import json
import subprocess
from pathlib import Path

import numpy as np

from sentinel.clock import SystemClock
from sentinel.commands.demo import free_port
from sentinel.demo import topology
from sentinel.errors import TransientError
from sentinel.model.time import NS_PER_MS
from sentinel.story import Story, prepare, settings_for, stage_for
from sentinel.supervisor import python

PAUSE_S = 2.2  # more than 32 new findings a minute about one asset are one crowd
_TOLD_S = 10.0  # after the last write
_FIRST = 100  # of the strangers' addresses, the last octet
MAX_WRITES = 150


async def heard(directory: Path, count: int, learn_s: float) -> dict[str, float]:
    """Raises TransientError where this machine allows no namespaces."""
    if (why_not := topology.why_not()) is not None:
        raise TransientError(f"what is only heard is measured in network namespaces: {why_not}")
    with stage_for(True) as setting:
        sources = [f"{setting.attacker.rpartition('.')[0]}.{_FIRST + number}" for number in range(count)]
        for source in sources:
            command = ["ip", "-n", setting.namespace("att"), "address", "add", f"{source}/24", "dev", "eth0"]
            await asyncio.to_thread(subprocess.run, command, check=True, timeout=10)
        settings = settings_for(setting, free_port(), learn_s)
        story = Story(prepare(directory, settings), settings, setting, SystemClock(), lambda _: None, "setpoint")
        story.enrol()
        async with contextlib.AsyncExitStack() as stage, story.appliance(stage):
            await story.begin(stage)
            told: dict[str, int] = {}
            listening = asyncio.create_task(_listen(story, set(sources), told))
            stage.callback(listening.cancel)
            argv = setting.argv("att", *python("-m", "sentinel.measure.strangers", setting.attacker_target, str(PAUSE_S), *sources))
            strangers = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
            said, _ = await strangers.communicate()
            if strangers.returncode:
                raise TransientError(
                    f"the strangers ended with status {strangers.returncode} after {len(said.splitlines())} of {count} writes"
                )
            sent = {line["source"]: int(line["at_ns"]) for line in map(json.loads, said.splitlines())}
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(listening, _TOLD_S)
    if not told:
        raise TransientError(f"none of {len(sent)} writes became a finding")
    took = [(told[source] - at) / NS_PER_MS for source, at in sent.items() if source in told]
    return {
        "heard_writes": len(sent),
        "heard_found": len(took),
        "heard_to_finding_ms_p50": round(float(np.percentile(took, 50)), 1),
        "heard_to_finding_ms_p99": round(float(np.percentile(took, 99)), 1),
        "heard_to_finding_ms_max": round(float(np.max(took)), 1),
    }


async def _listen(story: Story, sources: set[str], told: dict[str, int]) -> None:
    """Until each of them has a finding."""
    health = await story.rita.get("/health")
    async for kind, value in story.rita.changes(health["records"]["revision"]):
        if kind == "finding":
            for source in sources.intersection(value["assets"][:1]):
                told.setdefault(source, story.clock.now())
        if len(told) == len(sources):
            return
