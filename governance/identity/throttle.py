"""How often somebody may try to sign in. Counted in the database, so that it holds over all web processes.

An attempt is noted before the password is checked and taken back when it was right: parallel guesses can't slip by.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.utils.crypto import salted_hmac

from governance.models import SignInAttempt, normal_email

WINDOW = timedelta(minutes=15)
KEPT = timedelta(hours=1)
PER_ACCOUNT_AND_ADDRESS = 5
PER_ADDRESS = 50


def note_attempt(email: str, address: str, now: datetime) -> bool:
    """Note an attempt; False when this one is over a limit and must be refused without looking at the password."""
    account_key, address_key = _keys(email, address)
    SignInAttempt.objects.filter(at__lt=now - KEPT).delete()
    recent = SignInAttempt.objects.filter(address=address_key, at__gt=now - WINDOW)
    if recent.count() >= PER_ADDRESS or recent.filter(account=account_key).count() >= PER_ACCOUNT_AND_ADDRESS:
        return False
    SignInAttempt.objects.create(account=account_key, address=address_key, at=now)
    return True


def forget_attempts(email: str, address: str) -> None:
    """The person was who they said: their failures from this address no longer count."""
    account_key, address_key = _keys(email, address)
    SignInAttempt.objects.filter(account=account_key, address=address_key).delete()


def _keys(email: str, address: str) -> tuple[str, str]:
    # Keyed hashes: the table must not become a list of who signs in from where.
    return (_key("account", normal_email(email)), _key("address", address))


def _key(kind: str, value: str) -> str:
    return salted_hmac(f"weir.sign-in.{kind}", value, secret=settings.SECRET_KEY, algorithm="sha256").hexdigest()
