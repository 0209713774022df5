"""Live activities on iOS: start one, change what it shows, end it.

Rules: https://www.braze.com/docs/api/endpoints/messaging/live_activity/update/ and
https://www.braze.com/docs/api/endpoints/messaging/live_activity/start/.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, StrictBool, model_validator

from airflow_provider_braze.api.models.audience import ConnectedAudience
from airflow_provider_braze.api.models.channels import ApplePush
from airflow_provider_braze.api.models.common import RECIPIENTS_PER_CALL, BrazeModel, DateTime, ListedUserId, NonEmpty

_TARGETS = ("external_user_ids", "segment_id", "custom_audience")


class LiveActivityUpdate(BrazeModel):
    """Change what a running activity shows, or end it."""

    app_id: NonEmpty
    activity_id: NonEmpty
    content_state: dict[str, Any]
    end_activity: StrictBool | None = None
    dismissal_date: DateTime | None = None
    stale_date: DateTime | None = None
    notification: ApplePush | None = None


class LiveActivityStart(BrazeModel):
    """Start an activity on the devices of some people."""

    app_id: NonEmpty
    activity_id: NonEmpty
    activity_attributes_type: NonEmpty
    activity_attributes: dict[str, Any]
    content_state: dict[str, Any]
    notification: ApplePush
    stale_date: DateTime | None = None
    external_user_ids: Annotated[list[ListedUserId], Field(min_length=1, max_length=RECIPIENTS_PER_CALL)] | None = None
    segment_id: NonEmpty | None = None
    custom_audience: ConnectedAudience | None = None

    @model_validator(mode="after")
    def _has_one_target(self) -> Self:
        given = [name for name in _TARGETS if getattr(self, name) is not None]
        # "One of", says the page: how several would combine is not documented, and could reach more people.
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(_TARGETS)}; there is {' and '.join(given) or 'none'}")
        return self
