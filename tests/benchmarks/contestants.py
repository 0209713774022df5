"""What `bench.py` runs, each in a process of its own: ``contestants.py NAME URL REQUESTS`` prints figures as JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

LANES = 16
PER_REQUEST = 50
CAMPAIGN = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
PATH = "/campaigns/trigger/send"
HEADERS = {"authorization": "Bearer key", "content-type": "application/json"}


def recipients(count: int) -> Iterator[dict[str, Any]]:
    return (
        {"external_user_id": f"user-{place:07d}", "trigger_properties": {"first_name": "Zoë", "points": place}}
        for place in range(count)
    )


def bodies(requests: int) -> list[bytes]:
    people = list(recipients(requests * PER_REQUEST))
    return [
        json.dumps(
            {"campaign_id": CAMPAIGN, "recipients": people[start : start + PER_REQUEST]},
            ensure_ascii=False,
            separators=(",", ":"),
        ).encode()
        for start in range(0, len(people), PER_REQUEST)
    ]


def ours(url: str, requests: int, wire: Any = None, ledger: Any = None) -> dict[str, float]:
    """The delivery: validate, merge, plan, send, read every answer."""
    import aiohttp  # noqa: F401 (imported before the clock starts, as in the bare loop)

    from airflow_provider_braze.api.client import AsyncBrazeClient
    from airflow_provider_braze.delivery.audience import ListAudience
    from airflow_provider_braze.delivery.engine import Delivery, deliver
    from airflow_provider_braze.delivery.plan import Plan

    client = AsyncBrazeClient(url, "key", lanes=LANES)
    people = list(recipients(requests * PER_REQUEST))
    gc.freeze()  # The input is the caller's; the bare loop's is bytes, which the collector does not look at.
    began, began_cpu = time.perf_counter(), time.process_time()
    with Plan("campaigns_trigger_send", {"campaign_id": CAMPAIGN}, ListAudience(people)) as plan:
        planned, planned_cpu = time.perf_counter(), time.process_time()
        if wire:
            client._wire = wire()
        with ledger(plan) if ledger else nullcontext() as opened:
            opened_at = time.perf_counter()
            report = deliver(Delivery(plan, client, ledger=opened))
            deliver_seconds = time.perf_counter() - opened_at
    assert report["accepted"] == len(people), report
    return {
        "seconds": time.perf_counter() - began,
        "plan_seconds": planned - began,
        "deliver_seconds": deliver_seconds,
        "plan_cpu": planned_cpu - began_cpu,
        "send_cpu": time.process_time() - planned_cpu,
    }


def ours_sql_ledger(url: str, requests: int) -> dict[str, float]:
    """The delivery, remembered in the PostgreSQL of the connection ``ledger_db``."""
    from airflow_provider_braze.delivery.ledger import TaskTry
    from airflow_provider_braze.delivery.sql_ledger import SqlLedger

    task = TaskTry("bench", uuid.uuid4().hex, "send")
    return ours(url, requests, ledger=lambda plan: SqlLedger("ledger_db").open(task, plan))


def validating(url: str, requests: int) -> dict[str, float]:
    """What of the plan is validating recipients and writing them as JSON, without merging and spooling."""
    from airflow_provider_braze.api.models.recipients import Recipient
    from airflow_provider_braze.delivery.batch import Judge, valid_portion
    from airflow_provider_braze.delivery.report import Report

    people = list(recipients(requests * PER_REQUEST))
    gc.freeze()
    judge, report = Judge(Recipient), Report()
    began = time.process_time()
    for start in range(0, len(people), PER_REQUEST):
        valid_portion(people[start : start + PER_REQUEST], judge, report)
    return {"cpu": time.process_time() - began}


def ours_without_aiohttp(url: str, requests: int) -> dict[str, float]:
    """The same without aiohttp: an httpx transport per lane."""
    import httpx

    from airflow_provider_braze.api.wire import HttpxWire

    return ours(url, requests, lambda: HttpxWire([httpx.AsyncHTTPTransport() for _ in range(LANES)], 30))


def bare_aiohttp(url: str, requests: int) -> dict[str, float]:
    """A loop that posts the same bytes and validates nothing."""
    import aiohttp

    async def send_all() -> float:
        waiting = iter(bodies(requests))

        async def lane(session: aiohttp.ClientSession) -> None:
            for body in waiting:
                async with session.post(url + PATH, data=body, headers=HEADERS) as response:
                    assert response.status == 201
                    await response.read()

        began = time.perf_counter()
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=LANES)) as session:
            await asyncio.gather(*(lane(session) for _ in range(LANES)))
        return time.perf_counter() - began

    return {"seconds": asyncio.run(send_all())}


def sequential_requests(url: str, requests: int) -> dict[str, float]:
    """What a PythonOperator does today: one post after the other."""
    from requests import Session

    waiting = bodies(requests)
    began = time.perf_counter()
    with Session() as session:
        for body in waiting:
            assert session.post(url + PATH, data=body, headers=HEADERS).status_code == 201
    return {"seconds": time.perf_counter() - began}


def memory(url: str, requests: int) -> dict[str, float]:
    """Resident memory after streaming an audience from a generator and sending it."""
    from airflow_provider_braze.api.client import AsyncBrazeClient
    from airflow_provider_braze.delivery.audience import ListAudience
    from airflow_provider_braze.delivery.engine import Delivery, deliver
    from airflow_provider_braze.delivery.plan import Plan

    people = recipients(requests * PER_REQUEST)
    with Plan("campaigns_trigger_send", {"campaign_id": CAMPAIGN}, ListAudience(people)) as plan:
        deliver(Delivery(plan, AsyncBrazeClient(url, "key", lanes=LANES)))
    status = Path("/proc/self/status").read_text()
    now = int(status.split("VmRSS:")[1].split()[0])
    return {"rss_mb": now / 1024, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    name, target, count = sys.argv[1:4]
    print(json.dumps(globals()[name](target, int(count))))
