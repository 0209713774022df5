"""Sends one request to a few people: again where it was not sent, never again where somebody may have got it."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_braze.api.errors import (
    BrazeError,
    BrazeNotSentError,
    BrazeRateLimitError,
    BrazeUnknownOutcomeError,
)

if TYPE_CHECKING:
    from airflow_provider_braze.api.client import AsyncBrazeClient
    from airflow_provider_braze.api.endpoints import Endpoint
    from airflow_provider_braze.api.wire import Request
    from airflow_provider_braze.hooks.braze import BrazeHook

T = TypeVar("T")
PATIENCE = 30.0
"""Seconds within which attempts begin; whoever waits for the callback waits as long, and for one request more."""
_LONGEST_BACKOFF = 8.0
_NOT_AGAIN = "it is not sent again, so that nobody is notified twice. Look into the campaign's analytics in Braze"
log = logging.getLogger(__name__)


async def notify_people(
    hook: BrazeHook, client: AsyncBrazeClient, endpoint: str, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """Send a request, and give Braze's answer.

    What was certainly not sent (no connection, 429, 500, 502, 503) is tried again for half a minute.

    :param hook: of the connection; it has read it already.
    :param client: made by the hook; closed in the end.
    :param endpoint: key of ``ENDPOINTS``.
    :param payload: names everybody who is to get it.
    :raises BrazeError: nobody was notified, or perhaps somebody was (:class:`BrazeUnknownOutcomeError`).
    """
    from airflow_provider_braze.api.client import find_endpoint
    from airflow_provider_braze.hooks.errors import airflow_errors

    row = find_endpoint(endpoint)
    end = time.monotonic() + PATIENCE
    with airflow_errors():
        async with client:
            request = client.build(row, payload)
            if hook.settings.workspace_campaign_id:
                await _insist(lambda: asyncio.to_thread(hook.check_workspace), end, str)
            answer = await _send(client, row, request, end)
    return answer


async def _send(client: AsyncBrazeClient, row: Endpoint, request: Request, end: float) -> dict[str, Any]:
    from airflow_provider_braze.delivery.anonymous import names_of, refusals, without_names

    content = request.content or b""

    async def once() -> dict[str, Any]:
        return client.read(row, await client.exchange(request))

    try:
        answer = await _insist(once, end, lambda error: without_names(error, row, content))
    except BrazeError as error:
        text = without_names(error, row, content)
        error.args = (f"{text}; {_NOT_AGAIN}." if isinstance(error, BrazeUnknownOutcomeError) else text,)
        raise
    refused, texts = refusals(row, content, answer)
    if refused >= len(names_of(row, content)):
        raise BrazeNotSentError(row.name, 201, "; ".join(texts[:3]))
    for text in texts:
        log.warning("%s", text)
    return answer


async def _insist(call: Callable[[], Awaitable[T]], end: float, words: Callable[[BrazeError], str]) -> T:
    """Try again while nothing was sent and there is time.

    :param end: instant of ``time.monotonic``, after which no attempt begins.
    :param words: puts an error into words for the log.
    """
    from airflow_provider_braze.delivery.outcome import Outcome, outcome_of

    backoff = 0.5
    while True:
        try:
            return await call()
        except BrazeError as error:
            pause = backoff * random.uniform(1.0, 1.5)  # noqa: S311
            if isinstance(error, BrazeRateLimitError):
                pause = max(pause, error.retry_after or 0.0)
            if outcome_of(error) is not Outcome.NOT_SENT or time.monotonic() + pause > end:
                raise
            log.info("Nobody was notified yet, trying again in %.1f s: %s", pause, words(error))
        await asyncio.sleep(pause)
        backoff = min(_LONGEST_BACKOFF, 2 * backoff)
