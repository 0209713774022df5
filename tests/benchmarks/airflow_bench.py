"""The part of `make bench` on a real Airflow and a real PostgreSQL: what the ledgers cost, and whole DAG runs.

Run it as ``python tests/benchmarks/airflow_bench.py``.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "dags")]
REQUESTS = 1600
ROUNDS = 3
# The tests' Airflow is made to be quick; this one is as Airflow comes.
AS_IT_COMES = {
    "scheduler.scheduler_idle_sleep_time": None,
    "dag_processor.parsing_processes": None,
    "dag_processor.min_file_process_interval": None,
}
console = Console(highlight=False)


def main(url: str, run: Any) -> None:
    from airflow_processes import Airflow
    from servers import Postgres

    with Postgres() as postgres:
        os.environ["AIRFLOW_CONN_LEDGER_DB"] = postgres.connection_json(postgres.create_database("ledger"))
        sql_ledger(url, run)
        connections = {
            "braze_default": json.dumps({"conn_type": "braze", "host": url, "password": "key"}),
            "braze_64": json.dumps({"conn_type": "braze", "host": url, "password": "key", "extra": {"lanes": 64}}),
            "stub": json.dumps({"conn_type": "http", "host": url}),
        }
        database = postgres.url(postgres.create_database("airflow")).replace("://", "+psycopg2://")
        with Airflow(
            HERE / "dags",
            database=database,
            executor="LocalExecutor",
            connections=connections,
            settings=AS_IT_COMES,
        ) as airflow:
            airflow.command("db", "migrate")
            airflow.start("scheduler", "dag-processor")
            airflow.wait_until_ready("by_http_operator", "by_one_task", "by_one_task_of_64_lanes", "by_ledger")
            task_state(airflow)
            whole_runs(airflow)


def sql_ledger(url: str, run: Any) -> None:
    ratios, rates = [], []
    for _ in range(ROUNDS):
        off, on = (run(name, url, REQUESTS) for name in ("ours", "ours_sql_ledger"))
        seconds = [figure["deliver_seconds"] for figure in (off, on)]
        ratios.append(seconds[0] / seconds[1])
        rates.append(REQUESTS / seconds[1])
    console.print(
        f"SqlLedger on PostgreSQL, 50 ms, 16 lanes: {median(rates):,.0f} requests a second, {median(ratios):.2f} of "
        f"the rate without a ledger (rounds: {', '.join(f'{ratio:.2f}' for ratio in ratios)})"
    )


def task_state(airflow: Any) -> None:
    figures = airflow.result(trigger(airflow, "by_ledger")[0])
    ratios = [off / on for off, on in zip(figures["off"], figures["task_state"], strict=True)]
    console.print(
        f"TaskStateLedger through a real API server, 50 ms, 16 lanes: {REQUESTS / median(figures['task_state']):,.0f} "
        f"requests a second, {median(ratios):.2f} of the rate without a ledger (rounds: "
        f"{', '.join(f'{ratio:.2f}' for ratio in ratios)})"
    )


def whole_runs(airflow: Any) -> None:
    from bench_dags import BY_HTTP_OPERATOR, BY_ONE_TASK

    by_one = {"16 lanes, the default": "by_one_task", "64 lanes": "by_one_task_of_64_lanes"}
    people = {"by_http_operator": BY_HTTP_OPERATOR, **dict.fromkeys(by_one.values(), BY_ONE_TASK)}
    rounds = [{dag_id: count / seconds(airflow, dag_id) for dag_id, count in people.items()} for _ in range(ROUNDS)]
    by_http = [rates["by_http_operator"] for rates in rounds]
    console.print(
        f"Whole DAG run under LocalExecutor, a mapped HttpOperator over {BY_HTTP_OPERATOR:,}: {spread(by_http)} "
        f"recipients a second"
    )
    for lanes, dag_id in by_one.items():
        rates = [figures[dag_id] for figures in rounds]
        ratios = [ours / theirs for ours, theirs in zip(rates, by_http, strict=True)]
        console.print(
            f"  one send task over {BY_ONE_TASK:,}, {lanes}: {spread(rates)} recipients a second, {spread(ratios)} "
            "times the rate"
        )
    console.print()


def spread(figures: list[float]) -> str:
    return f"{median(figures):,.0f} ({min(figures):,.0f} to {max(figures):,.0f})"


def seconds(airflow: Any, dag_id: str) -> float:
    """Run a DAG, and give the time from the beginning of its run to its end."""
    run = airflow.get(f"dags/{dag_id}/dagRuns/{trigger(airflow, dag_id)[0]['dag_run_id']}")
    began, ended = (datetime.fromisoformat(run[name]) for name in ("start_date", "end_date"))
    return (ended - began).total_seconds()


def trigger(airflow: Any, dag_id: str) -> list[dict[str, Any]]:
    """Run a DAG to its end, and give its task instances."""
    run_id = airflow.post(f"dags/{dag_id}/dagRuns", logical_date=None)["dag_run_id"]
    path = f"dags/{dag_id}/dagRuns/{run_id}"
    airflow.wait_for(f"{dag_id} to end", lambda: airflow.get(path)["state"] in ("success", "failed"), 600)
    instances = airflow.task_instances(dag_id, run_id)
    if airflow.get(path)["state"] != "success":
        raise RuntimeError(f"{dag_id} failed:\n{airflow.task_log(instances[0], 1)[-5000:]}")
    return instances


if __name__ == "__main__":
    import bench

    with bench.stub(0.05) as stub_url:
        main(stub_url, bench.run)
