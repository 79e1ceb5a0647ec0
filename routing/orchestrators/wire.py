"""JSON over HTTP for the orchestrators that are told over the network: bounded, and with our error tree.

Every call has a timeout, follows no redirect (a credential must not travel on), and reads at most MAX_ANSWER_BYTES.
Secrets come from where the settings point to and stand in no message.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import requests

from routing.orchestrators.base import Conflict, Malformed, Overloaded, Refused, Unauthorized, Unreachable

TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 32 * 1024 * 1024
_CHUNK = 65536


def secret_of(settings: Mapping[str, Any], name: str = "token") -> str:
    """The secret that `settings` point to: `<name>_env` names an environment variable, `<name>_file` a file.

    Raises Refused when neither is set, or what it names is empty.
    """
    variable, path = settings.get(f"{name}_env"), settings.get(f"{name}_file")
    if variable:
        found, where = os.environ.get(str(variable), ""), f"the environment variable {variable}"
    elif path:
        where = f"the file {path}"
        try:
            found = Path(str(path)).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Refused(f"{where} of {name}_file can't be read ({error.strerror}): write the secret there") from error
    else:
        raise Refused(f"no credential: set {name}_env or {name}_file to where the secret is kept")
    if not found:
        raise Refused(f"{where} is empty: put the secret there")
    return found


@dataclass(frozen=True)
class Answer:
    """A success: status, JSON body (None when empty)."""

    status: int
    body: Any


@dataclass(frozen=True)
class Wire:
    """One server. base_url without a slash at its end; headers go with every call; verify: True or a CA file."""

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    verify: bool | str = True
    timeout_seconds: float = TIMEOUT_SECONDS

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        missing_is_none: bool = False,
    ) -> Answer:
        """One call. With `missing_is_none` a 404 is an Answer with body None. Raises OrchestratorError."""
        content = None if body is None else json.dumps(body).encode()
        headers = {**self.headers, "Accept": "application/json"}
        if content is not None:
            headers["Content-Type"] = content_type
        try:
            with requests.Session() as session:
                # Neither a proxy nor a .netrc of the machine may reach into these calls.
                session.trust_env = False
                with session.request(
                    method,
                    self.base_url + path,
                    data=content,
                    params=params,
                    headers=headers,
                    timeout=self.timeout_seconds,
                    verify=self.verify,
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    text = _read(response)
        except requests.RequestException as error:
            raise Unreachable(f"{method} {self.base_url}{path}: no answer ({type(error).__name__})") from error
        if missing_is_none and response.status_code == 404:
            return Answer(404, None)
        _raise_for(response, f"{method} {path}", text)
        try:
            return Answer(response.status_code, json.loads(text) if text else None)
        except ValueError as error:
            raise Malformed(f"{method} {path}: the answer is not JSON: is {self.base_url} the right server?") from error


def _read(response: requests.Response) -> bytes:
    """The body, as far as it may be long."""
    parts: list[bytes] = []
    size = 0
    for part in response.iter_content(_CHUNK):
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise Malformed(f"the answer is longer than {MAX_ANSWER_BYTES} bytes: is this the right server?")
        parts.append(part)
    return b"".join(parts)


def _raise_for(response: requests.Response, call: str, text: bytes) -> None:
    status = response.status_code
    if status < 300:
        return
    words = f"{call}: answered {status}: {_words(text)}"
    match status:
        case 401 | 403:
            raise Unauthorized(f"{call}: answered {status}: give the credential the rights that the docs list")
        case 409 | 412:
            raise Conflict(words)
        case 429:
            raise Overloaded(words, _retry_after(response))
        case _ if status >= 500:
            raise Overloaded(words, _retry_after(response))
        case _ if status >= 400:
            raise Refused(words)
    raise Malformed(f"{words} (redirects are not followed): give the server's own address")


def _retry_after(response: requests.Response) -> timedelta | None:
    text = response.headers.get("Retry-After", "")
    return timedelta(seconds=min(int(text), 3600)) if text.isdecimal() else None


def _words(text: bytes) -> str:
    """What the server says, short; servers differ in where they say it."""
    said: Any = text.decode("utf-8", "replace")
    try:
        read = json.loads(text)
    except ValueError:
        read = None
    if isinstance(read, dict):
        said = read.get("message") or read.get("error") or read.get("detail") or said
        if isinstance(said, dict):
            said = said.get("message") or said.get("error") or said
    return str(said)[:300]
