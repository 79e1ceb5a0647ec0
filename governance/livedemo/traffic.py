"""A small open-loop generator: requests come when they come, whether earlier ones were answered or not.

Arrivals are a Poisson process a stream. What can't be sent because too many are waiting is counted, not queued: an open
loop that queues would hide that the gateway is slow.
"""

import asyncio
import contextlib
import json
import random
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from governance.livedemo.http_stub import Reply, Request
from governance.livedemo.world import Stream

MOST_WAITING = 64
TIMEOUT_SECONDS = 30.0
_Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Generator:
    """Sends `streams` to the gateway. factors: how many times its rate a team sends, 1 unless told otherwise."""

    host: str
    port: int
    streams: Sequence[Stream]
    secrets: dict[str, str]  # by the key's name
    factors: dict[str, float] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)
    seed: int = 1

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 a generator's dice
        self._idle: deque[_Pair] = deque()
        self._waiting: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await asyncio.gather(*(self._stream(each) for each in self.streams))
        finally:
            for task in self._waiting:
                task.cancel()
            while self._idle:
                self._idle.pop()[1].close()

    async def control(self, request: Request) -> Reply:
        """`POST {"team": "claims", "factor": 5}` changes a team's rate; either way: what was counted."""
        if request.method == "POST":
            wanted = json.loads(request.body or b"{}")
            self.factors[str(wanted["team"])] = min(max(float(wanted["factor"]), 0.0), 100.0)
        shown = {"factors": self.factors, "answers": dict(self.counted), "waiting": len(self._waiting)}
        return Reply(200, json.dumps(shown).encode())

    async def _stream(self, stream: Stream) -> None:
        while True:
            rate = stream.per_second * self.factors.get(stream.team, 1.0)
            # A stream that is off looks again now and then whether it was turned on.
            await asyncio.sleep(min(self._random.expovariate(rate), 5.0) if rate > 0 else 1.0)
            if rate <= 0:
                continue
            if len(self._waiting) >= MOST_WAITING:
                self.counted["not sent"] += 1
                continue
            task = asyncio.create_task(self._send(stream))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _send(self, stream: Stream) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                self.counted[str(await self._ask(stream))] += 1
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            self.counted["no answer"] += 1

    async def _ask(self, stream: Stream) -> int:
        message = self._message(stream)
        pair = self._idle.pop() if self._idle else await asyncio.open_connection(self.host, self.port)
        done = False
        try:
            pair[1].write(message)
            status = await _read_status(pair[0])
            done = True
            return status
        finally:
            if done:
                self._idle.append(pair)
            else:
                pair[1].close()

    def _message(self, stream: Stream) -> bytes:
        prompt = max(1, round(self._random.lognormvariate(0, 0.4) * stream.prompt_tokens))
        body: dict[str, Any] = {
            "model": stream.model,
            "max_tokens": max(1, round(self._random.lognormvariate(0, 0.3) * stream.output_tokens)),
            "messages": [{"role": "user", "content": "A question of the demo."}],
            # What the stub says that the prompt had, so that a small message can stand for a long one.
            "metadata": {"prompt_tokens": str(prompt)},
        }
        content = json.dumps(body).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: {self.host}:{self.port}\r\n"
            f"authorization: Bearer {self.secrets[stream.key]}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        )
        return head.encode("latin-1") + content


async def _read_status(reader: asyncio.StreamReader) -> int:
    """The status of one answer whose body has a length or comes in chunks."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    if "content-length" in headers:
        await reader.readexactly(int(headers["content-length"]))
    elif "chunked" in headers.get("transfer-encoding", ""):
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    return status


async def forever(generator: Generator) -> None:
    """Run until cancelled, and end quietly."""
    with contextlib.suppress(asyncio.CancelledError):
        await generator.run()
