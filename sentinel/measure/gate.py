"""``sentinel bench gate [--json]``: what the gate costs a client, with a server that is not ours behind it and a real court that judges.

Six processes beside each other: a libmodbus server, the gate and its observer, the court (locked in, `--members` futures of 600 s on the
reference plant's twin), the judge that passes its verdicts on, and this one, a client.  Reads go in turn directly to the server and through
the gate, so that both meet the machine in the same mood; ``added`` is the difference of their quantiles, in ms.  Then writes are held one
by one, each with its verdict: nine move a level setpoint as operators do and must reach the server, the tenth would overfill the tank and
must be refused.  Then ``--rate`` requests per second over 40 connections, one in a hundred a held write.  Every answer is checked.
"""

import argparse
import contextlib
import json
import socket
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sentinel.demo.wiring import PLANT_FILE
from sentinel.errors import TransientError
from sentinel.measure import modbus
from sentinel.measure.judge import COURT, GATE, INTAKE
from sentinel.measure.modbus import PLANT, WAIT_S, connect, exchange, expected_answer, load, read_request, refusal, write_request
from sentinel.model.codec import to_jsonable
from sentinel.model.modbus import SERVER_DEVICE_FAILURE
from sentinel.supervisor import python
from sentinel.twin.plant import load_plant

HORIZON_S = 600.0
LEVEL_MM, STEP_MM, OVERFILL_MM = 1195, 10, 1950  # LIC101.SP is register 0
_WARM_READS, _WARM_WRITES = 200, 10
_REFUSED_EVERY = 10


def measure(reads: int, writes: int, rate: float, seconds: float, members: int) -> dict[str, Any]:
    """Raises TransientError when one of the processes does not come up."""
    server_port, gate_port = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="sentinel-gate-") as name, contextlib.ExitStack() as bed:
        directory = Path(name)
        court = {"plant": str(PLANT_FILE), "socket": str(directory / COURT), "members": members, "horizon_s": HORIZON_S}
        gate = {
            "name": GATE,
            "intake": str(directory / INTAKE),
            "directory": name,
            "listen": f"127.0.0.1:{gate_port}",
            "upstream": f"127.0.0.1:{server_port}",
            "tags": [to_jsonable(tag) for tag in load_plant(PLANT_FILE).tags.tags],
        }
        for file, told in (("court.json", court), ("gate.json", gate)):
            (directory / file).write_text(json.dumps(told))
        bed.enter_context(process(directory, "sentinel.measure.modbus", str(server_port)))
        bed.enter_context(process(directory, "sandbox", str(directory / "court.json")))
        bed.enter_context(process(directory, "collectors", "gate", str(directory / "gate.json")))
        session(bed, directory, members)
        direct, through = connect(server_port), connect(gate_port)
        bed.callback(direct.close)
        bed.callback(through.close)
        return _measure(direct, through, gate_port, reads, writes, rate, seconds)


def _measure(
    direct: socket.socket, through: socket.socket, gate_port: int, reads: int, writes: int, rate: float, seconds: float
) -> dict[str, Any]:
    took: dict[str, list[float]] = {"direct": [], "gate": [], "held": [], "refused": []}
    wrong = late = 0
    for number in range(reads + _WARM_READS):
        asked = number % 65536, PLANT + number % 800, 8
        for name, connection in (("direct", direct), ("gate", through)):
            answer, took_ms = exchange(connection, read_request(*asked))
            wrong += answer != expected_answer(*asked)
            if number >= _WARM_READS:
                took[name].append(took_ms)
    for number in range(writes + _WARM_WRITES):
        harmful = number % _REFUSED_EVERY == _REFUSED_EVERY - 1
        request = write_request(number % 65536, 0, OVERFILL_MM if harmful else LEVEL_MM + STEP_MM * (number % 2))
        answer, took_ms = exchange(through, request)
        is_refused = answer == refusal(request, SERVER_DEVICE_FAILURE)
        wrong += not is_refused if harmful else answer != request
        late += not harmful and is_refused
        if number >= _WARM_WRITES:
            took["refused" if harmful else "held"].append(took_ms)
    requests, wrong_under_load, late_under_load, loaded = load(gate_port, rate, seconds, LEVEL_MM)
    added = [quantile(took["gate"], share) - quantile(took["direct"], share) for share in (0.5, 0.99)]
    held = took["held"] + took["refused"]
    figures = {
        "read_added_ms_p50": added[0],
        "read_added_ms_p99": added[1],
        "write_held_ms_p50": quantile(held, 0.5),
        "write_held_ms_p99": quantile(held, 0.99),
        "requests": requests + 2 * (reads + _WARM_READS) + writes + _WARM_WRITES,
        "wrong_answers": wrong + wrong_under_load,
        "read_direct_ms_p50": quantile(took["direct"], 0.5),
        "read_direct_ms_p99": quantile(took["direct"], 0.99),
        "write_refused_ms_p50": quantile(took["refused"], 0.5),
        "writes_refused": len(took["refused"]),
        "safe_writes_refused": late + late_under_load,  # among the wrong answers: the court was not in time, or not sure
        "load_ms_p50": quantile(loaded, 0.5),
        "load_ms_p99": quantile(loaded, 0.99),
        "rate_per_s": rate,
    }
    return {name: round(value, 4) for name, value in figures.items()}


def quantile(values: list[float], share: float) -> float:
    """0 of nothing measured: the number of requests says so."""
    if share == 0.5 and values:
        return statistics.median(values)
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def session(bed: contextlib.ExitStack, directory: Path, members: int) -> None:
    """Waits until the judge is there.  Raises TransientError."""
    judge = bed.enter_context(process(directory, "sentinel.measure.judge", str(directory), str(members)))
    assert judge.stdout is not None
    if judge.stdout.readline() != b"ready\n":
        raise TransientError(f"the court did not come into session: {(directory / 'errors').read_text()[-1000:]}")


@contextlib.contextmanager
def process(directory: Path, module: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    with (directory / "errors").open("ab") as errors:
        child = subprocess.Popen(python("-m", module, *arguments), stdout=subprocess.PIPE, stderr=errors)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.communicate(timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="sentinel bench gate", description="What the gate costs a client of the PLC.")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--reads", type=int, default=3000, help="per way (default: %(default)s)")
    parser.add_argument("--writes", type=int, default=300, help="held until their verdict (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=1000.0, help="requests per second under load (default: %(default)g)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of load (default: %(default)g)")
    parser.add_argument("--members", type=int, default=256, help="futures per verdict (default: %(default)s)")
    parser.add_argument("--protocol", choices=("modbus", "opcua"), default="modbus", help="(default: %(default)s)")
    parser.add_argument("--mode", choices=("None", "Sign", "SignAndEncrypt"), default="None", help="of opcua (default: %(default)s)")
    parser.add_argument("--node-modules", type=Path, default=Path("tests/node_modules"), help="of opcua: where node-opcua is")
    given = parser.parse_args(arguments)
    amounts = given.reads, given.writes, given.rate, given.seconds, given.members
    if given.protocol == "opcua":
        from sentinel.measure import gate_opcua, opcua

        if problem := opcua.why_not(given.node_modules):
            parser.exit(2, f"sentinel bench gate: {problem}\n")
        report = gate_opcua.measure(given.node_modules, given.mode, *amounts)
    elif modbus.is_installed():
        report = measure(*amounts)
    else:
        parser.exit(2, "sentinel bench gate: libmodbus is not installed (Debian: apt-get install libmodbus5)\n")
    print(json.dumps(report) if given.json else "\n".join(f"{name:22} {value}" for name, value in report.items()))
    return int(report["wrong_answers"] > 0)
