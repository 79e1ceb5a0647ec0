"""How mail leaves: the settings, read and checked. Light, because it is read at every start."""

from dataclasses import dataclass, field
from email.utils import parseaddr
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email


class BadAddress(ValueError):
    """An address that can't be used; the message says what to write. Never retryable."""

    retryable = False


@dataclass(frozen=True)
class MailServer:
    """How mail leaves; named by the operator in the environment, and so trusted, also with a private address."""

    host: str
    port: int
    security: str  # plain, starttls, tls
    user: str
    password: str = field(repr=False)
    sender: str

    @classmethod
    def parse(cls, url: str, sender: str) -> "MailServer":
        """From WEIR_SMTP_URL and WEIR_MAIL_FROM. Raises BadAddress."""
        parts = urlsplit(url)
        known = {"smtp": ("plain", 25), "smtp+starttls": ("starttls", 587), "smtps": ("tls", 465)}
        if parts.scheme not in known or not parts.hostname:
            raise BadAddress("write smtp://, smtp+starttls:// or smtps://, then user:password@host:port")
        security, port = known[parts.scheme]
        given = sender or f"weir@{_mail_domain(parts.hostname)}"
        try:
            validate_email(parseaddr(given)[1])
            port = parts.port or port
        except ValidationError as error:
            raise BadAddress("set WEIR_MAIL_FROM to the address that mail is sent from") from error
        except ValueError as error:
            raise BadAddress("the port must be a number up to 65535") from error
        return cls(parts.hostname, port, security, unquote(parts.username or ""), unquote(parts.password or ""), given)


def _mail_domain(host: str) -> str:
    """The domain that mail is from where nobody said: the server's, unless that is a bare address."""
    try:
        validate_email(f"weir@{host}")
    except ValidationError:
        return "localhost"
    return host
