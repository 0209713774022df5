"""Operators that schedule messages, change and delete what is scheduled, and list what Braze is about to send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow_provider_braze.operators.addressed import CampaignOperator, CanvasOperator, MessagesOperator
from airflow_provider_braze.operators.base import BrazeCallOperator, GuardedCall
from airflow_provider_braze.operators.scheduled import ByScheduleId, OfCampaign, OfCanvas, Scheduled, When
from airflow_provider_braze.operators.scheduling import Scheduling


class BrazeScheduleCampaignOperator(Scheduling, CampaignOperator):
    """Schedule an API-triggered campaign for recipients of any number; returns the report with all ``schedule_ids``.

    Rules: https://www.braze.com/docs/api/endpoints/messaging/schedule_messages/post_schedule_triggered_campaigns/.
    The key needs the permission ``campaigns.trigger.schedule.create``; to change what an earlier try scheduled also
    ``campaigns.trigger.schedule.update`` and ``campaigns.trigger.schedule.delete``.
    """

    endpoint = "campaigns_trigger_schedule_create"
    template_fields: Sequence[str] = (*CampaignOperator.template_fields, "schedule")


class BrazeScheduleCanvasOperator(Scheduling, CanvasOperator):
    """Schedule a Canvas entry for recipients of any number; returns the report with all ``schedule_ids``.

    Rules: https://www.braze.com/docs/api/endpoints/messaging/schedule_messages/post_schedule_triggered_canvases/.
    The key needs the permission ``canvas.trigger.schedule.create``; to change what an earlier try scheduled also
    ``canvas.trigger.schedule.update`` and ``canvas.trigger.schedule.delete``.
    """

    endpoint = "canvas_trigger_schedule_create"
    template_fields: Sequence[str] = (*CanvasOperator.template_fields, "schedule")


class BrazeScheduleMessagesOperator(Scheduling, MessagesOperator):
    """Schedule messages whose content comes with the call; returns the report with all ``schedule_ids``.

    Rules: https://www.braze.com/docs/api/endpoints/messaging/schedule_messages/post_schedule_messages/.
    The key needs the permission ``messages.schedule.create``; to change what an earlier try scheduled also
    ``messages.schedule.update`` and ``messages.schedule.delete``.

    :param override_messaging_limits: whether the workspace's frequency caps do not apply.
    """

    endpoint = "messages_schedule_create"
    payload_fields = (*MessagesOperator.payload_fields, "override_messaging_limits")
    template_fields: Sequence[str] = (*MessagesOperator.template_fields, "schedule")

    def __init__(self, *, override_messaging_limits: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.override_messaging_limits = override_messaging_limits


class BrazeUpdateScheduledCampaignOperator(GuardedCall, Scheduled, OfCampaign):
    """Give scheduled campaigns another time. The new schedule replaces the old one, its flags too.

    Rules:
    https://www.braze.com/docs/api/endpoints/messaging/schedule_messages/post_update_scheduled_triggered_campaigns/.
    The key needs the permission ``campaigns.trigger.schedule.update``.
    A connection with ``test_recipients`` refuses it: the call does not say whom it reaches.
    """

    endpoint = "campaigns_trigger_schedule_update"
    template_fields: Sequence[str] = (*GuardedCall.template_fields, "schedule_id", "campaign_id", "schedule")


class BrazeUpdateScheduledCanvasOperator(GuardedCall, Scheduled, OfCanvas):
    """Give scheduled Canvas entries another time. The new schedule replaces the old one, its flags too.

    Rules: https://www.braze.com/docs/api/endpoints/messaging/schedule_messages/post_update_scheduled_triggered_canvases/.
    The key needs the permission ``canvas.trigger.schedule.update``.
    A connection with ``test_recipients`` refuses it: the call does not say whom it reaches.
    """

    endpoint = "canvas_trigger_schedule_update"
    template_fields: Sequence[str] = (*GuardedCall.template_fields, "schedule_id", "canvas_id", "schedule")


class BrazeUpdateScheduledMessagesOperator(GuardedCall, Scheduled, ByScheduleId):
    """Change the time or the content of scheduled messages; whom they go to cannot be changed.

    Rules: https://www.braze.com/docs/api/endpoints/messaging/schedule_messages/post_update_scheduled_messages/.
    The key needs the permission ``messages.schedule.update``.
    A connection with ``test_recipients`` refuses it: the call does not say whom it reaches.

    :param messages: the new content, one object per channel. (templated)
    """

    endpoint = "messages_schedule_update"
    payload_fields = ("messages",)
    template_fields: Sequence[str] = (
        *GuardedCall.template_fields,
        *("schedule_id", "schedule", "messages"),
    )

    def __init__(
        self, *, schedule: When | None = None, messages: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(schedule=schedule, **kwargs)
        if schedule is None and messages is None and not self._missing:
            raise ValueError("Nothing would change: give schedule, messages, or both.")
        self.messages = messages


class BrazeDeleteScheduledCampaignOperator(OfCampaign):
    """Delete scheduled campaigns; close to their time that may come too late.

    Rules:
    https://www.braze.com/docs/api/endpoints/messaging/schedule_messages/post_delete_scheduled_triggered_messages/.
    The key needs the permission ``campaigns.trigger.schedule.delete``. Without any id there is nothing to do.
    """

    endpoint = "campaigns_trigger_schedule_delete"


class BrazeDeleteScheduledCanvasOperator(OfCanvas):
    """Delete scheduled Canvas entries; close to their time that may come too late.

    Rules: https://www.braze.com/docs/api/endpoints/messaging/schedule_messages/post_delete_scheduled_triggered_canvases/.
    The key needs the permission ``canvas.trigger.schedule.delete``. Without any id there is nothing to do.
    """

    endpoint = "canvas_trigger_schedule_delete"


class BrazeDeleteScheduledMessagesOperator(ByScheduleId):
    """Delete scheduled messages.

    Rules: https://www.braze.com/docs/api/endpoints/messaging/schedule_messages/post_delete_scheduled_messages/.
    The key needs the permission ``messages.schedule.delete``. Without any id there is nothing to do.
    """

    endpoint = "messages_schedule_delete"


class BrazeListScheduledBroadcastsOperator(BrazeCallOperator):
    """List the campaigns and Canvases that the dashboard has scheduled until a time, under ``scheduled_broadcasts``.

    Rules: https://www.braze.com/docs/api/endpoints/messaging/schedule_messages/get_messages_scheduled/.
    The key needs the permission ``messages.schedule_broadcasts``. Schedules made through the API are not in it.

    :param end_time: until when, as a ``datetime`` or ISO 8601 text; Braze takes it as midnight UTC. (templated)
    """

    endpoint = "messages_scheduled_broadcasts"
    payload_fields = ("end_time",)
    template_fields: Sequence[str] = (*BrazeCallOperator.template_fields, "end_time")

    def __init__(self, *, end_time: datetime | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.end_time = end_time
