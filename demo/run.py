"""`make demo`: the example DAG sends a campaign to 1,000 customers of a SQL table, against a local Braze.

Everything it makes lies in `.demo/`. Nothing leaves this machine.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import Request, urlopen

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

HERE = Path(__file__).parent
WORK = HERE.parent / ".demo"
PID, LOG = WORK / "emulator.pid", WORK / "task.log"
ANSWER_SECONDS = 0.25  # About what Braze takes; at once would leave nothing to watch.
INBOX_MINUTES = 30


def main() -> int:
    stop_emulator()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    console = Console(file=os.fdopen(os.dup(1), "w"), highlight=False, soft_wrap=True)
    url = start_emulator()
    console.print(f"[green]✓[/] A local Braze answers at {url}")
    rows = build_warehouse()
    console.print(f"[green]✓[/] A warehouse with {rows:,} customers: .demo/warehouse.db")
    with console.status("Airflow makes its database ..."):
        prepare_airflow(url)
    console.print("[green]✓[/] Airflow is ready; it runs dags_examples/sql_audience_to_campaign.py")
    report = watch(console, url)
    if report is None:
        console.print(f"[red]The DAG run failed.[/] The end of {LOG}:\n")
        console.print("".join(LOG.read_text().splitlines(keepends=True)[-40:]), markup=False)
        return 1
    deliveries = get(f"{url}/__emulator__/deliveries?summary=1")
    show(console, report, deliveries)
    console.print(f"\nThe inbox, with every message as its reader would see it: [bold]{url}/[/]")
    console.print(f"It stays open for {INBOX_MINUTES} minutes; `make demo-stop` closes it.")
    console.print("What Airflow logged: .demo/task.log")
    return 0


def start_emulator() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (WORK / "emulator.log").open("w") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "airflow_provider_braze.emulator", "--port", str(port)),
                *("--seed", str(HERE / "workspace.yaml"), "--stop-after", str(INBOX_MINUTES * 60)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    PID.write_text(str(process.pid))
    url = f"http://127.0.0.1:{port}"
    for _ in range(100):
        with suppress(OSError):
            post(f"{url}/__emulator__/faults", {"kind": "slow", "seconds": ANSWER_SECONDS, "times": None})
            return url
        time.sleep(0.1)
    raise SystemExit(f"The emulator did not start: {(WORK / 'emulator.log').read_text()}")


def stop_emulator() -> None:
    with suppress(OSError, ValueError):
        pid = int(PID.read_text())
        if b"airflow_provider_braze.emulator" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGTERM)
        PID.unlink()


def build_warehouse() -> int:
    with (HERE / "customers.csv").open(encoding="utf-8", newline="") as file:
        customers = list(csv.DictReader(file))
    columns = list(customers[0])
    numbers = {"customer_id", "points", "subscribed"}
    types = ", ".join(f"{name} {'INTEGER' if name in numbers else 'TEXT'}" for name in columns)
    with sqlite3.connect(WORK / "warehouse.db") as database:
        database.execute(f"CREATE TABLE customers ({types})")
        values = [tuple(row[name] or None for name in columns) for row in customers]
        database.executemany(f"INSERT INTO customers VALUES ({', '.join('?' * len(columns))})", values)
    return len(customers)


def prepare_airflow(url: str) -> None:
    """Give Airflow a home of its own; it must be done before Airflow is imported."""
    # From here on what Airflow prints goes to the log, so that the progress stays readable.
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sys.stdout.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ |= {
        "AIRFLOW_HOME": str(WORK / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(HERE.parent / "dags_examples"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
        "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(WORK / "warehouse.db")}),
        "AIRFLOW_CONN_BRAZE_DEFAULT": json.dumps(
            {"conn_type": "braze", "host": url, "password": "demo-key", "extra": {"lanes": 4}}
        ),
    }
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True)


def watch(console: Console, url: str) -> dict | None:
    """Run the DAG in this process and show how the messages arrive."""
    done = threading.Event()
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("Airflow starts the task", total=None)

        def poll() -> None:
            while not done.wait(0.1):
                with suppress(OSError):
                    if reached := get(f"{url}/__emulator__/deliveries?summary=1")["recipients"]:
                        progress.update(task, description="people reached", completed=reached)

        watcher = threading.Thread(target=poll, daemon=True)
        watcher.start()
        try:
            report = run_dag()
        finally:
            done.set()
            watcher.join()
        reached = get(f"{url}/__emulator__/deliveries?summary=1")["recipients"]
        progress.update(task, description="people reached", completed=reached, total=reached or 1)
    return report


def run_dag() -> dict | None:
    sys.path.insert(0, os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    from sql_audience_to_campaign import dag

    run = dag.test()
    if str(run.state) != "success":
        return None
    return run.get_task_instance("send_weekly_offer").xcom_pull(task_ids="send_weekly_offer")


def show(console: Console, report: dict, deliveries: dict) -> None:
    table = Table(title="\nWhat happened", title_justify="left", show_header=False)
    table.add_column(), table.add_column(justify="right")
    table.add_row("recipients read", f"{report['recipients']:,}")
    table.add_row("duplicates merged", f"{report['duplicates']:,}")
    table.add_row("invalid rows refused", f"{report['invalid']:,}")
    for reason, count in report["invalid_reasons"].items():
        table.add_row(f"  {reason}", f"{count:,}", style="dim")
    table.add_row("requests sent", f"{report['requests']:,}")
    table.add_row("recipients accepted by Braze", f"{report['accepted']:,}")
    table.add_section()
    table.add_row("people the local Braze delivered to", f"{deliveries['recipients']:,}")
    table.add_row("deliveries per recipient, min and max", f"{deliveries['min']} and {deliveries['max']}")
    console.print(table)


def get(url: str) -> dict:
    with urlopen(url, timeout=5) as answer:
        return json.load(answer)


def post(url: str, body: dict) -> None:
    request = Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    urlopen(request, timeout=5).close()


if __name__ == "__main__":
    if sys.argv[1:] == ["stop"]:
        stop_emulator()
    else:
        raise SystemExit(main())
