"""A directory that a data acquisition system writes to, and the readings that come of it, through a real intake."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from collectors.outbox import Outbox
from collectors.waveform import bands
from collectors.waveform.watch import Watcher, WaveformConfig
from sentinel.clock import SystemClock
from sentinel.errors import ConfigError
from sentinel.intake import Intake
from sentinel.model.spectrum import feature_tag
from sentinel.model.time import NS_PER_S
from tests.unit.collectors.poll.test_modbus import WAIT_S, Keeper
from tests.unit.collectors.waveform.machine import RATE_HZ, sound, to_wav

AGO_S = 5


@asynccontextmanager
async def watching(directory: Path, files: Path) -> AsyncIterator[tuple[Keeper, Watcher]]:
    keeper, stop, intake = Keeper(), asyncio.Event(), directory / "intake.sock"
    config = WaveformConfig(intake=str(intake), sensor="VT301", directory=str(files), frame_s=0.5, period_s=0.1)
    async with Intake(intake, keeper):
        outbox = Outbox(intake, config.name)
        watcher = Watcher(config, outbox, SystemClock())
        tasks = [asyncio.create_task(outbox.run()), asyncio.create_task(watcher.run(stop))]
        try:
            yield keeper, watcher
        finally:
            stop.set()
            await asyncio.wait_for(tasks[1], WAIT_S)
            tasks[0].cancel()
            await asyncio.wait(tasks)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  a counter has no event
            await asyncio.sleep(0)


def written(path: Path, seconds: float, seed: int) -> int:
    """A whole file whose last sample is some seconds old; its end, ns UTC."""
    part = to_wav(path.with_suffix(".part"), sound(seconds, seed))
    end = SystemClock().now() - AGO_S * NS_PER_S
    os.utime(part, ns=(end, end))
    part.rename(path)
    return end


async def test_every_whole_file_becomes_readings_once_and_stays(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    written(files / "old.wav", 1.0, 1)
    async with watching(tmp_path, files) as (keeper, watcher):
        await until(lambda: watcher.counters.dropped > 0)
        (files / "noise.wav").write_bytes(b"RIFF of nothing")
        os.utime(files / "noise.wav", ns=(1, 1))
        end = written(files / "new.wav", 2.0, 2)
        got = await keeper.until(lambda rows: any(tag.startswith("VT301~") for tag in rows))
    assert set(got) == {feature_tag("VT301", name) for name in bands.names(RATE_HZ, 0.5)}
    readings = keeper.polled[-1].readings
    times = sorted(set(readings.time.tolist()))
    assert times == [end - round((2.0 - 0.5 * (i + 1)) * NS_PER_S) for i in range(4)]
    counters = watcher.counters
    assert (counters.accepted, counters.refused, counters.dropped) == (1, 1, 1)
    assert sorted(path.name for path in files.iterdir()) == ["new.wav", "noise.wav", "old.wav"]


async def test_a_directory_that_is_not_there_is_looked_for_again(tmp_path: Path) -> None:
    files = tmp_path / "later"
    async with watching(tmp_path, files) as (_, watcher):
        await until(lambda: watcher.counters.failed > 0)


@pytest.mark.parametrize(("given", "where"), [({"sensor": ""}, "sensor"), ({"sensor": "a~b"}, "sensor"), ({"frame_s": 0.0}, "frame_s")])
def test_what_cannot_be_is_refused(given: dict[str, object], where: str) -> None:
    told: dict[str, object] = {"intake": "x", "sensor": "VT301", "directory": "d", **given}
    with pytest.raises(ConfigError, match=where):
        WaveformConfig(**told)  # type: ignore[arg-type]
