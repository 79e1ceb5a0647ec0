"""Secrets of channels: encrypted in the database with a key of WEIR_SECRET_KEY, or left where the operator keeps them.

A reference can name only what is meant for channels: else whoever edits channels could read any secret of the process.
"""

import base64
import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.utils.encoding import force_bytes

ENV_PREFIX = "WEIR_CHANNEL_"
_MAX_BYTES = 16_384


class SealError(Exception):
    """A secret can't be read; the message says what to do and never holds it. Never retryable."""

    retryable = False


def seal(secret: str) -> str:
    """`secret` encrypted and authenticated, as text."""
    return _cipher().encrypt(secret.encode()).decode()


def unseal(sealed: str) -> str:
    """Raises SealError when it was sealed with another WEIR_SECRET_KEY, or changed."""
    try:
        return _cipher().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise SealError(
            "it was encrypted with another WEIR_SECRET_KEY: restore that key, or enter the address again"
        ) from error


def check_reference(reference: str) -> None:
    """Raise SealError unless `reference` may be used; reads nothing."""
    kind, _, name = reference.partition(":")
    if kind == "env" and name.startswith(ENV_PREFIX):
        return
    if kind == "file" and any(Path(os.path.normpath(name)).is_relative_to(folder) for folder in _folders()):
        return
    folders = " or ".join(str(folder) for folder in _folders())
    raise SealError(f"write env:{ENV_PREFIX}NAME, or file:PATH with a path below {folders}")


def dereference(reference: str) -> str:
    """What the variable or the file says now. Raises SealError."""
    check_reference(reference)
    kind, _, name = reference.partition(":")
    if kind == "env":
        found = os.environ.get(name, "")
        if not found:
            raise SealError(f"the environment has no {name}: set it for the worker and start it again")
        return found.strip()
    try:
        path = Path(name).resolve(strict=True)
        if not any(path.is_relative_to(folder) for folder in _folders()):
            raise SealError(f"{name} leads out of its folder")
        with path.open("rb") as handle:
            return handle.read(_MAX_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SealError(f"{name} can't be read as text: check that it exists and its rights") from error


def _folders() -> tuple[Path, Path]:
    return Path("/run/secrets").resolve(), (Path(settings.WEIR_HOME) / "secrets").resolve()


def _cipher() -> MultiFernet:
    """The newest key encrypts; those of SECRET_KEY_FALLBACKS still decrypt."""
    return MultiFernet([_fernet(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _fernet(key: str | bytes) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"weir notification channels 1").derive(
        force_bytes(key)
    )
    return Fernet(base64.urlsafe_b64encode(derived))
