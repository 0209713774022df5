"""When a message goes out.

Rules: https://www.braze.com/docs/api/objects_filters/schedule_object/.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Self

from pydantic import StrictBool, model_validator

from airflow_provider_braze.api.models.common import BrazeModel, DateTime, NonEmpty, parse_time

LAST_YEAR = 9000
# The last place on earth where a local time comes round is twelve hours behind UTC.
_LAST_ZONE = timedelta(hours=12)


class Schedule(BrazeModel):
    """A time: an instant, or a time of day in each user's own zone, or a date at each user's optimal time."""

    time: DateTime
    in_local_time: StrictBool | None = None
    at_optimal_time: StrictBool | None = None

    @model_validator(mode="after")
    def _rules_between_fields(self) -> Self:
        moment = parse_time(self.time)
        if self.in_local_time and self.at_optimal_time:
            # What both together mean is not documented.
            raise ValueError("takes in_local_time or at_optimal_time, not both")
        local = "in_local_time" if self.in_local_time else "at_optimal_time" if self.at_optimal_time else None
        if local and moment.tzinfo is not None:
            raise ValueError(f"time must have no zone designator together with {local}: leave out the Z or the offset")
        instant = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        if instant.year > LAST_YEAR:
            raise ValueError(f"time is in the year {instant.year}, which no schedule reaches")
        # Braze's pages disagree on when a local time is past; when it is over in every zone, both refuse it.
        latest = instant + _LAST_ZONE if local else instant
        if self.at_optimal_time and local:
            latest = latest.replace(hour=23, minute=59, second=59) + _LAST_ZONE
        if latest < datetime.now(UTC):
            raise ValueError("time is already past: a message for the past would go out at once or not at all")
        return self


class ScheduleById(BrazeModel):
    """One schedule, by the id that its creation answered."""

    schedule_id: NonEmpty
