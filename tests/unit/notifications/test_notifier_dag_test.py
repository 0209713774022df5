"""A notifier in ``dag.test()``: of a DAG and of a task."""

from __future__ import annotations

import pytest
from airflow.sdk import DAG, task, timezone

INCIDENTS = "3d9a5c71-8e20-4b6f-9c14-5d7e8f901a2b"


@pytest.mark.parametrize("where", ["dag", "task"])
def test_somebody_is_told(where, run_dag, notifier, braze_emulator):
    tell = notifier(campaign_id=INCIDENTS, trigger_properties={"text": "{{ facts.dag_id }}"})
    of_dag, of_task = (tell, None) if where == "dag" else (None, tell)
    with DAG(
        f"told_by_{where}", schedule=None, start_date=timezone.datetime(2026, 1, 1), on_failure_callback=of_dag
    ) as dag:

        @task(on_failure_callback=of_task)
        def load():
            raise ValueError("no orders have arrived")

        load()
    assert str(run_dag(dag).state) == "failed"
    [request] = braze_emulator.requests()
    assert request["body"]["trigger_properties"]["text"] == f"told_by_{where}"
    [message] = braze_emulator.messages()
    assert message["subject"] == f"told_by_{where} needs you"
