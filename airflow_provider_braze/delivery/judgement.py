"""How a delivery ended: the report, or the error that says how to go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_braze.delivery.errors import (
    BrazeDeliveryError,
    BrazeNobodyMessagedError,
    BrazeResumableError,
    DeliveryPausedError,
)

if TYPE_CHECKING:
    from airflow_provider_braze.delivery.engine import Delivery


def judge(delivery: Delivery) -> dict[str, Any]:
    """Give the report of a delivery that ended well.

    :raises BrazeDeliveryError: it did not; with a ledger as :class:`BrazeResumableError`, unless a person must decide.
    :raises DeliveryPausedError: it is to go on later.
    """
    report, halt, on_unknown = delivery.report, delivery.halt, delivery.policy.on_unknown
    refused = report.failed or delivery.complaints
    if not refused and halt.resume_after is not None and (on_unknown == "reconcile" or not delivery.in_doubt):
        raise DeliveryPausedError(f"{halt.reason}.", report.as_dict(), halt.resume_after)
    trouble = refused or (delivery.in_doubt and on_unknown != "skip")
    if not trouble and (delivery.paused or _through(delivery)):
        return report.as_dict()
    if not delivery.somebody:
        raise BrazeNobodyMessagedError(
            f"Nobody was messaged ({report}). {halt.reason}", report.as_dict()
        ) from delivery.cause
    raise _error(delivery)(_explain(delivery), report.as_dict()) from delivery.cause


def _through(delivery: Delivery) -> bool:
    """Tell whether nothing of the plan is left."""
    if delivery.report.skipped or not len(delivery.plan):
        return not delivery.report.skipped
    # Those in doubt were decided on before: skipped on purpose, or in the error.
    return bool(delivery.report.recipients or delivery.broadcast_done or delivery.in_doubt)


def _error(delivery: Delivery) -> type[BrazeDeliveryError]:
    person_must_decide = delivery.in_doubt and delivery.policy.on_unknown == "fail"
    remembered = delivery.ledger is not None or delivery.policy.idempotent
    return BrazeResumableError if remembered and not person_must_decide else BrazeDeliveryError


def _explain(delivery: Delivery) -> str:
    report = delivery.report
    lines = [f"Not everybody got through ({report})."]
    if delivery.halt:
        lines.append(
            f"Sending stopped after {report.requests:,} of {len(delivery.plan):,} requests: {delivery.halt.reason}"
        )
    else:
        lines += report.errors[:3]
    if delivery.in_doubt:
        lines.append(_doubt(delivery))
    elif delivery.ledger is not None:
        lines.append(
            "The ledger knows who got it: once the cause is mended, clear the task, and it sends to the others."
        )
    return "\n".join(lines)


def _doubt(delivery: Delivery) -> str:
    report, count = delivery.report, delivery.in_doubt
    whom = f"{report.unknown:,} recipients are" if report.unknown else "The broadcast is"
    text = (
        f"{whom} in doubt ({count:,} request{'s' if count > 1 else ''}): they may have been messaged or not. Look into "
        "the campaign's analytics or the users' profiles in Braze before anything is sent to them again."
    )
    if delivery.ledger is None:
        return text
    return (
        f"{text} Nobody else is forgotten. To go on, set on_unknown to 'skip' (leave those in doubt out), 'resend' "
        "(send to them again) or, for a campaign or Canvas, 'reconcile' (ask Braze who got it), then clear this task."
    )
