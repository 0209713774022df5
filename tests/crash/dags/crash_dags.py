"""DAGs of one task each; what a test wishes of them comes as JSON in CRASH_CELL, and may change from try to try."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import DAG
from deadly import Deadly

from airflow_provider_braze.delivery.audience import ListAudience
from airflow_provider_braze.delivery.sql_ledger import SqlLedger
from airflow_provider_braze.delivery.task_state import TaskStateLedger
from airflow_provider_braze.operators.schedule import BrazeScheduleCampaignOperator
from airflow_provider_braze.operators.send import (
    BrazeSendCampaignOperator,
    BrazeSendCanvasOperator,
    BrazeSendTransactionalEmailOperator,
)

CAMPAIGN = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
TRANSACTIONAL = "7a1f0c3e-2b4d-4e6f-8a90-1b2c3d4e5f60"
CANVAS = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
CELL = json.loads(os.environ.get("CRASH_CELL", "{}"))
if "pid_file" in CELL:
    Path(CELL["pid_file"]).write_text(str(os.getpid()))


def ledger():
    """Give the ledger of the cell; with a witness the one that may kill."""
    inner = {"task": TaskStateLedger, "sql": lambda: SqlLedger("ledger"), "none": lambda: None}[
        CELL.get("ledger", "none")
    ]()
    if inner is None or "witness" not in CELL:
        return inner
    return Deadly(inner, CELL["witness"], **CELL.get("kill", {}))


def shared():
    """Give what all tasks have in common."""
    given = {
        "retries": CELL.get("retries", 3),
        "retry_delay": timedelta(0),
        "on_unknown": CELL.get("on_unknown", "fail"),
        "on_clear": CELL.get("on_clear", "resume"),
        "ledger": ledger(),
        "settling_time": timedelta(seconds=CELL.get("settling_time", 0)),
        "max_quota_wait": timedelta(seconds=CELL.get("max_quota_wait", 1)),
        "retry_server_errors": CELL.get("retry_server_errors", True),
    }
    if CELL.get("delivery_key"):
        given["delivery_key"] = CELL["delivery_key"]
    if "execution_timeout" in CELL:
        given["execution_timeout"] = timedelta(seconds=CELL["execution_timeout"])
    return given


PEOPLE = [f"p{number}" for number in range(CELL.get("people", 365))]
# Airflow would render each of a list as a template, which takes as long as all else that a try does.
AUDIENCE = ListAudience(PEOPLE)


def campaign():
    BrazeSendCampaignOperator(task_id="send", campaign_id=CAMPAIGN, recipients=AUDIENCE, **shared())


def canvas():
    BrazeSendCanvasOperator(task_id="send", canvas_id=CANVAS, recipients=AUDIENCE, **shared())


def broadcast():
    BrazeSendCampaignOperator(task_id="send", campaign_id=CAMPAIGN, broadcast=True, **shared())


def schedule():
    BrazeScheduleCampaignOperator(
        task_id="send", campaign_id=CAMPAIGN, recipients=AUDIENCE, schedule="2099-01-01T00:00:00Z", **shared()
    )


def email():
    BrazeSendTransactionalEmailOperator(
        task_id="send", campaign_id=TRANSACTIONAL, recipient={"external_user_id": "p0"}, **shared()
    )


def mapped():
    parts = [PEOPLE[start : start + 120] for start in (0, 120, 240)]
    BrazeSendCampaignOperator.partial(task_id="send", campaign_id=CAMPAIGN, **shared()).expand(recipients=parts)


for task in (campaign, canvas, broadcast, schedule, email, mapped):
    # A cell's wishes may not suit the other tasks.
    if CELL.get("dag", task.__name__) == task.__name__:
        with DAG(f"crash_{task.__name__}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
            task()
        globals()[dag.dag_id] = dag
