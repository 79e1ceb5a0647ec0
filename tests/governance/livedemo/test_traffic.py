"""Stub providers and the generator, over real sockets on loopback."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from governance.livedemo.http_stub import Reply, Request, serve
from governance.livedemo.providers import Provider
from governance.livedemo.traffic import Generator
from governance.livedemo.world import Stream
from routing.orchestrators.envoy.bootstrap import free_port

FAST = Stream("claims", "claims-triage", "gpt", 400.0, 1000, 20)


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """In a thread of its own: browser tests leave a running loop in the main one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def ask(provider: Provider, path: str = "/v1/chat/completions", **body: object) -> Reply:
    request = Request("POST", path, {}, json.dumps(body).encode())
    return run(provider.answer(request))


def test_a_stub_answers_with_the_usage_that_was_asked_for() -> None:
    reply = ask(Provider("aws", "127.0.0.1", 1), model="gpt", max_tokens=7, metadata={"prompt_tokens": "1200"})
    answer = json.loads(reply.body)
    assert (reply.status, answer["model"]) == (200, "gpt")
    assert answer["usage"] == {
        "prompt_tokens": 1200,
        "completion_tokens": 7,
        "total_tokens": 1207,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def test_a_stub_fails_as_it_is_told_to_and_heals() -> None:
    provider = Provider("aws", "127.0.0.1", 1)
    assert json.loads(ask(provider, "/_control", fail=503).body)["fail"] == 503
    assert ask(provider, model="gpt").status == 503
    ask(provider, "/_control", fail=0)
    assert ask(provider, model="gpt").status == 200
    assert provider.served == {"failed": 1, "gpt": 1}


def test_what_is_no_chat_is_refused() -> None:
    provider = Provider("aws", "127.0.0.1", 1)
    assert ask(provider, max_tokens=3).status == 400
    assert ask(provider, "/admin", model="gpt").status == 404


async def _until_counted(generator: Generator, number: int, answer: Callable[[Request], Awaitable[Reply]]) -> None:
    server = await serve("127.0.0.1", generator.port, answer)
    running = asyncio.create_task(generator.run())
    try:
        async with asyncio.timeout(20):
            while sum(generator.counted.values()) < number:
                await asyncio.sleep(0.005)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        server.close()


def test_the_generator_sends_signed_requests_and_counts_answers() -> None:
    provider = Provider("aws", "127.0.0.1", 1)
    seen: list[Request] = []

    async def answer(request: Request) -> Reply:
        seen.append(request)
        return await provider.answer(request)

    generator = Generator("127.0.0.1", free_port(), [FAST], {"claims-triage-live": "secret"})
    run(_until_counted(generator, 25, answer))
    assert set(generator.counted) == {"200"}
    assert {each.headers["authorization"] for each in seen} == {"Bearer secret"}
    assert {json.loads(each.body)["model"] for each in seen} == {"gpt"}


def test_the_loop_is_open_what_does_not_fit_is_counted_not_queued() -> None:
    async def never(_request: Request) -> Reply:
        await asyncio.sleep(60)
        return Reply(200, b"{}")

    generator = Generator("127.0.0.1", free_port(), [FAST], {"claims-triage-live": "secret"})
    run(_until_counted(generator, 5, never))
    assert set(generator.counted) == {"not sent"}


def test_a_team_can_be_surged_and_silenced() -> None:
    generator = Generator("127.0.0.1", 1, [FAST], {})
    wanted = Request("POST", "/_control", {}, b'{"team": "claims", "factor": 5}')
    assert json.loads(run(generator.control(wanted)).body)["factors"] == {"claims": 5.0}
    run(generator.control(Request("POST", "/_control", {}, b'{"team": "claims", "factor": -3}')))
    assert generator.factors == {"claims": 0.0}
