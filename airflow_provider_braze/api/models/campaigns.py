"""API-triggered campaigns: send now, schedule, update and delete a schedule.

Rules: https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_triggered_campaigns/ and
https://www.braze.com/docs/api/endpoints/messaging/schedule_messages/post_schedule_triggered_campaigns/.
"""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from airflow_provider_braze.api.models.common import NonEmpty, Properties, SendId
from airflow_provider_braze.api.models.recipients import Attachment
from airflow_provider_braze.api.models.schedules import Schedule, ScheduleById
from airflow_provider_braze.api.models.triggered import TriggerCall


class CampaignTriggerSend(TriggerCall):
    """Send an API-triggered campaign to recipients, to an audience, or as a broadcast."""

    campaign_id: NonEmpty
    send_id: SendId | None = None
    trigger_properties: Properties | None = None
    attachments: list[Attachment] | None = None

    @model_validator(mode="after")
    def _attachments_are_personal(self) -> Self:
        if self.broadcast and self.attachments:
            raise ValueError("attachments cannot be given with broadcast true")
        return self


class CampaignScheduleCreate(TriggerCall):
    """Schedule an API-triggered campaign."""

    campaign_id: NonEmpty
    schedule: Schedule
    send_id: SendId | None = None
    trigger_properties: Properties | None = None


class CampaignScheduleDelete(ScheduleById):
    """Delete a scheduled campaign; close to its time that may come too late."""

    campaign_id: NonEmpty


class CampaignScheduleUpdate(CampaignScheduleDelete):
    """Give a scheduled campaign another time; the new schedule replaces the old one entirely."""

    schedule: Schedule
