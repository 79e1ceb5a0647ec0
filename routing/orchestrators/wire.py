"""One server that speaks JSON and wants a bearer token: what LiteLLM and Kubernetes share on top of calls.py.

The secret comes from where the settings point to, and stands in no message and no repr.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from routing.orchestrators.base import Malformed, Refused
from routing.orchestrators.calls import call, raise_for

TIMEOUT_SECONDS = 10.0


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
class Wire:
    """base_url: without a slash at its end; token: the bearer's secret; ca_file: what to trust, None: the machine's."""

    base_url: str
    token: str = field(repr=False)
    ca_file: str | None = None
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
    ) -> Any:
        """The JSON that came back, numbers with a point as Decimals; None for an empty body.

        With `missing_is_none` a 404 gives None. Raises OrchestratorError.
        """
        headers = {"authorization": f"Bearer {self.token}"} | (
            {"content-type": content_type} if body is not None else {}
        )
        query = f"?{urlencode(params)}" if params else ""
        answer = call(
            method,
            self.base_url,
            path + query,
            body=body,
            headers=headers,
            timeout_seconds=self.timeout_seconds,
            ca_file=self.ca_file,
        )
        if missing_is_none and answer.status == 404:
            return None
        raise_for(answer, f"{method} {path}")
        try:
            return json.loads(answer.body, parse_float=Decimal) if answer.body else None
        except ValueError as error:
            raise Malformed(f"{method} {path}: the answer is no JSON: is {self.base_url} the right server?") from error
