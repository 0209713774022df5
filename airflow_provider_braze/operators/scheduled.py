"""What operators with a schedule, and operators on schedules, have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_braze.operators.base import BrazeBaseOperator, ForWorkspace

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_braze.delivery.sender import Stop

When = Mapping[str, Any] | datetime | str


class Scheduled(BrazeBaseOperator):
    """For calls with a schedule.

    :param schedule: when: a ``datetime`` with a time zone, an ISO 8601 text with one, or Braze's schedule object
        ``{"time": ..., "in_local_time": True}``. Only with ``in_local_time`` or ``at_optimal_time`` the time must have
        no zone. A time that is past is refused. (templated)
    """

    template_fields: Sequence[str] = (*BrazeBaseOperator.template_fields, "schedule")

    def __init__(self, *, schedule: When | None, **kwargs: Any) -> None:
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


class ByScheduleId(ForWorkspace):
    """For one call per schedule id; returns ``{"schedule_ids": [...], "requests": n}``.

    All ids are tried, several at a time, at the pace of Braze's quota; the task fails at the end where one of them was
    refused. Another try calls for what is left: Airflow remembers from 3.3 on what a task has deleted. On older ones
    Braze refuses to delete that once more, and a person is to look. An empty list is nothing to do.

    :param schedule_id: one id, or a list, such as ``create.output["schedule_ids"]``. (templated)
    """

    template_fields: Sequence[str] = (*ForWorkspace.template_fields, "schedule_id")

    def __init__(self, *, schedule_id: str | Iterable[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.schedule_id = schedule_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Call once per id."""
        from airflow_provider_braze.delivery.schedule_calls import ScheduleCalls
        from airflow_provider_braze.delivery.schedule_ids import Deleted, call_per_schedule, check_call, read_ids
        from airflow_provider_braze.hooks.errors import airflow_errors

        with airflow_errors(repeatable=True):
            ids, fields = read_ids(self.endpoint, self.schedule_id), self.payload
            check_call(self.endpoint, fields, ids, self.hook.settings.staging)
            if ids:
                self.check_workspace_if_possible()
            calls = ScheduleCalls(self.hook.get_async_conn, self.make_pacer, self._stop)
            deletes = self.endpoint.endswith("_delete")
            deleted = Deleted(context.get("task_state_store") if deletes else None)
            return call_per_schedule(calls, self.endpoint, fields, ids, deleted)

    @cached_property
    def _stop(self) -> Stop:
        from airflow_provider_braze.delivery.sender import Stop

        return Stop()

    def on_kill(self) -> None:
        """Begin no further request: a person stopped the task."""
        self._stop.now("the task was stopped from outside")


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
