"""Sends a plan: several requests under way at once, each one until its outcome is known.

The first request goes alone. What is wrong for all of them (key, permission, campaign, host) then shows on one.
After the first request that failed or whose outcome is unknown no other one is begun; those under way are finished.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from airflow_provider_braze.api.client import AsyncBrazeClient
from airflow_provider_braze.api.errors import BrazeError, BrazeRateLimitError, identity_hash, mask
from airflow_provider_braze.api.models.recipients import IDENTIFIERS
from airflow_provider_braze.delivery.errors import BrazeDeliveryError, BrazeNobodyMessagedError
from airflow_provider_braze.delivery.outcome import Outcome, outcome_of
from airflow_provider_braze.delivery.plan import Plan, PlannedRequest
from airflow_provider_braze.delivery.report import Report

MOST_TRIES = 5
LONGEST_BACKOFF = 30.0
LONGEST_QUOTA_WAIT = 3600.0

Progress = Callable[[Report], None]


def deliver(plan: Plan, client: AsyncBrazeClient, *, progress: Progress | None = None) -> dict[str, Any]:
    """Send a plan and wait for the end; see :class:`Delivery`."""
    return asyncio.run(Delivery(plan, client, progress=progress).run())


class Delivery:
    """One plan on its way.

    :param plan: the requests.
    :param client: the way to Braze, its ``lanes`` are how many requests go at once; it is closed at the end.
    :param progress: called with the report after each request; it must be quick.
    :raises BrazeDeliveryError: not everybody got through; the error carries the report.
    :raises BrazeNobodyMessagedError: it stopped before Braze took any request.
    """

    def __init__(self, plan: Plan, client: AsyncBrazeClient, *, progress: Progress | None = None) -> None:
        self._plan = plan
        self._client = client
        self._progress = progress
        self._report = plan.report
        self._open_from = 0.0
        self._stopped_by: str | None = None
        self._somebody = False

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
        body, error = await self._attempt(request)
        outcome = outcome_of(error)
        self._somebody |= outcome in (Outcome.ACCEPTED, Outcome.UNKNOWN)
        report, people = self._report, request.recipients
        match outcome:
            case Outcome.ACCEPTED:
                report.requests += 1
                refused = self._refused(request, body)
                report.failed += refused
                report.accepted += people - refused
                report.add_dispatch(body)
            case Outcome.NOT_SENT:
                report.skipped += people
            case Outcome.FAILED:
                report.requests += 1
                report.failed += people
            case Outcome.UNKNOWN:
                report.requests += 1
                report.unknown += people
        if error is not None:
            text = _hide_recipients(str(error), request, self._plan.endpoint.batch_field)
            report.add_error(text)
            self._stopped_by = self._stopped_by or text
        if self._progress:
            self._progress(report)

    async def _attempt(self, request: PlannedRequest) -> tuple[dict[str, Any], BrazeError | None]:
        endpoint, tries, waited_until = self._plan.endpoint, 0, time.monotonic() + LONGEST_QUOTA_WAIT
        wrapped = self._client.wrap(endpoint, request.body)
        while True:
            await self._wait_for_quota()
            try:
                return self._client.read(endpoint, await self._client.exchange(wrapped)), None
            except BrazeError as error:
                tries += not isinstance(error, BrazeRateLimitError)
                gone_on_too_long = tries >= MOST_TRIES or time.monotonic() > waited_until
                if outcome_of(error) is not Outcome.NOT_SENT or gone_on_too_long or self._stopped_by:
                    return {}, error
                await self._back_off(error, tries)

    async def _wait_for_quota(self) -> None:
        while (seconds := self._open_from - time.monotonic()) > 0 and not self._stopped_by:
            await asyncio.sleep(min(seconds, 1.0))

    async def _back_off(self, error: BrazeError, tries: int) -> None:
        """Wait as long as Braze asks; a 429 holds all lanes back, since they draw on one quota."""
        seconds = min(LONGEST_BACKOFF, 2.0**tries / 2) * random.uniform(0.5, 1.0)  # noqa: S311
        if isinstance(error, BrazeRateLimitError):
            seconds = error.retry_after + random.uniform(0, 0.5) if error.retry_after is not None else seconds  # noqa: S311
            self._open_from = max(self._open_from, time.monotonic() + seconds)
        else:
            await asyncio.sleep(seconds)

    def _refused(self, request: PlannedRequest, body: Mapping[str, Any]) -> int:
        """Count the recipients of an accepted request that Braze names as errors, and keep what it says of them."""
        errors = body.get("errors") or []
        errors = errors if isinstance(errors, list) else [errors]
        if not errors:
            return 0
        field = self._plan.endpoint.batch_field
        people = _people(request, field)
        named = set()
        for place, item in enumerate(errors):
            index = item.get("index") if isinstance(item, dict) else None
            known = isinstance(index, int) and 0 <= index < len(people)
            named.add(index if known else f"error {place}")
            whom = f" (recipient {identity_hash(people[cast('int', index)])})" if known else ""
            text = _hide_recipients(mask(_text(item)), request, field)
            self._report.add_error(f"Braze accepted the request, but said{whom}: {text}")
        return min(len(named), request.recipients)

    def _judge(self) -> None:
        report, total = self._report, len(self._plan)
        if not (report.failed or report.unknown or report.skipped or self._stopped_by or report.errors):
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


def _people(request: PlannedRequest, field: str | None) -> list[str]:
    """Name the recipients of a request, in its order."""
    people = []
    for recipient in json.loads(request.body).get(field, []):
        name = next((recipient[key] for key in IDENTIFIERS if key in recipient), "")
        people.append(str(name["alias_name"] if isinstance(name, dict) else name))
    return people


def _hide_recipients(text: str, request: PlannedRequest, field: str | None) -> str:
    """Put hashes where a text names recipients of the request."""
    for name in _people(request, field):
        # Shorter ones would be found in any number.
        if len(name) >= 3 and name in text:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", f"<recipient {identity_hash(name)}>", text)
    return text


def _text(item: Any) -> str:
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
