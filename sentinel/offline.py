"""The twin and the court beside a capture that is replayed: what was written is judged as it would have been when it was heard.

In: readings and commands as the spine took them from the wire.  Out: verdicts, in the order of their commands.  Time is the capture's
own, second by second; nothing waits for a clock, so equal captures give equal verdicts.  The court judges in this process: it is given
values that were decoded already, never octets to run.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from sandbox.config import Thresholds
from sandbox.judge import judge
from sandbox.protocol import MAX_STEPS, Context, Step
from sandbox.replay import Replay
from sentinel.model.command import Command
from sentinel.model.observation import Readings
from sentinel.model.time import NS_PER_S, Instant
from sentinel.model.verdict import Verdict
from sentinel.twin.engine import compile_model
from sentinel.twin.plant import Plant
from sentinel.twin.sync import Sync

MEMBERS, HORIZON_S = 256, 600.0  # as the appliance's defaults


class OfflineCourt:
    def __init__(self, plant: Plant) -> None:
        model = compile_model(plant)
        self._sync = Sync(model, seed=plant.seed)
        self._replay = Replay(model=model, members=MEMBERS, horizon_s=HORIZON_S)
        self._seed = plant.seed
        self._steps: deque[Step] = deque(maxlen=MAX_STEPS)
        self._at: int | None = None  # the whole second that the twin has reached

    def verdicts(self, readings: Sequence[Readings], commands: Iterable[Command]) -> list[Verdict]:
        """On everything that was handed over so far; call it with what each batch of the capture brought."""
        heard = Readings.concat(list(readings))
        waiting = sorted(commands, key=lambda command: (command.seen, command.frame_number))
        ends = ([int(heard.seen.max())] if len(heard) else []) + [command.seen for command in waiting]
        if not ends:
            return []
        if self._at is None:
            starts = ([int(heard.seen.min())] if len(heard) else []) + [command.seen for command in waiting]
            self._at = min(starts) // NS_PER_S * NS_PER_S
        found: list[Verdict] = []
        while self._at < max(ends):
            second = self._at + NS_PER_S
            for command in [one for one in waiting if one.seen <= second]:
                found.append(self._judged(command))
                waiting.remove(command)
            rows = (heard.seen > self._at) & (heard.seen <= second)
            if rows.any():
                self._sync.observe(heard.take(rows), Instant(second))
            self._sync.advance(Instant(second))
            self._at = second
        return found + [self._judged(command) for command in waiting]

    def _judged(self, command: Command) -> Verdict:
        """From the last whole second before it: what came after would hold what it wrote."""
        snapshot, terms = self._sync.snapshot(), Thresholds()
        verdict = judge(command, snapshot, self._replay, Context(steps=tuple(self._steps)), terms, self._seed, command.seen)
        writes = command.reached()
        for tag, value in writes.items():
            self._steps.append(Step(seen=command.seen, source=command.source, tag=tag, value=value, applied=True))
        self._sync.write(writes, command.seen)
        return verdict
