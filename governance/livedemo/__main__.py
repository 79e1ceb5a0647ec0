"""`python -m governance.livedemo HOME`: the stub providers and the traffic, in one small process without Django."""

import asyncio
import signal
import sys
from pathlib import Path

from governance.livedemo import layout, providers
from governance.livedemo.http_stub import serve
from governance.livedemo.providers import Provider
from governance.livedemo.traffic import Generator, forever
from governance.livedemo.world import POOLS, STREAMS


async def main(home: Path) -> None:
    """Until SIGTERM or SIGINT."""
    chosen = layout.read(home)
    if chosen is None:
        raise SystemExit(f"{layout.folder_of(home)} holds no choice of ports: start it with `make run`")
    stubs = [Provider(each.name, layout.HOST, chosen.ports[each.name], each.latency_ms) for each in POOLS]
    secrets = {client.partition("|")[2]: secret for client, secret in chosen.keys.items()}
    generator = Generator(layout.HOST, chosen.gateway_port, STREAMS, secrets)
    control = await serve(layout.HOST, chosen.control_port, generator.control)
    tasks = [asyncio.create_task(providers.run(stubs)), asyncio.create_task(forever(generator))]
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    control.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
