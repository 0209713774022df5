"""`make demo` and `make demo-stop`: the script that they run, from a copy so that nobody's demo is disturbed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from urllib.request import urlopen

import pytest

NUMBERS = {
    "recipients read": "1,000",
    "duplicates merged": "8",
    "invalid rows refused": "4",
    "requests sent": "20",
    "recipients accepted by Braze": "988",
    "people the local Braze delivered to": "988",
    "deliveries per recipient, min and max": "1 and 1",
}


@pytest.fixture
def demo(repo, tmp_path):
    """Run the demo's script in a copy of what it needs, and stop what it leaves."""
    for name in ("demo", "dags_examples"):
        shutil.copytree(repo / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    environment |= {"COLUMNS": "120", "NO_COLOR": "1"}

    def run(*arguments):
        command = [sys.executable, str(tmp_path / "demo" / "run.py"), *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    yield run
    run("stop")


def closed(url):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            urlopen(url, timeout=60).close()
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_the_demo(demo, tmp_path):
    run = demo()
    assert run.returncode == 0, run.stdout + run.stderr
    for label, number in NUMBERS.items():
        assert re.search(rf"{re.escape(label)}\W+{re.escape(number)}\W", run.stdout), f"{label}: {run.stdout}"
    assert "Traceback" not in run.stdout + run.stderr
    url = re.search(r"http://127\.0\.0\.1:\d+/", run.stdout)[0]
    with urlopen(url, timeout=60) as answer:
        page = answer.read().decode()
    assert "Larkspur Coffee" in page
    assert "Your weekly offer" in page
    assert {path.name for path in tmp_path.iterdir()} == {".demo", "demo", "dags_examples"}, "it writes into .demo only"

    stopped = demo("stop")
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert closed(url)
    assert demo("stop").returncode == 0, "stopping twice does no harm"
