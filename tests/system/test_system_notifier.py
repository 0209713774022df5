"""People on call are notified by real processes: a worker, the DAG processor, and the triggerer for a deadline."""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow_processes import Airflow
from servers import Postgres


@pytest.fixture
def airflow(braze_emulator):
    connections = {"braze_default": braze_emulator.connection_json()}
    with Postgres(fsync="off") as postgres:
        postgres.create_database("airflow")
        started = Airflow(
            Path(__file__).parent / "dags_notifier",
            database=postgres.url("airflow").replace("://", "+psycopg2://"),
            executor="LocalExecutor",
            connections=connections,
            settings={"core.parallelism": 4, "dag_processor.min_file_process_interval": 30},
        )
        with started:
            started.command("db", "migrate")
            started.start("scheduler", "dag-processor", "triggerer")
            started.wait_until_ready("fails", "late")
            yield started


def test_a_failed_task_a_failed_run_and_a_missed_deadline(airflow, braze_emulator):
    for dag_id in ("fails", "late"):
        airflow.post(f"dags/{dag_id}/dagRuns", dag_run_id="tonight", logical_date=None)
    wanted = {f"external_user_id:{name}": 1 for name in ("task", "run", "deadline")}
    airflow.wait_for("three notifications", lambda: set(braze_emulator.deliveries()) == set(wanted))
    told = {
        body["recipients"][0]["external_user_id"]: body["trigger_properties"]
        for body in (request["body"] for request in braze_emulator.requests())
    }
    assert {name: known["run_id"] for name, known in told.items()} == dict.fromkeys(told, "tonight")
    assert told["task"]["error"] == "ValueError: no such table: orders"
    assert told["task"]["title"] == told["run"]["title"] == "fails needs you"
    assert told["task"]["log_url"].partition("/dags/fails/runs/tonight/tasks/load")[1]
    assert "fail" in told["run"]["reason"]
    assert told["deadline"]["title"] == "late needs you"
    assert told["deadline"]["deadline"] > told["deadline"]["run_after"]
    assert "task_id" not in told["deadline"]
    assert braze_emulator.deliveries() == wanted
