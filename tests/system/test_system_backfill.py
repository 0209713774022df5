"""``airflow backfill create`` over a month, with a real scheduler: nobody is messaged unless the author wrote so."""

from __future__ import annotations

import pytest
from airflow_processes import Airflow
from servers import Postgres

from airflow_provider_braze.emulator import BrazeEmulator

DAYS = 30
DAG_IDS = ("letters", "letters_on_purpose")
ENDS_WITHIN = 900
DAG_FILE = """
from airflow.sdk import DAG, timezone

from airflow_provider_braze.operators.schedule import BrazeScheduleCampaignOperator
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator, BrazeSendTransactionalEmailOperator

WEEKLY, ORDER_READY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10", "7a1f0c3e-2b4d-4e6f-8a90-1b2c3d4e5f60"

TOMORROW = "{{ (macros.datetime.utcnow() + macros.timedelta(days=1)).isoformat() }}Z"

for dag_id, wishes in {"letters": {}, "letters_on_purpose": {"on_backfill": "send", "max_staleness": None}}.items():
    with DAG(
        dag_id,
        schedule="@daily",
        start_date=timezone.datetime(2026, 3, 1),
        # The scheduler makes no runs of its own after it.
        end_date=timezone.datetime(2026, 3, 31),
        catchup=False,
        max_active_tasks=64,
        default_args=wishes,
    ):
        BrazeSendCampaignOperator(task_id="send", campaign_id=WEEKLY, recipients=["u-1", "u-2"])
        BrazeSendCampaignOperator.partial(task_id="send_mapped", campaign_id=WEEKLY).expand(recipients=[["u-3"]])
        BrazeScheduleCampaignOperator(
            task_id="schedule", campaign_id=WEEKLY, recipients=["u-1"], schedule=TOMORROW
        )
        BrazeSendTransactionalEmailOperator(
            task_id="receipt",
            campaign_id=ORDER_READY,
            recipient={"external_user_id": "u-1"},
            trigger_properties={"order": {"number": 7, "counter": "North door"}},
        )
"""
TASKS = ("send", "send_mapped", "schedule", "receipt")


@pytest.fixture
def braze():
    with BrazeEmulator() as emulator:
        yield emulator


@pytest.fixture
def airflow(braze, tmp_path):
    """With PostgreSQL: SQLite is locked when a backfill is made while the scheduler works."""
    (tmp_path / "letters.py").write_text(DAG_FILE)
    with Postgres(fsync="off") as postgres:
        database = postgres.url(postgres.create_database("airflow")).replace("://", "+psycopg2://")
        with Airflow(
            tmp_path,
            database=database,
            executor="LocalExecutor",
            connections={"braze_default": braze.connection_json()},
            settings={"core.parallelism": 4},
        ) as airflow:
            airflow.command("db", "migrate")
            airflow.start("scheduler", "dag-processor")
            airflow.wait_until_ready(*DAG_IDS)
            yield airflow


def backfill(airflow, dag_id, days):
    """Create a backfill as a person does, and wait until its runs have ended; gives its task instances."""
    span = ("--from-date", "2026-03-01", "--to-date", f"2026-03-{days:02}")
    airflow.command("backfill", "create", "--dag-id", dag_id, *span, "--max-active-runs", str(days))

    def ended():
        runs = airflow.get(f"dags/{dag_id}/dagRuns")["dag_runs"]
        assert {run["run_type"] for run in runs} == {"backfill"}
        return len(runs) == days and all(run["state"] in ("success", "failed") for run in runs)

    airflow.wait_for(f"the end of {days} runs of {dag_id}", ended, ENDS_WITHIN, every=2.0)
    return airflow.task_instances(dag_id)


def test_a_backfill_messages_nobody_and_says_so_unless_its_author_wrote_that_it_sends(airflow, braze):
    instances = backfill(airflow, "letters", DAYS)
    assert sorted(instance["task_id"] for instance in instances) == sorted(TASKS * DAYS)
    assert {instance["state"] for instance in instances} == {"skipped"}
    for instance in instances:
        log = airflow.task_log(instance, 1)
        assert f"This run ({instance['dag_run_id']}) belongs to a backfill: nobody is messaged" in log
        assert "on_backfill='send'" in log
    assert braze.requests() == []
    assert braze.deliveries() == {}

    instances = backfill(airflow, "letters_on_purpose", 2)
    assert [instance["state"] for instance in instances] == ["success"] * 2 * len(TASKS)
    assert braze.deliveries() == {"external_user_id:u-1": 4, "external_user_id:u-2": 2, "external_user_id:u-3": 2}
    assert len(braze.schedules()) == 2
