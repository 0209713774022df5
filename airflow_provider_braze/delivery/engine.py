"""Sends a plan: several requests under way at once, each one written down before it leaves and after it came back.

The first request goes alone. What is wrong for all of them (key, permission, campaign, host) then shows on one.
After the first request that failed no other one is begun; those under way are finished. What happens after one whose
outcome is unknown is the author's choice, ``on_unknown``:

=============  =================================================================================================
``fail``       stop, and name the doubt; so does the next try
``skip``       go on without those in doubt
``resend``     send to them again, at the risk of a second message
``reconcile``  ask Braze who got it, and send to the others: :mod:`airflow_provider_braze.delivery.reconcile`
=============  =================================================================================================
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, cast

from airflow_provider_braze.api.client import AsyncBrazeClient
from airflow_provider_braze.api.errors import BrazeError, BrazePausedError, identity_hash
from airflow_provider_braze.delivery.anonymous import names_of, refusals, without_names
from airflow_provider_braze.delivery.bodies import keep_people
from airflow_provider_braze.delivery.errors import BrazeLedgerError
from airflow_provider_braze.delivery.journal import Journal
from airflow_provider_braze.delivery.judgement import Course, judge
from airflow_provider_braze.delivery.ledger import Claim, Intent, OpenLedger, Settlement
from airflow_provider_braze.delivery.outcome import Outcome
from airflow_provider_braze.delivery.pacing import Pacer
from airflow_provider_braze.delivery.plan import Plan
from airflow_provider_braze.delivery.policy import Policy
from airflow_provider_braze.delivery.reconcile import Reconciler
from airflow_provider_braze.delivery.request import PlannedRequest
from airflow_provider_braze.delivery.sender import NOT_BEGUN, Sender, Sent, Stop, intent_seconds
from airflow_provider_braze.delivery.turns import Turns

# While one write is on its way to the ledger the lanes live on what is claimed ahead; killed, all of it is in doubt.
AHEAD_PER_LANE = 1.0
HELD_SECONDS = 1.0
MOST_ROUNDS = 3
# Below that many lost answers in a row it may have been bad luck.
LEAST_DOUBTS = 4
MOST_DOUBTS_NAMED = 100
EARLIER_DOUBT = "an earlier try began to send, and ended before Braze's answer was known"
log = logging.getLogger(__name__)

Progress = Callable[["Delivery"], None]


class Ready(NamedTuple):
    """A request whose intent is durable; ``took_doubt`` where some of its recipients were in doubt before."""

    request: PlannedRequest
    ticket: Any
    took_doubt: bool


class Doubt(NamedTuple):
    """Recipients who may or may not have been messaged.

    :param since: when the first request to them may have left, in epoch seconds.
    :param left_at: when the latest one left at the latest.
    """

    request: PlannedRequest
    since: float
    left_at: float
    reason: str


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
    :param ledger: what remembers the delivery beyond this process, None for nothing.
    :param pacer: when requests may go; by default as Braze's headers say.
    :param policy: what the author wishes where things go wrong.
    :param progress: called after each request; it must be quick.
    """

    def __init__(
        self,
        plan: Plan,
        client: AsyncBrazeClient,
        *,
        ledger: OpenLedger | None = None,
        pacer: Pacer | None = None,
        policy: Policy | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.plan, self.report = plan, plan.report
        self.policy = policy or Policy()
        self.ledger = ledger
        self.pacer = pacer or Pacer(lanes=client.lanes)
        self.pacer.need = len(plan)
        self.halt = Stop(self.policy.longest_wait if ledger else None)
        self.course = Course(remembered=ledger is not None)
        self.answer: dict[str, Any] = {}
        self._client = client
        self._journal = Journal(ledger)
        self._progress = progress
        self._sender = Sender(
            client,
            plan.endpoint,
            self.pacer,
            self.halt,
            repeat_unknown=self.policy.on_unknown == "resend",
            trust_server_errors=self.policy.retry_server_errors,
            repeat_is_refused=self.policy.repeat_is_refused,
        )
        self._held: list[PlannedRequest] = []
        self._doubts: list[Doubt] = []
        self._doubts_in_a_row = 0

    def stop(self, reason: str) -> None:
        """Begin no further request; those under way are finished."""
        self.halt.now(reason)

    async def run(self) -> dict[str, Any]:
        """Send everything and give the report as a plain dict.

        :raises BrazeDeliveryError: not everybody got through; the error carries the report.
        :raises BrazeNobodyMessagedError: it stopped before Braze took any request.
        :raises DeliveryPausedError: the quota is used up for longer than this worker should wait.
        """
        try:
            if not self._stopped_by_earlier_doubt():
                async with AsyncExitStack() as stack:
                    await stack.enter_async_context(self._client)
                    await stack.enter_async_context(self._journal)
                    await self._send_all(iter(self.plan))
                    await self._send_held()
                    await self._reconcile()
        finally:
            report = self.report
            settled = report.accepted + report.failed + report.unknown
            report.skipped = max(0, report.recipients - report.duplicates - report.invalid - settled)
        if self._journal.error:
            self.halt.now(str(self._journal.error))
        return judge(self.plan, self.course, self.policy, self.halt)

    def _stopped_by_earlier_doubt(self) -> bool:
        if self.ledger is None:
            return False
        past, report = self.ledger.past, self.report
        report.began = past.began
        report.schedule_ids += past.schedule_ids
        report.add_dispatch_ids(past.dispatch_ids)
        if not past.doubtful_requests or self.policy.on_unknown != "fail":
            return False
        self.course.somebody = True
        people = report.recipients - report.duplicates - report.invalid
        report.unknown, self.course.in_doubt = min(past.doubtful, people), past.doubtful_requests
        report.accepted = report.accepted_before = min(past.accepted, people - report.unknown)
        report.add_error(EARLIER_DOUBT)
        self.halt.now(EARLIER_DOUBT)
        return True

    async def _send_all(self, requests: Iterator[PlannedRequest]) -> None:
        lanes = min(self._client.lanes, len(self.plan))
        turns = Turns(lanes + max(1, int(lanes * AHEAD_PER_LANE)))
        queue: asyncio.Queue[Ready | None] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            for _ in range(lanes):
                group.create_task(self._lane(queue, turns))
            async with asyncio.TaskGroup() as claims:
                for request in requests:
                    await turns.take()
                    if self.halt:
                        break
                    claim = self._claim_into(queue, turns, request)
                    if self.ledger is None:
                        await claim
                    else:
                        claims.create_task(claim)
            for _ in range(lanes):
                queue.put_nowait(None)

    async def _claim_into(self, queue: asyncio.Queue[Ready | None], turns: Turns, request: PlannedRequest) -> None:
        if ready := await self._claim(request):
            queue.put_nowait(ready)
        else:
            turns.skip()

    async def _lane(self, queue: asyncio.Queue[Ready | None], turns: Turns) -> None:
        while ready := await queue.get():
            is_first = await turns.first()
            await self._send(ready)
            turns.end()
            if is_first:
                turns.first_done()

    async def _claim(self, request: PlannedRequest, *, take_doubt: bool = False) -> Ready | None:
        """Have the intent written; give what is to be sent of a request, None for nothing."""
        take_doubt |= self.policy.on_unknown == "resend"
        try:
            claim = await self._journal.intend(Intent(request, take_doubt))
        except BrazeLedgerError as error:
            self.halt.now(str(error))
            return None
        self._count_past(request, claim)
        if claim.held:
            self._held.append(self._part(request, claim.held))
        if claim.doubt:
            left_at = min(time.time(), claim.left_by)
            self._doubt(Doubt(self._part(request, claim.doubt), claim.since, left_at, EARLIER_DOUBT))
        return Ready(self._part(request, claim.free), claim.ticket, claim.took_doubt) if claim.free else None

    def _count_past(self, request: PlannedRequest, claim: Claim) -> None:
        before = min(claim.accepted, request.recipients)
        self.report.accepted += before
        self.report.accepted_before += before
        self.report.failed += min(claim.refused, request.recipients)
        if claim.accepted or claim.refused:
            self.course.somebody = True
            self.course.broadcast_done |= not request.recipients

    def _part(self, request: PlannedRequest, places: Sequence[int]) -> PlannedRequest:
        return keep_people(self.plan.endpoint, request, places)

    async def _send(self, ready: Ready) -> None:
        request = ready.request
        sent = await self._sender.send(request.body, until=self._open_until())
        while sent is NOT_BEGUN and not self.halt:
            # An intent that stays open for long looks like that of a dead worker: another one may act on it.
            self._settle(ready, sent)
            again = await self._claim(request)
            if again is None:
                return
            ready, request = again, again.request
            sent = await self._sender.send(request.body, until=self._open_until())
        self._count(request, sent, ready.took_doubt)
        self._settle(ready, sent)
        if sent.outcome is Outcome.UNKNOWN:
            self._doubts_in_a_row += 1
            self._doubt(Doubt(request, sent.left_at, sent.left_at, self._text(request, sent)))
        elif sent.outcome is not Outcome.ACCEPTED and ready.took_doubt:
            self._leave_in_doubt(request, EARLIER_DOUBT)

    def _open_until(self) -> float:
        return math.inf if self.ledger is None else time.monotonic() + intent_seconds(self._client.timeout)

    def _settle(self, ready: Ready, sent: Sent) -> None:
        refused, _ = refusals(self.plan.endpoint, ready.request.body, sent.body)
        ids = {name: str(sent.body[name]) for name in ("schedule_id", "dispatch_id") if sent.body.get(name)}
        self._journal.settle(Settlement(ready.ticket, sent.outcome, refused, **ids))

    def _count(self, request: PlannedRequest, sent: Sent, took_doubt: bool = False) -> None:
        """Bring an outcome into the report; those in doubt are counted where it is decided what becomes of them."""
        report, people = self.report, request.recipients
        self.course.somebody |= sent.outcome in (Outcome.ACCEPTED, Outcome.UNKNOWN)
        if sent.outcome not in (Outcome.NOT_SENT, Outcome.REFUSED):
            report.add_request(sent.left_at)
        if isinstance(sent.error, BrazePausedError) and self.policy.allow_paused:
            report.notices.append(sent.error.message)
            self.course.paused |= not self.halt
            self.halt.now(sent.error.message)
        elif sent.error is not None:
            self._count_error(request, sent, took_doubt)
        if sent.outcome is Outcome.ACCEPTED:
            refused, texts = refusals(self.plan.endpoint, request.body, sent.body)
            report.failed += refused
            report.accepted += people - refused
            report.add_dispatch(sent.body)
            for text in texts:
                self._complain(text)
            self.course.broadcast_done |= not people
            self.answer = sent.body
            self._doubts_in_a_row = 0
        if self._progress:
            self._progress(self)

    def _count_error(self, request: PlannedRequest, sent: Sent, took_doubt: bool) -> None:
        text = self._text(request, sent)
        if sent.outcome is Outcome.UNKNOWN:
            log.warning("Request %s: %s", f"{request.place + 1:,}", text)
            return
        self.course.cause = self.course.cause or sent.error
        if sent.outcome is Outcome.FAILED and not took_doubt:
            self.report.failed += request.recipients
            self.course.refused_requests += 1
        self._complain(text)
        self.halt.now(text)

    def _text(self, request: PlannedRequest, sent: Sent) -> str:
        return without_names(cast("BrazeError", sent.error), self.plan.endpoint, request.body)

    def _complain(self, text: str) -> None:
        self.course.complaints += 1
        self.report.add_error(text)

    def _doubt(self, doubt: Doubt) -> None:
        """Decide what becomes of recipients who may or may not have been messaged."""
        self.course.somebody = True
        if self.policy.on_unknown == "reconcile":
            self._doubts.append(doubt)
        else:
            self._leave_in_doubt(doubt.request, doubt.reason)
        if self.policy.on_unknown in ("fail", "resend"):
            self.halt.now(doubt.reason)
        elif self._doubts_in_a_row >= max(LEAST_DOUBTS, self._client.lanes):
            self.halt.now(f"{self._doubts_in_a_row} answers in a row were lost, the last one: {doubt.reason}")

    def _leave_in_doubt(self, request: PlannedRequest, reason: str) -> None:
        self.report.unknown += request.recipients
        self.report.add_error(reason)
        self.course.in_doubt += 1
        if self.course.in_doubt <= MOST_DOUBTS_NAMED:
            hashes = ", ".join(map(identity_hash, names_of(self.plan.endpoint, request.body)))
            log.warning("Request %s is in doubt, it went to: %s", f"{request.place + 1:,}", hashes or "a broadcast")

    async def _send_held(self) -> None:
        """Look again at those whom another worker had under way, until it is known what became of them."""
        while self._held and not self.halt:
            await self.halt.sleep(HELD_SECONDS)
            held, self._held = self._held, []
            for request in held:
                if ready := await self._claim(request):
                    await self._send(ready)

    async def _reconcile(self) -> None:
        """Ask Braze about those in doubt, and send to those who did not get it."""
        reconciler = Reconciler(self._client, self.plan, self.halt, self.policy.settling_time)
        for _ in range(MOST_ROUNDS):
            doubts, self._doubts = self._doubts, []
            for doubt in doubts:
                await self._resolve(reconciler, doubt)
        for doubt in self._doubts:
            self._leave_in_doubt(doubt.request, doubt.reason)

    async def _resolve(self, reconciler: Reconciler, doubt: Doubt) -> None:
        ready = None if self.halt else await self._claim(doubt.request, take_doubt=True)
        if ready is None:
            if self.halt:
                self._leave_in_doubt(doubt.request, doubt.reason)
            return
        request = ready.request
        got = await reconciler.received(request, doubt.since, doubt.left_at)
        if got is None:
            self._settle(ready, NOT_BEGUN)
            self._leave_in_doubt(request, doubt.reason)
            return
        missing = [place for place in range(request.people) if place not in got]
        if not missing:
            self.report.accepted += len(got)
            self._settle(ready, Sent(Outcome.ACCEPTED, {}, None))
            return
        rest = self._part(request, missing)
        sent = await self._sender.send(rest.body, until=self._open_until())
        self._count(rest, sent, took_doubt=True)
        self._settle(ready, sent)
        if sent.outcome is Outcome.UNKNOWN or (sent is NOT_BEGUN and not self.halt):
            left_at = sent.left_at or doubt.left_at
            reason = self._text(rest, sent) if sent.error else doubt.reason
            self._doubts.append(Doubt(request, doubt.since, left_at, reason))
            return
        self.report.accepted += len(got)
        if sent.outcome is not Outcome.ACCEPTED:
            self._leave_in_doubt(rest, doubt.reason)
