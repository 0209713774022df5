"""`make demo`: the example DAG sends a campaign to 1,000 customers of a SQL table, against a local Braze.

Everything it makes lies in `.demo/`. Nothing leaves this machine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from local import airflow_settings, build_warehouse, connections, get, start_emulator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

HERE = Path(__file__).parent
WORK = HERE.parent / ".demo"
PID, LOG = WORK / "emulator.pid", WORK / "task.log"
INBOX_MINUTES = 30


def main() -> int:
    stop_emulator()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    console = Console(file=os.fdopen(os.dup(1), "w"), highlight=False, soft_wrap=True)
    url = begin_emulator()
    console.print(f"[green]✓[/] A local Braze answers at {url}")
    rows = build_warehouse(WORK / "warehouse.db")
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


def begin_emulator() -> str:
    url, process = start_emulator(WORK / "emulator.log", "--stop-after", str(INBOX_MINUTES * 60))
    PID.write_text(str(process.pid))
    return url


def stop_emulator() -> None:
    with suppress(OSError, ValueError):
        pid = int(PID.read_text())
        if b"airflow_provider_braze.emulator" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGTERM)
        PID.unlink()


def prepare_airflow(url: str) -> None:
    """Give Airflow a home of its own; it must be done before Airflow is imported."""
    # From here on what Airflow prints goes to the log, so that the progress stays readable.
    log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sys.stdout.flush()
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ |= airflow_settings(WORK / "airflow")
    for name, connection in connections(url, WORK / "warehouse.db").items():
        os.environ[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps(connection)
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


if __name__ == "__main__":
    if sys.argv[1:] == ["stop"]:
        stop_emulator()
    else:
        raise SystemExit(main())
