"""Send a campaign, wait until it is delivered, and look whether people have really got it.

1. ``nothing_else`` holds the send back while the dashboard has something scheduled within the next two hours.
2. ``send`` messages the customers under a send id of this run, so that its figures are not mixed with other sends.
3. ``delivered`` waits in the triggerer, at no worker's cost, until 95 % of those whom Braze accepted have it. It fails
   early where more than 2 % bounce.
4. ``spot_check`` asks Braze about 50 of them: "accepted" does not even mean that a user exists.

Every wait ends: with the figure, with a reason, or after its timeout.

Connections: ``warehouse`` (any SQL database) and ``braze_default``. The key needs ``campaigns.trigger.send``,
``sends.id.create``, ``sends.data_series``, ``campaigns.details``, ``messages.schedule_broadcasts`` and
``users.export.ids``.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, timezone

from airflow_provider_braze.delivery.audience import SqlAudience
from airflow_provider_braze.operators.send import BrazeCreateSendIdOperator, BrazeSendCampaignOperator
from airflow_provider_braze.sensors.broadcasts import BrazeScheduledBroadcastSensor
from airflow_provider_braze.sensors.metrics import BrazeSendMetricSensor
from airflow_provider_braze.sensors.recipients import BrazeRecipientsReceivedSensor

CAMPAIGN_ID = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
CUSTOMERS = SqlAudience(
    conn_id="warehouse",
    sql="SELECT customer_id AS external_user_id FROM customers WHERE subscribed = 1 AND customer_id IS NOT NULL",
)

with DAG(
    dag_id="braze_send_wait_verify",
    schedule="0 8 * * 2",
    start_date=timezone.datetime(2026, 11, 1),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["braze"],
) as dag:
    nothing_else = BrazeScheduledBroadcastSensor(
        task_id="nothing_else",
        expect="nothing",
        before="{{ dag_run.run_after + macros.timedelta(hours=2) }}",
        deferrable=True,
        timeout=timedelta(hours=1),
    )
    send_id = BrazeCreateSendIdOperator(task_id="send_id", campaign_id=CAMPAIGN_ID)
    send = BrazeSendCampaignOperator(
        task_id="send", campaign_id=CAMPAIGN_ID, recipients=CUSTOMERS, send_id=send_id.output["send_id"]
    )
    delivered = BrazeSendMetricSensor(
        task_id="delivered",
        campaign_id=CAMPAIGN_ID,
        send_id=send_id.output["send_id"],
        metric="delivered",
        at_least_share=0.95,
        at_most_share={"bounces": 0.02},
        accepted=send.output,
        deferrable=True,
        timeout=timedelta(hours=6),
    )
    spot_check = BrazeRecipientsReceivedSensor(
        task_id="spot_check",
        campaign_id=CAMPAIGN_ID,
        recipients=CUSTOMERS,
        accepted=send.output,
        sample=50,
        at_least_share=0.9,
        max_unknown=5,
        deferrable=True,
        timeout=timedelta(hours=6),
    )
    nothing_else >> send_id >> send >> delivered >> spot_check
