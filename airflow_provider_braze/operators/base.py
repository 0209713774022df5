"""What all Braze operators share."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_braze.hooks.braze import BrazeHook

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_braze.delivery.audience import Audience
    from airflow_provider_braze.delivery.engine import Delivery
    from airflow_provider_braze.delivery.plan import Plan
    from airflow_provider_braze.delivery.report import Report

PROGRESS_SECONDS = 10.0
# Tells recipients that were never given from recipients that turned out to be None, which must not become a broadcast.
NOT_GIVEN: Any = object()


class BrazeBaseOperator(BaseOperator):
    """Calls one endpoint of Braze.

    Children name the endpoint and the parameters that make up its payload, under Braze's own field names.

    :param braze_conn_id: Airflow connection of type ``braze``. (templated)
    """

    endpoint: ClassVar[str]
    payload_fields: Sequence[str] = ()
    template_fields: Sequence[str] = ("braze_conn_id",)
    template_ext: Sequence[str] = (".sql",)
    ui_color = "#f3e8ff"

    def __init__(self, *, braze_conn_id: str = BrazeHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.braze_conn_id = braze_conn_id

    @cached_property
    def hook(self) -> BrazeHook:
        """The hook of this task's connection."""
        return BrazeHook(self.braze_conn_id)

    @property
    def payload(self) -> dict[str, Any]:
        """The fields that were given."""
        values = {name: getattr(self, name) for name in self.payload_fields}
        return {name: value for name, value in values.items() if value is not None}


class BrazeCallOperator(BrazeBaseOperator):
    """Calls its endpoint once, and returns Braze's answer.

    Its fields are outputs by name too: ``.output["send_id"]`` is the id.
    """

    def __init__(self, **kwargs: Any) -> None:
        # Airflow takes what is in the brackets for a key of its own.
        super().__init__(**{"multiple_outputs": True} | kwargs)

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002
        """Call, and return the answer as a plain dict."""
        return self.hook.call(self.endpoint, self.payload)


class BrazeSendOperator(BrazeBaseOperator):
    """Sends to an audience of any length, several requests at a time, and returns a report.

    The audience is read and checked whole before the first request leaves. Sending stops at the first request that
    Braze refuses or whose outcome is unknown; the task then fails with the counts. Once somebody may have been
    messaged, neither a retry nor a clear sends again: see :mod:`airflow_provider_braze.guards`.

    :param recipients: a list of recipients, the output of an upstream task, or an ``Audience`` such as
        :class:`~airflow_provider_braze.delivery.audience.SqlAudience`. A plain text or integer in a list is an
        ``external_user_id``. Duplicates are merged over the whole audience, the first one counts. (templated)
    :param audience: filters that restrict the recipients, or the broadcast, further. (templated)
    :param broadcast: ``True`` sends to everybody in the target audience. Nothing but this word does.
    :param max_invalid: how many recipients may be left out because Braze would refuse them. By default none: the
        task fails and nothing is sent.
    :param allow_empty: whether an audience without anybody is fine. By default the task fails.
    :param allow_paused: whether it is fine that the campaign or Canvas is paused or archived, so that nothing goes
        out. By default the task fails.
    """

    template_fields: Sequence[str] = (*BrazeBaseOperator.template_fields, "recipients", "audience")
    payload_fields: Sequence[str] = ("audience", "broadcast")

    def __init__(
        self,
        *,
        recipients: Iterable[str | int | Mapping[str, Any]] | Audience = NOT_GIVEN,
        audience: Mapping[str, Any] | None = None,
        broadcast: bool | None = None,
        max_invalid: int = 0,
        allow_empty: bool = False,
        allow_paused: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.recipients: Any = None
        self.people_fields: tuple[str, ...] = ()
        self.gathered = False
        self.take_people("recipients", recipients)
        self.audience = audience
        self.broadcast = broadcast
        self.max_invalid = max_invalid
        self.allow_empty = allow_empty
        self.allow_paused = allow_paused
        self._delivery: Delivery | None = None

    def take_people(self, name: str, value: Any) -> None:
        """Note that a parameter that holds people was given."""
        setattr(self, name, None if value is NOT_GIVEN else value)
        if value is not NOT_GIVEN:
            self.people_fields = (*self.people_fields, name)

    def gather_recipients(self) -> None:
        """Make one audience, ``recipients``, of all parameters that hold people.

        :raises BrazeAudienceError: one of them was given, and turns out to hold nothing that could be people.
        """
        from airflow_provider_braze.delivery.audience import join_audiences

        if self.people_fields and not self.gathered:
            self.recipients = join_audiences({name: getattr(self, name) for name in self.people_fields})
            for name in set(self.people_fields) - {"recipients"}:
                setattr(self, name, None)
            self.gathered = True

    def is_broadcast(self) -> bool:
        """Tell whether the author wrote that everybody is meant; recipients that turn out missing never mean that."""
        return not self.people_fields and self.broadcast is True

    def _do_render_template_fields(self, parent: Any, *args: Any, **kwargs: Any) -> None:
        """Airflow stores and shows rendered fields; the recipients' ids and addresses do not belong there."""
        from airflow_provider_braze.delivery.audience import UnusableAudience
        from airflow_provider_braze.delivery.errors import BrazeAudienceError

        super()._do_render_template_fields(parent, *args, **kwargs)
        if parent is self:
            try:
                self.gather_recipients()
            except BrazeAudienceError as error:
                self.recipients, self.gathered = UnusableAudience(error), True
                for name in set(self.people_fields) - {"recipients"}:
                    setattr(self, name, None)

    def execute(self, context: Context) -> dict[str, Any]:
        """Send, and return the report as a plain dict."""
        from airflow_provider_braze import guards
        from airflow_provider_braze.hooks.errors import airflow_errors

        with airflow_errors():
            guards.refuse_blind_repeat(context)
            with self._plan(context) as plan:
                self.log.info("%d requests to %s planned: %s.", len(plan), self.endpoint, plan.report)
                for sample in plan.report.invalid_samples:
                    self.log.warning("Left out: %s", sample)
                report = self._deliver(plan, context)
        self.log.info("Done: %s.", plan.report)
        return report

    def _plan(self, context: Context) -> Plan:
        from airflow_provider_braze.delivery.audience import as_audience
        from airflow_provider_braze.delivery.plan import Plan
        from airflow_provider_braze.delivery.report import Report

        try:
            self.client = self.hook.get_async_conn()
            self.gather_recipients()
            audience = None if self.is_broadcast() else as_audience(self.recipients)
            max_invalid, allow_empty = self.max_invalid, self.allow_empty
            return Plan(self.endpoint, self.payload, audience, max_invalid=max_invalid, allow_empty=allow_empty)
        except BaseException:
            self.keep_known(Report().as_dict(), context)
            raise

    def _deliver(self, plan: Plan, context: Context) -> dict[str, Any]:
        from airflow_provider_braze import guards
        from airflow_provider_braze.delivery.engine import Delivery, deliver
        from airflow_provider_braze.delivery.errors import BrazeDeliveryError, BrazeNobodyMessagedError

        progress = _ProgressLog(self.log, len(plan))
        self._delivery = Delivery(plan, self.client, allow_paused=self.allow_paused, progress=progress)
        guards.note_sending(context)
        try:
            report = deliver(self._delivery)
        except BrazeDeliveryError as error:
            if isinstance(error, BrazeNobodyMessagedError):
                guards.forget_sending(context)
            self.keep_known(error.report, context)
            raise
        except BaseException:
            self.log.error("Interrupted: %s.", plan.report)
            self.keep_known(plan.report.as_dict(), context)
            raise
        if not self._delivery.somebody:
            guards.forget_sending(context)
        return report

    def on_kill(self) -> None:
        """Begin no further request: a person stopped the task."""
        if self._delivery:
            self._delivery.stop("the task was stopped from outside")

    def keep_known(self, report: Mapping[str, Any], context: Context) -> None:
        """Keep for later tasks what a delivery that failed has made."""


class _ProgressLog:
    """A line in the task log every few seconds."""

    def __init__(self, log: Any, total: int) -> None:
        self._log = log
        self._total = total
        self._began = time.monotonic()
        self._next = self._began + PROGRESS_SECONDS

    def __call__(self, report: Report) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + PROGRESS_SECONDS
        rate = report.requests / (now - self._began)
        left = (self._total - report.requests) / rate if rate else 0
        self._log.info(
            "%d of %d requests (%.0f%%), %.0f a second, about %.0f s to go.",
            report.requests,
            self._total,
            100 * report.requests / self._total,
            rate,
            left,
        )
