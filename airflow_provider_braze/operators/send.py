"""Operators that send now, and the ids and receipts that go with it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_braze.operators.addressed import CampaignOperator, CanvasOperator, MessagesOperator
from airflow_provider_braze.operators.base import BrazeCallOperator, FirstResult
from airflow_provider_braze.operators.delivering import BrazeDeliveryOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_braze.delivery.engine import Delivery
    from airflow_provider_braze.delivery.ledger import OpenLedger
    from airflow_provider_braze.delivery.plan import Plan
    from airflow_provider_braze.delivery.policy import Policy

# Braze remembers an external_send_id for 24 hours; an hour is left for clocks and queues.
KNOWN_TO_BRAZE = timedelta(hours=23)


class BrazeSendCampaignOperator(CampaignOperator):
    """Send an API-triggered campaign, to recipients of any number or as a broadcast.

    .. code-block:: python

        BrazeSendCampaignOperator(
            task_id="win_back",
            campaign_id="0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10",
            recipients=SqlAudience("warehouse", "SELECT id AS external_user_id, first_name FROM lapsed_customers"),
        )

    Rules and limits: https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_triggered_campaigns/.
    The key needs the permission ``campaigns.trigger.send``.

    :param attachments: files for an e-mail, each with ``file_name`` and ``url``; not with a broadcast. (templated)
    :raises BrazeValidationError: the payload breaks one of Braze's rules; nothing was sent.
    :raises BrazeAudienceError: the audience cannot be read, is empty, or holds invalid rows; nothing was sent.
    :raises BrazeDeliveryError: not everybody got through; its ``report`` has the counts.
    """

    endpoint = "campaigns_trigger_send"
    payload_fields = (*CampaignOperator.payload_fields, "attachments")
    template_fields: Sequence[str] = (*CampaignOperator.template_fields, "attachments")

    def __init__(self, *, attachments: Sequence[Mapping[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.attachments = attachments


class BrazeSendCanvasOperator(CanvasOperator):
    """Enter recipients of any number into an API-triggered Canvas, or as a broadcast its whole target audience.

    Rules and limits: https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_triggered_canvases/.
    The key needs the permission ``canvas.trigger.send``. Raises what :class:`BrazeSendCampaignOperator` raises.
    """

    endpoint = "canvas_trigger_send"


class BrazeSendMessagesOperator(MessagesOperator):
    """Send messages whose content comes with the call; everybody gets the same.

    Rules and limits: https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_messages/.
    The key needs the permission ``messages.send``. Raises what :class:`BrazeSendCampaignOperator` raises.

    :param override_frequency_capping: whether the workspace's frequency caps do not apply.
    """

    endpoint = "messages_send"
    payload_fields = (*MessagesOperator.payload_fields, "override_frequency_capping")

    def __init__(self, *, override_frequency_capping: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.override_frequency_capping = override_frequency_capping


class BrazeCreateSendIdOperator(FirstResult, BrazeCallOperator):
    """Make a send id, under which Braze keeps the figures of a send for 14 days; returns ``{"send_id": ...}``.

    A workspace may make 100 a day. Rules:
    https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_create_send_ids/.
    The key needs the permission ``sends.id.create``.

    :param campaign_id: API identifier of the campaign. (templated)
    :param send_id: an id of your own, at most 64 ASCII characters; Braze makes one otherwise. (templated)
    """

    endpoint = "sends_id_create"
    payload_fields = ("campaign_id", "send_id")
    template_fields: Sequence[str] = (*BrazeCallOperator.template_fields, "campaign_id", "send_id")

    def __init__(self, *, campaign_id: str, send_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id
        self.send_id = send_id


class BrazeSendTransactionalEmailOperator(BrazeDeliveryOperator):
    """Send one transactional e-mail; returns Braze's ``dispatch_id`` and ``status``.

    Braze sends the same ``external_send_id`` once within 24 hours. It is derived from the task's run where none is
    given, so that within that time an e-mail in doubt is sent again safely; the ledger covers the time after it. A
    clear with ``on_clear="resend"`` derives another one, where there is a ledger to tell it from a retry.

    Rules: https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_transactional_message/.
    The key needs the permission ``transactional.send``.

    :param campaign_id: API identifier of the transactional campaign. (templated)
    :param recipient: who gets it: ``external_user_id`` or ``user_alias``, with ``attributes`` if wanted; Airflow's page
        of rendered templates shows a hash. (templated)
    :param trigger_properties: values for the message, at most 50 KB. (templated)
    :param external_send_id: an id of your own, of letters, digits and ``-_+/=``; not with ``on_clear="resend"``, since
        Braze would not send it again. (templated)
    :param allow_repeated: whether an ``external_send_id`` of your own that Braze has queued already, for another run,
        counts as sent; else that fails, for the id may be another e-mail's.
    """

    endpoint = "transactional_send"
    payload_fields = ("campaign_id", "recipient", "trigger_properties", "external_send_id")
    template_fields: Sequence[str] = (*BrazeDeliveryOperator.template_fields, *payload_fields)

    def __init__(
        self,
        *,
        campaign_id: str,
        recipient: Mapping[str, Any],
        trigger_properties: Mapping[str, Any] | None = None,
        external_send_id: str | None = None,
        allow_repeated: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if self.on_unknown == "reconcile":
            raise ValueError("on_unknown='reconcile' is not needed here: Braze sends an external_send_id only once.")
        if self.on_clear == "resend" and external_send_id is not None:
            raise ValueError(
                "on_clear='resend' cannot send an external_send_id of your own again: Braze sends it once within 24 "
                "hours, and would keep silent. Leave external_send_id out, and a clear takes another one; or leave "
                "on_clear out, and start a new run with another id."
            )
        self.campaign_id = campaign_id
        self.recipient: Mapping[str, Any] | _Hidden = recipient
        self.trigger_properties = trigger_properties
        self.external_send_id = external_send_id
        self.allow_repeated = allow_repeated

    def _do_render_template_fields(self, parent: Any, *args: Any, **kwargs: Any) -> None:
        """Airflow stores and shows rendered fields; who gets it does not belong there."""
        super()._do_render_template_fields(parent, *args, **kwargs)
        if parent is self:
            self.recipient = _Hidden(self.whom)

    @property
    def whom(self) -> Any:
        """Who gets it."""
        return self.recipient.value if isinstance(self.recipient, _Hidden) else self.recipient

    @property
    def payload(self) -> dict[str, Any]:
        """The fields that were given."""
        return super().payload | {"recipient": self.whom}

    def make_plan(self, context: Context) -> Plan:
        """Make the one request."""
        from airflow_provider_braze.delivery.plan import Plan

        key = run_key(context, self.campaign_id, self.whom) if "ti" in context else None
        payload = {"external_send_id": key} | self.payload
        return Plan(self.endpoint, payload, None, staging=self.hook.settings.staging)

    def policy(self, ledger: OpenLedger | None) -> Policy:
        """Repeat what is in doubt while Braze still knows the id."""
        wishes = replace(super().policy(ledger), repeat_is_refused=True, own_id=self.allow_repeated)
        began = ledger.past.began if ledger else None
        age = datetime.now(UTC) - datetime.fromisoformat(began) if began else timedelta()
        # Under a key the doubt may be another run's, with another id, and older.
        if age >= KNOWN_TO_BRAZE or self.delivery_key is not None:
            return wishes
        own_id = self.allow_repeated or self.external_send_id is None
        return replace(wishes, on_unknown="resend", idempotent=True, own_id=own_id)

    def open_ledger(self, plan: Plan, context: Context) -> AbstractContextManager[OpenLedger | None]:
        """Do without a ledger while Braze still knows the id."""
        due = getattr(context.get("dag_run"), "run_after", None)
        known = due is None or datetime.now(UTC) - due < KNOWN_TO_BRAZE
        if known and self.ledger is None and not context.get("task_state_store"):
            return nullcontext()
        opened = super().open_ledger(plan, context)
        if (generation := getattr(opened, "generation", 0)) and self.external_send_id is None:
            # Braze would drop what is to be sent again on purpose.
            plan.renew(external_send_id=run_key(context, self.campaign_id, self.whom, generation))
        return opened

    def execute(self, context: Context) -> Any:
        """Send, and return Braze's answer as a plain dict."""
        from airflow_provider_braze.api.errors import BrazeError
        from airflow_provider_braze.delivery.errors import BrazeNobodyMessagedError
        from airflow_provider_braze.hooks.errors import airflow_errors

        try:
            return super().execute(context)
        except BrazeNobodyMessagedError as error:
            # There is only one request: its own error says it better.
            with airflow_errors():
                raise error.__cause__ if isinstance(error.__cause__, BrazeError) else error from None

    def result(self, delivery: Delivery) -> dict[str, Any]:
        """Give Braze's answer as a plain dict."""
        known = {"metadata": {"external_send_id": delivery.plan.payload["external_send_id"]}}
        status = "unknown" if delivery.course.in_doubt else "already sent"
        return known | (delivery.answer or {"status": status})


class _Hidden:
    """Somebody's object, which Airflow stores as a hash."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        from airflow_provider_braze.delivery.batch import name_of

        return f"<recipient {name_of(self.value) or 'unnamed'}>"


def run_key(context: Context, campaign_id: str, recipient: Any, generation: int = 0) -> str:
    """Name this task in this run for this e-mail and person, the same on every try, whatever is told of the person.

    :param generation: the ledger's, which a clear with ``on_clear="resend"`` raises.
    """
    from airflow_provider_braze.api.models.recipients import identity_of

    instance: Any = context["ti"]
    whom = ""
    # What names nobody is refused with the rest of the payload.
    with suppress(AttributeError, KeyError, TypeError):
        whom = identity_of(recipient)
    parts = [instance.dag_id, instance.run_id, instance.task_id, str(instance.map_index), str(campaign_id), whom]
    parts += [str(generation)] if generation else []
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:40]
