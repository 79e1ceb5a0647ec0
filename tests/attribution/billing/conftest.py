"""What tests of bills use: hand-written bills (bills.py), an empty lake, a writer of files."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


def _load(name: str) -> ModuleType:
    # Test files are no package (importlib mode), so a helper beside them is loaded by its path.
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_BILLS = _load("bills")


@pytest.fixture
def bills() -> ModuleType:
    return _BILLS


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], str]:
    """write(name, content) -> path of a new file in a folder of this test's own."""
    made: Callable[[str, str | bytes], str] = _BILLS.writer_in(tmp_path / "bills")
    return made


@pytest.fixture
def lake(db: None, lake_root: Path) -> Path:
    """An empty database and an empty lake."""
    return lake_root
