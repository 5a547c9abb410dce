"""Promises of the house that no linter knows."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from sentinel.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("sentinel", "collectors", "sandbox")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
TREE = {
    "pyproject.toml", "Dockerfile", "sentinel", "collectors", "sandbox", "tests", "rules",
    "README.md", "ARCHITECTURE.md", "CHANGELOG.md", "SECURITY.md", "LICENSE", "Makefile", "requirements.lock", ".ci", ".gitignore",
}  # fmt: skip


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return listed.stdout.splitlines()


def test_the_top_level_is_the_agreed_one() -> None:
    assert {name.split("/")[0] for name in tracked()} <= TREE


def test_every_command_is_a_file_and_every_file_a_command() -> None:
    files = {path.stem.replace("_", "-") for path in (ROOT / "sentinel/commands").glob("*.py")} - {"--init--"}
    assert files == set(COMMANDS)
    for name in COMMANDS:
        module = importlib.import_module(f"sentinel.commands.{name.replace('-', '_')}")
        assert isinstance(module.SUMMARY, str)
        assert callable(module.add_arguments)
        assert callable(module.run)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not tree.body or ast.get_docstring(tree), f"{path} has code and no docstring"


def imported(tree: ast.AST) -> set[str]:
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_pickles_and_no_mocks(path: Path) -> None:
    names = imported(ast.parse(path.read_text()))
    assert not names & {"pickle", "cPickle", "joblib", "unittest.mock", "mock", "shelve"}


def test_lock_files_carry_hashes_and_no_address() -> None:
    for lock in (ROOT / "requirements.lock", ROOT / "tests/requirements.lock"):
        text = lock.read_text()
        assert "://" not in text
        pinned = [line for line in text.splitlines() if "==" in line and not line.lstrip().startswith("#")]
        assert len(pinned) > 50
        assert all(line.endswith("\\") for line in pinned), "a requirement without a hash"


@pytest.mark.parametrize(
    ("module", "foreign"),
    [
        ("collectors.capture.live", "asyncua"),
        ("collectors.poll.opcua", "scapy"),
        ("collectors.gate.service", "scapy"),
        ("collectors.gate.opcua.service", "scapy"),
        ("collectors.gate.opcua.service", "asyncua"),
        ("collectors.gate.opcua.service", "numba"),
        ("sentinel.app", "scapy"),
    ],
)
def test_licences_stay_apart(module: str, foreign: str) -> None:
    """scapy is GPL-2.0-only and asyncua LGPL-3.0: no process holds both.  The OPC UA gate holds neither, and compiles nothing."""
    code = f"import sys, {module}; sys.exit(any(name.split('.')[0] == {foreign!r} for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
