"""DAGs whose tasks wait in the triggerer for a local Braze."""

from __future__ import annotations

from airflow.sdk import DAG, timezone
from waiting_ids import (
    BOUNCING,
    CROWD,
    CROWD_SIZE,
    FEW,
    FEW_SIZE,
    JOURNEY,
    LATE,
    LETTER,
    NEWS,
    PAUSED,
    POLL_SECONDS,
    SALE,
)

from airflow_provider_braze.sensors.broadcasts import BrazeScheduledBroadcastSensor
from airflow_provider_braze.sensors.metrics import BrazeCampaignMetricSensor, BrazeCanvasMetricSensor
from airflow_provider_braze.sensors.recipients import BrazeRecipientsReceivedSensor
from airflow_provider_braze.sensors.status import BrazeCampaignActiveSensor

START = timezone.datetime(2026, 1, 1)
WAITING = {"deferrable": True, "poke_interval": POLL_SECONDS}
TODAY = "{{ dag_run.run_after.date() }}"

with DAG("waits", schedule=None, start_date=START, default_args=WAITING):
    BrazeCampaignMetricSensor(task_id="sent", campaign_id=SALE, at_least=100, since=TODAY)
    BrazeCampaignActiveSensor(task_id="active", campaign_id=PAUSED)
    BrazeRecipientsReceivedSensor(task_id="received", campaign_id=NEWS, recipients=["kim", "robin"])
    BrazeScheduledBroadcastSensor(
        task_id="scheduled",
        expect="scheduled",
        canvas_id=LETTER,
        before="{{ dag_run.run_after + macros.timedelta(days=7) }}",
    )
    BrazeCampaignMetricSensor(
        task_id="bounced", campaign_id=BOUNCING, at_least=100, since=TODAY, at_most={"bounces": 5}
    )
    BrazeCampaignMetricSensor(task_id="late", campaign_id=LATE, at_least=100, since=TODAY, timeout=15, soft_fail=True)
    BrazeCampaignActiveSensor(task_id="wrong_key", campaign_id=PAUSED, braze_conn_id="braze_wrong")
    BrazeCanvasMetricSensor(task_id="revoked_key", canvas_id=JOURNEY, at_least=100, since=TODAY)

with DAG("crowd", schedule=None, start_date=START, default_args=WAITING):
    BrazeCampaignMetricSensor.partial(task_id="sent", at_least=100, since=TODAY).expand(
        campaign_id=[CROWD] * CROWD_SIZE + [FEW] * FEW_SIZE
    )
