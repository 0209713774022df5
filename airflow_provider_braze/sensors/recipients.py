"""A sensor that waits until people have received a campaign or Canvas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_braze.delivery.audience import UnusableAudience, as_audience
from airflow_provider_braze.delivery.errors import BrazeAudienceError
from airflow_provider_braze.delivery.policy import SETTLING_TIME
from airflow_provider_braze.outputs import AudienceOutputs
from airflow_provider_braze.sensors.base import BrazeSensor
from airflow_provider_braze.sensors.checks import began_of, identifier, is_plain, moment, reports_of, share, whole

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_braze.conditions.received import Received
    from airflow_provider_braze.delivery.audience import Audience

MOST_PEOPLE = 1000
"""Braze tells of 50 people in a request, and takes 250 of those a minute from the whole workspace."""
MOST_ALONE = 100
"""E-mail addresses and Braze's own ids take a request each: with more of them one look would use up that minute."""


class BrazeRecipientsReceivedSensor(AudienceOutputs, BrazeSensor):
    """Wait until a sample of an audience, or all of a small one, has received a campaign or Canvas.

    Returns ``{"asked": ..., "received": ..., "missing": ..., "unknown": ...}``: those whom Braze does not know are
    counted apart, and never receive anything. Their profiles are asked for, which know one time for each campaign and
    Canvas, the latest; whoever has it is not asked for again. Before Airflow 3.3 a deferred one shows in Airflow's API
    whom it asks for; ``mode="reschedule"`` does not. The key needs the permissions ``users.export.ids`` and
    ``campaigns.details`` or ``canvas.details``.
    Rules: https://www.braze.com/docs/api/endpoints/export/user_data/post_users_identifier/.

    :param recipients: a list, the output of an upstream task, or an ``Audience``, as for the operators that send; only
        identifiers count. (templated)
    :param campaign_id: API identifier of the campaign. (templated)
    :param canvas_id: API identifier of the Canvas, instead. (templated)
    :param since: receipts from then on count, a minute less since clocks differ; by default from when the delivery
        began, as ``accepted`` tells, else from when the run was due. (templated)
    :param accepted: the report of the task that sent, ``send.output``, or of a mapped one its reports: receipts and
        ``max_unknown`` count from when it began, however long it was held back. (templated)
    :param sample: ask for so many of them only, the same ones each time; at most 1,000, and at most 100 of them with an
        e-mail address or a ``braze_id``, which takes a request each. Of a larger audience without a sample nobody is
        asked for.
    :param at_least_share: share of those whom Braze knows that is enough, above 0 and up to 1.
    :param max_unknown: how many may be unknown to Braze; of more the task fails, five minutes after ``since``, when
        those who are created by the send are there.
    """

    template_fields: Sequence[str] = (
        *BrazeSensor.template_fields,
        *("recipients", "campaign_id", "canvas_id", "since", "accepted"),
    )
    template_ext: Sequence[str] = (".sql",)

    def __init__(
        self,
        *,
        recipients: Iterable[str | int | Mapping[str, Any]] | Audience,
        campaign_id: str | None = None,
        canvas_id: str | None = None,
        since: datetime | str | None = None,
        accepted: Mapping[str, Any] | Sequence[Any] | None = None,
        sample: int | None = None,
        at_least_share: float = 1.0,
        max_unknown: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (campaign_id is None) == (canvas_id is None):
            raise ValueError("Give campaign_id or canvas_id, one of them: what are they to have received?")
        share("at_least_share", at_least_share, zero=False)
        whole("max_unknown", max_unknown, least=0)
        if is_plain(since):
            moment("since", since)
        if sample is not None:
            whole("sample", sample, least=1, most=MOST_PEOPLE)
        if isinstance(recipients, list | tuple):
            _check_alone(_least_alone(recipients, sample))
        self.recipients = recipients
        self.campaign_id = campaign_id
        self.canvas_id = canvas_id
        self.since = since
        self.accepted = accepted
        self.sample = sample
        self.at_least_share = at_least_share
        self.max_unknown = max_unknown
        # A template may come to nothing: what is meant is decided by what the author gave.
        self._of = "canvas_id" if campaign_id is None else "campaign_id"

    def _do_render_template_fields(self, parent: Any, *args: Any, **kwargs: Any) -> None:
        """Airflow stores and shows rendered fields; the recipients' ids and addresses do not belong there."""
        super()._do_render_template_fields(parent, *args, **kwargs)
        if parent is self:
            try:
                self.recipients = as_audience(self.recipients)
            except BrazeAudienceError as error:
                self.recipients = UnusableAudience(error)

    def condition(self, context: Context) -> Received:
        """They have received it."""
        from airflow_provider_braze.conditions.received import Received

        began = self._began(context)
        people = self._people()
        _check_alone(sum(map(_is_alone, people)))
        return Received(
            of=self._of,
            program_id=identifier(self._of, getattr(self, self._of)),
            people=people,
            since=began.timestamp(),
            at_least_share=self.at_least_share,
            max_unknown=self.max_unknown,
            settled_at=(began + SETTLING_TIME).timestamp(),
        )

    def _began(self, context: Context) -> datetime:
        """Say from when on receipts count."""
        if self.since is not None:
            return moment("since", self.since)
        reports = [] if self.accepted is None else reports_of(self.accepted)
        if not all(isinstance(report, Mapping) for report in reports):
            raise ValueError("accepted is no report: give that of the task that sent, such as send.output.")
        run: Any = context.get("dag_run")
        return began_of(reports) or moment("since", getattr(run, "run_after", None) or datetime.now(UTC))

    def _people(self) -> list[dict[str, Any]]:
        """Read who is asked for."""
        from airflow_provider_braze.delivery.sample import people_of_audience

        try:
            return people_of_audience(as_audience(self.recipients), self.sample, MOST_PEOPLE)
        except BrazeAudienceError as error:
            raise _about_a_wait(error) from None


def _about_a_wait(error: BrazeAudienceError) -> BrazeAudienceError:
    """Whoever reads that nothing was sent may send again, and everybody was messaged."""
    text = str(error).replace("nothing was sent", "nobody was asked for")
    return BrazeAudienceError(text.replace("Nothing was sent", "Nobody was asked for"))


def _is_alone(entry: Any) -> bool:
    """Tell whether somebody takes a request of their own."""
    return isinstance(entry, Mapping) and (entry.get("email") is not None or entry.get("braze_id") is not None)


def _least_alone(recipients: Sequence[Any], sample: int | None) -> int:
    """Say how many of a list take a request of their own, at least; a sample may hold all those who do not."""
    alone = {
        str(entry.get("email") or entry.get("braze_id")).strip().lower() for entry in filter(_is_alone, recipients)
    }
    others = sum(not _is_alone(entry) for entry in recipients)
    return len(alone) if sample is None else min(sample, len(alone) + others) - others


def _check_alone(count: int) -> None:
    """Refuse more than one look may ask for: the quota would never suffice, and the wait would not end.

    :raises ValueError: there are too many.
    """
    if count > MOST_ALONE:
        raise ValueError(
            f"{count:,} of those who are asked for have an e-mail address or a braze_id, which takes a request each: "
            f"Braze can be asked for {MOST_ALONE} of them at a time. Give a sample of up to {MOST_ALONE}, or external "
            "user ids."
        )
