"""Sends a plan: several requests under way at once, each one until its outcome is known.

The first request goes alone. What is wrong for all of them (key, permission, campaign, host) then shows on one.
After the first request that failed or whose outcome is unknown no other one is begun; those under way are finished.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from airflow_provider_braze.api.client import AsyncBrazeClient
from airflow_provider_braze.api.errors import BrazeError, BrazePausedError, BrazeRateLimitError, identity_hash, mask
from airflow_provider_braze.api.models.recipients import IDENTIFIERS
from airflow_provider_braze.delivery.bodies import people_of
from airflow_provider_braze.delivery.errors import BrazeDeliveryError, BrazeNobodyMessagedError
from airflow_provider_braze.delivery.outcome import Outcome, outcome_of
from airflow_provider_braze.delivery.plan import Plan, PlannedRequest
from airflow_provider_braze.delivery.report import Report

MOST_TRIES = 5
LONGEST_BACKOFF = 30.0
LONGEST_QUOTA_WAIT = 3600.0
WORTH_A_LINE = 5.0
log = logging.getLogger(__name__)

Progress = Callable[[Report], None]


def deliver(delivery: Delivery) -> dict[str, Any]:
    """Send a plan and wait for the end.

    It runs in a thread of its own: what a signal raises in the main thread, such as a task's timeout, would otherwise
    tear requests from under way. Here it stops the delivery, those under way are finished and counted, then it goes on.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="braze-delivery") as thread:
        sending = thread.submit(asyncio.run, delivery.run())
        try:
            return sending.result()
        except BaseException as error:
            delivery.stop(f"it was interrupted ({type(error).__name__})")
            raise


class Delivery:
    """One plan on its way.

    :param plan: the requests.
    :param client: the way to Braze, its ``lanes`` are how many requests go at once; it is closed at the end.
    :param allow_paused: whether it is fine that nothing goes out because the campaign or Canvas is paused.
    :param progress: called with the report after each request; it must be quick.
    :raises BrazeDeliveryError: not everybody got through; the error carries the report.
    :raises BrazeNobodyMessagedError: it stopped before Braze took any request.
    """

    def __init__(
        self,
        plan: Plan,
        client: AsyncBrazeClient,
        *,
        allow_paused: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self._plan = plan
        self._client = client
        self._allow_paused = allow_paused
        self._progress = progress
        self._report = plan.report
        self._open_from = 0.0
        self._stopped_by: str | None = None
        self._somebody = False
        self._paused = False

    @property
    def somebody(self) -> bool:
        """Whether anybody may have been messaged."""
        return self._somebody

    def stop(self, reason: str) -> None:
        """Begin no further request; those under way are finished."""
        self._stopped_by = self._stopped_by or reason

    async def run(self) -> dict[str, Any]:
        """Send everything and give the report as a plain dict."""
        requests = iter(self._plan)
        async with self._client:
            if first := next(requests, None):
                await self._send(first)
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._client.lanes, len(self._plan))):
                    group.create_task(self._lane(requests))
        self._report.skipped += sum(request.recipients for request in requests)
        self._judge()
        return self._report.as_dict()

    async def _lane(self, requests: Iterator[PlannedRequest]) -> None:
        while self._stopped_by is None and (request := next(requests, None)):
            await self._send(request)

    async def _send(self, request: PlannedRequest) -> None:
        """Bring one request to its outcome. A ledger's intent belongs before ``_attempt``, its outcome after it."""
        outcome, body, error = await self._attempt(request)
        if isinstance(error, BrazePausedError) and self._allow_paused:
            self._end_as_paused(request, error)
            return
        self._somebody |= outcome in (Outcome.ACCEPTED, Outcome.UNKNOWN)
        self._report.requests += outcome is not Outcome.NOT_SENT
        match outcome:
            case Outcome.ACCEPTED:
                refused = self._refused(request, body)
                self._report.failed += refused
                self._report.accepted += request.recipients - refused
                self._report.add_dispatch(body)
            case Outcome.NOT_SENT:
                self._report.skipped += request.recipients
            case Outcome.FAILED:
                self._report.failed += request.recipients
            case Outcome.UNKNOWN:
                self._report.unknown += request.recipients
        if error is not None:
            text = self._without_names(error, request)
            self._report.add_error(text)
            self._stopped_by = self._stopped_by or text
        if self._progress:
            self._progress(self._report)

    def _end_as_paused(self, request: PlannedRequest, error: BrazePausedError) -> None:
        self._report.requests += 1
        self._report.skipped += request.recipients
        self._report.notices.append(error.message)
        self._stopped_by = self._stopped_by or error.message
        self._paused = True

    async def _attempt(self, request: PlannedRequest) -> tuple[Outcome, dict[str, Any], BrazeError | None]:
        """Try until the outcome is known; what was not sent is tried again, unless another request has failed."""
        endpoint, error = self._plan.endpoint, None
        wrapped = self._client.wrap(endpoint, request.body)
        trouble, limit = 0, time.monotonic() + LONGEST_QUOTA_WAIT
        for attempt in itertools.count(1):
            await self._wait_for_quota()
            if self._stopped_by:
                break
            try:
                body = self._client.read(endpoint, await self._client.exchange(wrapped))
                return Outcome.ACCEPTED, body, None
            except BrazeError as caught:
                error = caught
            outcome = outcome_of(error)
            trouble += not isinstance(error, BrazeRateLimitError)
            if outcome is not Outcome.NOT_SENT or trouble >= MOST_TRIES or time.monotonic() > limit:
                return outcome, {}, error
            await self._back_off(error, attempt)
        return Outcome.NOT_SENT, {}, error

    async def _wait_for_quota(self) -> None:
        while (seconds := self._open_from - time.monotonic()) > 0 and not self._stopped_by:
            await asyncio.sleep(min(seconds, 1.0))

    async def _back_off(self, error: BrazeError, attempt: int) -> None:
        """Wait as long as Braze asks; a 429 holds all lanes back, since they draw on one quota."""
        seconds = min(LONGEST_BACKOFF, 2.0**attempt / 4) * random.uniform(1.0, 1.5)  # noqa: S311
        if isinstance(error, BrazeRateLimitError):
            if error.retry_after is not None:
                # Clocks differ: a reset that seems past must not become a hail of requests.
                seconds = max(seconds, error.retry_after + random.uniform(0, 0.5))  # noqa: S311
            if seconds > WORTH_A_LINE:
                log.info("Braze's quota is used up: waiting %.0f s.", seconds)
            self._open_from = max(self._open_from, time.monotonic() + seconds)
        else:
            await asyncio.sleep(seconds)

    def _refused(self, request: PlannedRequest, body: Mapping[str, Any]) -> int:
        """Count the recipients of an accepted request that Braze names as errors, and keep what it says of them."""
        errors = body.get("errors") or []
        errors = errors if isinstance(errors, list) else [errors]
        if not errors:
            return 0
        people = self._names(request)
        named = set()
        for place, item in enumerate(errors):
            index = item.get("index") if isinstance(item, dict) else None
            known = isinstance(index, int) and 0 <= index < len(people)
            named.add(index if known else f"error {place}")
            whom = f" (recipient {identity_hash(people[cast('int', index)])})" if known else ""
            text = _hide_recipients(mask(_text(item)), people)
            self._report.add_error(f"Braze accepted the request, but said{whom}: {text}")
        return min(len(named), request.recipients)

    def _without_names(self, error: BrazeError, request: PlannedRequest) -> str:
        said = getattr(error, "message", "")
        return str(error).replace(said, _hide_recipients(said, self._names(request))) if said else str(error)

    def _names(self, request: PlannedRequest) -> list[str]:
        """Name the recipients of a request, in its order."""
        people = people_of(self._plan.endpoint, request.body)
        names = [next((person[key] for key in IDENTIFIERS if key in person), "") for person in people]
        return [str(name["alias_name"] if isinstance(name, dict) else name) for name in names]

    def _judge(self) -> None:
        report, total = self._report, len(self._plan)
        trouble = report.failed or report.unknown or report.errors
        if not trouble and (self._paused or report.requests == total):
            return
        if not self._somebody:
            raise BrazeNobodyMessagedError(f"Nobody was messaged ({report}). {self._stopped_by}", report.as_dict())
        lines = [f"Not everybody got through ({report})."]
        if self._stopped_by:
            lines.append(f"Sending stopped after {report.requests:,} of {total:,} requests: {self._stopped_by}")
        else:
            lines += report.errors[:3]
        if report.unknown:
            lines.append(
                f"{report.unknown:,} recipients are in doubt: they may have been messaged or not. Look into the "
                "campaign's analytics or the users' profiles in Braze before you send to them again."
            )
        raise BrazeDeliveryError("\n".join(lines), report.as_dict())


def _hide_recipients(text: str, names: list[str]) -> str:
    """Put hashes where a text names recipients of the request."""
    for name in names:
        # Shorter ones would be found in any number.
        if len(name) >= 3 and name in text:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", f"<recipient {identity_hash(name)}>", text)
    return text


def _text(item: Any) -> str:
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
