"""What `airflow_bench.py` runs in a real Airflow; the connection ``braze_default`` leads to the stub server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import DAG, task, timezone

from airflow_provider_braze.delivery.audience import Audience
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator

CAMPAIGN = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
START = timezone.datetime(2026, 1, 1)
BY_HTTP_OPERATOR, BY_ONE_TASK, BY_LEDGER = 2_000, 50_000, 80_000
WAITS_A_RUN = 1_000
ROUNDS = 3


def recipients(count: int) -> Iterator[dict[str, Any]]:
    return (
        {"external_user_id": f"user-{place:07d}", "trigger_properties": {"points": place}} for place in range(count)
    )


class Everybody(Audience):
    """So many customers, as a query would give them."""

    def __init__(self, count: int) -> None:
        self.count = count

    def recipients(self, values_field: str | None = None) -> Iterator[Any]:
        return recipients(self.count)


class Prefixed:
    """The task state store, with keys of their own for each round."""

    def __init__(self, store: Any, prefix: str) -> None:
        self._store, self._prefix = store, prefix

    def get(self, key: str) -> Any:
        return self._store.get(self._prefix + key)

    def set(self, key: str, value: Any, **options: Any) -> None:
        self._store.set(self._prefix + key, value, **options)


with DAG("by_http_operator", schedule=None, start_date=START):
    people = list(recipients(BY_HTTP_OPERATOR))
    HttpOperator.partial(
        task_id="send",
        http_conn_id="stub",
        endpoint="campaigns/trigger/send",
        method="POST",
        headers={"authorization": "Bearer key", "content-type": "application/json"},
    ).expand(
        data=[
            json.dumps({"campaign_id": CAMPAIGN, "recipients": people[first : first + 50]})
            for first in range(0, len(people), 50)
        ]
    )

with DAG("by_one_task", schedule=None, start_date=START):
    BrazeSendCampaignOperator(task_id="send", campaign_id=CAMPAIGN, recipients=Everybody(BY_ONE_TASK))

with DAG("by_one_task_of_64_lanes", schedule=None, start_date=START):
    BrazeSendCampaignOperator(
        task_id="send", braze_conn_id="braze_64", campaign_id=CAMPAIGN, recipients=Everybody(BY_ONE_TASK)
    )

with DAG("ten_thousand", schedule=None, start_date=START):

    @task
    def wait(number: int) -> None:
        """Never runs: its instances are put to wait."""

    wait.expand(number=list(range(WAITS_A_RUN)))

with DAG("by_ledger", schedule=None, start_date=START):

    @task
    def measure(**context: Any) -> dict[str, list[float]]:
        """Seconds per round of sending, with the ledger off and in Airflow's task state, in turn."""
        import aiohttp  # noqa: F401 (imported before the clock starts)

        from airflow_provider_braze.delivery.engine import Delivery, deliver
        from airflow_provider_braze.delivery.ledger import TaskTry
        from airflow_provider_braze.delivery.plan import Plan
        from airflow_provider_braze.delivery.task_state import TaskStateLedger
        from airflow_provider_braze.hooks.braze import BrazeHook

        figures: dict[str, list[float]] = {"off": [], "task_state": []}
        for number in range(2 * ROUNDS):
            name = ("off", "task_state")[number % 2]
            with Plan("campaigns_trigger_send", {"campaign_id": CAMPAIGN}, Everybody(BY_LEDGER)) as plan:
                store = Prefixed(context["task_state_store"], f"round-{number}/")
                known = TaskTry("bench", "run", "task", store=store)
                client = BrazeHook().get_async_conn()
                ledger = TaskStateLedger().open(known, plan) if name == "task_state" else None
                began = time.perf_counter()
                deliver(Delivery(plan, client, ledger=ledger))
                figures[name].append(time.perf_counter() - began)
        return figures

    measure()
