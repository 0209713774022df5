"""Many questions on one small quota: each has its turn, in the order in which they were asked."""

from __future__ import annotations

import asyncio
import json

from airflow_provider_braze.conditions.asking import Asker
from airflow_provider_braze.conditions.base import Question
from airflow_provider_braze.hooks.braze import BrazeHook


def test_each_has_its_turn(braze_emulator, monkeypatch):
    """None of those who wait for the quota goes without while others that came later are asked."""
    braze_emulator.reset({"rate_limits": {"users_export_ids": {"limit": 80, "seconds": 10}}})
    names = [f"p-{n:02}" for n in range(40)]
    asked = []

    # On their way, requests that are under way together may overtake each other.
    def noted(exchange):
        def send(request):
            asked.extend(json.loads(request.content)["external_ids"])
            return exchange(request)

        return send

    async def ask():
        async with BrazeHook("braze_default").get_async_conn() as client:
            asker = Asker(client, 0.02)
            monkeypatch.setattr(client, "exchange", noted(client.exchange))
            questions = [Question.of("users_export_ids", {"external_ids": [name]}) for name in names]
            await asker.ask(questions[0], 60.0)
            await asyncio.gather(*(asker.ask(one, 300.0) for one in questions[1:]))

    asyncio.run(ask())
    assert asked == names
    assert len(braze_emulator.requests()) == len(names)
