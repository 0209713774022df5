"""Operators that take down Braze's daily figures before a send, so that a sensor can count what comes on top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_braze.operators.base import BrazeBaseOperator, FirstResult

if TYPE_CHECKING:
    from airflow.sdk import Context

DAYS = 3
"""Yesterday and the day before, too: Braze counts in the workspace's time zone, and some figures come late."""


class Baseline(BrazeBaseOperator):
    """Reads the figures of the last days; returns ``{"of": ..., "id": ..., "taken_at": ..., "days": {...}}``."""

    of: ClassVar[str]

    def query(self) -> Mapping[str, Any]:
        """Say of what."""
        raise NotImplementedError

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002
        """Ask, and return the figures as a plain dict."""
        from airflow_provider_braze.api.errors import BrazeUnknownOutcomeError
        from airflow_provider_braze.conditions.metrics import SERIES, days_of
        from airflow_provider_braze.hooks.errors import airflow_errors

        now, series, asked = datetime.now(UTC).isoformat(timespec="seconds"), SERIES[self.of], self.query()
        until = {series.now_field: now} if series.now_field else {}
        answer = self.hook.call(self.endpoint, {**asked, "length": DAYS, **until})
        with airflow_errors(repeatable=True):
            try:
                days = days_of(self.of, answer)
            except (AttributeError, KeyError, TypeError, ValueError):
                raise BrazeUnknownOutcomeError("The figures cannot be read") from None
        self.log.info("Figures of %s taken down for %s.", self.of, ", ".join(sorted(days)) or "no day")
        return {"of": self.of, "id": asked[series.id_field], "taken_at": now, "days": days}


class BrazeCampaignBaselineOperator(FirstResult, Baseline):
    """Take down a campaign's figures before it is sent, for ``BrazeCampaignMetricSensor(baseline=...)``.

    The key needs the permission ``campaigns.data_series``; see
    https://www.braze.com/docs/api/endpoints/export/campaigns/get_campaign_analytics/.

    :param campaign_id: API identifier of the campaign. (templated)
    """

    of = "campaign"
    endpoint = "campaigns_data_series"
    template_fields: Sequence[str] = (*Baseline.template_fields, "campaign_id")

    def __init__(self, *, campaign_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id

    def query(self) -> Mapping[str, Any]:
        """Of the campaign."""
        return {"campaign_id": self.campaign_id}


class BrazeCanvasBaselineOperator(FirstResult, Baseline):
    """Take down a Canvas's figures before people enter it, for ``BrazeCanvasMetricSensor(baseline=...)``.

    The key needs the permission ``canvas.data_series``; see
    https://www.braze.com/docs/api/endpoints/export/canvas/get_canvas_analytics/.

    :param canvas_id: API identifier of the Canvas. (templated)
    """

    of = "canvas"
    endpoint = "canvas_data_series"
    template_fields: Sequence[str] = (*Baseline.template_fields, "canvas_id")

    def __init__(self, *, canvas_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.canvas_id = canvas_id

    def query(self) -> Mapping[str, Any]:
        """Of the Canvas, step by step."""
        return {"canvas_id": self.canvas_id, "include_step_breakdown": True}
