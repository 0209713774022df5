"""Messages whose content comes with the call: send now, schedule, update and delete a schedule.

Rules: https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_messages/ and
https://www.braze.com/docs/api/endpoints/messaging/schedule_messages/post_schedule_messages/.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import StrictBool, model_validator

from airflow_provider_braze.api.models.audience import ConnectedAudience
from airflow_provider_braze.api.models.channels import AndroidPush, ApplePush, Email, KindlePush, Sms, WebPush
from airflow_provider_braze.api.models.common import RECIPIENTS_PER_CALL, BrazeModel, ListedUserId, NonEmpty, SendId
from airflow_provider_braze.api.models.more_channels import ContentCard, Webhook, WhatsApp
from airflow_provider_braze.api.models.recipients import UserAlias
from airflow_provider_braze.api.models.schedules import Schedule, ScheduleById


class Messages(BrazeModel):
    """One object per channel; a user gets those by which they can be reached."""

    apple_push: ApplePush | None = None
    android_push: AndroidPush | None = None
    web_push: WebPush | None = None
    kindle_push: KindlePush | None = None
    email: Email | None = None
    content_card: ContentCard | None = None
    sms: Sms | None = None
    webhook: Webhook | None = None
    whats_app: WhatsApp | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not any(getattr(self, name) is not None for name in type(self).model_fields):
            raise ValueError("holds no channel that Braze documents: give at least one, for example email")
        return self

    def channels(self) -> dict[str, object]:
        """The channels that are given, with those that Braze adds tomorrow."""
        given = {name: getattr(self, name) for name in type(self).model_fields} | (self.model_extra or {})
        return {name: channel for name, channel in given.items() if channel is not None}


class _MessagesCall(BrazeModel):
    broadcast: StrictBool | None = None
    external_user_ids: list[ListedUserId] | None = None
    user_aliases: list[UserAlias] | None = None
    segment_id: NonEmpty | None = None
    audience: ConnectedAudience | None = None
    campaign_id: NonEmpty | None = None
    send_id: SendId | None = None
    recipient_subscription_state: Literal["opted_in", "subscribed", "all"] | None = None
    messages: Messages | None = None

    @model_validator(mode="after")
    def _addresses_somebody(self) -> Self:
        people = len(self.external_user_ids or []) + len(self.user_aliases or [])
        if self.external_user_ids == [] or self.user_aliases == []:
            raise ValueError("external_user_ids and user_aliases must not be empty lists: leave them out")
        if people > RECIPIENTS_PER_CALL:
            raise ValueError(
                f"external_user_ids and user_aliases are {people} together, Braze takes at most {RECIPIENTS_PER_CALL}"
            )
        unknown = (self.model_extra or {}).get("recipients")
        if unknown == [] or (not people and unknown is not None):
            # Were they ignored over there, a call meant for a few would reach everybody in the segment.
            raise ValueError("recipients is not known to this endpoint: use external_user_ids or user_aliases")
        if self.broadcast and people:
            raise ValueError("broadcast true cannot be given together with external_user_ids or user_aliases")
        if not people and self.segment_id is None and self.audience is None:
            raise ValueError("nobody is addressed: give external_user_ids, user_aliases, segment_id or audience")
        if not people and not self.broadcast:
            raise ValueError("without external_user_ids or user_aliases, broadcast=true must be written")
        return self

    @model_validator(mode="after")
    def _counts_for_a_campaign(self) -> Self:
        if self.messages is None:
            raise ValueError("messages is missing: there is nothing to send")
        if self.send_id is not None and self.campaign_id is None:
            raise ValueError("send_id needs campaign_id beside it")
        if self.campaign_id is not None:
            for name, channel in self.messages.channels().items():
                fields = channel if isinstance(channel, dict) else vars(channel)
                if fields.get("message_variation_id") is None:
                    raise ValueError(f"messages.{name}.message_variation_id is needed, since campaign_id is given")
        return self


class MessagesSend(_MessagesCall):
    """Send messages to users, to a segment, or to an audience; all get the same content."""

    override_frequency_capping: StrictBool | None = None


class MessagesScheduleCreate(_MessagesCall):
    """Schedule messages."""

    schedule: Schedule
    override_messaging_limits: StrictBool | None = None

    @model_validator(mode="after")
    def _has_no_whats_app(self) -> Self:
        if self.messages is not None and self.messages.whats_app is not None:
            raise ValueError("messages.whats_app cannot be scheduled: Braze lists it for /messages/send only")
        return self


class MessagesScheduleUpdate(ScheduleById):
    """Change when or what scheduled messages are; whom they go to cannot be changed."""

    schedule: Schedule | None = None
    messages: Messages | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.schedule is None and self.messages is None:
            raise ValueError("nothing changes: give schedule or messages")
        return self
