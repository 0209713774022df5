"""When a message goes out.

Rules: https://www.braze.com/docs/api/objects_filters/schedule_object/.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Self

from pydantic import StrictBool, model_validator

from airflow_provider_braze.api.models.common import BrazeModel, DateTime, NonEmpty, parse_time

LAST_YEAR = 9000
# The last place on earth where a local time comes round is twelve hours behind UTC.
_LAST_ZONE = timedelta(hours=12)
_any_time = ContextVar("_any_time", default=False)


@contextmanager
def at_any_time() -> Iterator[None]:
    """Accept a time that is past: of what was scheduled before it, and is only compared."""
    token = _any_time.set(True)
    try:
        yield
    finally:
        _any_time.reset(token)


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
        if self.is_past and not _any_time.get():
            raise ValueError("time is already past: a message for the past would go out at once or not at all")
        return self

    @property
    def is_past(self) -> bool:
        """Whether it is over for everybody."""
        moment = parse_time(self.time)
        latest = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        # Braze's pages disagree on when a local time is past; when it is over in every zone, both refuse it.
        if self.in_local_time or self.at_optimal_time:
            latest += _LAST_ZONE
        if self.at_optimal_time:
            latest = latest.replace(hour=23, minute=59, second=59) + _LAST_ZONE
        return latest < datetime.now(UTC)


class ScheduleById(BrazeModel):
    """One schedule, by the id that its creation answered."""

    schedule_id: NonEmpty
