"""What object stores cost those who use none, and how soon a command that waits for one can be ended.

Rule: each runs in a process of its own, since what is imported there counts.
"""

import os
import subprocess
import sys
from pathlib import Path

from siltstone.store import open_backend

from .stores import make


def test_a_store_in_a_directory_does_not_load_what_is_for_buckets(tmp_path: Path) -> None:
    make(open_backend(str(tmp_path / "store"), create=True))
    code = f"""
import sys
from siltstone.store import KeyFile, Store, open_backend
Store.open(open_backend({str(tmp_path / "store")!r}), KeyFile(bytes(range(32))))
print("obstore" in sys.modules)
"""
    assert subprocess.check_output([sys.executable, "-c", code]) == b"False\n"


def test_who_is_told_to_hurry_asks_no_more() -> None:
    code = """
import threading
from siltstone.store import BackendError, hurry, open_backend
backend = open_backend("s3://trial/x")
threading.Timer(0.5, hurry).start()
try:
    backend.get("config")
except BackendError as error:
    print(error)
"""
    variables = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    environment = {**os.environ, **variables, "SILT_RETRY_SECONDS": "10000"}
    said = subprocess.check_output([sys.executable, "-c", code], env=environment, timeout=100)
    assert b"Connection refused" in said
