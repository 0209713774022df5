"""Every morning, look at what the dashboard is about to send this week, and fail where something is due at night.

Braze lists the campaigns and Canvases that somebody scheduled in the dashboard; what DAGs schedule through the API is
not in it. Where ``schedule_type`` is a kind of local time, the hour counts on each user's own clock, otherwise in the
zone that the time names. Put your alert on the DAG: ``on_failure_callback`` gets the message with the names.

Connection: ``braze_default``. The key needs ``messages.schedule_broadcasts``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.sdk import DAG, task, timezone

from airflow_provider_braze.operators.schedule import BrazeListScheduledBroadcastsOperator

DAYS_AHEAD = 7
QUIET_FROM, QUIET_TO = 21, 8

with DAG(
    dag_id="braze_audit_scheduled_broadcasts",
    schedule="30 6 * * *",
    start_date=timezone.datetime(2026, 11, 1),
    catchup=False,
    doc_md=__doc__,
    tags=["braze"],
) as dag:
    upcoming = BrazeListScheduledBroadcastsOperator(
        task_id="list_upcoming",
        end_time=f"{{{{ macros.ds_add(dag_run.run_after | ds, {DAYS_AHEAD}) }}}}T00:00:00Z",
    )

    @task
    def nothing_at_night(answer: dict[str, Any]) -> int:
        """Fail with the names of what is due between 21:00 and 08:00; count what is fine."""
        at_night = []
        for one in answer["scheduled_broadcasts"]:
            hour = datetime.fromisoformat(one["next_send_time"][:19]).hour
            if hour >= QUIET_FROM or hour < QUIET_TO:
                at_night.append(f"{one['type']} {one['name']!r} at {one['next_send_time']} ({one['schedule_type']})")
        if at_night:
            raise ValueError("Due at night: " + "; ".join(at_night))
        return len(answer["scheduled_broadcasts"])

    nothing_at_night(upcoming.output)
