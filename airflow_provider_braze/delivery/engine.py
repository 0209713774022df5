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
from typing import Any, NamedTuple

from airflow_provider_braze.api.client import AsyncBrazeClient
from airflow_provider_braze.delivery.anonymous import refusals
from airflow_provider_braze.delivery.bodies import keep_people
from airflow_provider_braze.delivery.errors import BrazeLedgerError
from airflow_provider_braze.delivery.journal import Journal
from airflow_provider_braze.delivery.judgement import Course, judge
from airflow_provider_braze.delivery.ledger import Intent, OpenLedger, Settlement
from airflow_provider_braze.delivery.outcome import Outcome
from airflow_provider_braze.delivery.pacing import Pacer
from airflow_provider_braze.delivery.plan import Plan
from airflow_provider_braze.delivery.policy import Policy
from airflow_provider_braze.delivery.reconcile import Reconciler
from airflow_provider_braze.delivery.request import PlannedRequest
from airflow_provider_braze.delivery.sender import NOT_BEGUN, Patience, Sender, Sent, Stop, intent_seconds
from airflow_provider_braze.delivery.tally import Tally
from airflow_provider_braze.delivery.turns import Ahead, Ready, Turns

# While one write is on its way to the ledger the lanes live on what is claimed ahead; killed, all of it is in doubt.
AHEAD_PER_LANE = 1.0
HELD_SECONDS = 1.0
MOST_ROUNDS = 3
# Below that many lost answers in a row it may have been bad luck.
LEAST_DOUBTS = 4
EARLIER_DOUBT = "an earlier try began to send, and ended before Braze's answer was known"
log = logging.getLogger(__name__)

Progress = Callable[["Delivery"], None]


class Doubt(NamedTuple):
    """Recipients who may or may not have been messaged.

    :param since: when the first request to them may have left, in epoch seconds.
    :param left_at: by when the latest one had left, perhaps in the future: its worker may live.
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
        try:
            return thread.submit(asyncio.run, delivery.run()).result()
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
        self._tally = Tally(plan, self.policy, self.course, self.halt)
        self._client = client
        self._journal = Journal(ledger)
        self._ahead = Ahead()
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
        self._unmet = self.report.recipients - self.report.duplicates - self.report.invalid
        self._held: list[PlannedRequest] = []
        self._doubts: list[Doubt] = []

    @property
    def answer(self) -> dict[str, Any]:
        """What Braze said to the last request that it took on."""
        return self._tally.answer

    def stop(self, reason: str) -> None:
        """Begin no further request; those under way are finished."""
        self.halt.now(reason)
        if self.ledger is not None:
            self.ledger.hurry()

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
                    await self._send_rest()
        finally:
            self._count_the_rest()
        self.course.lost = self._journal.lost
        if self._journal.error:
            self.halt.now(str(self._journal.error))
        return judge(self.plan, self.course, self.policy, self.halt)

    def _count_the_rest(self) -> None:
        """Count those who were not come to: as accepted as far as earlier tries tell, and else as not attempted."""
        report = self.report
        if self.ledger is not None and self._unmet:
            known = self.ledger.past.accepted - report.accepted_before
            before = max(0, min(known, self._unmet))
            report.accepted += before
            report.accepted_before += before
        settled = report.accepted + report.failed + report.unknown
        report.skipped = max(0, report.recipients - report.duplicates - report.invalid - settled)

    def _stopped_by_earlier_doubt(self) -> bool:
        if self.ledger is None:
            return False
        past, report = self.ledger.past, self.report
        report.began, self.course.goes_on = past.began, past.began is not None
        report.schedule_ids += past.schedule_ids
        report.add_dispatch_ids(past.dispatch_ids)
        self.course.somebody = bool(past.accepted_requests or past.doubtful_requests)
        if not past.doubtful_requests or self.policy.on_unknown != "fail":
            return False
        people = report.recipients - report.duplicates - report.invalid
        report.unknown, self.course.in_doubt = min(past.doubtful, people), past.doubtful_requests
        report.accepted = report.accepted_before = min(past.accepted, people - report.unknown)
        report.failed = min(past.refused, people - report.unknown - report.accepted)
        report.add_error(EARLIER_DOUBT)
        self.halt.now(EARLIER_DOUBT)
        self._unmet = 0
        return True

    async def _send_all(self, requests: Iterator[PlannedRequest]) -> None:
        lanes = min(self._client.lanes, len(self.plan))
        turns = Turns(lanes + max(1, int(lanes * AHEAD_PER_LANE)))
        async with asyncio.TaskGroup() as group:
            for _ in range(lanes):
                group.create_task(self._lane(turns))
            async with asyncio.TaskGroup() as claims:
                for request in requests:
                    await turns.take()
                    if self.halt:
                        break
                    claim = self._claim_ahead(turns, request)
                    if self.ledger is None:
                        await claim
                    else:
                        claims.create_task(claim)
            self._ahead.close(lanes)

    async def _claim_ahead(self, turns: Turns, request: PlannedRequest) -> None:
        ready = await self._claim(request)
        if self._journal.error is None:
            self._unmet -= request.recipients
        if ready:
            self._ahead.put(ready)
        else:
            turns.skip()

    async def _lane(self, turns: Turns) -> None:
        while True:
            # Before a request is picked up: those that wait ahead can be let go.
            is_first = await turns.first()
            ready = await self._ahead.get()
            if ready:
                await self._send(ready)
                turns.end()
            if is_first:
                turns.first_done()
            if not ready:
                break

    async def _claim(self, request: PlannedRequest, *, take_doubt: bool = False) -> Ready | None:
        """Have the intent written; give what is to be sent of a request, None for nothing."""
        take_doubt |= self.policy.on_unknown == "resend"
        # Others count from when the intent was written, which is after this.
        until = math.inf if self.ledger is None else time.monotonic() + intent_seconds(self._client.timeout)
        try:
            claim = await self._journal.intend(Intent(request, take_doubt))
        except BrazeLedgerError as error:
            self.halt.now(str(error))
            return None
        self._tally.add_past(request, claim)
        if claim.held:
            self._held.append(self._part(request, claim.held))
        if claim.doubt:
            self._doubt(Doubt(self._part(request, claim.doubt), claim.since, claim.left_by, EARLIER_DOUBT))
        return Ready(self._part(request, claim.free), claim.ticket, claim.took_doubt, until) if claim.free else None

    def _part(self, request: PlannedRequest, places: Sequence[int]) -> PlannedRequest:
        return keep_people(self.plan.endpoint, request, places)

    async def _send(self, ready: Ready) -> None:
        patience, policy = Patience(), self.policy
        while True:
            may_be_there = policy.own_id or (policy.idempotent and ready.took_doubt)
            sent = await self._sender.send(
                ready.request.body, until=ready.until, patience=patience, may_be_there=may_be_there
            )
            if sent is not NOT_BEGUN or self.halt:
                break
            if ready.ticket is not None:
                # Whatever kept this one keeps those behind it, too.
                for other in self._ahead.let_go():
                    self._settle(other, NOT_BEGUN)
            again = await self._renew(ready)
            if again is None:
                return
            ready = again
        request = ready.request
        self._count(request, sent, ready.took_doubt)
        self._settle(ready, sent)
        if sent.outcome is Outcome.UNKNOWN:
            self._tally.lost_in_a_row += 1
            self._doubt(Doubt(request, sent.left_at, sent.left_at, self._tally.text(request, sent)))
        elif sent.outcome is not Outcome.ACCEPTED and ready.took_doubt:
            self._tally.leave_in_doubt(request, EARLIER_DOUBT)

    async def _renew(self, ready: Ready, *, take_doubt: bool = False) -> Ready | None:
        """Claim anew: an intent that stays open for long looks like that of a dead worker, and others act on it."""
        self._settle(ready, NOT_BEGUN)
        return await self._claim(ready.request, take_doubt=take_doubt)

    def _settle(self, ready: Ready, sent: Sent) -> None:
        refused, _ = refusals(self.plan.endpoint, ready.request.body, sent.body)
        ids = {name: str(sent.body[name]) for name in ("schedule_id", "dispatch_id") if sent.body.get(name)}
        self._journal.settle(Settlement(ready.ticket, sent.outcome, refused, **ids))

    def _count(self, request: PlannedRequest, sent: Sent, took_doubt: bool) -> None:
        self._tally.add(request, sent, took_doubt=took_doubt)
        if self._progress:
            self._progress(self)

    def _doubt(self, doubt: Doubt) -> None:
        """Decide what becomes of recipients who may or may not have been messaged."""
        self.course.somebody = True
        if self.policy.on_unknown == "reconcile":
            self._doubts.append(doubt)
        else:
            self._tally.leave_in_doubt(doubt.request, doubt.reason)
        if self.policy.on_unknown in ("fail", "resend"):
            self.halt.now(doubt.reason)
        elif (lost := self._tally.lost_in_a_row) >= max(LEAST_DOUBTS, self._client.lanes):
            self.halt.now(f"{lost} answers in a row were lost, the last one: {doubt.reason}")

    async def _send_rest(self) -> None:
        """Go through those whom others held and those in doubt, until it is known what became of everybody."""
        reconciler = Reconciler(self._client, self.plan, self.halt, self.policy.settling_time, self.pacer.rate)
        await self._send_held()
        for _ in range(MOST_ROUNDS):
            doubts, self._doubts = self._doubts, []
            for doubt in doubts:
                await self._resolve(reconciler, doubt)
            # Others may have taken over some of them meanwhile, and leave some in doubt again.
            await self._send_held()
        for doubt in self._doubts:
            self._tally.leave_in_doubt(doubt.request, doubt.reason)

    async def _send_held(self) -> None:
        """Look again at those whom another worker had under way, until it is known what became of them."""
        if self._held:
            count = sum(request.people for request in self._held)
            log.info("Waiting until it is known what became of %s whom another worker has under way.", f"{count:,}")
        while self._held and not self.halt:
            await self.halt.sleep(HELD_SECONDS)
            held, self._held = self._held, []
            for request in held:
                if ready := await self._claim(request):
                    await self._send(ready)

    async def _resolve(self, reconciler: Reconciler, known: Doubt) -> None:
        """Ask Braze about those in doubt, and send to those who did not get it."""
        doubt = await self._look_again(known)
        if doubt is None:
            return
        ready = await self._take_over(reconciler, doubt)
        if ready is None:
            return
        request = ready.request
        got = await reconciler.received(request, doubt.since, ready.until)
        if got is None:
            self._settle(ready, NOT_BEGUN)
            self._doubts.append(doubt._replace(request=request))
            return
        missing = [place for place in range(request.people) if place not in got]
        if not missing:
            self.report.accepted += len(got)
            self._settle(ready, Sent(Outcome.ACCEPTED, {}, None))
            return
        rest = self._part(request, missing)
        sent = await self._sender.send(rest.body, until=ready.until)
        self._count(rest, sent, took_doubt=True)
        self._settle(ready, sent)
        if sent.outcome is Outcome.UNKNOWN or (sent is NOT_BEGUN and not self.halt):
            reason = self._tally.text(rest, sent) if sent.error else doubt.reason
            self._doubts.append(Doubt(request, doubt.since, sent.left_at or doubt.left_at, reason))
            return
        self.report.accepted += len(got)
        if sent.outcome is not Outcome.ACCEPTED:
            self._tally.leave_in_doubt(rest, doubt.reason)

    async def _look_again(self, known: Doubt) -> Doubt | None:
        """Give what is still in doubt: another worker may have sent meanwhile, perhaps in vain."""
        if self.halt or self.ledger is None:
            return known
        before = len(self._doubts)
        ready = await self._claim(known.request)
        still = self._doubts.pop()._replace(reason=known.reason) if len(self._doubts) > before else None
        if ready:
            await self._send(ready)
        return known if self._journal.error else still

    async def _take_over(self, reconciler: Reconciler, doubt: Doubt) -> Ready | None:
        """Claim those in doubt, and wait with them until Braze may be asked; None where there is nothing to ask."""
        wait = reconciler.wait(doubt.left_at)
        if self.halt or self.halt.too_long(wait, "Braze needs time before it can be asked who got it"):
            self._doubts.append(doubt)
            return None
        ready = await self._claim(doubt.request, take_doubt=True)
        if ready and wait > 0:
            log.info("Waiting %.0f s before Braze is asked who of request %d got it.", wait, doubt.request.place + 1)
        while ready and not self.halt and (wait := reconciler.wait(doubt.left_at)) > 0:
            await self.halt.sleep(min(wait, ready.until - time.monotonic()))
            ready = await self._renew(ready, take_doubt=True)
        if ready is None and self._journal.error:
            self._doubts.append(doubt)
        return ready
