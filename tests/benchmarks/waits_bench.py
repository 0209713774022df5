"""The part of `make bench` on waits: ten thousand deferred tasks in one real triggerer.

Run it as ``python tests/benchmarks/waits_bench.py``. A triggerer without any and one with as many of Airflow's own
triggers, which only sleep, are measured next to it.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from airflow_processes import Airflow, Emulator

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "dags")]
WAITS, QUESTIONS = 10_000, 5
POLL_SECONDS, MEASURED_SECONDS = 5.0, 60.0
DAG_ID = "ten_thousand"
KEY = "bench-key"
CAMPAIGNS = [f"5d1e0f3a-0000-4000-8000-{number:012d}" for number in range(QUESTIONS)]
SEED = f"""
name: Larkspur Coffee
api_keys:
  - {{name: Airflow, key: {KEY}, permissions: "*"}}
campaigns:
"""
console = Console(highlight=False)


class Figures(NamedTuple):
    """Of one triggerer: CPU seconds until it had all waits, CPU seconds in a minute then, and its memory in MB."""

    begin: float
    minute: float
    memory: float
    requests: int
    blocked: int


def main() -> None:
    _allow_files()
    with ExitStack() as stack:
        braze, airflow = _servers(stack)
        none = measure(airflow, braze, [])
        sleeping = measure(airflow, braze, list(_sleeping()))
        ours = measure(airflow, braze, list(_ours()))
    report(none, sleeping, ours)


def report(none: Figures, sleeping: Figures, ours: Figures) -> None:
    per_interval = ours.requests * POLL_SECONDS / MEASURED_SECONDS
    console.print(
        f"{WAITS:,} deferred waits in one triggerer, {QUESTIONS} distinct questions, an interval of "
        f"{POLL_SECONDS:.0f} s: {per_interval:.2f} requests per interval"
    )
    table = Table(title="Per thousand waits, beyond a triggerer without any", title_justify="left")
    for heading in ("triggers", "CPU s a minute", "memory, MB", "CPU s to begin", "loop blocked"):
        table.add_column(heading, justify="left" if heading == "triggers" else "right")
    for name, figures in (("ours", ours), ("Airflow's own, asleep", sleeping)):
        cells = ((new - old) / WAITS * 1000 for new, old in zip(figures[:3], none[:3], strict=True))
        begin, minute, memory = cells
        table.add_row(name, f"{minute:.2f}", f"{memory:.1f}", f"{begin:.2f}", f"{figures.blocked} times")
    console.print(table)
    console.print(
        f"A triggerer without any: {none.minute:.1f} CPU s a minute, {none.memory:.0f} MB. All of it, ours to "
        f"Airflow's own: CPU {ours.minute / sleeping.minute:.2f}, memory {ours.memory / sleeping.memory:.2f}\n"
    )


def measure(airflow: Airflow, braze: Emulator, triggers: list[Any]) -> Figures:
    """Start a triggerer, and watch it once it has all of them."""
    from bench_dags import WAITS_A_RUN
    from deferred_waits import defer_all

    run_ids = defer_all(airflow, DAG_ID, triggers, runs=WAITS // WAITS_A_RUN) if triggers else []
    triggerer = airflow.begin("triggerer", "triggerer")
    if triggers:
        logs = "run_id=*/task_id=wait/map_index=*/*.trigger.*.log"
        folder = airflow.logs / f"dag_id={DAG_ID}"
        airflow.wait_for("all triggers", lambda: len(list(folder.glob(logs))) == len(triggers), 900, every=3.0)
        shutil.rmtree(folder)
    time.sleep(3 * POLL_SECONDS)
    begin, _ = triggerer.usage()
    began, known = time.time(), len(triggerer.text())
    time.sleep(MEASURED_SECONDS)
    cpu, memory = triggerer.usage()
    asked = sum(datetime.fromisoformat(one["at"]).timestamp() >= began for one in braze.exchanges())
    blocked = triggerer.text()[known:].count("async thread was blocked")
    airflow.processes.pop("triggerer").kill()
    for run_id in run_ids:
        airflow.delete(f"dags/{DAG_ID}/dagRuns/{run_id}")
    return Figures(begin, cpu - begin, memory, asked, blocked)


def _ours() -> Iterator[Any]:
    from airflow_provider_braze.conditions.figures import Figures as Condition
    from airflow_provider_braze.triggers.conditions import BrazeConditionTrigger

    today = datetime.now(UTC).date().isoformat()
    for number in range(WAITS):
        # Not the same wait, only the same question.
        condition = Condition("campaign", CAMPAIGNS[number % QUESTIONS], "sent", 100 + number, from_day=today)
        yield BrazeConditionTrigger(
            braze_conn_id="braze_default", condition=condition.as_dict(), poll_interval=POLL_SECONDS
        )


def _sleeping() -> Iterator[Any]:
    from airflow.providers.standard.triggers.temporal import DateTimeTrigger

    later = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    return (DateTimeTrigger(target_time=later) for _ in range(WAITS))


def _servers(stack: ExitStack) -> tuple[Emulator, Airflow]:
    """Braze, and an Airflow that knows the DAG; its triggerer and nothing else will run."""
    from airflow_processes import Airflow, Emulator
    from servers import Postgres

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    (folder / "seed.yaml").write_text(SEED + "".join(f"  - {{id: {one}, channel: email}}\n" for one in CAMPAIGNS))
    braze = stack.enter_context(Emulator(["-m", "airflow_provider_braze.emulator"], folder / "seed.yaml", folder))
    postgres = stack.enter_context(Postgres())
    airflow = stack.enter_context(
        Airflow(
            HERE / "dags",
            database=postgres.url(postgres.create_database("airflow")).replace("://", "+psycopg2://"),
            executor="LocalExecutor",
            connections={"braze_default": json.dumps({"conn_type": "braze", "host": braze.url, "password": KEY})},
            settings={
                "triggerer.capacity": WAITS,
                "triggerer.max_trigger_to_select_per_loop": 500,
            },
        )
    )
    airflow.command("db", "migrate")
    airflow.start("scheduler", "dag-processor")
    airflow.wait_until_ready(DAG_ID)
    for part in ("scheduler", "dag-processor"):
        airflow.processes.pop(part).kill()
    return braze, airflow


def _allow_files() -> None:
    """Airflow keeps a log file open for each trigger."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < WAITS + 1000:
        raise SystemExit(f"{WAITS:,} waits need as many open files, this shell allows {most:,}: see ulimit -Hn.")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
