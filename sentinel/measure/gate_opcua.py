"""``sentinel bench gate --protocol opcua [--json]``: what the gate costs an OPC UA client, with node-opcua and a real court behind it.

As `sentinel.measure.gate` measures Modbus: reads of eight nodes go in turn directly to the server and through the gate; then writes are
held one by one, nine that operators would do and one that would overfill the tank; then ``--rate`` requests per second over 40 sessions,
one in a hundred a held write.  Every answer is checked.  `--mode` is that of all channels, with Basic256Sha256.
"""

import contextlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from collectors.certificates import Certificates
from collectors.gate.opcua.opening import peer_of
from collectors.gate.opcua.policies import Mode
from sentinel.clock import SystemClock
from sentinel.demo.wiring import PLANT_FILE
from sentinel.measure.gate import HORIZON_S, LEVEL_MM, OVERFILL_MM, STEP_MM, free_port, process, quantile, session
from sentinel.measure.judge import COURT, GATE, INTAKE
from sentinel.measure.modbus import connect
from sentinel.measure.opcua import CONNECTIONS, DENIED, Speaker, are_values, load, peer_in, serving, written
from sentinel.model.codec import to_jsonable
from sentinel.twin.plant import load_plant

MODES = {"None": Mode.NONE, "Sign": Mode.SIGN, "SignAndEncrypt": Mode.SIGN_AND_ENCRYPT}
_WARM_READS, _WARM_WRITES = 200, 10
_REFUSED_EVERY = 10


def measure(modules: Path, mode: str, reads: int, writes: int, rate: float, seconds: float, members: int) -> dict[str, Any]:
    """Raises TransientError when one of the processes does not come up."""
    server_port, gate_port = free_port(), free_port()
    with tempfile.TemporaryDirectory(prefix="sentinel-gate-") as name, contextlib.ExitStack() as bed:
        directory = Path(name)
        clock = SystemClock()
        client = Certificates(directory / "client", "gate", "measure", "127.0.0.1", clock).own
        kept = Certificates(directory / "pki", "gate", GATE, "127.0.0.1", clock)  # the gate finds it made
        certificate = bed.enter_context(serving(modules, directory, server_port))
        shutil.copy(certificate, directory / "pki" / "trusted")
        (directory / "pki" / "trusted" / "client.der").write_bytes(client.der)
        court = {"plant": str(PLANT_FILE), "socket": str(directory / COURT), "members": members, "horizon_s": HORIZON_S}
        gate = {
            "name": GATE,
            "intake": str(directory / INTAKE),
            "directory": name,
            "certificates": str(directory / "pki"),
            "listen": f"127.0.0.1:{gate_port}",
            "upstream": f"127.0.0.1:{server_port}",
            "tags": [to_jsonable(tag) for tag in load_plant(PLANT_FILE).tags.tags],
        }
        for file, told in (("court.json", court), ("gate.json", gate)):
            (directory / file).write_text(json.dumps(told))
        bed.enter_context(process(directory, "sandbox", str(directory / "court.json")))
        bed.enter_context(process(directory, "collectors", "gate-opcua", str(directory / "gate.json")))
        session(bed, directory, members)
        connect(gate_port).close()
        server = peer_in(certificate)

        def speaker(port: int) -> Speaker:
            expected = None if MODES[mode] is Mode.NONE else server if port == server_port else peer_of(kept.own.der)
            made = Speaker(port, MODES[mode], client, expected)
            bed.callback(made.close)
            return made

        figures = _one_by_one(speaker(server_port), speaker(gate_port), reads, writes)
        requests, wrong, refused, read_ms, write_ms = load([speaker(gate_port) for _ in range(CONNECTIONS)], rate, seconds, LEVEL_MM / 1000)
        figures["requests"] += requests
        figures["wrong_answers"] += wrong
        figures["safe_writes_refused"] += refused
        figures |= {"load_read_ms_p50": quantile(read_ms, 0.5), "load_read_ms_p99": quantile(read_ms, 0.99)}
        figures |= {"load_write_ms_p50": quantile(write_ms, 0.5), "load_write_ms_p99": quantile(write_ms, 0.99), "rate_per_s": rate}
        return {key: round(value, 4) for key, value in figures.items()} | {"mode": mode}


def _one_by_one(direct: Speaker, through: Speaker, reads: int, writes: int) -> dict[str, float]:
    took: dict[str, list[float]] = {"direct": [], "gate": [], "held": [], "refused": []}
    wrong = late = 0
    for number in range(reads + _WARM_READS):
        for name, speaker in (("direct", direct), ("gate", through)):
            took_ms, message = speaker.timed(speaker.read())
            wrong += not are_values(message)
            if number >= _WARM_READS:
                took[name].append(took_ms)
    for number in range(writes + _WARM_WRITES):
        harmful = number % _REFUSED_EVERY == _REFUSED_EVERY - 1
        took_ms, message = through.timed(through.write((OVERFILL_MM if harmful else LEVEL_MM + STEP_MM * (number % 2)) / 1000))
        wrong += written(message) != (DENIED if harmful else 0)
        late += not harmful and written(message) == DENIED
        if number >= _WARM_WRITES:
            took["refused" if harmful else "held"].append(took_ms)
    added = [quantile(took["gate"], share) - quantile(took["direct"], share) for share in (0.5, 0.99)]
    held = took["held"] + took["refused"]
    return {
        "read_added_ms_p50": added[0],
        "read_added_ms_p99": added[1],
        "write_held_ms_p50": quantile(held, 0.5),
        "write_held_ms_p99": quantile(held, 0.99),
        "requests": 2 * (reads + _WARM_READS) + writes + _WARM_WRITES,
        "wrong_answers": wrong,
        "read_direct_ms_p50": quantile(took["direct"], 0.5),
        "read_direct_ms_p99": quantile(took["direct"], 0.99),
        "write_refused_ms_p50": quantile(took["refused"], 0.5),
        "writes_refused": len(took["refused"]),
        "safe_writes_refused": late,  # among the wrong answers: the court was not in time, or not sure
    }
