"""BrazeNotifier: tells a few people on call what happened, through Braze."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import BaseNotifier

from airflow_provider_braze.hooks.braze import BrazeHook
from airflow_provider_braze.notifications.facts import facts_of
from airflow_provider_braze.notifications.people import distinct, from_text, listed_by_kind, problem_of

if TYPE_CHECKING:
    import jinja2
    from airflow.sdk import Context


class BrazeNotifier(BaseNotifier):
    """Notify up to 50 named people, through an API-triggered campaign or messages whose content comes with the call.

    .. code-block:: python

        DAG(
            "nightly_load",
            on_failure_callback=BrazeNotifier(
                campaign_id="0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10", recipients=["on-call-kim", "on-call-noor"]
            ),
        )

    It also serves deadlines: ``AsyncCallback(BrazeNotifier, kwargs={...})``, which the triggerer runs. Airflow logs
    these kwargs should the notification fail.

    The campaign's message can show what happened: ``{{api_trigger_properties.${dag_id}}}``, and in the same way
    ``task_id``, ``map_index``, ``run_id``, ``try_number``, ``logical_date``, ``run_after``, ``log_url``, ``error``,
    ``reason`` and ``deadline``, as far as the callback's context has them. Templates here have the same as ``facts``:
    ``"{{ facts.task_id }}"``. Their texts hold no secrets that Airflow knows, and hashes for e-mail addresses.

    Nobody is ever notified who is not named here. What was certainly not sent (no connection, 429, 500, 502, 503) is
    tried again for half a minute. If the answer was lost, Braze may have sent it: it is not tried again, since nothing
    in these calls would keep Braze from sending it twice. A connection with ``test_recipients`` reaches those only.

    Rules and limits: https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_triggered_campaigns/
    and https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_messages/.
    The key needs the permission ``campaigns.trigger.send`` or ``messages.send``.

    :param braze_conn_id: Airflow connection of type ``braze``. (templated)
    :param campaign_id: API identifier of the campaign; give it or ``messages``. (templated)
    :param recipients: who is notified: recipient objects, or external user ids as plain texts or integers; at most 50.
        A template must render to a list, or to one as JSON. (templated)
    :param trigger_properties: values for the campaign's message besides the ones above, at most 50 KB. Your own come
        first; None leaves one out. (templated)
    :param messages: one object per channel, such as ``{"email": {...}}``; everybody gets the same. (templated)
    :param external_user_ids: ids, instead of ``recipients``, with ``messages``. (templated)
    :param recipient_subscription_state: with ``messages``, who of them gets it: ``opted_in``, ``subscribed`` (Braze's
        default) or ``all``.
    :param override_frequency_capping: with ``messages``, whether the workspace's frequency caps do not apply.
    :raises ValueError: when it is made: the parameters do not fit together, nobody is named, or more than 50 are.
    """

    template_fields: Sequence[str] = (
        "braze_conn_id",
        "campaign_id",
        "recipients",
        "trigger_properties",
        "messages",
        "external_user_ids",
    )

    def __init__(
        self,
        *,
        braze_conn_id: str = BrazeHook.default_conn_name,
        campaign_id: str | None = None,
        recipients: Sequence[str | int | Mapping[str, Any]] | str | None = None,
        trigger_properties: Mapping[str, Any] | None = None,
        messages: Mapping[str, Any] | None = None,
        external_user_ids: Sequence[str | int] | str | None = None,
        recipient_subscription_state: str | None = None,
        override_frequency_capping: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.braze_conn_id = braze_conn_id
        self.campaign_id = campaign_id
        self.recipients = recipients
        self.trigger_properties = trigger_properties
        self.messages = messages
        self.external_user_ids = external_user_ids
        self.recipient_subscription_state = recipient_subscription_state
        self.override_frequency_capping = override_frequency_capping
        self._through_campaign = messages is None
        self._people_field = "recipients" if external_user_ids is None else "external_user_ids"
        self._check()

    def _check(self) -> None:
        if (self.campaign_id is None) is self._through_campaign:
            raise ValueError("Give campaign_id or messages, one of them: what is to be sent?")
        ways = ("external_user_ids", "recipient_subscription_state", "override_frequency_capping")
        wrong = [name for name in ways if self._through_campaign and getattr(self, name) is not None]
        if wrong:
            raise ValueError(f"{' and '.join(wrong)} cannot be given with campaign_id; a campaign takes recipients.")
        if not self._through_campaign and self.trigger_properties is not None:
            raise ValueError("trigger_properties cannot be given with messages, which hold their content themselves.")
        if self.recipients is not None and self.external_user_ids is not None:
            raise ValueError("Give recipients or external_user_ids, one of them.")
        given = getattr(self, self._people_field)
        is_template = isinstance(given, str) and ("{{" in given or "{%" in given)
        problem = None if is_template else problem_of(from_text(given), ids_only=not self._through_campaign)
        if problem:
            raise ValueError(f"{self._people_field} {problem}.")

    def __call__(self, *args: Any) -> None:
        """Notify (synchronous), as Airflow calls it after a task or a DAG run."""
        # Rendering changes the fields in place, and one notifier may serve many tasks.
        super(BrazeNotifier, copy(self)).__call__(*args)

    def __await__(self) -> Generator[Any, Any, Any]:
        """Notify (asynchronous), as a triggerer awaits it."""
        return super(BrazeNotifier, copy(self)).__await__()

    def get_template_env(self, dag: Any = None) -> jinja2.Environment:
        """Give what renders; ``dag.test()`` hands its callbacks a DAG that has none."""
        return super().get_template_env(dag if hasattr(dag, "get_template_env") else None)

    def render_template_fields(self, context: Context, jinja_env: jinja2.Environment | None = None) -> None:
        """Render the fields; templates may use ``facts`` beside what Airflow gives."""
        super().render_template_fields(cast("Context", {**context, "facts": facts_of(context)}), jinja_env)

    def notify(self, context: Context) -> None:
        """Notify, and wait until Braze has answered.

        :raises BrazeError: as a twin under ``AirflowException``; see :mod:`airflow_provider_braze.api.errors`.
        """
        from airflow_provider_braze.api.client import run_blocking
        from airflow_provider_braze.notifications.sending import notify_people

        hook = BrazeHook(self.braze_conn_id)
        run_blocking(notify_people(hook, hook.get_async_conn(), self._endpoint, self._payload(context)))

    async def async_notify(self, context: Context) -> None:
        """Notify without blocking the event loop; raises what :meth:`notify` raises."""
        hook = BrazeHook(self.braze_conn_id)
        client = await hook.aget_async_conn()
        # It loads the models; by now the thread that made the client has.
        from airflow_provider_braze.notifications.sending import notify_people

        await notify_people(hook, client, self._endpoint, self._payload(context))

    @property
    def _endpoint(self) -> str:
        return "campaigns_trigger_send" if self._through_campaign else "messages_send"

    def _payload(self, context: Context) -> dict[str, Any]:
        people = self._people()
        if self._through_campaign:
            values = facts_of(context) | dict(self.trigger_properties or {})
            known = {name: value for name, value in values.items() if value is not None}
            return {"campaign_id": self.campaign_id, "recipients": people, "trigger_properties": known}
        return {
            **listed_by_kind(people),
            "messages": self.messages,
            "recipient_subscription_state": self.recipient_subscription_state,
            "override_frequency_capping": self.override_frequency_capping,
        }

    def _people(self) -> list[dict[str, Any]]:
        """Look again at who is named: templates may have rendered to anything."""
        from airflow_provider_braze.api.errors import BrazeValidationError
        from airflow_provider_braze.hooks.errors import airflow_errors

        given = from_text(getattr(self, self._people_field))
        with airflow_errors():
            if problem := problem_of(given, ids_only=not self._through_campaign):
                raise BrazeValidationError(self._endpoint, [f"{self._people_field} {problem}"])
        return distinct(given)
