"""Schedule the launch of a new roast for tomorrow 09:00 on everybody's own clock; move it or call it off in time.

1. The campaign is scheduled for all subscribers, with the roast that is launched tomorrow.
2. ``check_prices`` looks whether every shop has a price for it. If one has not, ``call_off`` deletes the schedules, and
   the run fails. It is no teardown: a teardown runs always, and would delete the good schedules too.
3. If the beans arrive late, the launch moves to noon. A schedule's time can be changed; its people and values cannot:
   delete and schedule anew for that.

Tomorrow 09:00 begins where the day begins, at 19:00 UTC today. What is moved or deleted later reaches some too late:
hence 06:00 UTC for the run, and a limit on its duration. If scheduling itself fails halfway, the log names the error
and nothing is called off by itself.

Connections: ``warehouse`` (any SQL database) and ``braze_default``. The key needs
``campaigns.trigger.schedule.create``, ``campaigns.trigger.schedule.update`` and ``campaigns.trigger.schedule.delete``.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.sql.operators.sql import SQLCheckOperator
from airflow.sdk import DAG, BaseHook, task, timezone

from airflow_provider_braze.delivery.audience import SqlAudience
from airflow_provider_braze.operators.schedule import (
    BrazeDeleteScheduledCampaignOperator,
    BrazeScheduleCampaignOperator,
    BrazeUpdateScheduledCampaignOperator,
)

CAMPAIGN_ID = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
TOMORROW = "{{ macros.ds_add(dag_run.run_after | ds, 1) }}"

with DAG(
    dag_id="braze_schedule_for_tomorrow_local_time",
    schedule="0 6 * * *",
    start_date=timezone.datetime(2026, 11, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    doc_md=__doc__,
    tags=["braze"],
) as dag:
    schedule = BrazeScheduleCampaignOperator(
        task_id="schedule_launch",
        campaign_id=CAMPAIGN_ID,
        recipients=SqlAudience(
            conn_id="warehouse",
            sql="SELECT customer_id AS external_user_id, first_name FROM customers WHERE subscribed = 1",
        ),
        trigger_properties={"launch_day": TOMORROW},
        schedule={"time": f"{TOMORROW}T09:00:00", "in_local_time": True},
    )

    check_prices = SQLCheckOperator(
        task_id="check_prices",
        conn_id="warehouse",
        sql="SELECT COUNT(*) = 0 FROM launch_prices WHERE price IS NULL",
    )

    @task.short_circuit
    def beans_arrive_late() -> bool:
        """Decide whether the launch moves."""
        [late] = BaseHook.get_hook("warehouse").get_first("SELECT COUNT(*) FROM deliveries WHERE arrives_at > '09:00'")
        return late > 0

    move = BrazeUpdateScheduledCampaignOperator(
        task_id="move_to_noon",
        campaign_id=CAMPAIGN_ID,
        schedule_id=schedule.output["schedule_ids"],
        schedule={"time": f"{TOMORROW}T12:00:00", "in_local_time": True},
    )

    call_off = BrazeDeleteScheduledCampaignOperator(
        task_id="call_off",
        campaign_id=CAMPAIGN_ID,
        schedule_id=schedule.output["schedule_ids"],
        trigger_rule="one_failed",
    )

    schedule >> check_prices >> call_off
    check_prices >> beans_arrive_late() >> move
