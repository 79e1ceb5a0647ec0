"""What every test may use."""

from pathlib import Path

import pytest
from django.conf import settings
from pytest_django.fixtures import Settings

# People of tests are made by the hundred; what a strong hash costs on purpose is tried once, in test_sign_in.
FAST_HASHER = "django.contrib.auth.hashers.MD5PasswordHasher"


@pytest.fixture(autouse=True, scope="session")
def fast_passwords() -> None:
    """Server processes keep the product's hashers: they never meet these people."""
    settings.PASSWORD_HASHERS = [FAST_HASHER, *settings.PASSWORD_HASHERS]


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
