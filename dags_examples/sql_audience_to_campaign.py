"""Every morning, send the weekly offer to the customers whom a SQL table names.

The query's columns are the mapping: ``external_user_id`` says who is meant, every other column becomes a value that
the campaign's message can show as ``{{api_trigger_properties.${first_name}}}``. One row per person: where somebody
stands in the table twice, the first row counts, so the query puts the newest one first.

The audience is read and checked whole before the first message leaves. Up to ten rows that cannot be sent, for example
because their id got lost, are left out and named in the log; with more of them the task fails and nothing is sent.

Connections: ``warehouse`` (any SQL database) and ``braze_default``. The key needs ``campaigns.trigger.send``.
"""

from __future__ import annotations

from airflow.sdk import DAG, timezone

from airflow_provider_braze.delivery.audience import SqlAudience
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator

with DAG(
    dag_id="braze_sql_audience_to_campaign",
    schedule="0 7 * * *",
    start_date=timezone.datetime(2026, 11, 1),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["braze"],
) as dag:
    BrazeSendCampaignOperator(
        task_id="send_weekly_offer",
        campaign_id="0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10",
        recipients=SqlAudience(
            conn_id="warehouse",
            sql="""
                SELECT customer_id AS external_user_id, first_name, city, points
                FROM customers
                WHERE subscribed = 1
                ORDER BY last_order DESC
            """,
        ),
        trigger_properties={"week": "{{ dag_run.run_after | ds }}"},
        max_invalid=10,
    )
