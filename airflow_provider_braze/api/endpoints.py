"""ENDPOINTS: one row per endpoint of Braze. Everything else reads this table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from airflow_provider_braze.api.models.campaigns import CampaignsList, CampaignTriggerSend
from airflow_provider_braze.api.models.common import RECIPIENTS_PER_CALL, BrazeModel
from airflow_provider_braze.api.models.responses import Accepted, Listing

_DOCS = "https://www.braze.com/docs/api/endpoints"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One endpoint.

    :param name: key in ``ENDPOINTS``.
    :param method: HTTP method.
    :param path: path below the REST host.
    :param permission: what the REST API key must be allowed to do.
    :param request: model of the body, or of the query of a GET.
    :param response: model of the answer.
    :param quota: which of Braze's quotas a call draws from.
    :param repeatable: whether the same call may be repeated blindly without messaging anybody twice.
    :param docs: Braze's page.
    :param batch_field: the field that holds many recipients, None where there is none.
    :param batch_limit: how many of them one call takes.
    """

    name: str
    method: Literal["GET", "POST"]
    path: str
    permission: str
    request: type[BrazeModel]
    response: type[BrazeModel]
    quota: str
    repeatable: bool
    docs: str
    batch_field: str | None = None
    batch_limit: int | None = None


ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType(
    {
        row.name: row
        for row in (
            Endpoint(
                name="campaigns_trigger_send",
                method="POST",
                path="/campaigns/trigger/send",
                permission="campaigns.trigger.send",
                request=CampaignTriggerSend,
                response=Accepted,
                quota="default_hourly",
                repeatable=False,
                docs=f"{_DOCS}/messaging/send_messages/post_send_triggered_campaigns/",
                batch_field="recipients",
                batch_limit=RECIPIENTS_PER_CALL,
            ),
            Endpoint(
                name="campaigns_list",
                method="GET",
                path="/campaigns/list",
                permission="campaigns.list",
                request=CampaignsList,
                response=Listing,
                quota="default_hourly",
                repeatable=True,
                docs=f"{_DOCS}/export/campaigns/get_campaigns/",
            ),
        )
    }
)
