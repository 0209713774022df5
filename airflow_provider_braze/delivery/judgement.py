"""How a delivery ended: the report, or the error that says how to go on."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_braze.delivery.endings import doubt
from airflow_provider_braze.delivery.errors import (
    BrazeDeliveryError,
    BrazeNobodyMessagedError,
    BrazeResumableError,
    DeliveryPausedError,
)

if TYPE_CHECKING:
    from airflow_provider_braze.api.errors import BrazeError
    from airflow_provider_braze.delivery.outcome import Outcome
    from airflow_provider_braze.delivery.plan import Plan
    from airflow_provider_braze.delivery.policy import Policy
    from airflow_provider_braze.delivery.sender import Stop

_LATER = {
    "fail": "stops at them, and sends nothing",
    "skip": "leaves them out",
    "resend": "sends to them",
    "reconcile": "asks Braze about them",
}
log = logging.getLogger(__name__)


@dataclass(slots=True)
class Course:
    """What a delivery met with, beside the counts of its report.

    :param remembered: whether a ledger knows what was done.
    :param somebody: whether anybody may have been messaged, now or by an earlier try.
    :param broadcast_done: whether Braze took the one request of a plan without recipients.
    :param paused: whether it ended since the campaign or Canvas is paused, which the author allows.
    :param in_doubt: requests whose outcome stays unknown.
    :param complaints: errors that are no doubt.
    :param refused_requests: whole requests that Braze refused, which may be sent again once the cause is mended.
    :param cause: the first error that a request ended with, doubts aside.
    :param goes_on: whether an earlier try of the task began it.
    :param deferred: whether it ended in a pause, to go on later.
    :param lost: what became of requests that the ledger has in doubt, since it could not be written.
    """

    remembered: bool
    somebody: bool = False
    broadcast_done: bool = False
    paused: bool = False
    in_doubt: int = 0
    complaints: int = 0
    refused_requests: int = 0
    cause: BrazeError | None = None
    goes_on: bool = False
    deferred: bool = False
    lost: Counter[Outcome] = field(default_factory=Counter)


def judge(plan: Plan, course: Course, policy: Policy, halt: Stop) -> dict[str, Any]:
    """Give the report of a delivery that ended well.

    :raises BrazeDeliveryError: it did not; with a ledger as :class:`BrazeResumableError`, unless a person must decide.
    :raises DeliveryPausedError: it is to go on later.
    """
    report = plan.report
    for text in _lost(course, policy):
        report.notices.append(text)
        log.warning(text)
    # Recipients whom Braze refused by name fail the last try: the ledger counts them, and the others need not wait.
    if halt.resume_after is not None and course.cause is None and not _needs_person(course, policy):
        course.deferred = True
        if course.complaints:
            log.warning("Braze refused some meanwhile: %s", " ".join(report.errors))
        raise DeliveryPausedError(f"{halt.reason}.", report.as_dict(), halt.resume_after)
    trouble = report.failed_here or course.complaints or (course.in_doubt and policy.on_unknown != "skip")
    if not trouble and (course.paused or _through(plan, course)):
        if report.failed_elsewhere:
            log.warning("Nothing was sent to %d whom Braze refused in another task or run.", report.failed_elsewhere)
        return report.as_dict()
    if not course.somebody:
        text = "\n".join([f"Nobody was messaged ({report}). {halt.reason}", *_lost(course, policy)])
        kind = BrazeDeliveryError if _needs_person(course, policy) else BrazeNobodyMessagedError
        raise kind(text, report.as_dict()) from course.cause
    text = "\n".join(_explain(plan, course, policy, halt))
    raise _error(plan, course, policy)(text, report.as_dict()) from course.cause


def _through(plan: Plan, course: Course) -> bool:
    """Tell whether nothing of the plan is left."""
    if plan.report.skipped or not len(plan):
        return not plan.report.skipped
    # Those in doubt were decided on before: skipped on purpose, or in the error.
    return bool(plan.report.recipients or course.broadcast_done or course.in_doubt)


def _error(plan: Plan, course: Course, policy: Policy) -> type[BrazeDeliveryError]:
    if _nothing_left(plan, course):
        return BrazeDeliveryError
    known = course.remembered or policy.idempotent
    return BrazeResumableError if known and not _needs_person(course, policy) else BrazeDeliveryError


def _needs_person(course: Course, policy: Policy) -> bool:
    """Tell whether another try would stop at a doubt before it sent anything."""
    return policy.on_unknown == "fail" and bool(course.in_doubt or course.lost)


def _nothing_left(plan: Plan, course: Course) -> bool:
    complaint = plan.report.failed_here or course.complaints
    return bool(complaint) and not (plan.report.skipped or course.in_doubt or course.refused_requests)


def _explain(plan: Plan, course: Course, policy: Policy, halt: Stop) -> list[str]:
    report = plan.report
    lines = [f"Not everybody got through ({report})."]
    if halt:
        lines.append(f"Sending stopped after {report.requests:,} of {len(plan):,} requests: {halt.reason}")
    else:
        lines += report.errors[:3]
    if course.in_doubt:
        lines.append(doubt(plan, course.in_doubt, policy, remembered=course.remembered))
    elif _nothing_left(plan, course):
        lines.append("Nothing is left to send: another try would not change it.")
    elif course.remembered and not course.lost:
        lines.append("The ledger knows who got it: mend the cause, clear the task, and it sends to the others.")
    return lines + _lost(course, policy)


def _lost(course: Course, policy: Policy) -> list[str]:
    """Say what the ledger does not know, though this try does."""
    if not course.lost:
        return []
    count = course.lost.total()
    requests = f"{count:,} request{'s' if count > 1 else ''}"
    outcomes = ", ".join(f"{number:,} {outcome.value}" for outcome, number in course.lost.items())
    text = f"What became of {requests} ({outcomes}) could not be written to the ledger, which has them in doubt now:"
    if policy.idempotent:
        return [f"{text} a later try repeats them, and Braze sends none of them twice."]
    advice = (
        "Before you clear this task, set it to 'skip' where all of them were accepted, to 'resend' where none was, or "
        "to 'reconcile' where Braze can be asked."
    )
    return [f"{text} with on_unknown={policy.on_unknown!r} a later try {_LATER[policy.on_unknown]}. {advice}"]
