"""Once the time of a schedule is past, another try makes nothing: it says what earlier ones made, and who is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from airflow_provider_braze.api.models.schedules import Schedule, at_any_time
from airflow_provider_braze.delivery.errors import BrazeDeliveryError
from airflow_provider_braze.delivery.moments import first_moment, same_time
from airflow_provider_braze.delivery.report import Report
from airflow_provider_braze.delivery.schedules import read_note

if TYPE_CHECKING:
    from airflow_provider_braze.delivery.ledger import Past
    from airflow_provider_braze.delivery.plan import Plan

_WAY_ON = (
    "Nothing was scheduled now. Look into Braze who got it. A new run of the DAG, for another time, schedules to "
    "everybody, also to those who got it."
)


def was_met(schedule: Mapping[str, Any], look_back: Callable[[], Past | None]) -> bool:
    """Tell whether the time of a schedule is past, and earlier tries scheduled for that very time.

    :raises BrazeDeliveryError: they scheduled for another time, which has come, too.
    """
    if not _is_past(schedule):
        return False
    past = look_back()
    note = read_note(past.note) if past and not past.is_empty else None
    if past is None or note is None or time.time() < note.due:
        return False
    if all(same_time(one, schedule) for one in note.schedules):
        return True
    due = datetime.fromtimestamp(first_moment(note.schedules), UTC)
    raise BrazeDeliveryError(
        f"The schedule's time is past. Earlier tries made {len(past.schedule_ids):,} schedules for another time, whose "
        f"first message went out at {due:%Y-%m-%d %H:%M} UTC: some were sent. {_WAY_ON}",
        Report(schedule_ids=past.schedule_ids).as_dict(),
    )


def _is_past(schedule: Mapping[str, Any]) -> bool:
    with at_any_time():
        try:
            return Schedule.model_validate(schedule).is_past
        except ValidationError:
            # The plan says it better.
            return False


def refuse_rest(plan: Plan, past: Past, *, anew: bool, resend: bool) -> None:
    """Stop where not everybody was scheduled to in time.

    :param anew: whether a person wishes that everybody is scheduled to again.
    :param resend: whether those in doubt are to be scheduled to again.
    :raises BrazeDeliveryError: some were not, or all are wished for again.
    """
    report = plan.report
    # One without recipients is counted as a request.
    people = sum(map(plan.recipients, range(len(plan))))
    total, accepted = (people, past.accepted) if people else (len(plan), past.accepted_requests)
    doubtful = past.doubtful if people else past.doubtful_requests
    left = max(total - accepted - past.refused - doubtful, 0)
    if not left and not anew and not (resend and doubtful):
        return
    noun = "recipients" if people else "requests"
    report.schedule_ids = list(past.schedule_ids)
    if people:
        report.accepted = report.accepted_before = accepted
        report.failed, report.unknown, report.skipped = past.refused, doubtful, left
    doubt = f", of {doubtful:,} it is not known" if doubtful else ""
    raise BrazeDeliveryError(
        f"The schedule's time is past: {accepted:,} of {total:,} {noun} were scheduled by earlier tries and have gone "
        f"out, {left:,} were not{doubt}. {_WAY_ON}",
        report.as_dict(),
    )
