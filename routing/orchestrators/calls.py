"""HTTP to orchestrators with nothing but the standard library: one call, one answer, always with a timeout.

Failures become the tree of base.py. No redirects are followed: a management API that moves is a setting to change, and
a credential is not sent elsewhere.
"""

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from routing.orchestrators.base import (
    Conflict,
    Malformed,
    OrchestratorError,
    Overloaded,
    Refused,
    Unauthorized,
    Unreachable,
)

# An answer larger than this is not one that we asked for.
MAX_ANSWER_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """What came back. headers: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Raises Malformed when the body is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Malformed(f"the answer ({self.status}) is no JSON: {self.body[:120]!r}") from error

    def words(self) -> str:
        """What the other side says about an error, shortened."""
        try:
            plain = json.loads(self.body)
        except ValueError:
            return self.body[:200].decode("utf-8", "replace").strip() or http.client.responses.get(self.status, "")
        if isinstance(plain, dict):
            for name in ("detail", "message", "error", "title"):
                found = plain.get(name)
                if isinstance(found, dict):
                    found = found.get("message")
                if isinstance(found, str):
                    return found[:200]
        return str(plain)[:200]


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def call(
    method: str,
    address: str,
    path: str,
    *,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    timeout_seconds: float = 5.0,
    ca_file: str | None = None,
) -> Answer:
    """One request. address: "http(s)://host[:port][/prefix]", or "/path/of/a/socket". body: JSON values.

    ca_file: the certificates to trust instead of the machine's.

    Raises Unreachable; every status is an answer (see `raise_for`).
    """
    sent = None if body is None else json.dumps(body).encode()
    extra = {"accept": "application/json", **({"content-type": "application/json"} if sent is not None else {})}
    connection, prefix = _open(address, timeout_seconds, ca_file)
    try:
        connection.request(method, prefix + path, body=sent, headers={**extra, **(headers or {})})
        response = connection.getresponse()
        content = response.read(MAX_ANSWER_BYTES + 1)
        if len(content) > MAX_ANSWER_BYTES:
            raise Malformed(f"{method} {path}: the answer is larger than {MAX_ANSWER_BYTES} bytes")
        return Answer(response.status, {key.lower(): value for key, value in response.getheaders()}, content)
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{method} {path}: no answer ({error or type(error).__name__})") from error
    finally:
        connection.close()


def raise_for(answer: Answer, what: str) -> Answer:
    """The answer itself when it is 2xx, else the right error of the tree."""
    if 200 <= answer.status < 300:
        return answer
    words = f"{what}: {answer.status} {answer.words()}"
    raise _error(answer, words)


def _error(answer: Answer, words: str) -> OrchestratorError:
    match answer.status:
        case 401 | 403:
            return Unauthorized(words)
        case 409 | 412:
            return Conflict(words)
        case 408 | 425 | 429:
            return Overloaded(words, _retry_after(answer))
        case status if status >= 500:
            return Overloaded(words, _retry_after(answer))
    return Refused(words)


def _retry_after(answer: Answer) -> timedelta | None:
    text = answer.headers.get("retry-after", "")
    return timedelta(seconds=int(text)) if text.isdigit() else None


def _open(address: str, timeout_seconds: float, ca_file: str | None) -> tuple[http.client.HTTPConnection, str]:
    if address.startswith("/"):
        return _SocketConnection(address, timeout_seconds), ""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused(f"{address!r} is no http(s) address")
    prefix = parts.path.rstrip("/")
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=ca_file)
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout_seconds, context=context), prefix
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_seconds), prefix
