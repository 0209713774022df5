"""Brings one request to its outcome: waits for the quota, posts, and repeats what was not sent."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import re
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from airflow_provider_braze.api.client import AsyncBrazeClient
from airflow_provider_braze.api.endpoints import Endpoint
from airflow_provider_braze.api.errors import BrazeBadRequestError, BrazeError, BrazePausedError, BrazeRateLimitError
from airflow_provider_braze.api.quota import RateLimit, read_rate_limit
from airflow_provider_braze.delivery.anonymous import without_names
from airflow_provider_braze.delivery.outcome import Outcome, outcome_of
from airflow_provider_braze.delivery.pacing import Pacer

MOST_TRIES = 5
LONGEST_BACKOFF = 30.0
# Some 429s say nothing of when: waiting for ever for those would hide that something is wrong.
LONGEST_QUOTA_WAIT = 3600.0
WORTH_A_LINE = 5.0
WAIT_LINES = 60.0
# The page of the transactional endpoint promises this text for a repeat, but no status code.
_ALREADY = re.compile(r"already.*queued|queued.*already", re.IGNORECASE | re.DOTALL).search
log = logging.getLogger(__name__)


class Stop:
    """Says to all who send that no further request is to begin, and why.

    :param longest_wait: seconds; a wait for the quota above it stops all, with ``resume_after`` set. None waits.
    """

    def __init__(self, longest_wait: float | None = None) -> None:
        self.reason: str | None = None
        self.resume_after: float | None = None
        self._longest_wait = longest_wait

    def __bool__(self) -> bool:
        return self.reason is not None

    def now(self, reason: str) -> None:
        """Stop; the first reason counts."""
        self.reason = self.reason or reason

    def too_long(self, seconds: float, why: str) -> bool:
        """Stop if a wait is longer than this worker should be kept for."""
        # A deferral takes longer than a second itself.
        if self._longest_wait is None or seconds <= max(1.0, self._longest_wait) or self:
            return bool(self)
        self.resume_after = seconds
        self.now(f"{why}: {seconds:,.0f} s to wait")
        return True

    async def sleep(self, seconds: float) -> None:
        """Sleep, unless all is stopped meanwhile."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self:
            await asyncio.sleep(min(left, 1.0))


class Sent(NamedTuple):
    """How a request ended.

    :param left_at: when it left for the last time, in epoch seconds.
    """

    outcome: Outcome
    body: dict[str, Any]
    error: BrazeError | None
    left_at: float = 0.0


NOT_BEGUN = Sent(Outcome.NOT_SENT, {}, None)


@dataclass(slots=True)
class Patience:
    """What a request may still cost; kept where it goes on under another intent.

    :param attempts: made so far.
    :param trouble: those of them that did not end with a 429.
    :param limit: instant of ``time.monotonic`` after which no 429 is waited for.
    """

    attempts: int = 0
    trouble: int = 0
    limit: float = field(default_factory=lambda: time.monotonic() + LONGEST_QUOTA_WAIT)


def intent_seconds(timeout: float) -> float:
    """Say how long attempts to send what an intent is for may begin; then it is taken back and written anew.

    :param timeout: seconds that one request may take.
    """
    return MOST_TRIES * (timeout + 10.0)


@dataclass(slots=True)
class Sender:
    """Sends requests to one endpoint.

    :param pacer: says when the next request may go; all lanes share it.
    :param stop: ends the waiting.
    :param repeat_unknown: whether a request whose answer was lost is sent once more.
    :param trust_server_errors: whether 500, 502 and 503 mean that nothing was sent.
    :param repeat_is_refused: whether Braze knows a request that it took before by an id, and refuses it as such.
    """

    client: AsyncBrazeClient
    endpoint: Endpoint
    pacer: Pacer
    stop: Stop
    repeat_unknown: bool = False
    trust_server_errors: bool = True
    repeat_is_refused: bool = False
    _silent_until: float = field(default=-math.inf, init=False)

    async def send(
        self, content: bytes, *, until: float = math.inf, patience: Patience | None = None, may_be_there: bool = False
    ) -> Sent:
        """Try until the outcome is known; what was not sent is tried again, unless all is stopped meanwhile.

        :param until: instant of ``time.monotonic``, after which no attempt is begun.
        :param patience: of the calls before for the same request.
        :param may_be_there: whether Braze may have it from an earlier try, under the same id.
        """
        wrapped = self.client.wrap(self.endpoint, content)
        patience = patience or Patience()
        sent = NOT_BEGUN
        doubt: Sent | None = None
        while True:
            if not await self._quota(until):
                # What the attempts before said is over: nothing was sent, and it is not for them that it stops.
                sent = NOT_BEGUN
                break
            patience.attempts += 1
            sent = await self._exchange(wrapped, content, may_be_there or doubt is not None)
            if sent.outcome is Outcome.ACCEPTED:
                return sent
            if sent.outcome is Outcome.UNKNOWN:
                doubt = sent
            patience.trouble += not isinstance(sent.error, BrazeRateLimitError)
            spent = patience.trouble >= MOST_TRIES or time.monotonic() > patience.limit
            if spent or sent.error is None or not self._again(sent.outcome):
                break
            await self._back_off(sent.error, content, patience.attempts, until)
        # What was once in doubt stays so, whatever the repeats said.
        return doubt or sent

    def _again(self, outcome: Outcome) -> bool:
        return outcome is Outcome.NOT_SENT or (outcome is Outcome.UNKNOWN and self.repeat_unknown)

    async def _exchange(self, wrapped: Any, content: bytes, may_be_there: bool) -> Sent:
        answered, left_at = False, time.time()
        try:
            answer = await self.client.exchange(wrapped)
            answered = True
            self.pacer.note(read_rate_limit(answer.headers))
            return Sent(Outcome.ACCEPTED, self.client.read(self.endpoint, answer), None, left_at)
        except BrazeError as error:
            if not answered:
                self.pacer.note(RateLimit())
            if may_be_there and self._is_there(error):
                text = without_names(error, self.endpoint, content)
                log.info("Braze has this one already, nothing was sent again: %s", text)
                return Sent(Outcome.ACCEPTED, {"status": "already sent"}, None, left_at)
            outcome = outcome_of(error, trust_server_errors=self.trust_server_errors)
            if isinstance(error, BrazePausedError) and error.body.get("schedule_id"):
                # It is there, and goes out should somebody resume the campaign.
                return Sent(Outcome.ACCEPTED, dict(error.body), error, left_at)
            return Sent(outcome, {}, error, left_at)

    def _is_there(self, error: BrazeError) -> bool:
        return self.repeat_is_refused and isinstance(error, BrazeBadRequestError) and bool(_ALREADY(error.message))

    async def _quota(self, until: float) -> bool:
        """Wait for a turn; false where all is stopped before, or it would come too late."""
        while not self.stop and time.monotonic() < until:
            seconds = self.pacer.take()
            if seconds <= 0:
                return True
            if self.stop.too_long(seconds, "Braze's quota is used up"):
                break
            if time.monotonic() + seconds > until:
                await self.stop.sleep(until - time.monotonic())
                break
            self._tell_wait(seconds)
            await self.stop.sleep(seconds)
        return False

    def _tell_wait(self, seconds: float) -> None:
        """Say that the quota is waited for: once for all lanes, and once a minute where waits are short."""
        now = time.monotonic()
        if seconds > WORTH_A_LINE and now >= self._silent_until:
            self._silent_until = now + max(seconds, WAIT_LINES)
            log.info("Waiting %.0f s for Braze's quota.", seconds)

    async def _back_off(self, error: BrazeError, content: bytes, attempt: int, until: float) -> None:
        """Wait as long as Braze asks; a 429 holds all lanes back, since they draw on one quota."""
        seconds = min(LONGEST_BACKOFF, 2.0 ** min(attempt, 10) / 4) * random.uniform(1.0, 1.5)  # noqa: S311
        if isinstance(error, BrazeRateLimitError):
            if error.retry_after is not None:
                # Clocks differ: a reset that seems past must not become a hail of requests.
                seconds = max(seconds, error.retry_after + random.uniform(0, 0.5))  # noqa: S311
            self.pacer.hold(seconds)
            return
        if seconds > WORTH_A_LINE:
            log.info("Trying again in %.0f s: %s", seconds, without_names(error, self.endpoint, content))
        # Its intent is to be taken back in time.
        await self.stop.sleep(min(seconds, until - time.monotonic()))
