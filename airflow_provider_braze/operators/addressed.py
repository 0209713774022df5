"""What sending now and scheduling have in common: the fields of a campaign, a Canvas, and of messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_braze.operators.people import NOT_GIVEN, BrazeSendOperator

if TYPE_CHECKING:
    from airflow_provider_braze.delivery.audience import Audience


class CampaignOperator(BrazeSendOperator):
    """For an API-triggered campaign.

    :param campaign_id: API identifier of the campaign. (templated)
    :param trigger_properties: values for the message, the same for everybody; at most 50 KB. A recipient's own values
        come first. (templated)
    :param send_id: id for the analytics of this send, at most 64 ASCII characters; it does not prevent a second
        send. (templated)
    """

    payload_fields: Sequence[str] = (*BrazeSendOperator.payload_fields, "campaign_id", "trigger_properties", "send_id")
    template_fields: Sequence[str] = (
        *BrazeSendOperator.template_fields,
        "campaign_id",
        "trigger_properties",
        "send_id",
    )

    def __init__(
        self,
        *,
        campaign_id: str,
        trigger_properties: Mapping[str, Any] | None = None,
        send_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id
        self.trigger_properties = trigger_properties
        self.send_id = send_id
        self.check_reconcile(campaign_id)


class CanvasOperator(BrazeSendOperator):
    """For an API-triggered Canvas.

    :param canvas_id: API identifier of the Canvas. (templated)
    :param context: values for the Canvas, the same for everybody; at most 50 KB. A recipient's own values come first.
        (templated)
    """

    payload_fields: Sequence[str] = (*BrazeSendOperator.payload_fields, "canvas_id", "context")
    template_fields: Sequence[str] = (*BrazeSendOperator.template_fields, "canvas_id", "context")

    def __init__(self, *, canvas_id: str, context: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.canvas_id = canvas_id
        self.context = context
        self.check_reconcile(canvas_id)


class UsersOperator(BrazeSendOperator):
    """For one content that goes to users, or to a segment.

    :param external_user_ids: ids of any number, instead of ``recipients``. (templated)
    :param segment_id: API identifier of a segment; with users, only those of them who are in it. (templated)
    """

    payload_fields: Sequence[str] = (*BrazeSendOperator.payload_fields, "segment_id")
    template_fields: Sequence[str] = (*BrazeSendOperator.template_fields, "external_user_ids", "segment_id")

    def __init__(
        self,
        *,
        external_user_ids: Iterable[str | int] | Audience = NOT_GIVEN,
        segment_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.take_people("external_user_ids", external_user_ids)
        self.segment_id = segment_id


class MessagesOperator(UsersOperator):
    """For messages whose content comes with the call.

    :param messages: one object per channel, such as ``{"email": {...}}``. (templated)
    :param user_aliases: aliases of any number, beside or instead of ``external_user_ids``. (templated)
    :param campaign_id: API campaign that the messages count for; each channel then needs a ``message_variation_id``.
        (templated)
    :param send_id: id for the analytics of this send, with ``campaign_id``; it does not prevent a second send.
        (templated)
    :param recipient_subscription_state: who gets it: ``opted_in``, ``subscribed`` (Braze's default) or ``all``.
    """

    payload_fields: Sequence[str] = (
        *UsersOperator.payload_fields,
        *("messages", "campaign_id", "send_id", "recipient_subscription_state"),
    )
    template_fields: Sequence[str] = (
        *UsersOperator.template_fields,
        *("messages", "user_aliases", "campaign_id", "send_id"),
    )

    def __init__(
        self,
        *,
        messages: Mapping[str, Any],
        user_aliases: Iterable[Mapping[str, str]] = NOT_GIVEN,
        campaign_id: str | None = None,
        send_id: str | None = None,
        recipient_subscription_state: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.messages = messages
        self.take_people("user_aliases", user_aliases)
        self.campaign_id = campaign_id
        self.send_id = send_id
        self.recipient_subscription_state = recipient_subscription_state
        self.check_reconcile(campaign_id)
