"""Operators that send now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_braze.operators.base import BrazeSendOperator


class BrazeSendCampaignOperator(BrazeSendOperator):
    """Send an API-triggered campaign, to recipients of any number or as a broadcast.

    .. code-block:: python

        BrazeSendCampaignOperator(
            task_id="win_back",
            campaign_id="0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10",
            recipients=SqlAudience("warehouse", "SELECT id AS external_user_id, first_name FROM lapsed_customers"),
        )

    Rules and limits: https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_triggered_campaigns/.
    The key needs the permission ``campaigns.trigger.send``.

    :param campaign_id: API identifier of the campaign. (templated)
    :param recipients: see :class:`~airflow_provider_braze.operators.base.BrazeSendOperator`. (templated)
    :param trigger_properties: values for the message, the same for everybody; at most 50 KB. A recipient's own values
        come first. (templated)
    :param attachments: files for an e-mail, each with ``file_name`` and ``url``; not with a broadcast. (templated)
    :param audience: filters that restrict the recipients or the broadcast further. (templated)
    :param broadcast: ``True`` sends to everybody in the campaign's target audience. Nothing but this word does.
    :param send_id: id for the analytics of this send, at most 64 ASCII characters; it does not prevent a second
        send. (templated)
    :raises BrazeValidationError: the payload breaks one of Braze's rules; nothing was sent.
    :raises BrazeAudienceError: the audience cannot be read, is empty, or holds invalid rows; nothing was sent.
    :raises BrazeDeliveryError: not everybody got through; its ``report`` has the counts.
    """

    endpoint = "campaigns_trigger_send"
    payload_fields = ("campaign_id", "trigger_properties", "attachments", "audience", "broadcast", "send_id")
    template_fields: Sequence[str] = (
        "braze_conn_id",
        "recipients",
        "campaign_id",
        "trigger_properties",
        "attachments",
        "audience",
        "send_id",
    )

    def __init__(
        self,
        *,
        campaign_id: str,
        trigger_properties: Mapping[str, Any] | None = None,
        attachments: Sequence[Mapping[str, str]] | None = None,
        audience: Mapping[str, Any] | None = None,
        broadcast: bool | None = None,
        send_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id
        self.trigger_properties = trigger_properties
        self.attachments = attachments
        self.audience = audience
        self.broadcast = broadcast
        self.send_id = send_id
