"""The signature of our webhooks: HMAC-SHA256 over time and body. Pure; docs/notifications.md is the contract."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

HEADER = "Weir-Signature"
TOLERANCE = timedelta(minutes=5)
# Lets a leaked secret be recognised for what it is by secret scanners.
PREFIX = "weirsig_"


class BadSignature(Exception):
    """The request is not ours, was changed, or is too old; the message says which. Never retryable."""

    retryable = False


def new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def sign(body: bytes, signing_secrets: Sequence[str], at: datetime) -> str:
    """The header's value: `t=<seconds since 1970>` and one `v1=<hex>` for each secret that is valid."""
    seconds = int(at.timestamp())
    return ",".join([f"t={seconds}", *(f"v1={_digest(body, secret, seconds)}" for secret in signing_secrets)])


def verify(body: bytes, header: str, secret: str, now: datetime, tolerance: timedelta = TOLERANCE) -> datetime:
    """When the body was signed. Raises BadSignature. What a receiver does, in the words of docs/notifications.md."""
    parts = [part.partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    if len(times) != 1 or not times[0].isascii() or not times[0].isdigit():
        raise BadSignature("the header names no time")
    seconds = int(times[0])
    expected = _digest(body, secret, seconds)
    # Every candidate is compared, in constant time, so that the answer's delay says nothing.
    matches = [hmac.compare_digest(value.encode(), expected.encode()) for name, _, value in parts if name == "v1"]
    if not any(matches):
        raise BadSignature("no signature matches the body")
    signed_at = datetime.fromtimestamp(seconds, UTC)
    if abs(now - signed_at) > tolerance:
        raise BadSignature(f"signed {signed_at.isoformat()}, more than {tolerance} from now")
    return signed_at


def _digest(body: bytes, secret: str, seconds: int) -> str:
    return hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
