"""API-triggered campaigns: the request of /campaigns/trigger/send, and the listing of campaigns.

Rules: https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_triggered_campaigns/ and
https://www.braze.com/docs/api/endpoints/export/campaigns/get_campaigns/.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr, model_validator

from airflow_provider_braze.api.models.audience import ConnectedAudience
from airflow_provider_braze.api.models.common import (
    PROPERTIES_BYTES,
    RECIPIENTS_PER_CALL,
    SEND_ID_CHARACTERS,
    BrazeModel,
    NonEmpty,
    check_properties_size,
    json_size,
)
from airflow_provider_braze.api.models.recipients import Attachment, Recipient, RecipientFields

Properties = Annotated[dict[str, Any], AfterValidator(check_properties_size)]
SendId = Annotated[StrictStr, Field(min_length=1, max_length=SEND_ID_CHARACTERS, pattern=r"^[\x00-\x7f]+$")]


def check_recipients(recipients: list[RecipientFields]) -> list[RecipientFields]:
    """At most 50 people a call, and 50 KB of properties for each."""
    if not recipients:
        raise ValueError("is empty: leave it out and write broadcast=true to message the whole target audience")
    if len(recipients) > RECIPIENTS_PER_CALL:
        raise ValueError(f"has {len(recipients)} entries, Braze takes at most {RECIPIENTS_PER_CALL} a call")
    if json_size(recipients) > PROPERTIES_BYTES:
        for place, recipient in enumerate(recipients):
            check_recipient_size(recipient, f"[{place}].")
    return recipients


def check_recipient_size(recipient: RecipientFields, path: str = "") -> None:
    """Hold one recipient's own properties against the 50 KB."""
    try:
        check_properties_size(recipient.get("trigger_properties") or {})
    except ValueError as error:
        raise ValueError(f"{path}trigger_properties {error}") from None


class CampaignTriggerSend(BrazeModel):
    """Send an API-triggered campaign to recipients, to an audience, or as a broadcast."""

    campaign_id: NonEmpty
    send_id: SendId | None = None
    trigger_properties: Properties | None = None
    broadcast: StrictBool | None = None
    audience: ConnectedAudience | None = None
    recipients: Annotated[list[Recipient], AfterValidator(check_recipients)] | None = None
    attachments: list[Attachment] | None = None

    @model_validator(mode="after")
    def _rules_between_fields(self) -> Self:
        if self.broadcast and self.recipients is not None:
            raise ValueError("broadcast true goes to everybody: it cannot be given together with recipients")
        if self.broadcast and self.attachments:
            raise ValueError("attachments cannot be given with broadcast true")
        if not self.broadcast and self.recipients is None and self.audience is None:
            raise ValueError("nobody is addressed: give recipients or audience, or write broadcast=true")
        if (self.model_extra or {}).get("segment_id") is not None:
            # Were it ignored over there, a call meant for a segment would reach everybody.
            raise ValueError(
                "segment_id is not known to this endpoint: restrict the call by audience or in the campaign"
            )
        return self


class CampaignsList(BrazeModel):
    """Ask for a page of campaigns, 100 at most."""

    page: Annotated[StrictInt, Field(ge=0)] | None = None
    include_archived: StrictBool | None = None
    sort_direction: Literal["asc", "desc"] | None = None
    last_edited_after: Annotated[StrictStr | None, Field(alias="last_edit.time[gt]")] = None
