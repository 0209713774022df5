"""A DAG that fails and one that is late, both with people on call."""

from __future__ import annotations

import time
from datetime import timedelta

from airflow.sdk import DAG, task, timezone
from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference

from airflow_provider_braze.notifications.braze import BrazeNotifier

CAMPAIGN = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
START = timezone.datetime(2026, 11, 1)


def on_call(name):
    return {
        "campaign_id": CAMPAIGN,
        "recipients": [name],
        "trigger_properties": {"title": "{{ facts.dag_id }} needs you"},
    }


with DAG("fails", schedule=None, start_date=START, on_failure_callback=BrazeNotifier(**on_call("run"))):

    @task(on_failure_callback=BrazeNotifier(**on_call("task")))
    def load():
        raise ValueError("no such table: orders")

    load()

with DAG(
    "late",
    schedule=None,
    start_date=START,
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(seconds=1),
        callback=AsyncCallback(BrazeNotifier, kwargs=on_call("deadline")),
    ),
):

    @task
    def dawdle():
        time.sleep(600)

    dawdle()
