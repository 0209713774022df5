"""Waits for the quota: what the log says of them, and that questions to Braze wait, too."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import httpx
import pytest

from airflow_provider_braze.api.client import AsyncBrazeClient
from airflow_provider_braze.api.quota import RateLimit
from airflow_provider_braze.delivery import progress, sender
from airflow_provider_braze.delivery.audience import ListAudience
from airflow_provider_braze.delivery.engine import Delivery, deliver
from airflow_provider_braze.delivery.pacing import Pacer
from airflow_provider_braze.delivery.plan import Plan
from airflow_provider_braze.delivery.policy import Policy
from airflow_provider_braze.delivery.progress import ProgressLog
from airflow_provider_braze.delivery.report import Report
from airflow_provider_braze.delivery.sender import Sender, Stop

CAMPAIGN = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
LANES = 16


class Scarce:
    """A pacer that lets everybody wait for a while, and says each time how long."""

    def __init__(self, waits, seconds):
        self._waits, self._seconds = waits, seconds

    def take(self):
        self._waits -= 1
        return self._seconds if self._waits >= 0 else 0.0


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only by sleeping."""
    now = SimpleNamespace(value=1000.0)
    monkeypatch.setattr(sender, "time", SimpleNamespace(monotonic=lambda: now.value, time=time.time))
    return now


@pytest.mark.parametrize(("seconds", "lines"), [(7.0, 1), (3.0, 0), (70.0, 7)])
def test_all_lanes_together_say_once_a_minute_that_they_wait(clock, caplog, seconds, lines):
    """Seven rounds of sixteen lanes, whose waits are the same one; a pause of its own is told each time."""

    class Sleeping(Stop):
        waiting = 0

        async def sleep(self, seconds):
            self.waiting += 1
            if self.waiting % LANES == 0:
                clock.value += seconds
            await asyncio.sleep(0)

    async def wait_in_lanes():
        waiting = Sender(None, None, Scarce(7 * LANES, seconds), Sleeping())
        await asyncio.gather(*(waiting._quota(float("inf")) for _ in range(LANES)))

    with caplog.at_level(logging.INFO):
        asyncio.run(wait_in_lanes())
    assert len([text for text in caplog.messages if "for Braze's quota" in text]) == lines


@pytest.mark.parametrize(
    ("need", "said"),
    [(97, "60 requests left in Braze's quota, too few until more come in"), (60, "60 requests left in Braze's quota.")],
)
def test_the_progress_says_where_the_quota_does_not_last(monkeypatch, caplog, need, said):
    monkeypatch.setattr(progress, "PROGRESS_SECONDS", 0.0)
    pacer = Pacer()
    pacer.note(RateLimit(limit=1000, remaining=60, reset_after=1800.0))
    pacer.need = need
    delivery = SimpleNamespace(report=Report(recipients=5000, accepted=150), pacer=pacer)
    with caplog.at_level(logging.INFO):
        ProgressLog(logging.getLogger("task"))(delivery)
    assert said in caplog.text


def test_questions_to_braze_keep_to_the_rate_of_the_connection():
    """It is a ceiling for all that a delivery calls, not only for what it sends."""
    asked = []

    def braze(request):
        if request.url.path != "/users/export/ids":
            raise httpx.ReadTimeout("lost")
        asked.append(time.monotonic())
        got = {"api_campaign_id": CAMPAIGN, "last_received": datetime.now(UTC).isoformat()}
        users = [{"email": json.loads(request.content)["email_address"], "campaigns_received": [got]}]
        return httpx.Response(200, json={"message": "success", "users": users})

    # Each address is a question of its own.
    people = [{"email": f"p{number}@example.com", "prioritization": ["unidentified"]} for number in range(4)]
    with Plan("campaigns_trigger_send", {"campaign_id": CAMPAIGN}, ListAudience(people)) as plan:
        client = AsyncBrazeClient("rest.example.com", "key", lanes=1, transport=httpx.MockTransport(braze))
        policy = Policy(on_unknown="reconcile", settling_time=0.0)
        report = deliver(Delivery(plan, client, pacer=Pacer(max_per_second=2, lanes=1), policy=policy))
    assert (report["accepted"], len(asked)) == (4, 4)
    assert asked[-1] - asked[0] >= 1.0, "half a second for each, but for what the machine holds up"
