"""What `make demo` and `make ui` share: a local Braze, a warehouse, and an Airflow with a home of its own."""

from __future__ import annotations

import csv
import json
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

HERE = Path(__file__).parent
KEY = "demo-key"
ANSWER_SECONDS = 0.25  # About what Braze takes; at once would leave nothing to watch.


def start_emulator(log: Path, *options: str) -> tuple[str, subprocess.Popen[bytes]]:
    """Start a local Braze with the demo's workspace; gives its address."""
    port = free_port()
    command = [sys.executable, "-m", "airflow_provider_braze.emulator", "--port", str(port)]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--seed", str(HERE / "workspace.yaml"), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 120
    while time.monotonic() < end:
        with suppress(OSError):
            post(f"{url}/__emulator__/faults", {"kind": "slow", "seconds": ANSWER_SECONDS, "times": None})
            return url, process
        if process.poll() is not None:
            break
        time.sleep(0.1)
    process.kill()
    raise SystemExit(f"The emulator did not start: {log.read_text()}")


def build_warehouse(path: Path) -> int:
    """Make the SQLite database that the example DAGs read; gives the number of customers."""
    with (HERE / "customers.csv").open(encoding="utf-8", newline="") as file:
        customers = list(csv.DictReader(file))
    columns = list(customers[0])
    numbers = {"customer_id", "points", "subscribed"}
    types = ", ".join(f"{name} {'INTEGER' if name in numbers else 'TEXT'}" for name in columns)
    with sqlite3.connect(path) as database:
        database.execute(f"CREATE TABLE customers ({types})")
        values = [tuple(row[name] or None for name in columns) for row in customers]
        database.executemany(f"INSERT INTO customers VALUES ({', '.join('?' * len(columns))})", values)
        database.executescript((HERE / "warehouse.sql").read_text(encoding="utf-8"))
    return len(customers)


def airflow_settings(home: Path) -> dict[str, str]:
    """Give the variables of an Airflow that lives in a folder and knows the example DAGs and nothing else."""
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(HERE.parent / "dags_examples"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def connections(braze: str, warehouse: Path, **extra: Any) -> dict[str, dict[str, Any]]:
    """Give the connections that the example DAGs use, by id."""
    host, _, port = braze.rpartition(":")
    return {
        "braze_default": {
            "conn_type": "braze",
            "host": host,
            "port": int(port),
            "password": KEY,
            "extra": {"lanes": 4, **extra},
        },
        "warehouse": {"conn_type": "sqlite", "host": str(warehouse)},
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def get(url: str, **headers: str) -> Any:
    with urlopen(Request(url, headers=headers), timeout=30) as answer:
        return json.load(answer)


def post(url: str, body: dict[str, Any], **headers: str) -> None:
    request = Request(url, json.dumps(body).encode(), {"content-type": "application/json", **headers})
    urlopen(request, timeout=30).close()
