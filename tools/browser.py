"""Find the Chromium that the browser tests drive, or get one; print its path. Exit 1 in a sentence where that fails.

Order: $CHROME_PATH, a browser on the PATH, the distribution's package (as root, with apt), Playwright's own download.
"""

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find() -> str | None:
    """The path of an installed browser, if there is one."""
    configured = os.environ.get("CHROME_PATH", "")
    if configured:
        return shutil.which(configured)
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return path
    return _playwright_path()


def _playwright_path() -> str | None:
    code = "from playwright.sync_api import sync_playwright as s\nwith s() as p: print(p.chromium.executable_path)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return shutil.which(done.stdout.strip()) if done.returncode == 0 else None


def _attempts() -> list[list[str]]:
    attempts = []
    if os.geteuid() == 0 and shutil.which("apt-get"):
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]
        attempts += [["apt-get", "update", "-qq"], install]
    return [*attempts, [sys.executable, "-m", "playwright", "install", "chromium"]]


def main() -> int:
    path = find()
    for command in _attempts():
        if path:
            break
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(command, check=False, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        path = find()
    if not path:
        print("Weir: no Chromium for the browser tests: install chromium or set CHROME_PATH", file=sys.stderr)
        return 1
    print(f"Weir: browser tests use {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
