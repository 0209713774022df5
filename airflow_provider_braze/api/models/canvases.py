"""API-triggered Canvases: send now, schedule, update and delete a schedule.

Rules: https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_triggered_canvases/ and
https://www.braze.com/docs/api/endpoints/messaging/schedule_messages/post_schedule_triggered_canvases/.
"""

from __future__ import annotations

from airflow_provider_braze.api.models.common import NonEmpty, Properties
from airflow_provider_braze.api.models.schedules import Schedule, ScheduleById
from airflow_provider_braze.api.models.triggered import TriggerCall


class CanvasTriggerSend(TriggerCall):
    """Enter recipients, an audience, or, as a broadcast, everybody in the target audience into a Canvas."""

    canvas_id: NonEmpty
    context: Properties | None = None
    # The older name of context; both go out as they were given.
    canvas_entry_properties: Properties | None = None


class CanvasScheduleCreate(CanvasTriggerSend):
    """Schedule an entry into a Canvas."""

    schedule: Schedule


class CanvasScheduleDelete(ScheduleById):
    """Delete a scheduled Canvas entry; close to its time that may come too late."""

    canvas_id: NonEmpty


class CanvasScheduleUpdate(CanvasScheduleDelete):
    """Give a scheduled Canvas entry another time; the new schedule replaces the old one entirely."""

    schedule: Schedule
