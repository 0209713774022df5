"""Schedule the launch of a new roast for tomorrow 09:00 on everybody's own clock; move it or call it off in time.

1. The campaign is scheduled for all subscribers, with the roast that is launched tomorrow.
2. ``check_prices`` looks whether every shop has a price for it. If one has not, or scheduling itself failed halfway,
   the group's teardown deletes the schedules, and the run fails. Enter the price and clear ``check_prices`` with all
   downstream: Airflow then clears the scheduling, too, which makes anew what was deleted.
3. If the beans arrive late, the launch moves to noon. A schedule's time can be changed; its people and values cannot:
   where those differ, the scheduling task, cleared, deletes and schedules anew by itself.

Tomorrow 09:00 begins where the day begins, at 19:00 UTC today. What is moved or deleted later reaches some too late:
hence 06:00 UTC for the run, and an ``execution_timeout`` on the guard. A ``dagrun_timeout`` would not do: where it is
over, Airflow skips the teardown, too, so that the messages go out unguarded.

Connections: ``warehouse`` (any SQL database) and ``braze_default``. The key needs
``campaigns.trigger.schedule.create``, ``campaigns.trigger.schedule.update`` and ``campaigns.trigger.schedule.delete``.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.sql.operators.sql import SQLCheckOperator
from airflow.sdk import DAG, BaseHook, task, timezone

from airflow_provider_braze.delivery.audience import SqlAudience
from airflow_provider_braze.operators.schedule import (
    BrazeScheduleCampaignOperator,
    BrazeUpdateScheduledCampaignOperator,
)
from airflow_provider_braze.operators.schedule_group import guarded_schedule

CAMPAIGN_ID = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
TOMORROW = "{{ macros.ds_add(dag_run.run_after | ds, 1) }}"

with DAG(
    dag_id="braze_schedule_for_tomorrow_local_time",
    schedule="0 6 * * *",
    start_date=timezone.datetime(2026, 11, 1),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["braze"],
) as dag:
    with guarded_schedule(
        "launch",
        BrazeScheduleCampaignOperator,
        campaign_id=CAMPAIGN_ID,
        recipients=SqlAudience(
            conn_id="warehouse",
            sql="SELECT customer_id AS external_user_id, first_name FROM customers WHERE subscribed = 1 ORDER BY 1",
        ),
        trigger_properties={"launch_day": TOMORROW},
        schedule={"time": f"{TOMORROW}T09:00:00", "in_local_time": True},
    ) as launch:
        SQLCheckOperator(
            task_id="check_prices",
            conn_id="warehouse",
            sql="SELECT COUNT(*) = 0 FROM launch_prices WHERE price IS NULL",
            execution_timeout=timedelta(hours=6),
        )

    @task.short_circuit
    def beans_arrive_late() -> bool:
        """Decide whether the launch moves."""
        [late] = BaseHook.get_hook("warehouse").get_first("SELECT COUNT(*) FROM deliveries WHERE arrives_at > '09:00'")
        return late > 0

    move = BrazeUpdateScheduledCampaignOperator(
        task_id="move_to_noon",
        campaign_id=CAMPAIGN_ID,
        schedule_id=launch.schedule_task.output["schedule_ids"],
        schedule={"time": f"{TOMORROW}T12:00:00", "in_local_time": True},
    )

    launch >> beans_arrive_late() >> move
