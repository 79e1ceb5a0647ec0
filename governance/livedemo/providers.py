"""Stub providers in one process: OpenAI-compatible, each with its own latency, and able to fail on request.

`POST /_control {"fail": 503, "rate": 0.5, "latency_ms": 20}` changes one provider, `GET /_control` shows it with what
it served. Answers are made of nothing but the request's length, its max_tokens and the provider's name. A prompt is as
long as the request's metadata say, where they do.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from governance.livedemo.http_stub import Reply, Request, serve


@dataclass
class Provider:
    """One pool. latency_ms: median; half of a request's latency goes up with what it generates."""

    name: str
    host: str
    port: int
    latency_ms: float = 0.0
    fail: int = 0  # the status to fail with; 0: does not fail
    rate: float = 1.0  # the share of requests that fail
    served: Counter[str] = field(default_factory=Counter)
    seed: int = 1

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.name}/{self.seed}")  # noqa: S311 a stub's dice

    async def answer(self, request: Request) -> Reply:
        if request.path == "/_control":
            return self._control(request)
        if not request.path.startswith("/v1/"):
            return _json(404, {"error": {"message": "no such path", "type": "invalid_request_error"}})
        if self.fail and self._random.random() < self.rate:
            self.served["failed"] += 1
            error = {"message": f"{self.name} fails as it was told to", "type": "overloaded", "code": self.fail}
            return _json(self.fail, {"error": error})
        try:
            asked = json.loads(request.body or b"{}")
            model, output = str(asked["model"]), min(int(asked.get("max_tokens") or 16), 4096)
        except (ValueError, KeyError, TypeError, AttributeError):
            return _json(400, {"error": {"message": "no JSON with a model", "type": "invalid_request_error"}})
        if self.latency_ms:
            spread = self._random.lognormvariate(0.0, 0.25)
            await asyncio.sleep(self.latency_ms * spread * (0.5 + output / 400) / 1000)
        self.served[model] += 1
        return self._reply(request, asked, model, output)

    def _reply(self, request: Request, asked: dict[str, Any], model: str, output: int) -> Reply:
        said = (asked.get("metadata") or {}).get("prompt_tokens")
        prompt = int(said) if said else max(len(request.body) // 4, 1)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": output,
            "total_tokens": prompt + output,
            "prompt_tokens_details": {"cached_tokens": int(asked.get("cached_tokens") or 0)},
        }
        identity = {"id": f"chatcmpl-{self._random.getrandbits(64):016x}", "model": model, "created": 0}
        headers = {"x-provider": self.name}
        if asked.get("stream"):
            return Reply(200, _stream(identity, usage), {**headers, "content-type": "text/event-stream"})
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": f"Hello from {self.name}"},
        }
        return _json(200, {**identity, "object": "chat.completion", "choices": [choice], "usage": usage}, headers)

    def _control(self, request: Request) -> Reply:
        if request.method == "POST":
            wanted = json.loads(request.body or b"{}")
            self.fail = int(wanted.get("fail", self.fail))
            self.rate = float(wanted.get("rate", self.rate))
            self.latency_ms = float(wanted.get("latency_ms", self.latency_ms))
        shown = {"name": self.name, "fail": self.fail, "rate": self.rate, "latency_ms": self.latency_ms}
        return _json(200, {**shown, "served": dict(self.served)})


def _json(status: int, content: Any, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(content).encode(), headers or {})


def _stream(identity: dict[str, Any], usage: dict[str, Any]) -> bytes:
    """The events of a stream that was asked for its usage."""
    base = {**identity, "object": "chat.completion.chunk"}
    events: list[dict[str, Any]] = [
        {**base, "choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}]},
        {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**base, "choices": [], "usage": usage},
    ]
    return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in events) + b"data: [DONE]\n\n"


async def run(providers: Sequence[Provider], ready: Callable[[], None] = lambda: None) -> None:
    """Serve all of them until cancelled."""
    servers = [await serve(each.host, each.port, each.answer) for each in providers]
    ready()
    try:
        await asyncio.gather(*(server.serve_forever() for server in servers))
    finally:
        for server in servers:
            server.close()
