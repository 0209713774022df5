"""Send ids for analytics, and the transactional e-mail.

Rules: https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_create_send_ids/ and
https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_transactional_message/.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StrictStr, model_validator

from airflow_provider_braze.api.models.common import BrazeModel, ListedUserId, NonEmpty, Properties, SendId
from airflow_provider_braze.api.models.recipients import Attributes, UserAlias


class SendIdCreate(BrazeModel):
    """Make an id under which the figures of a send are kept; 100 a day in a workspace."""

    campaign_id: NonEmpty
    send_id: SendId | None = None


class TransactionalRecipient(BrazeModel):
    """The one person of a transactional e-mail; an address alone is no identifier here."""

    external_user_id: ListedUserId | None = None
    user_alias: UserAlias | None = None
    attributes: Attributes | None = None

    @model_validator(mode="after")
    def _is_one_person(self) -> Self:
        if (self.external_user_id is None) == (self.user_alias is None):
            raise ValueError("must hold exactly one of external_user_id and user_alias")
        extra = self.model_extra or {}
        if others := [name for name in ("email", "braze_id") if extra.get(name) is not None]:
            raise ValueError(f"cannot be named by {' or '.join(others)} in a transactional e-mail")
        return self


class TransactionalSend(BrazeModel):
    """Send one transactional e-mail; the same ``external_send_id`` is sent once within 24 hours."""

    recipient: TransactionalRecipient
    external_send_id: Annotated[StrictStr, Field(pattern=r"^[a-zA-Z0-9\-_+/=]+\z")] | None = None
    trigger_properties: Properties | None = None
