"""What operators with a schedule, and operators on schedules, have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_braze.operators.base import BrazeBaseOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

When = Mapping[str, Any] | datetime | str


class Scheduled(BrazeBaseOperator):
    """For calls with a schedule.

    :param schedule: when: a ``datetime`` with a time zone, an ISO 8601 text with one, or Braze's schedule object
        ``{"time": ..., "in_local_time": True}``. Only with ``in_local_time`` or ``at_optimal_time`` the time must have
        no zone. A time that is past is refused. (templated)
    """

    template_fields: Sequence[str] = (*BrazeBaseOperator.template_fields, "schedule")

    def __init__(self, *, schedule: When | None = None, **kwargs: Any) -> None:
        # So that .output["schedule_ids"] is the ids: Airflow takes what is in the brackets for a key of its own.
        super().__init__(**{"multiple_outputs": True} | kwargs)
        self.schedule = schedule

    @property
    def payload(self) -> dict[str, Any]:
        """The fields that were given, the schedule as Braze's object."""
        from airflow_provider_braze.hooks.errors import airflow_errors
        from airflow_provider_braze.operators.when import schedule_object

        with airflow_errors():
            when = {} if self.schedule is None else {"schedule": schedule_object(self.endpoint, self.schedule)}
            return super().payload | when


class ByScheduleId(BrazeBaseOperator):
    """For one call per schedule id; returns ``{"schedule_ids": [...], "requests": n}``.

    All ids are tried; the task fails at the end where one of them was refused.

    :param schedule_id: one id, or a list, such as ``create.output["schedule_ids"]``. (templated)
    """

    template_fields: Sequence[str] = (*BrazeBaseOperator.template_fields, "schedule_id")

    def __init__(self, *, schedule_id: str | Iterable[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.schedule_id = schedule_id

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002
        """Call once per id."""
        from airflow_provider_braze.hooks.errors import airflow_errors
        from airflow_provider_braze.operators.when import call_per_schedule

        with airflow_errors():
            return call_per_schedule(self.hook, self.endpoint, self.payload, self.schedule_id, self.log)


class OfCampaign(ByScheduleId):
    """For schedules of a campaign.

    :param campaign_id: API identifier of the campaign. (templated)
    """

    payload_fields: Sequence[str] = ("campaign_id",)
    template_fields: Sequence[str] = (*ByScheduleId.template_fields, "campaign_id")

    def __init__(self, *, campaign_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id


class OfCanvas(ByScheduleId):
    """For schedules of a Canvas.

    :param canvas_id: API identifier of the Canvas. (templated)
    """

    payload_fields: Sequence[str] = ("canvas_id",)
    template_fields: Sequence[str] = (*ByScheduleId.template_fields, "canvas_id")

    def __init__(self, *, canvas_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.canvas_id = canvas_id
