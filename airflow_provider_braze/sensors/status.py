"""Sensors that wait until somebody has un-paused a campaign or Canvas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_braze.sensors.base import BrazeSensor
from airflow_provider_braze.sensors.checks import identifier

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_braze.conditions.status import Active


class BrazeCampaignActiveSensor(BrazeSensor):
    """Wait until a campaign is active: neither paused nor a draft. An archived one fails the task.

    Returns ``{"name": ..., "enabled": True, "archived": False, "draft": False}``. The key needs the permission
    ``campaigns.details``; see https://www.braze.com/docs/api/endpoints/export/campaigns/get_campaign_details/.

    :param campaign_id: API identifier of the campaign. (templated)
    """

    template_fields: Sequence[str] = (*BrazeSensor.template_fields, "campaign_id")

    def __init__(self, *, campaign_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id

    def condition(self, context: Context) -> Active:  # noqa: ARG002
        """The campaign is active."""
        from airflow_provider_braze.conditions.status import Active

        return Active("campaign", identifier("campaign_id", self.campaign_id))


class BrazeCanvasActiveSensor(BrazeSensor):
    """Wait until a Canvas is active: neither paused nor a draft. An archived one fails the task.

    Returns ``{"name": ..., "enabled": True, "archived": False, "draft": False}``. The key needs the permission
    ``canvas.details``; see https://www.braze.com/docs/api/endpoints/export/canvas/get_canvas_details/.

    :param canvas_id: API identifier of the Canvas. (templated)
    """

    template_fields: Sequence[str] = (*BrazeSensor.template_fields, "canvas_id")

    def __init__(self, *, canvas_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.canvas_id = canvas_id

    def condition(self, context: Context) -> Active:  # noqa: ARG002
        """The Canvas is active."""
        from airflow_provider_braze.conditions.status import Active

        return Active("canvas", identifier("canvas_id", self.canvas_id))
