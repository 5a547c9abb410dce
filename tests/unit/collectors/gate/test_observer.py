"""Both ends of observation without the processes around them: what the tap writes is what the observer reads."""

import asyncio
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.gate import observe
from collectors.gate.observe import Tap
from collectors.gate.observer import Observer
from collectors.gate.records import RECORD, ObserverConfig, Record, RecordReader, Told, pack
from collectors.outbox import heard_frames
from sentinel.clock import ManualClock, SystemClock
from sentinel.model.framing import MAX_PAYLOAD_OCTETS
from sentinel.model.ids import AssetId
from sentinel.model.observation import Outage
from sentinel.model.protocol import Defect
from sentinel.model.time import Instant
from tests.unit.collectors.gate.plant import WAIT_S, answer_to, read

CONFIG = ObserverConfig(
    name="gate-observer", source="gate", intake="/nowhere", server=AssetId("10.0.0.10"), port=502, connections=4, farewell_s=0.0
)
HMI = AssetId("10.0.0.20")


def told(kind: Record, flow: int, time: int, octets: bytes = b"") -> Told:
    return Told(kind, flow, Instant(time), octets)


def test_requests_and_answers_become_rows_with_their_times_and_assets() -> None:
    observer = Observer(CONFIG)
    records = [
        told(Record.OPENED, 3, 1, HMI.encode()),
        told(Record.FROM_CLIENT, 3, 5, read(1, 4, 2)),
        told(Record.FROM_SERVER, 3, 9, answer_to(read(1, 4, 2))),
        told(Record.CLOSED, 3, 10),
        told(Record.REFUSED, 0, 11, b"10.0.0.66"),
    ]
    heard = observer.observe(records, Instant(12))
    rows = heard.messages
    assert (heard.source, heard.until, heard.counters.accepted) == ("gate", 12, 2)
    assert rows.time.tolist() == [5, 9]
    assert rows.latency.tolist() == [-1, 4]
    assert rows.decoded("client") == [HMI] * 2
    assert rows.decoded("server") == ["10.0.0.10"] * 2
    assert rows.port.tolist() == [502] * 2
    flows = heard.flows
    assert list(zip(flows.decoded("source"), flows.tcp_flags.tolist(), strict=True)) == [
        (HMI, 0x02),
        (HMI, 0x11),
        ("10.0.0.66", 0x02),
        ("10.0.0.10", 0x14),
    ]


def test_more_connections_than_at_once_may_pass_within_one_batch() -> None:
    observer = Observer(CONFIG)
    records = []
    for flow in range(20):
        records += [
            told(Record.OPENED, flow, flow, HMI.encode()),
            told(Record.FROM_CLIENT, flow, flow, read(1)),
            told(Record.CLOSED, flow, flow),
        ]
    assert len(observer.observe(records, Instant(99)).messages) == 20


def test_a_hole_is_counted_and_blames_nobody() -> None:
    observer = Observer(CONFIG)
    observer.observe([told(Record.OPENED, 1, 1, HMI.encode()), told(Record.FROM_CLIENT, 1, 2, read(1))], Instant(3))
    records = [told(Record.HOLE, 0, 4, (7).to_bytes(8, "big")), told(Record.FROM_CLIENT, 1, 5, read(9))]
    heard = observer.observe(records, Instant(6))
    assert heard.counters.dropped == 7
    assert heard.messages.transaction.tolist() == [9]
    assert heard.messages.defect.tolist() == [Defect.NONE]


@given(
    st.lists(st.tuples(st.sampled_from(Record), st.integers(0, 2**32 - 1), st.integers(0, 2**62), st.binary(max_size=40)), max_size=8),
    st.data(),
)
def test_records_survive_any_cutting(records: list[tuple[Record, int, int, bytes]], data: st.DataObject) -> None:
    stream = b"".join(pack(kind, flow, Instant(time), octets) for kind, flow, time, octets in records)
    reader, got, at = RecordReader(), list[Told](), 0
    while at < len(stream):
        step = data.draw(st.integers(1, len(stream) - at))
        got += reader.feed(stream[at : at + step])
        at += step
    assert got == [told(*record) for record in records]


def test_a_record_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="a record of"):
        RecordReader().feed(RECORD.pack(0, 0, 0, 1 << 20))


async def test_what_is_not_taken_is_dropped_but_for_openings_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "LIMIT_OCTETS", 1000)
    outages: list[Outage] = []
    tap = Tap(CONFIG, ManualClock(), 0.001, outages.append)
    tap.opened(1, HMI)
    for transaction in range(100):
        tap.hear(1, True, read(transaction))
    tap.closed(1, reset=False)
    tap.opened(2, HMI)
    stop = asyncio.Event()
    stop.set()
    server_got = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_got.set_result(await reader.read())
        writer.close()

    async with await asyncio.start_unix_server(serve, str(tmp_path / "s")):
        _, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        await tap._feed(writer, stop)
        writer.close()
        records = RecordReader().feed(await asyncio.wait_for(server_got, 10))
    kinds = [record.kind for record in records]
    heard = kinds.count(Record.FROM_CLIENT)
    assert 0 < heard < 100
    assert tap.dropped == 100 - heard
    assert records[0].octets == tap.dropped.to_bytes(8, "big")
    assert [kind for kind in kinds if kind is not Record.FROM_CLIENT] == [
        Record.HOLE,
        Record.OPENED,
        Record.CLOSED,
        Record.OPENED,
        Record.MARK,
    ]


def test_a_full_batch_of_the_smallest_requests_still_fits_into_a_frame() -> None:
    share = 32  # of it, for time
    count = observe.LIMIT_OCTETS // (RECORD.size + len(read(1))) // share
    records = [told(Record.OPENED, 1, 0, HMI.encode()), *(told(Record.FROM_CLIENT, 1, at, read(at % 65536)) for at in range(count))]
    frames = heard_frames(Observer(CONFIG).observe(records, Instant(count)))
    assert share * max(len(payload) for _, payload in frames) <= MAX_PAYLOAD_OCTETS


async def test_an_observer_that_stands_still_is_replaced_before_events_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observe, "LIMIT_EVENTS", 50)
    outages: list[Outage] = []
    came, stop = asyncio.Event(), asyncio.Event()

    def report(outage: Outage) -> None:
        outages.append(outage)
        came.set()

    began = asyncio.Event()

    class Watched(Tap):
        async def _begin(self) -> asyncio.StreamWriter:
            sink = await super()._begin()
            began.set()
            return sink

    tap = Watched(CONFIG, SystemClock(), 0.001, report)
    tap.opened(1, HMI)
    running = asyncio.create_task(tap.run(stop))
    async with asyncio.timeout(WAIT_S):
        await began.wait()
        first = tap.process
        assert first is not None
        first.send_signal(signal.SIGSTOP)
        for _ in range(200):
            tap.refused(AssetId("10.0.0.66"))
        assert len(tap._events) <= 50
        await came.wait()
        assert tap.process is not first
        stop.set()
        await running
    assert tap.dropped >= 150 - 50
    assert "-9" in outages[0].reason
