"""A wait that asks many questions gets all answers of a round, however short its interval and small the quota."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

from airflow_provider_braze.conditions.received import Received
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator
from airflow_provider_braze.triggers.conditions import BrazeConditionTrigger

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"


def test_all_questions_are_answered(braze_emulator):
    braze_emulator.reset({"rate_limits": {"users_export_ids": {"limit": 80, "seconds": 10}}})
    people = [{"email": f"p-{n}@example.com"} for n in range(40)]
    recipients = [{**one, "prioritization": ["identified"]} for one in people]
    BrazeSendCampaignOperator(task_id="send", campaign_id=WEEKLY, recipients=recipients).execute({})
    now = datetime.now(UTC).timestamp()
    condition = Received("campaign_id", WEEKLY, people, now - 60, 1.0, 0, now + 300)

    async def wait():
        trigger = BrazeConditionTrigger(braze_conn_id="braze_default", condition=condition.as_dict(), poll_interval=0.5)
        async with contextlib.aclosing(trigger.run()) as events:
            return (await anext(events)).payload

    event = asyncio.run(asyncio.wait_for(wait(), 120))
    assert event["result"] == {"asked": 40, "received": 40, "missing": 0, "unknown": 0}
