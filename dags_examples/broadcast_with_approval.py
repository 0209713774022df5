"""Invite all gold members to their evening, once a person has approved it, and keep the figures under an id of its own.

The campaign's target audience, set in Braze's dashboard, decides who is a gold member. ``broadcast=True`` is what sends
to all of them; without it, a missing list of recipients would fail the task. Airflow shows the question under Required
Actions; "Reject" skips the rest, and the run ends without a message and without a send id.

The send id is made after the approval, for Braze allows 100 a day. It separates this evening's figures from those of
other sends of the campaign, for 14 days; it does not prevent a second send.

Connection: ``braze_default``. The key needs ``sends.id.create`` and ``campaigns.trigger.send``.
"""

from __future__ import annotations

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import DAG, Param, timezone

from airflow_provider_braze.operators.send import BrazeCreateSendIdOperator, BrazeSendCampaignOperator

CAMPAIGN_ID = "9c3b7d20-6e51-4f8a-b1c2-3d4e5f607182"

with DAG(
    dag_id="braze_broadcast_with_approval",
    schedule=None,
    start_date=timezone.datetime(2026, 11, 1),
    catchup=False,
    max_active_runs=1,
    params={"doors_open": Param("19:00", type="string", title="Doors open at")},
    doc_md=__doc__,
    tags=["braze"],
) as dag:
    approve = ApprovalOperator(
        task_id="approve",
        subject="Invite all gold members to their evening?",
        body="Doors open at {{ params.doors_open }}. The campaign goes to its whole target audience.",
    )

    make_send_id = BrazeCreateSendIdOperator(
        task_id="make_send_id",
        campaign_id=CAMPAIGN_ID,
        send_id="gold-evening-{{ dag_run.run_after | ts_nodash }}",
    )

    invite = BrazeSendCampaignOperator(
        task_id="invite",
        campaign_id=CAMPAIGN_ID,
        broadcast=True,
        send_id=make_send_id.output["send_id"],
        trigger_properties={"time": "{{ params.doors_open }}"},
    )

    approve >> make_send_id >> invite
