"""Handing one message over: by mail, to Slack, Teams and PagerDuty through Apprise, to a webhook of our own.

Each kind checks the address that a person enters, says what of it may be shown, and sends. `hand_over` is called at the
last moment at which nothing has left yet; if it raises, nothing leaves.
Not here: which messages, when, and what becomes of a failure.
"""

import json
import logging
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parseaddr, parsedate_to_datetime
from http.client import HTTPConnection as PlainConnection
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from apprise import AppriseAsset, NotifyFormat, NotifyType
from apprise.plugins import N_MGR
from apprise.plugins.email import NotifyEmail
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from governance.models import Channel
from governance.notifications import addresses, signing
from governance.notifications.mail import BadAddress, MailServer
from governance.notifications.messages import Message, one_line

TIMEOUT_SECONDS = 10.0
ANSWER_SECONDS = 20.0
_MAX_ANSWER = 4096
_MAX_ADDRESSES = 20
_APP = "Weir"
HandOver = Callable[[], None]


class DeliveryError(Exception):
    """Why a message did not go; the message never holds a secret.

    retryable: trying again may help. may_have_arrived: it left, and nobody answered.
    retry_after: the recipient said not to ask again before.
    """

    def __init__(
        self,
        words: str,
        *,
        retryable: bool,
        may_have_arrived: bool = False,
        retry_after: timedelta | None = None,
    ) -> None:
        self.retryable = retryable
        self.may_have_arrived = may_have_arrived
        self.retry_after = retry_after
        super().__init__(words)


@dataclass(frozen=True)
class Outgoing:
    """A message with its key, by which a recipient knows a repeat, and its body for webhooks."""

    message: Message
    key: str
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """Where to: the address in the clear, only in memory. signing: the secrets of a webhook, newest first."""

    kind: str
    address: str = field(repr=False)
    signing: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Network:
    """What the machine allows: the mail server, if any, and whether people's addresses may be private ones."""

    mail: MailServer | None
    allow_private: bool


def checked(kind: str, address: str) -> tuple[str, str]:
    """The address in its normal form, and what of it may be shown. Resolves nothing. Raises BadAddress."""
    return _CHECKS[Channel.Kind(kind)](address.strip())


def send(target: Target, outgoing: Outgoing, network: Network, *, hand_over: HandOver, now: datetime) -> str:
    """Hand the message over; returns a note worth keeping, mostly ''. Raises DeliveryError, and what hand_over does."""
    match Channel.Kind(target.kind):
        case Channel.Kind.EMAIL:
            return _send_mail(target.address.split(","), outgoing, network, hand_over)
        case Channel.Kind.WEBHOOK:
            return _send_webhook(target, outgoing, network, hand_over, now)
    return _send_by_apprise(target, outgoing, network, hand_over)


def knows_repeats(kind: str) -> bool:
    """Does the recipient know a repeated message by its key? Slack and Teams offer no such key."""
    return kind in (Channel.Kind.EMAIL, Channel.Kind.WEBHOOK, Channel.Kind.PAGERDUTY)


# Addresses


def _check_emails(address: str) -> tuple[str, str]:
    found = [each.strip().lower() for each in re.split(r"[,;\s]+", address) if each.strip()]
    if not found or len(found) > _MAX_ADDRESSES:
        raise BadAddress(f"write 1 to {_MAX_ADDRESSES} e-mail addresses, with commas between")
    for each in found:
        try:
            validate_email(each)
        except ValidationError as error:
            raise BadAddress(f"{each[:80]!r} is no e-mail address") from error
    shown = ", ".join(found)
    return ",".join(dict.fromkeys(found)), shown if len(shown) <= 200 else f"{len(found)} addresses"


def _check_slack(address: str) -> tuple[str, str]:
    found = re.fullmatch(
        r"https://(hooks\.slack(?:-gov)?\.com)/services/[A-Za-z0-9]+/[A-Za-z0-9]+/[A-Za-z0-9]+/?", address
    )
    if found is None:
        raise BadAddress("write the address of a Slack incoming webhook: https://hooks.slack.com/services/T…/B…/…")
    return address.rstrip("/"), f"{found[1]}/services/…"


def _check_teams(address: str) -> tuple[str, str]:
    parts = urlsplit(address)
    query = {name: value for name, value in parse_qsl(parts.query) if name in ("api-version", "sp", "sv", "sig")}
    # Only what the address itself needs: anything else in it would be taken as an option of the library.
    normal = f"https://{parts.netloc}{parts.path}?{urlencode(query)}"
    ok = parts.scheme == "https" and "@" not in parts.netloc and "sig" in query
    if not ok or _plugin("workflows").parse_native_url(normal) is None:
        raise BadAddress("write the address of a Teams workflow ('When a Teams webhook request is received')")
    return normal, f"{parts.hostname}/workflows/…"


def _check_pagerduty(address: str) -> tuple[str, str]:
    region, _, key = address.rpartition(":")
    if not re.fullmatch(r"[A-Za-z0-9]{32}", key) or region not in ("", "us", "eu"):
        raise BadAddress("write the integration key of an Events API v2 integration (32 letters), or eu: and the key")
    return f"{region or 'us'}:{key}", f"Events API v2, {(region or 'us').upper()}, key …{key[-4:]}"


def _check_webhook(address: str) -> tuple[str, str]:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise BadAddress("write an address like https://example.com/weir") from error
    if parts.scheme not in ("https", "http") or not parts.hostname or not address.isascii() or " " in address:
        raise BadAddress("write an address like https://example.com/weir")
    if parts.username is not None or parts.fragment:
        raise BadAddress("leave user, password and # out of the address: requests are signed")
    host = parts.hostname if ":" not in parts.hostname else f"[{parts.hostname}]"
    where = f"{host}:{port}" if port else host
    path = "/…" if parts.path.strip("/") or parts.query else ""
    return address, f"{parts.scheme}://{where}{path}"


_CHECKS: dict[str, Callable[[str], tuple[str, str]]] = {
    Channel.Kind.EMAIL: _check_emails,
    Channel.Kind.SLACK: _check_slack,
    Channel.Kind.TEAMS: _check_teams,
    Channel.Kind.PAGERDUTY: _check_pagerduty,
    Channel.Kind.WEBHOOK: _check_webhook,
}


# Mail


def _send_mail(to: list[str], outgoing: Outgoing, network: Network, hand_over: HandOver) -> str:
    if network.mail is None:
        raise DeliveryError("no mail server is set: set WEIR_SMTP_URL", retryable=False)
    server = network.mail
    text = _mail_text(to, outgoing, server)
    try:
        pinned = addresses.resolve(server.host, server.port, allow_private=True)
        with _open_mail(server, pinned) as smtp:
            refused = _offer(smtp, parseaddr(server.sender)[1], to)
            hand_over()
            code, answer = smtp.data(text.encode())
            if code != 250:
                raise smtplib.SMTPDataError(code, answer)
    except addresses.Refused as error:
        raise DeliveryError(str(error), retryable=False) from error
    except smtplib.SMTPAuthenticationError as error:
        raise DeliveryError(
            f"the mail server refused the password ({error.smtp_code}): correct WEIR_SMTP_URL", retryable=False
        ) from error
    except smtplib.SMTPResponseException as error:
        words = f"the mail server answered {error.smtp_code}: {_answer(error.smtp_error)}"
        raise DeliveryError(words, retryable=400 <= error.smtp_code < 500) from error
    except smtplib.SMTPNotSupportedError as error:
        raise DeliveryError(f"the mail server can't do this: {error}"[:200], retryable=False) from error
    except (OSError, smtplib.SMTPException) as error:
        raise DeliveryError(f"the mail server did not answer: {_reason(error)}", retryable=True) from error
    return f"refused for {', '.join(refused)}" if refused else ""


def _mail_text(to: list[str], outgoing: Outgoing, server: MailServer) -> str:
    """The mail as Apprise writes it, with our own Message-ID: the same for every attempt."""
    name, sender = parseaddr(server.sender)
    made = next(
        NotifyEmail.prepare_emails(
            subject=outgoing.message.subject,
            body=outgoing.message.text,
            from_addr=[name or _APP, sender],
            to=[(False, to[0])],
            cc=set(to[1:]),
            smtp_host=sender.partition("@")[2],
            notify_format="text",
            headers={"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"},
            tzinfo=UTC,
        )
    )
    message_id = f"Message-ID: <{outgoing.key}@{sender.partition('@')[2]}>"
    head, gap, body = made.body.partition("\n\n")
    head = re.sub(r"^Message-ID:.*(?:\n[ \t].*)*", message_id, head, count=1, flags=re.MULTILINE | re.IGNORECASE)
    return f"{head}{gap}{body}".replace("\r\n", "\n").replace("\n", "\r\n")


class _PinnedSMTP(smtplib.SMTP):
    pinned: addresses.Pinned

    def _get_socket(self, host: str, port: int, timeout: float) -> Any:  # noqa: ARG002
        return addresses.connect(self.pinned, timeout)


class _PinnedSMTPS(_PinnedSMTP):
    def _get_socket(self, host: str, port: int, timeout: float) -> Any:
        plain = super()._get_socket(host, port, timeout)
        return ssl.create_default_context().wrap_socket(plain, server_hostname=self.pinned.host)


def _open_mail(server: MailServer, pinned: addresses.Pinned) -> smtplib.SMTP:
    smtp = (_PinnedSMTPS if server.security == "tls" else _PinnedSMTP)(timeout=TIMEOUT_SECONDS)
    smtp.pinned = pinned
    try:
        smtp.connect(server.host, server.port)
        if server.security == "starttls":
            # smtplib checks the certificate against the name that its constructor would have got.
            smtp._host = server.host  # type: ignore[attr-defined]
            smtp.starttls(context=ssl.create_default_context())
        if server.user:
            smtp.login(server.user, server.password)
    except BaseException:
        smtp.close()
        raise
    return smtp


def _offer(smtp: smtplib.SMTP, sender: str, to: list[str]) -> list[str]:
    """Name sender and recipients; returns those that were refused. Raises when all were."""
    smtp.ehlo_or_helo_if_needed()
    code, answer = smtp.mail(sender)
    if code != 250:
        raise smtplib.SMTPSenderRefused(code, answer, sender)
    refused: dict[str, tuple[int, bytes]] = {}
    for each in to:
        code, answer = smtp.rcpt(each)
        if code not in (250, 251):
            refused[each] = (code, answer)
    if len(refused) == len(to):
        # One that may be taken later is worth another try.
        code, answer = min(refused.values())
        raise smtplib.SMTPResponseException(code, answer)
    return list(refused)


# Webhooks


def _send_webhook(target: Target, outgoing: Outgoing, network: Network, hand_over: HandOver, now: datetime) -> str:
    parts = urlsplit(target.address)
    secure = parts.scheme == "https"
    body = json.dumps(outgoing.body, separators=(",", ":"), ensure_ascii=False).encode()
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"{_APP}-Webhook/1",
        "Weir-Message-Id": outgoing.key,
        "Idempotency-Key": outgoing.key,
        signing.HEADER: signing.sign(body, target.signing, now),
        "Connection": "close",
    }
    has_left = False
    try:
        port = parts.port or (443 if secure else 80)
        pinned = addresses.resolve(parts.hostname or "", port, allow_private=network.allow_private)
        connection = _open_http(pinned, secure=secure)
        try:
            hand_over()
            has_left = True
            with _deadline(connection):
                connection.request("POST", path, body=body, headers=headers)
                answer = connection.getresponse()
                answer.read(_MAX_ANSWER)
        finally:
            connection.close()
    except addresses.Refused as error:
        raise DeliveryError(str(error), retryable=False) from error
    except ssl.SSLCertVerificationError as error:
        raise DeliveryError(f"its certificate is not valid: {error.verify_message}", retryable=False) from error
    except (OSError, HTTPException) as error:
        raise DeliveryError(
            f"it did not answer: {_reason(error)}", retryable=True, may_have_arrived=has_left
        ) from error
    _check_answer(answer, now)
    return ""


def _open_http(pinned: addresses.Pinned, *, secure: bool) -> PlainConnection:
    """A connection whose socket is already there: it resolves nothing and follows nothing."""
    connection = PlainConnection(pinned.host, pinned.port, timeout=TIMEOUT_SECONDS)
    if secure:
        connection.default_port = 443
    plain = addresses.connect(pinned, TIMEOUT_SECONDS)
    try:
        wrap = ssl.create_default_context().wrap_socket
        connection.sock = wrap(plain, server_hostname=pinned.host) if secure else plain
    except BaseException:
        plain.close()
        raise
    return connection


@contextmanager
def _deadline(connection: PlainConnection) -> Iterator[None]:
    """Ends the connection after ANSWER_SECONDS in all: a socket's own timeout begins anew with each byte that drips."""
    sock = connection.sock
    timer = threading.Timer(ANSWER_SECONDS, _shut, [sock])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _check_answer(answer: HTTPResponse, now: datetime) -> None:
    status = answer.status
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        words = f"it answered {status}, a redirect, which is never followed: enter the address that it leads to"
        raise DeliveryError(words, retryable=False)
    retryable = status >= 500 or status in (408, 425, 429)
    after = _retry_after(answer.headers.get("Retry-After", ""), now) if retryable else None
    raise DeliveryError(f"it answered {status}", retryable=retryable, retry_after=after)


def _retry_after(value: str, now: datetime) -> timedelta | None:
    """What Retry-After says: seconds, or an instant; at most an hour counts."""
    if value.isascii() and value.isdigit():
        wait = timedelta(seconds=int(value[:6]))
    else:
        try:
            wait = parsedate_to_datetime(value) - now
        except (ValueError, TypeError):
            return None
    return min(max(wait, timedelta(0)), timedelta(hours=1))


# Apprise

_ASSET = AppriseAsset(app_id=_APP, app_desc=_APP, http_redirects=False, image_url_mask="", image_url_logo="")
_said: ContextVar[list[str] | None] = ContextVar("said", default=None)


class _Listener(logging.Handler):
    """Apprise tells why a message failed in its log only; kept by context, so that threads don't mix."""

    def emit(self, record: logging.LogRecord) -> None:
        said = _said.get()
        if said is not None and record.levelno >= logging.WARNING:
            said.append(record.getMessage())


logging.getLogger("apprise").addHandler(_Listener())


def _send_by_apprise(target: Target, outgoing: Outgoing, network: Network, hand_over: HandOver) -> str:
    plugin = _plugin_for(target, outgoing)
    title, body = outgoing.message.subject, _within(outgoing.message, plugin.body_maxlen - 220)
    if target.kind == Channel.Kind.TEAMS:
        # A card joins single lines, and reads [words](address) in its title as a link.
        title = title.replace("[", "(").replace("]", ")")
        body = re.sub(r"\n+", "\n\n", body)
    said: list[str] = []
    token = _said.set(said)
    try:
        with addresses.guarded(allow_private=network.allow_private) as guard:
            hand_over()
            # Said to be text, it is escaped: a budget's name pings nobody and hides no link.
            went = plugin.notify(
                title=title,
                body=body,
                body_format=NotifyFormat.TEXT,
                notify_type=NotifyType(outgoing.message.severity),
            )
    finally:
        _said.reset(token)
    if went:
        return ""
    if guard.refusal:
        raise DeliveryError(guard.refusal, retryable=False)
    raise _apprise_error(said, connected=guard.connected)


def _within(message: Message, limit: int) -> str:
    """The message's text in `limit` characters; where it is cut, the link still stands at its end."""
    if len(message.text) <= limit:
        return message.text
    end = f"…\n\n{message.link}"
    return message.text[: max(limit - len(end), 0)] + end


def _apprise_error(said: list[str], *, connected: bool) -> DeliveryError:
    words = one_line(said[-1])[:200] if said else "it was not taken"
    status = next((int(found[1]) for line in said for found in [re.search(r"error=(\d{3})", line)] if found), None)
    if status is not None:
        return DeliveryError(words, retryable=status >= 500 or status in (408, 425, 429))
    return DeliveryError(words, retryable=True, may_have_arrived=connected)


def _plugin(schema: str) -> Any:
    return N_MGR[schema]


def _plugin_for(target: Target, outgoing: Outgoing) -> Any:
    """Apprise's plugin, made from a checked address only: its own addresses can name files to read."""
    shared = {"asset": _ASSET, "rto": TIMEOUT_SECONDS, "cto": TIMEOUT_SECONDS, "redirect": "no"}
    if target.kind == Channel.Kind.PAGERDUTY:
        region, _, key = target.address.partition(":")
        return _plugin("pagerduty")(
            apikey="unused",
            integrationkey=key,
            source=_APP,
            component="budgets",
            region_name=region,
            dedup=outgoing.key,
            click=outgoing.message.link,
            include_image=False,
            host="pagerduty",
            **shared,
        )
    schema = "slack" if target.kind == Channel.Kind.SLACK else "workflows"
    plugin = _plugin(schema)
    return plugin(**{**plugin.parse_native_url(target.address), **shared, "include_image": False})


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing within {TIMEOUT_SECONDS:.0f} s"
    return one_line(getattr(error, "strerror", None) or str(error) or type(error).__name__)[:120]


def _answer(answer: bytes | str) -> str:
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return one_line(text)[:120]
