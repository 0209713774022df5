"""Every five minutes, mail a receipt for each order that was paid.

The order's number is the ``external_send_id``, and Braze sends the same one once within 24 hours. So each run looks
back a whole hour: an order that an earlier run saw gets no second receipt, one that a failed run missed gets its own.

A transactional campaign reaches people whatever they are subscribed to: receipts only, no offers.

Connections: ``warehouse`` (any SQL database) and ``braze_default``. The key needs ``transactional.send``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, BaseHook, task, timezone

from airflow_provider_braze.operators.send import BrazeSendTransactionalEmailOperator

# The placeholder is in the style of the database's driver: ? for SQLite, %s for Postgres and Snowflake.
PAID_SINCE = "SELECT number, customer_id, counter, total FROM orders WHERE paid_at >= ? ORDER BY paid_at"

with DAG(
    dag_id="braze_transactional_receipt",
    schedule="*/5 * * * *",
    start_date=timezone.datetime(2026, 11, 1),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["braze"],
) as dag:

    @task
    def paid_orders(dag_run: Any = None) -> list[dict[str, Any]]:
        """Say whom to send what, for each order of the last hour."""
        since = (dag_run.run_after - timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S")
        rows = BaseHook.get_hook("warehouse").get_records(PAID_SINCE, parameters=(since,))
        return [
            {
                "recipient": {"external_user_id": customer_id},
                "trigger_properties": {"order": {"number": number, "counter": counter, "total": total}},
                "external_send_id": f"receipt-{number}",
            }
            for number, customer_id, counter, total in rows
        ]

    BrazeSendTransactionalEmailOperator.partial(
        task_id="send_receipt",
        campaign_id="7a1f0c3e-2b4d-4e6f-8a90-1b2c3d4e5f60",
        allow_repeated=True,
        retries=3,
        retry_delay=timedelta(seconds=30),
        max_active_tis_per_dagrun=8,
    ).expand_kwargs(paid_orders())
