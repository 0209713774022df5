"""Every Monday, let the members of each region into the loyalty Canvas, everybody with their own context.

One task per region works out what each member should read, here how many cups are left until the free one; one more
task per region enters those members into the Canvas. A region that fails stops nobody else's. What every message of
the Canvas may show as ``{{context.${season}}}`` is the same for all, ``{{context.${cups_left}}}`` is a member's own.

Duplicates are merged within a task, not between them: a member belongs to one region here. The members travel through
XCom; for many more than a few thousand per region, give a ``SqlAudience`` instead.

Connections: ``warehouse`` (any SQL database) and ``braze_default``. The key needs ``canvas.trigger.send``.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, BaseHook, task, timezone

from airflow_provider_braze.operators.send import BrazeSendCanvasOperator

CUPS_FOR_A_FREE_ONE = 10
REGIONS = "SELECT DISTINCT region FROM members ORDER BY region"
# The placeholder is in the style of the database's driver: ? for SQLite, %s for Postgres and Snowflake.
MEMBERS = "SELECT customer_id, first_name, cups FROM members WHERE region = ? ORDER BY customer_id"

with DAG(
    dag_id="braze_canvas_with_context_per_user",
    schedule="0 8 * * 1",
    start_date=timezone.datetime(2026, 11, 1),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["braze"],
) as dag:

    @task
    def regions() -> list[str]:
        """Name the regions that have members."""
        return [region for (region,) in BaseHook.get_hook("warehouse").get_records(REGIONS)]

    @task
    def members_of(region: str) -> list[dict[str, Any]]:
        """Work out the context of each member."""
        rows = BaseHook.get_hook("warehouse").get_records(MEMBERS, parameters=(region,))
        return [
            {
                "external_user_id": customer_id,
                "context": {
                    "first_name": first_name,
                    "region": region,
                    "cups_left": CUPS_FOR_A_FREE_ONE - cups % CUPS_FOR_A_FREE_ONE,
                },
            }
            for customer_id, first_name, cups in rows
        ]

    BrazeSendCanvasOperator.partial(
        task_id="enter_canvas",
        canvas_id="0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10",
        context={"season": "autumn"},
        max_active_tis_per_dagrun=4,
    ).expand(recipients=members_of.expand(region=regions()))
