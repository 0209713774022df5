"""How a delivery ended: the report, or the error that says how to go on."""

from __future__ import annotations

import logging
from dataclasses import dataclass
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
    from airflow_provider_braze.delivery.plan import Plan
    from airflow_provider_braze.delivery.policy import Policy
    from airflow_provider_braze.delivery.sender import Stop

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


def judge(plan: Plan, course: Course, policy: Policy, halt: Stop) -> dict[str, Any]:
    """Give the report of a delivery that ended well.

    :raises BrazeDeliveryError: it did not; with a ledger as :class:`BrazeResumableError`, unless a person must decide.
    :raises DeliveryPausedError: it is to go on later.
    """
    report = plan.report
    # Recipients whom Braze refused by name fail the last try: the ledger counts them, and the others need not wait.
    if halt.resume_after is not None and course.cause is None and (policy.on_unknown != "fail" or not course.in_doubt):
        course.deferred = True
        if course.complaints:
            log.warning("Braze refused some meanwhile: %s", " ".join(report.errors))
        raise DeliveryPausedError(f"{halt.reason}.", report.as_dict(), halt.resume_after)
    trouble = report.failed or course.complaints or (course.in_doubt and policy.on_unknown != "skip")
    if not trouble and (course.paused or _through(plan, course)):
        return report.as_dict()
    if not course.somebody:
        text = f"Nobody was messaged ({report}). {halt.reason}"
        raise BrazeNobodyMessagedError(text, report.as_dict()) from course.cause
    text = "\n".join(_explain(plan, course, policy, halt))
    raise _error(plan, course, policy)(text, report.as_dict()) from course.cause


def _through(plan: Plan, course: Course) -> bool:
    """Tell whether nothing of the plan is left."""
    if plan.report.skipped or not len(plan):
        return not plan.report.skipped
    # Those in doubt were decided on before: skipped on purpose, or in the error.
    return bool(plan.report.recipients or course.broadcast_done or course.in_doubt)


def _error(plan: Plan, course: Course, policy: Policy) -> type[BrazeDeliveryError]:
    person_must_decide = course.in_doubt and policy.on_unknown == "fail"
    if _nothing_left(plan, course):
        return BrazeDeliveryError
    known = course.remembered or policy.idempotent
    return BrazeResumableError if known and not person_must_decide else BrazeDeliveryError


def _nothing_left(plan: Plan, course: Course) -> bool:
    complaint = plan.report.failed or course.complaints
    return bool(complaint) and not (plan.report.skipped or course.in_doubt or course.refused_requests)


def _explain(plan: Plan, course: Course, policy: Policy, halt: Stop) -> list[str]:
    report = plan.report
    lines = [f"Not everybody got through ({report})."]
    if halt:
        lines.append(f"Sending stopped after {report.requests:,} of {len(plan):,} requests: {halt.reason}")
    else:
        lines += report.errors[:3]
    if course.in_doubt:
        lines.append(doubt(plan, course, policy))
    elif _nothing_left(plan, course):
        lines.append("Nothing is left to send: another try would not change it.")
    elif course.remembered:
        lines.append("The ledger knows who got it: mend the cause, clear the task, and it sends to the others.")
    return lines
