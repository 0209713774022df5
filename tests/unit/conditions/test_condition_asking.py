"""Many questions on one small quota: each has its turn, in the order in which they were asked."""

from __future__ import annotations

import asyncio

from airflow_provider_braze.conditions.asking import Asker
from airflow_provider_braze.conditions.base import Question
from airflow_provider_braze.hooks.braze import BrazeHook


def test_each_has_its_turn(braze_emulator):
    """None of those who wait for the quota goes without while others that came later are asked."""
    braze_emulator.reset({"rate_limits": {"users_export_ids": {"limit": 80, "seconds": 10}}})
    names = [f"p-{n:02}" for n in range(40)]

    async def ask():
        async with BrazeHook("braze_default").get_async_conn() as client:
            asker = Asker(client, 0.02)
            questions = [Question.of("users_export_ids", {"external_ids": [name]}) for name in names]
            await asker.ask(questions[0], 5.0)
            await asyncio.gather(*(asker.ask(one, 30.0) for one in questions[1:]))

    asyncio.run(ask())
    asked = [one["body"]["external_ids"][0] for one in braze_emulator.requests()]
    # The first ones are under way together.
    assert max(abs(place - names.index(name)) for place, name in enumerate(asked)) <= 2
