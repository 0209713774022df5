"""Queries of the read endpoints: campaigns, Canvases, sends, segments, users, and what is scheduled.

Rules: https://www.braze.com/docs/api/endpoints/export/.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr, model_validator

from airflow_provider_braze.api.models.common import RECIPIENTS_PER_CALL, BrazeModel, DateTime, ListedUserId, NonEmpty
from airflow_provider_braze.api.models.recipients import UserAlias

MOST_CANVAS_DAYS = 14


def _canvas_days(value: str | int) -> str | int:
    if not str(value).isascii() or not str(value).isdigit() or not 1 <= int(value) <= MOST_CANVAS_DAYS:
        raise ValueError(f"must be a number of days from 1 to {MOST_CANVAS_DAYS}")
    return value


Page = Annotated[StrictInt, Field(ge=0)]
Days = Annotated[StrictInt, Field(ge=1, le=100)]
# Braze types it as text; a number becomes the same query.
CanvasDays = Annotated[StrictInt | StrictStr, AfterValidator(_canvas_days)]


class SegmentsList(BrazeModel):
    """A page of segments, 100 at most."""

    page: Page | None = None
    sort_direction: Literal["asc", "desc"] | None = None


class CampaignsList(SegmentsList):
    """A page of campaigns or Canvases, 100 at most."""

    include_archived: StrictBool | None = None
    last_edited_after: Annotated[DateTime | None, Field(alias="last_edit.time[gt]")] = None


class _Details(BrazeModel):
    post_launch_draft_version: StrictBool | None = None
    include_has_translatable_content: StrictBool | None = None


class CampaignDetails(_Details):
    """One campaign."""

    campaign_id: NonEmpty


class CanvasDetails(_Details):
    """One Canvas."""

    canvas_id: NonEmpty


class SegmentDetails(BrazeModel):
    """One segment."""

    segment_id: NonEmpty


class CampaignDataSeries(BrazeModel):
    """Daily figures of a campaign."""

    campaign_id: NonEmpty
    length: Days
    ending_at: DateTime | None = None


class SendDataSeries(CampaignDataSeries):
    """Daily figures of one send of a campaign; Braze keeps them for 14 days."""

    send_id: NonEmpty


class SegmentDataSeries(SegmentDetails):
    """Daily sizes of a segment."""

    length: Days
    ending_at: DateTime | None = None


class CanvasData(BrazeModel):
    """Figures of a Canvas, by day or summed up."""

    canvas_id: NonEmpty
    ending_at: DateTime
    starting_at: DateTime | None = None
    length: CanvasDays | None = None
    include_variant_breakdown: StrictBool | None = None
    include_step_breakdown: StrictBool | None = None
    include_deleted_step_data: StrictBool | None = None

    @model_validator(mode="after")
    def _has_a_beginning(self) -> Self:
        if self.starting_at is None and self.length is None:
            raise ValueError("length or starting_at is needed, to say how many days are meant")
        return self


class ScheduledBroadcasts(BrazeModel):
    """What the dashboard has scheduled between now and a time, which Braze takes as midnight UTC."""

    end_time: DateTime


class UsersExportIds(BrazeModel):
    """Profiles of up to 50 users."""

    external_ids: Annotated[list[ListedUserId], Field(max_length=RECIPIENTS_PER_CALL)] | None = None
    user_aliases: Annotated[list[UserAlias], Field(max_length=RECIPIENTS_PER_CALL)] | None = None
    device_id: NonEmpty | None = None
    braze_id: NonEmpty | None = None
    email_address: NonEmpty | None = None
    phone: NonEmpty | None = None
    fields_to_export: list[StrictStr] | None = None

    @model_validator(mode="after")
    def _names_users_in_one_way(self) -> Self:
        single = [name for name in ("device_id", "email_address", "phone") if getattr(self, name) is not None]
        if len(single) > 1:
            raise ValueError(f"{' and '.join(single)} exclude each other: give one of them")
        if not (single or self.external_ids or self.user_aliases or self.braze_id):
            raise ValueError("no user is named: give external_ids, user_aliases, or one single identifier")
        return self
