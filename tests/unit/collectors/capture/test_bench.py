"""The decode benchmark: what it counts is what is in the file, and what it compares with is what is installed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from collectors.capture.traffic import main as write_traffic

KEYS = {"packets", "seconds", "mpps", "startup_s", "peak_mb", "pdus", "pairs", "defects"}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sentinel.cli", "bench", "decode", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_one_object_with_what_was_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    assert write_traffic(["--packets", "20000", "--connections", "50", "--out", str(path)]) == 0
    done = bench(str(path), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report.keys() == KEYS
    assert 20_000 <= report["packets"] < 21_000
    assert report["pdus"] == 2 * report["pairs"] > 10_000
    assert report["defects"] == 0
    assert report["mpps"] > 0
    assert 0 < report["startup_s"] < 60


def test_repeated_it_says_what_memory_an_endless_stream_takes(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    assert write_traffic(["--packets", "20000", "--connections", "50", "--out", str(path)]) == 0
    once, often = (json.loads(bench(str(path), "--json", *more).stdout) for more in ((), ("--repeat", "4")))
    assert often.keys() == KEYS | {"lasted_s", "resident_mb"}
    assert often["packets"] == 4 * once["packets"]
    assert often["lasted_s"] > 4
    assert len(often["resident_mb"]) == 4
    assert often["resident_mb"][-1] - often["resident_mb"][0] < 5
    assert "MB after the first pass" in bench(str(path), "--repeat", "2").stdout
    assert bench(str(path), "--repeat", "0").returncode == 2


def test_rounds_compare_with_what_is_installed_and_say_what_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    assert write_traffic(["--packets", "2000", "--out", str(path)]) == 0
    done = bench(str(path), "--rounds", "1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("sentinel, Parquet") and "ns a packet" in line for line in lines)
    assert any(line.startswith("records.parquet: ") for line in lines)
    for tool in ("tcpdump", "suricata", "tshark"):
        assert (f"{tool}: not installed" in lines) == (shutil.which(tool) is None)


def test_what_is_no_capture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(b"no capture")
    done = bench(str(path), "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected a pcap" in done.stderr
