"""Two hundred thousand customers, divided over eight tasks, who share one ledger and one quota."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, timezone

from airflow_provider_braze.delivery.audience import SqlAudience
from airflow_provider_braze.delivery.sql_ledger import SqlLedger
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator

with DAG("spring_sale", schedule=None, start_date=timezone.datetime(2026, 1, 1)) as dag:
    BrazeSendCampaignOperator.partial(
        task_id="send",
        campaign_id="0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10",
        ledger=SqlLedger("ledger_db"),
        delivery_key="spring_sale",
        on_unknown="reconcile",
        settling_time=timedelta(seconds=2),
        retries=3,
        retry_delay=timedelta(seconds=1),
    ).expand(
        recipients=SqlAudience(
            "shop", "SELECT id AS external_user_id, first_name FROM customers ORDER BY id DESC"
        ).partitions(8)
    )
