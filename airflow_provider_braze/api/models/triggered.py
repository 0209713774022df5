"""What the four calls that trigger a campaign or a Canvas share: whom they address.

Rules: https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_triggered_campaigns/.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, StrictBool, model_validator

from airflow_provider_braze.api.models.audience import ConnectedAudience
from airflow_provider_braze.api.models.common import (
    PROPERTIES_BYTES,
    RECIPIENTS_PER_CALL,
    BrazeModel,
    check_properties_size,
    json_size,
)
from airflow_provider_braze.api.models.recipients import Recipient, RecipientFields


def check_recipients(recipients: list[RecipientFields]) -> list[RecipientFields]:
    """At most 50 people a call, and 50 KB of values for each."""
    if not recipients:
        raise ValueError("is empty: leave it out and write broadcast=true to message the whole target audience")
    if len(recipients) > RECIPIENTS_PER_CALL:
        raise ValueError(f"has {len(recipients)} entries, Braze takes at most {RECIPIENTS_PER_CALL} a call")
    if json_size(recipients) > PROPERTIES_BYTES:
        for place, recipient in enumerate(recipients):
            check_recipient_size(recipient, f"[{place}].")
    return recipients


def check_recipient_size(recipient: RecipientFields, path: str = "") -> None:
    """Hold one recipient's own values against the 50 KB."""
    for field in ("trigger_properties", "context", "canvas_entry_properties"):
        try:
            check_properties_size(recipient.get(field) or {})  # type: ignore[arg-type]
        except ValueError as error:
            raise ValueError(f"{path}{field} {error}") from None


class TriggerCall(BrazeModel):
    """Addresses recipients, an audience, or, as a broadcast, everybody in the target audience."""

    broadcast: StrictBool | None = None
    audience: ConnectedAudience | None = None
    recipients: Annotated[list[Recipient], AfterValidator(check_recipients)] | None = None

    @model_validator(mode="after")
    def _addresses_somebody(self) -> Self:
        if self.broadcast and self.recipients is not None:
            raise ValueError("broadcast true goes to everybody: it cannot be given together with recipients")
        extra = self.model_extra or {}
        for name in ("external_user_ids", "user_aliases"):
            # Were they ignored over there, a call meant for a few would reach everybody in the audience.
            if self.recipients is None and extra.get(name) is not None:
                raise ValueError(f"{name} is not known here and would restrict no broadcast: use recipients")
        if not self.broadcast and self.recipients is None and self.audience is None:
            raise ValueError("nobody is addressed: give recipients or audience, or write broadcast=true")
        if extra.get("segment_id") is not None:
            # Were it ignored over there, a call meant for a segment would reach everybody.
            raise ValueError(
                "segment_id is not known to this endpoint: restrict the call by audience or in the dashboard"
            )
        return self
