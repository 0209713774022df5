"""A wait whose key may not ask: it ends, and those beside it in the same triggerer notice nothing."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_braze.api.errors import BrazeForbiddenError, BrazeUnauthorizedError
from airflow_provider_braze.conditions.base import Question
from airflow_provider_braze.triggers.polls import Subscriber

CAMPAIGN = Question.of("campaigns_details", {"campaign_id": "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"})
CANVAS = Question.of("canvas_details", {"canvas_id": "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"})
READER = "local-emulator-read-only-key"


@pytest.fixture
def ask(braze_emulator):
    """Ask again and again, each time as soon as there is an answer; gives what came."""

    async def run(question, times):
        subscriber, told = Subscriber("braze_default", 0.1), []
        for _ in range(times):
            try:
                told.append(await subscriber.next([question]))
            except Exception as error:
                told.append(error)
        return told

    return run


@pytest.fixture
def asked(braze_emulator):
    return lambda path: braze_emulator.request_counts().get(f"GET {path}", 0)


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def test_what_others_ask_meanwhile_is_answered(braze_emulator, connection, ask, asked):
    """And is asked over a connection that stays open."""
    connection(password=READER)
    braze_emulator.inject("slow", path="/campaigns/details", times=None, seconds=0.5)

    async def both():
        slow = asyncio.create_task(ask(CAMPAIGN, 3))
        await until(lambda: asked("/campaigns/details"))
        return await ask(CANVAS, 5), await slow

    refused, told = asyncio.run(both())
    assert {type(one) for one in refused} == {BrazeForbiddenError}
    assert [type(one) for one in told] == [list] * 3


def test_a_forbidden_question_costs_one_request(braze_emulator, connection, ask, asked):
    """With the same key the answer would be the same."""
    connection(password=READER)
    asyncio.run(ask(CANVAS, 3))
    assert asked("/canvas/details") == 3


def test_a_key_that_changes_while_others_ask(braze_emulator, connection, ask, asked):
    """What is under way over the old line ends there."""
    connection(password=READER)
    braze_emulator.inject("slow", path="/campaigns/details", times=1, seconds=1.0)

    async def both():
        slow = asyncio.create_task(ask(CAMPAIGN, 1))
        await until(lambda: asked("/campaigns/details"))
        connection(password=braze_emulator.api_key)
        return await ask(CANVAS, 1), await slow

    [found], [told] = asyncio.run(both())
    assert (type(found), type(told)) == (list, list)


def test_a_key_that_braze_does_not_know_is_an_error(braze_emulator, connection, ask):
    connection(password="nobody's")
    [error] = asyncio.run(ask(CAMPAIGN, 1))
    assert isinstance(error, BrazeUnauthorizedError)
