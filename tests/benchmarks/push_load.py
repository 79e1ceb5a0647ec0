"""Load for the push benchmark, in processes of their own: stub providers, and clients that answer "when first?".

A client process keeps some connections busy, one request after the other on each. The parent names the provider that
it waits for; the first answer of that provider leaves its time in shared memory, on the clock that all processes share.
"""

import asyncio
import ctypes
import json
import multiprocessing
import time
from dataclasses import dataclass
from typing import Any

from governance.livedemo.providers import Provider, run
from routing.orchestrators.envoy.bootstrap import free_port

CONTEXT = multiprocessing.get_context("spawn")


def provide(names_ports: list[tuple[str, int]]) -> None:
    asyncio.run(run([Provider(name, "127.0.0.1", port) for name, port in names_ports]))


class Providers:
    """aws, azure and gcp, without latency of their own."""

    def __init__(self) -> None:
        self.ports = {name: free_port() for name in ("aws", "azure", "gcp")}
        self.process = CONTEXT.Process(target=provide, args=(list(self.ports.items()),), daemon=True)
        self.process.start()

    def stop(self) -> None:
        self.process.terminate()
        self.process.join()


@dataclass
class Shared:
    """What parent and clients tell each other. awaited: index into `names`, -1 for nobody."""

    awaited: Any
    first_seen: Any
    answers: Any
    errors: Any
    running: Any


def clients(port: int, secret: str, model: str, connections: int, names: list[str], shared: Shared) -> None:
    asyncio.run(_clients(port, secret, model, connections, names, shared))


async def _clients(port: int, secret: str, model: str, connections: int, names: list[str], shared: Shared) -> None:
    body = json.dumps({"model": model, "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: edge\r\nauthorization: Bearer {secret}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    message = head + body
    marks = {f"x-provider: {name}".encode(): index for index, name in enumerate(names)}

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while shared.running.value:
            writer.write(message)
            answer = await reader.readuntil(b"\r\n\r\n")
            lower = answer.lower()
            length = int(lower.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
            await reader.readexactly(length)
            shared.answers.value += 1
            if not answer.startswith(b"HTTP/1.1 200"):
                shared.errors.value += 1
            awaited = shared.awaited.value
            if awaited >= 0 and any(mark in lower and index == awaited for mark, index in marks.items()):
                shared.first_seen.value = time.monotonic()
                shared.awaited.value = -1
            # An open loop would need more cores than two: a short pause keeps some for the gateway.
            await asyncio.sleep(0.002)
        writer.close()

    results = await asyncio.gather(*(one() for _each in range(connections)), return_exceptions=True)
    shared.errors.value += sum(isinstance(each, Exception) for each in results)


class Load:
    """Client connections that stay busy until stopped."""

    names = ("aws", "azure", "gcp")

    def __init__(self, port: int, secret: str, model: str = "gpt-large", connections: int = 6) -> None:
        self.shared = Shared(
            CONTEXT.Value(ctypes.c_int, -1),
            CONTEXT.Value(ctypes.c_double, 0.0),
            CONTEXT.Value(ctypes.c_long, 0),
            CONTEXT.Value(ctypes.c_long, 0),
            CONTEXT.Value(ctypes.c_int, 1),
        )
        args = (port, secret, model, connections, list(self.names), self.shared)
        self.process = CONTEXT.Process(target=clients, args=args, daemon=True)
        self.process.start()

    def await_first(self, name: str) -> None:
        """From now on, look for the first answer of `name`."""
        self.shared.first_seen.value = 0.0
        self.shared.awaited.value = self.names.index(name)

    def first(self, timeout_seconds: float = 10.0) -> float | None:
        """When it came, on time.monotonic's clock; None if it did not."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            seen = float(self.shared.first_seen.value)
            if seen:
                return seen
            time.sleep(0.002)
        self.shared.awaited.value = -1
        return None

    def stop(self) -> tuple[int, int]:
        """(answers, errors)."""
        self.shared.running.value = 0
        self.process.join(10)
        return int(self.shared.answers.value), int(self.shared.errors.value)
