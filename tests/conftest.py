"""What every test may use."""

from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture
def lake_root(settings: Settings, tmp_path: Path) -> Path:
    """An empty lake of this test's own."""
    settings.WEIR_HOME = tmp_path
    settings.WEIR_LAKE = tmp_path / "lake"
    return tmp_path / "lake"


@pytest.fixture(scope="session")
def samples() -> Path:
    return SAMPLES
