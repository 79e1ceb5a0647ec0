"""Loaded by `addopts = -p tests.isolation` before Django's settings: tests never touch the data folder of a real start.

It can't be a conftest: pytest-django reads the settings earlier than those.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

os.environ.pop("DATABASE_URL", None)
os.environ["WEIR_DEMO"] = "0"
os.environ["WEIR_HOME"] = tempfile.mkdtemp(prefix="weir-tests-")
os.environ.pop("WEIR_LAKE", None)
# WhiteNoise warns when the folder of collected files is missing, and a warning is an error here.
(Path(os.environ["WEIR_HOME"]) / "static").mkdir()
# pytest-playwright runs an event loop in the thread that also talks to the database.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
atexit.register(shutil.rmtree, os.environ["WEIR_HOME"], ignore_errors=True)
