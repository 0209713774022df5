"""Operators for live activities on iOS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow_provider_braze.operators.addressed import UsersOperator
from airflow_provider_braze.operators.base import BrazeCallOperator, GuardedCall


class BrazeUpdateLiveActivityOperator(GuardedCall, BrazeCallOperator):
    """Change what a live activity shows, or end it. The same update twice changes nothing more.

    Rules: https://www.braze.com/docs/api/endpoints/messaging/live_activity/update/.
    The key needs the permission ``messages.live_activity.update``.
    A connection with ``test_recipients`` refuses it: the call does not say whom it reaches.

    :param app_id: API identifier of the app. (templated)
    :param activity_id: the activity, as named when it was started. (templated)
    :param content_state: the new values. (templated)
    :param end_activity: whether the activity ends with this update.
    :param dismissal_date: when it leaves the screen, ISO 8601 or ``datetime``. (templated)
    :param stale_date: when its values are out of date, ISO 8601 or ``datetime``. (templated)
    :param notification: an ``apple_push`` object to alert with. (templated)
    """

    endpoint = "live_activity_update"
    payload_fields = (
        *("app_id", "activity_id", "content_state", "end_activity"),
        *("dismissal_date", "stale_date", "notification"),
    )
    template_fields: Sequence[str] = (
        *GuardedCall.template_fields,
        *("app_id", "activity_id", "content_state", "dismissal_date", "stale_date", "notification"),
    )

    def __init__(
        self,
        *,
        app_id: str,
        activity_id: str,
        content_state: Mapping[str, Any],
        end_activity: bool | None = None,
        dismissal_date: datetime | str | None = None,
        stale_date: datetime | str | None = None,
        notification: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.app_id = app_id
        self.activity_id = activity_id
        self.content_state = content_state
        self.end_activity = end_activity
        self.dismissal_date = dismissal_date
        self.stale_date = stale_date
        self.notification = notification


class BrazeStartLiveActivityOperator(UsersOperator):
    """Start a live activity for users of any number, for a segment, or for an audience; returns the report.

    Rules: https://www.braze.com/docs/api/endpoints/messaging/live_activity/start/.
    The key needs the permission ``messages.live_activity.start``.

    :param app_id: API identifier of the app. (templated)
    :param activity_id: an id of your own, under which it is updated and ended. (templated)
    :param activity_attributes_type: name of the attributes' type in the app. (templated)
    :param activity_attributes: values that stay. (templated)
    :param content_state: values that change. (templated)
    :param notification: an ``apple_push`` object; its ``alert`` should have a title and a body. (templated)
    :param stale_date: when the values are out of date, ISO 8601 or ``datetime``. (templated)
    :param custom_audience: filters, instead of users or a segment. (templated)
    """

    endpoint = "live_activity_start"
    payload_fields = (
        *("segment_id", "custom_audience", "app_id", "activity_id", "activity_attributes_type"),
        *("activity_attributes", "content_state", "notification", "stale_date"),
    )
    template_fields: Sequence[str] = (*UsersOperator.template_fields, *payload_fields[1:])

    def __init__(
        self,
        *,
        app_id: str,
        activity_id: str,
        activity_attributes_type: str,
        activity_attributes: Mapping[str, Any],
        content_state: Mapping[str, Any],
        notification: Mapping[str, Any],
        stale_date: datetime | str | None = None,
        custom_audience: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if self.audience is not None or self.broadcast is not None:
            raise TypeError("Live activities take custom_audience or segment_id, not audience and broadcast.")
        self.app_id = app_id
        self.activity_id = activity_id
        self.activity_attributes_type = activity_attributes_type
        self.activity_attributes = activity_attributes
        self.content_state = content_state
        self.notification = notification
        self.stale_date = stale_date
        self.custom_audience = custom_audience
        self.check_reconcile()
        if not self.people_fields:
            self.check_cap()

    def is_broadcast(self) -> bool:
        """Tell whether a segment or an audience is meant; Braze has no ``broadcast`` field here."""
        return not self.people_fields and bool(self.segment_id or self.custom_audience)
