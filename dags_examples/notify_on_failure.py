"""Load the day's orders, and tell the people on call through Braze if that fails or takes too long.

A campaign "Incidents", made once in Braze's dashboard and triggered by the API, decides how they are told: by SMS, push
or e-mail. Its message shows what happened, for example ``{{api_trigger_properties.${dag_id}}}``, and in the same way
``task_id``, ``run_id``, ``try_number``, ``log_url`` and ``error``; ``deadline`` is there if the run took too long.

People are told once a task has failed for good, not at each try. If Braze cannot be reached, the notification is tried
again for half a minute. If its answer is lost, it is not: rather no second page at night. Whatever becomes of it, the
task's own error stays in the task's log.

Connections: ``warehouse`` (any SQL database) and ``braze_default``. The key needs ``campaigns.trigger.send``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, BaseHook, task, timezone
from airflow.sdk.definitions.deadline import AsyncCallback, DeadlineAlert, DeadlineReference

from airflow_provider_braze.notifications.braze import BrazeNotifier

# Users of your Braze workspace, by external user id.
ON_CALL: dict[str, Any] = {
    "campaign_id": "3d9a5c71-8e20-4b6f-9c14-5d7e8f901a2b",
    "recipients": ["on-call-first", "on-call-second"],
    "trigger_properties": {"runbook": "https://wiki.example.com/orders"},
}

with DAG(
    dag_id="braze_notify_on_failure",
    schedule="0 5 * * *",
    start_date=timezone.datetime(2026, 11, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"on_failure_callback": BrazeNotifier(**ON_CALL)},
    # The triggerer makes this one when it is due, with the same parameters.
    deadline=DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=1),
        callback=AsyncCallback(BrazeNotifier, kwargs=ON_CALL),
    ),
    doc_md=__doc__,
    tags=["braze"],
) as dag:

    @task(retries=2, retry_delay=timedelta(minutes=1))
    def load_orders() -> int:
        """Count the orders of the day; fails where there are none."""
        (count,) = BaseHook.get_hook("warehouse").get_first("SELECT COUNT(*) FROM orders")
        if not count:
            raise ValueError("no orders have arrived")
        return int(count)

    @task
    def refresh_report(count: int) -> str:
        """Stand for what follows."""
        return f"{count} orders"

    refresh_report(load_orders())
