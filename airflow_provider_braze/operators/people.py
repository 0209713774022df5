"""Sending to people: what all operators that take an audience share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

from airflow_provider_braze import guards
from airflow_provider_braze.delivery.policy import TRACED
from airflow_provider_braze.operators.delivering import BrazeDeliveryOperator
from airflow_provider_braze.outputs import AudienceOutputs

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_braze.delivery.audience import Audience
    from airflow_provider_braze.delivery.plan import Plan

# Tells recipients that were never given from recipients that turned out to be None, which must not become a broadcast.
NOT_GIVEN: Any = object()


class BrazeSendOperator(AudienceOutputs, BrazeDeliveryOperator):
    """Sends to an audience of any length, several requests at a time, and returns a report.

    The audience is read and checked whole before the first request leaves. Sending stops at the first request that
    Braze refuses.

    :param recipients: a list of recipients, the output of an upstream task, or an ``Audience`` such as
        :class:`~airflow_provider_braze.delivery.audience.SqlAudience`, for whose own upstream outputs this task waits
        too. A plain text or integer in a list is an ``external_user_id``. Duplicates are merged over the whole
        audience, the first one counts. (templated)
    :param audience: filters that restrict the recipients, or the broadcast, further. (templated)
    :param broadcast: ``True`` sends to everybody in the target audience. Nothing but this word does.
    :param max_recipients: how many recipients it may be at most; of more, nobody is messaged.
    :param max_invalid: how many recipients may be left out because Braze would refuse them. By default none: the
        task fails and nothing is sent.
    :param allow_empty: whether an audience without anybody is fine. By default the task fails.
    :param allow_paused: whether it is fine that the campaign or Canvas is paused or archived, so that nothing goes
        out. By default the task fails.
    """

    template_fields: Sequence[str] = (*BrazeDeliveryOperator.template_fields, "recipients", "audience")
    payload_fields: Sequence[str] = ("audience", "broadcast")

    def __init__(
        self,
        *,
        recipients: Iterable[str | int | Mapping[str, Any]] | Audience = NOT_GIVEN,
        audience: Mapping[str, Any] | None = None,
        broadcast: bool | None = None,
        max_recipients: int | None = None,
        max_invalid: int = 0,
        allow_empty: bool = False,
        allow_paused: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        guards.check_count("max_invalid", max_invalid)
        if max_recipients is not None:
            guards.check_count("max_recipients", max_recipients)
        self.recipients: Any = None
        self.people_fields: tuple[str, ...] = ()
        self.gathered = False
        self.take_people("recipients", recipients)
        self.audience = audience
        self.broadcast = broadcast
        self.max_recipients = max_recipients
        self.max_invalid = max_invalid
        self.allow_empty = allow_empty
        self.allow_paused = allow_paused
        if broadcast:
            self.check_cap()

    def check_cap(self) -> None:
        """Refuse ``max_recipients`` where nobody is named.

        :raises ValueError: it is given.
        """
        if self.max_recipients is not None:
            raise ValueError("max_recipients cannot be held against a broadcast: Braze does not say whom it reaches.")

    def check_reconcile(self, *programs: Any) -> None:
        """Refuse ``on_unknown="reconcile"`` where Braze cannot be asked who got it.

        :param programs: the campaign or Canvas that the profiles would name.
        :raises ValueError: it leaves no trace in the users' profiles.
        """
        if self.on_unknown == "reconcile" and (self.endpoint not in TRACED or self.broadcast or not any(programs)):
            raise ValueError(
                f"on_unknown='reconcile' is not possible with this {type(self).__name__}: Braze can be asked who got a "
                "message only for recipients of a campaign or Canvas that is sent now. Use 'fail', 'skip' or 'resend'."
            )

    def take_people(self, name: str, value: Any) -> None:
        """Note that a parameter that holds people was given."""
        from airflow_provider_braze.delivery.audience import Audience

        if isinstance(value, Audience):
            # Mapped tasks of one process share the DAG's object: rendered there, it would stay as for the first.
            value = copy(value)
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

    def make_plan(self, context: Context) -> Plan:  # noqa: ARG002
        """Read the audience and check all of it."""
        from airflow_provider_braze.delivery.audience import as_audience
        from airflow_provider_braze.delivery.plan import Plan

        self._check_trace()
        staging = self.hook.settings.staging
        self.gather_recipients()
        return Plan(
            self.endpoint,
            self.payload,
            None if self.is_broadcast() else as_audience(self.recipients),
            max_recipients=self.max_recipients,
            max_invalid=self.max_invalid,
            allow_empty=self.allow_empty,
            staging=staging,
        )

    def _check_trace(self) -> None:
        """A campaign that is a template may turn out to be missing."""
        from airflow_provider_braze.api.errors import BrazeConfigurationError

        if self.on_unknown == "reconcile":
            try:
                self.check_reconcile(self.payload.get("campaign_id"), self.payload.get("canvas_id"))
            except ValueError as error:
                raise BrazeConfigurationError(f"{error} Nothing was sent.") from None

    @property
    def part_of(self) -> Sequence[tuple[int, int]]:
        """Which part of how many it sends of an audience."""
        return getattr(self.recipients, "part_of", ())

    def quota_share(self) -> float:
        """Give a partition's share of the quota."""
        return float(getattr(self.recipients, "share", 1.0))
