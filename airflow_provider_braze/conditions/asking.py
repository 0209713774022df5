"""Asks Braze the questions of waits, within its quota."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from airflow_provider_braze.api.client import AsyncBrazeClient, find_endpoint
from airflow_provider_braze.api.errors import (
    BrazeError,
    BrazeForbiddenError,
    BrazeRateLimitError,
    BrazeUnauthorizedError,
)
from airflow_provider_braze.api.quota import RateLimit, read_rate_limit
from airflow_provider_braze.conditions.base import Condition, Question
from airflow_provider_braze.delivery.pacing import Pacer

HOLD_SECONDS = 30.0
"""After a 429 that does not say how long."""


class Asker:
    """Asks over one client; what draws on the same quota shares one pace.

    :param client: the way to Braze.
    :param reserve: what is left of a quota for others; see :class:`~airflow_provider_braze.delivery.pacing.Pacer`.
    """

    def __init__(self, client: AsyncBrazeClient, reserve: float) -> None:
        self.client = client
        self._reserve = reserve
        self._pacers: dict[str, tuple[Pacer, asyncio.Lock]] = {}

    async def ask(self, question: Question, longest_wait: float) -> dict[str, Any]:
        """Wait for a turn, ask, and give the answer.

        :param longest_wait: seconds to wait for a turn.
        :raises BrazeRateLimitError: the quota is used up for longer than that, or Braze says so.
        :raises BrazeError: as a call to the endpoint.
        """
        endpoint = find_endpoint(question.endpoint)
        new = Pacer(reserve=self._reserve, lanes=self.client.lanes), asyncio.Lock()
        pacer, line = self._pacers.setdefault(endpoint.quota, new)
        request = self.client.build(endpoint, question.payload())
        end = time.monotonic() + longest_wait
        # In the order in which they came: of many who try again by chance, one would go without for too long.
        async with line:
            while (seconds := pacer.take()) > 0:
                if time.monotonic() + seconds > end:
                    raise BrazeRateLimitError(endpoint.name, 429, "the quota is used up", retry_after=seconds)
                await asyncio.sleep(seconds)
        try:
            answer = await self.client.exchange(request)
        except BaseException:
            pacer.note(RateLimit())
            raise
        pacer.note(read_rate_limit(answer.headers))
        try:
            return self.client.read(endpoint, answer)
        except BrazeRateLimitError as error:
            pacer.hold(HOLD_SECONDS if error.retry_after is None else error.retry_after)
            raise

    async def ask_all(self, questions: list[Question], longest_wait: float) -> list[dict[str, Any]]:
        """Ask several, as many at a time as the client has lanes.

        :raises BrazeError: the first that went wrong.
        """
        lanes = asyncio.Semaphore(self.client.lanes)

        async def one(question: Question) -> dict[str, Any] | BrazeError:
            async with lanes:
                try:
                    return await self.ask(question, longest_wait)
                except BrazeError as error:
                    return error

        answers = []
        for answer in await asyncio.gather(*map(one, questions)):
            if isinstance(answer, BrazeError):
                raise answer
            answers.append(answer)
        return answers


async def admit(
    condition: Condition, ask: Callable[[list[Question]], Awaitable[list[dict[str, Any]]]], log: Any
) -> None:
    """Find out, before a wait, whether it can end at all.

    :raises BrazeWaitRefusedError: it cannot.
    """
    answers: list[dict[str, Any]] = []
    try:
        if questions := condition.first_questions():
            answers = await ask(questions)
    except (BrazeForbiddenError, BrazeUnauthorizedError) as error:
        log.warning("Whether this wait can end is not checked, the key may not read the details: %s", error)
    condition.admit(answers, datetime.now(UTC))
