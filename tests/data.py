"""Where the real captures and data sets lie, when they lie beside the checkout.  They are read, never copied."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"


def data_file(name: str) -> Path:
    """The file, or a skip that says what is missing."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"needs the data set file {name} beside the checkout")
    return path
