"""Which kinds of orchestrator there are, and how one is opened from its settings."""

from collections.abc import Callable, Mapping
from typing import Any

from routing.orchestrators.ai_gateway import open_ai_gateway
from routing.orchestrators.base import Orchestrator, Refused
from routing.orchestrators.envoy.orchestrator import open_envoy
from routing.orchestrators.gateway_api import open_gateway_api
from routing.orchestrators.http import open_http
from routing.orchestrators.litellm import open_litellm

Settings = Mapping[str, Any]
Opener = Callable[[str, Settings], Orchestrator]

# Each module adds its line: kind -> opener(name, settings). Settings never hold a secret, only where one is kept.
_OPENERS: dict[str, Opener] = {
    "ai_gateway": open_ai_gateway,
    "envoy": open_envoy,
    "gateway_api": open_gateway_api,
    "http": open_http,
    "litellm": open_litellm,
}


def kinds() -> list[str]:
    return sorted(_OPENERS)


def open_orchestrator(kind: str, name: str, settings: Settings) -> Orchestrator:
    """The orchestrator `name` of `kind`. Makes no call. Raises Refused for an unknown kind or a bad setting."""
    opener = _OPENERS.get(kind)
    if opener is None:
        raise Refused(f"{kind!r} is no kind of orchestrator: use one of {', '.join(kinds())}")
    return opener(name, settings)
