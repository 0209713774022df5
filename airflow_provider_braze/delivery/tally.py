"""Brings what became of each request into a delivery's report."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_braze.api.errors import BrazeError, BrazePausedError, identity_hash
from airflow_provider_braze.delivery.anonymous import names_of, refusals, without_names
from airflow_provider_braze.delivery.endings import single
from airflow_provider_braze.delivery.outcome import Outcome

if TYPE_CHECKING:
    from airflow_provider_braze.delivery.judgement import Course
    from airflow_provider_braze.delivery.ledger import Claim
    from airflow_provider_braze.delivery.plan import Plan
    from airflow_provider_braze.delivery.policy import Policy
    from airflow_provider_braze.delivery.request import PlannedRequest
    from airflow_provider_braze.delivery.sender import Sent, Stop

MOST_DOUBTS_NAMED = 100
log = logging.getLogger(__name__)


class Tally:
    """Counts for one delivery, and halts it after a request that was refused.

    :param halt: what ends the sending.
    """

    def __init__(self, plan: Plan, policy: Policy, course: Course, halt: Stop) -> None:
        self._endpoint, self._report = plan.endpoint, plan.report
        self._policy, self._course, self._halt = policy, course, halt
        self.answer: dict[str, Any] = {}
        self.lost_in_a_row = 0

    def add_past(self, request: PlannedRequest, claim: Claim) -> None:
        """Count whom the ledger knows to be done."""
        before = min(claim.accepted, request.recipients)
        self._report.accepted += before
        self._report.accepted_before += before
        refused = claim.refused + claim.refused_elsewhere
        self._report.failed += min(refused, request.recipients)
        self._report.failed_elsewhere += min(claim.refused_elsewhere, request.recipients)
        if claim.accepted or refused:
            self._course.somebody = True
            self._course.broadcast_done |= not request.recipients

    def add(self, request: PlannedRequest, sent: Sent, *, took_doubt: bool = False) -> None:
        """Count an outcome; those in doubt are counted where it is decided what becomes of them.

        :param took_doubt: whether some of its recipients were in doubt before.
        """
        report, course, people = self._report, self._course, request.recipients
        course.somebody |= sent.outcome in (Outcome.ACCEPTED, Outcome.UNKNOWN)
        if sent.outcome not in (Outcome.NOT_SENT, Outcome.REFUSED):
            report.add_request(sent.left_at)
        if isinstance(sent.error, BrazePausedError) and self._policy.allow_paused:
            report.notices.append(sent.error.message)
            course.paused |= not self._halt
            self._halt.now(sent.error.message)
        elif sent.error is not None:
            self._add_error(request, sent, took_doubt)
        if sent.outcome is Outcome.ACCEPTED:
            refused, texts = refusals(self._endpoint, request.body, sent.body)
            report.failed += refused
            report.accepted += people - refused
            report.add_dispatch(sent.body)
            for text in texts:
                self._complain(text)
            course.broadcast_done |= not people
            self.answer = sent.body
            self.lost_in_a_row = 0

    def _add_error(self, request: PlannedRequest, sent: Sent, took_doubt: bool) -> None:
        text = self.text(request, sent)
        if sent.outcome is Outcome.UNKNOWN:
            log.warning("Request %s: %s", f"{request.place + 1:,}", text)
            return
        course, error = self._course, cast("BrazeError", sent.error)
        if course.cause is None:
            # It is printed below the delivery's own error.
            error.args = (text,)
            course.cause = error
        if sent.outcome is Outcome.FAILED and not took_doubt:
            self._report.failed += request.recipients
            course.refused_requests += 1
        self._complain(text)
        self._halt.now(text)

    def text(self, request: PlannedRequest, sent: Sent) -> str:
        """Give what went wrong, without names."""
        return without_names(cast("BrazeError", sent.error), self._endpoint, request.body)

    def _complain(self, text: str) -> None:
        self._course.complaints += 1
        self._report.add_error(text)

    def leave_in_doubt(self, request: PlannedRequest, reason: str) -> None:
        """Count those whom nothing more is done about, and name them by hash."""
        self._report.unknown += request.recipients
        self._report.add_error(reason)
        self._course.in_doubt += 1
        if self._course.in_doubt <= MOST_DOUBTS_NAMED:
            whom = ", ".join(map(identity_hash, names_of(self._endpoint, request.body)))
            whom = whom or f"all whom the {single(self._endpoint)} is for"
            log.warning("Request %s is in doubt, it went to: %s", f"{request.place + 1:,}", whom)
