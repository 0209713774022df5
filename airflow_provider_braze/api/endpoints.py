"""ENDPOINTS: one row per endpoint of Braze. Everything else reads this table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from airflow_provider_braze.api.models import campaigns, canvases, live_activities, messages, reads, responses, sends
from airflow_provider_braze.api.models.common import RECIPIENTS_PER_CALL, BrazeModel
from airflow_provider_braze.api.models.recipients import Person, Recipient, User
from airflow_provider_braze.api.models.schedules import ScheduleById

_DOCS = "https://www.braze.com/docs/api/endpoints"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One endpoint.

    :param name: key in ``ENDPOINTS``.
    :param method: HTTP method.
    :param path: path below the REST host; a part in braces is taken from the payload.
    :param permission: what the REST API key must be allowed to do.
    :param request: model of the body, or of the query of a GET.
    :param response: model of the answer.
    :param docs: Braze's page.
    :param quota: which of Braze's quotas a call draws from.
    :param broadcast_quota: whether a call without individual recipients draws from the broadcast quotas instead.
    :param repeatable: whether the same call may be repeated blindly without messaging anybody twice.
    :param messages_nobody: whether no message can come of it, though the same call twice does it twice. A connection
        with test recipients lets this through, as it does reads and deletes, and looks at whom all else is to.
    :param batch_field: the field that holds many recipients, None where there is none.
    :param batch_limit: how many of them one call takes.
    :param recipient: type of one recipient.
    :param values_field: the recipient's field for values of their own, None where all get the same content.
    """

    name: str
    method: Literal["GET", "POST"]
    path: str
    permission: str
    request: type[BrazeModel]
    response: type[BrazeModel]
    docs: str
    quota: str = "default_hourly"
    broadcast_quota: bool = False
    repeatable: bool = False
    messages_nobody: bool = False
    batch_field: str | None = None
    batch_limit: int | None = None
    recipient: Any = None
    values_field: str | None = None


def _send(name: str, path: str, request: type[BrazeModel], docs: str, **more: Any) -> Endpoint:
    """Messages people, or schedules that, fifty a call."""
    values: dict[str, Any] = {"broadcast_quota": True, "batch_field": "recipients", "recipient": Recipient} | more
    return _row(name, path, request, f"messaging/{docs}", batch_limit=RECIPIENTS_PER_CALL, **values)


def _change(name: str, path: str, request: type[BrazeModel], docs: str) -> Endpoint:
    """Sets a state: the same call twice changes nothing more."""
    return _row(name, path, request, f"messaging/{docs}", repeatable=True)


def _read(name: str, path: str, request: type[BrazeModel], docs: str, **more: Any) -> Endpoint:
    return _row(
        name, path, request, docs, **{"method": "GET", "response": responses.Listing, "repeatable": True} | more
    )


def _row(name: str, path: str, request: type[BrazeModel], docs: str, **more: Any) -> Endpoint:
    """Nearly every permission is the path with dots for slashes."""
    usual: dict[str, Any] = {"method": "POST", "permission": path[1:].replace("/", "."), "response": responses.Accepted}
    return Endpoint(name=name, path=path, request=request, docs=f"{_DOCS}/{docs}/", **usual | more)


_TO_USERS: dict[str, Any] = {"batch_field": "external_user_ids", "recipient": Person}
_SENDS, _SCHEDULES = "send_messages", "schedule_messages"
_CANVAS, _SEGMENTS = "export/canvas", "export/segments"
_ROWS = (
    _send("messages_send", "/messages/send", messages.MessagesSend, f"{_SENDS}/post_send_messages", **_TO_USERS),
    _send(
        "campaigns_trigger_send",
        "/campaigns/trigger/send",
        campaigns.CampaignTriggerSend,
        f"{_SENDS}/post_send_triggered_campaigns",
        values_field="trigger_properties",
    ),
    _send(
        "canvas_trigger_send",
        "/canvas/trigger/send",
        canvases.CanvasTriggerSend,
        f"{_SENDS}/post_send_triggered_canvases",
        values_field="context",
    ),
    _row(
        "sends_id_create",
        "/sends/id/create",
        sends.SendIdCreate,
        f"messaging/{_SENDS}/post_create_send_ids",
        quota="sends_id_create_daily",
        messages_nobody=True,
    ),
    _row(
        "transactional_send",
        "/transactional/v1/campaigns/{campaign_id}/send",
        sends.TransactionalSend,
        f"messaging/{_SENDS}/post_send_transactional_message",
        permission="transactional.send",
        response=responses.Transactional,
        quota="transactional",
    ),
    _send(
        "messages_schedule_create",
        "/messages/schedule/create",
        messages.MessagesScheduleCreate,
        f"{_SCHEDULES}/post_schedule_messages",
        broadcast_quota=False,
        **_TO_USERS,
    ),
    _change(
        "messages_schedule_update",
        "/messages/schedule/update",
        messages.MessagesScheduleUpdate,
        f"{_SCHEDULES}/post_update_scheduled_messages",
    ),
    _change(
        "messages_schedule_delete",
        "/messages/schedule/delete",
        ScheduleById,
        f"{_SCHEDULES}/post_delete_scheduled_messages",
    ),
    _send(
        "campaigns_trigger_schedule_create",
        "/campaigns/trigger/schedule/create",
        campaigns.CampaignScheduleCreate,
        f"{_SCHEDULES}/post_schedule_triggered_campaigns",
        values_field="trigger_properties",
    ),
    _change(
        "campaigns_trigger_schedule_update",
        "/campaigns/trigger/schedule/update",
        campaigns.CampaignScheduleUpdate,
        f"{_SCHEDULES}/post_update_scheduled_triggered_campaigns",
    ),
    _change(
        "campaigns_trigger_schedule_delete",
        "/campaigns/trigger/schedule/delete",
        campaigns.CampaignScheduleDelete,
        f"{_SCHEDULES}/post_delete_scheduled_triggered_messages",
    ),
    _send(
        "canvas_trigger_schedule_create",
        "/canvas/trigger/schedule/create",
        canvases.CanvasScheduleCreate,
        f"{_SCHEDULES}/post_schedule_triggered_canvases",
        values_field="context",
    ),
    _change(
        "canvas_trigger_schedule_update",
        "/canvas/trigger/schedule/update",
        canvases.CanvasScheduleUpdate,
        f"{_SCHEDULES}/post_update_scheduled_triggered_canvases",
    ),
    _change(
        "canvas_trigger_schedule_delete",
        "/canvas/trigger/schedule/delete",
        canvases.CanvasScheduleDelete,
        f"{_SCHEDULES}/post_delete_scheduled_triggered_canvases",
    ),
    _read(
        "messages_scheduled_broadcasts",
        "/messages/scheduled_broadcasts",
        reads.ScheduledBroadcasts,
        f"messaging/{_SCHEDULES}/get_messages_scheduled",
        permission="messages.schedule_broadcasts",
    ),
    _change(
        "live_activity_update",
        "/messages/live_activity/update",
        live_activities.LiveActivityUpdate,
        "live_activity/update",
    ),
    _send(
        "live_activity_start",
        "/messages/live_activity/start",
        live_activities.LiveActivityStart,
        "live_activity/start",
        broadcast_quota=False,
        **_TO_USERS | {"recipient": User},
    ),
    _read("campaigns_list", "/campaigns/list", reads.CampaignsList, "export/campaigns/get_campaigns"),
    _read("campaigns_details", "/campaigns/details", reads.CampaignDetails, "export/campaigns/get_campaign_details"),
    _read(
        "campaigns_data_series",
        "/campaigns/data_series",
        reads.CampaignDataSeries,
        "export/campaigns/get_campaign_analytics",
        quota="campaigns_data_series",
    ),
    _read("sends_data_series", "/sends/data_series", reads.SendDataSeries, "export/campaigns/get_send_analytics"),
    _read("canvas_list", "/canvas/list", reads.CampaignsList, f"{_CANVAS}/get_canvases"),
    _read("canvas_details", "/canvas/details", reads.CanvasDetails, f"{_CANVAS}/get_canvas_details"),
    _read("canvas_data_series", "/canvas/data_series", reads.CanvasData, f"{_CANVAS}/get_canvas_analytics"),
    _read("canvas_data_summary", "/canvas/data_summary", reads.CanvasData, f"{_CANVAS}/get_canvas_analytics_summary"),
    _read("segments_list", "/segments/list", reads.SegmentsList, f"{_SEGMENTS}/get_segment"),
    _read("segments_details", "/segments/details", reads.SegmentDetails, f"{_SEGMENTS}/get_segment_details"),
    _read(
        "segments_data_series",
        "/segments/data_series",
        reads.SegmentDataSeries,
        f"{_SEGMENTS}/get_segment_analytics",
    ),
    _read(
        "users_export_ids",
        "/users/export/ids",
        reads.UsersExportIds,
        "export/user_data/post_users_identifier",
        method="POST",
        quota="users_export_ids",
    ),
)

ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType({row.name: row for row in _ROWS})
