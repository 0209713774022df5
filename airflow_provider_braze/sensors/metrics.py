"""Sensors that wait for the figures of a campaign, a Canvas or a send."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_braze.conditions.base import moment_of
from airflow_provider_braze.conditions.metrics import check_metrics, value
from airflow_provider_braze.sensors.base import BrazeSensor
from airflow_provider_braze.sensors.checks import (
    accepted_of,
    began_of,
    identifier,
    is_plain,
    moment,
    names_of,
    number,
    reports_of,
    share,
    told,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_braze.conditions.figures import Figures

SEND_ID_CHARACTERS = 64


class MetricSensor(BrazeSensor):
    """Waits for a figure.

    Returns ``{"metric": ..., "value": ..., "needed": ..., "accepted": ..., "figures": {...}}``.

    :param metric: name of the figure, summed up over all message variations, and over all channels without ``channel``.
        (templated)
    :param at_least: the number that it is to reach. (templated)
    :param at_least_share: instead of a number, a share of ``accepted``, above 0 and up to 1.
    :param accepted: how many recipients Braze accepted: a number, or the report of the task that sent,
        ``send.output``. Of a mapped task these are its reports, which are added up. (templated)
    :param at_most: other figures and what they may reach, such as ``{"bounces": 20}``; beyond it the task fails early.
        (templated)
    :param at_most_share: the same as shares of ``accepted``, such as ``{"bounces": 0.02}``.
    :param channel: count one channel only, such as ``email`` or ``ios_push``. (templated)
    """

    of: ClassVar[str]
    template_fields: Sequence[str] = (
        *BrazeSensor.template_fields,
        *("metric", "at_least", "accepted", "at_most", "channel"),
    )

    def __init__(
        self,
        *,
        metric: str = "sent",
        at_least: float | str | None = None,
        at_least_share: float | None = None,
        accepted: int | str | Mapping[str, Any] | Sequence[Any] | None = None,
        at_most: Mapping[str, float | str] | None = None,
        at_most_share: Mapping[str, float] | None = None,
        channel: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.metric = metric
        self.at_least = at_least
        self.at_least_share = at_least_share
        self.accepted = accepted
        self.at_most = at_most
        self.at_most_share = at_most_share
        self.channel = channel
        self._check_parameters()

    def _check_parameters(self) -> None:
        if (self.at_least is None) == (self.at_least_share is None):
            raise ValueError("Say what the metric is to reach: either at_least or at_least_share.")
        if self.at_least_share is not None:
            share("at_least_share", self.at_least_share, zero=False)
        for name, most in names_of("at_most_share", self.at_most_share).items():
            share(f"at_most_share[{name!r}]", most, zero=True)
        if (self.at_least_share or self.at_most_share) and self.accepted is None:
            raise ValueError("A share is one of accepted: give accepted, such as the send task's .output.")
        if is_plain(self.at_least):
            number("at_least", self.at_least, above=0)
        if is_plain(self.accepted):
            accepted_of(reports_of(self.accepted))
        if isinstance(self.at_most, Mapping) or is_plain(self.at_most):
            most = self._bounds().get(str(self.metric), math.inf)
            if self.at_most_share is None and is_plain(self.at_least) and number("at_least", self.at_least) > most:
                raise ValueError(f"at_least is {self.at_least!r}, at_most of the same figure is {most:g}.")
        self._check_names()

    def _check_names(self) -> None:
        """Refuse names that Braze does not know, as far as they are no templates and no outputs yet."""
        given = [self.at_most, self.at_most_share]
        names = [self.metric, *(name for one in given if isinstance(one, Mapping) for name in one)]
        if self.channel is None or is_plain(self.channel):
            check_metrics(self.of, filter(is_plain, names), self.channel)

    def _bounds(self, accepted: int | None = None) -> dict[str, float]:
        """Read what other figures may reach."""
        bounds = {
            name: number(f"at_most[{name!r}]", most, least=0)
            for name, most in names_of("at_most", self.at_most).items()
            if accepted is not None or is_plain(most) or not isinstance(most, str)
        }
        for name, most in (self.at_most_share or {}).items():
            bounds[name] = min(bounds.get(name, math.inf), most * (accepted or 0))
        return bounds

    @cached_property
    def reports(self) -> list[Any]:
        """What each task that sent told, once it is known.

        :raises ValueError: none told anything.
        """
        return reports_of(self.accepted)

    def figures(self, **more: Any) -> Figures:
        """Make the condition, with more of its fields.

        :raises ValueError: a template rendered to something that can never come.
        """
        from airflow_provider_braze.conditions.figures import Figures

        self._check_names()
        accepted = None if self.accepted is None else accepted_of(self.reports)
        if self.at_least_share is not None:
            needed: float = math.ceil(round(self.at_least_share * (accepted or 0), 6))
        else:
            needed = number("at_least", self.at_least, above=0)
        bounds = self._bounds(accepted or 0)
        return Figures(
            metric=self.metric, needed=needed, channel=self.channel, accepted=accepted, at_most=bounds, **more
        )


class SinceMetricSensor(MetricSensor):
    """Waits for a figure of which Braze gives daily totals only.

    :param baseline: what the figures were before the send: the output of
        :class:`~airflow_provider_braze.operators.baseline.BrazeCampaignBaselineOperator` or of
        :class:`~airflow_provider_braze.operators.baseline.BrazeCanvasBaselineOperator`. What came on top counts.
        (templated)
    :param since: instead of a baseline, the first day that counts, whole, as a date or time in Braze's time zone for
        the workspace. (templated)
    """

    template_fields: Sequence[str] = (*MetricSensor.template_fields, "baseline", "since")

    def __init__(
        self, *, baseline: Mapping[str, Any] | None = None, since: datetime | str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if (baseline is None) == (since is None):
            raise ValueError(
                "Braze gives daily totals only. Say what counts: baseline, the output of a baseline task that runs "
                "before the send, or since, a day."
            )
        if is_plain(since):
            moment("since", since)
        self.baseline = baseline
        self.since = since

    def from_baseline(self, program_id: str) -> dict[str, Any]:
        """Say which days count, and what of them does not.

        :raises ValueError: the baseline is of something else, or the day is none.
        """
        if self.since is not None:
            return {"from_day": moment("since", self.since).date().isoformat()}
        given = self.baseline
        if not isinstance(given, Mapping) or given.get("of") != self.of:
            raise ValueError(f"baseline must be the output of a task that took one of a {self.of}.")
        if given.get("id") != program_id:
            raise ValueError(f"The baseline is of {self.of} {given.get('id')!r}, this is {program_id!r}.")
        names = {self.metric, *(self.at_most or {}), *(self.at_most_share or {})}
        try:
            days = given["days"]
            first = min(days, default=str((moment_of(given["taken_at"]) - timedelta(days=1)).date()))
            minus = {name: value(days.values(), self.of, name, self.channel) for name in names}
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ValueError(
                f"baseline must be the output of a task that took one of a {self.of}; it has other fields."
            ) from None
        began, taken = began_of(self.reports), moment_of(given["taken_at"])
        if began and taken > began:
            raise ValueError(
                f"The baseline was taken at {taken:%Y-%m-%d %H:%M:%S} UTC, after the delivery began at "
                f"{began:%Y-%m-%d %H:%M:%S} UTC, as when both were cleared: what went out before it would not count. "
                "Use since, or a baseline that was taken before."
            )
        return {"from_day": first, "minus": minus}


class BrazeCampaignMetricSensor(SinceMetricSensor):
    """Wait until a figure of a campaign reaches a number, or a share of what was accepted.

    Other sends of the same campaign count, too; to follow one send alone, give it a ``send_id`` and use
    :class:`BrazeSendMetricSensor`. The key needs the permissions ``campaigns.data_series`` and ``campaigns.details``.
    Rules: https://www.braze.com/docs/api/endpoints/export/campaigns/get_campaign_analytics/.

    :param campaign_id: API identifier of the campaign. (templated)
    """

    of = "campaign"
    template_fields: Sequence[str] = (*SinceMetricSensor.template_fields, "campaign_id")

    def __init__(self, *, campaign_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign_id = campaign_id

    def condition(self, context: Context) -> Figures:  # noqa: ARG002
        """The campaign's figure has reached the number."""
        campaign_id = identifier("campaign_id", self.campaign_id)
        return self.figures(of=self.of, program_id=campaign_id, **self.from_baseline(campaign_id))


class BrazeCanvasMetricSensor(SinceMetricSensor):
    """Wait until a figure of a Canvas, by default its ``entries``, reaches a number or a share of what was accepted.

    Other entries into the same Canvas count, too. Braze gives 14 days at most. The key needs the permissions
    ``canvas.data_series`` and ``canvas.details``.
    Rules: https://www.braze.com/docs/api/endpoints/export/canvas/get_canvas_analytics/.

    :param canvas_id: API identifier of the Canvas. (templated)
    """

    of = "canvas"
    template_fields: Sequence[str] = (*SinceMetricSensor.template_fields, "canvas_id")

    def __init__(self, *, canvas_id: str, metric: str = "entries", **kwargs: Any) -> None:
        super().__init__(metric=metric, **kwargs)
        self.canvas_id = canvas_id

    def condition(self, context: Context) -> Figures:  # noqa: ARG002
        """The Canvas's figure has reached the number."""
        canvas_id = identifier("canvas_id", self.canvas_id)
        return self.figures(of=self.of, program_id=canvas_id, **self.from_baseline(canvas_id))


class BrazeSendMetricSensor(MetricSensor):
    """Wait until a figure of one send of a campaign reaches a number, or a share of what was accepted.

    Braze keeps the figures of a send for 14 days. The key needs the permissions ``sends.data_series`` and
    ``campaigns.details``. Rules: https://www.braze.com/docs/api/endpoints/export/campaigns/get_send_analytics/.

    :param campaign_id: API identifier of the campaign. (templated)
    :param send_id: the id that the send was given, or got as a broadcast. (templated)
    :param sent_at: when it was sent, where that is known; older than 14 days is refused. By default as the report in
        ``accepted`` tells. (templated)
    """

    of = "send"
    template_fields: Sequence[str] = (*MetricSensor.template_fields, "campaign_id", "send_id", "sent_at")

    def __init__(self, *, campaign_id: str, send_id: str, sent_at: datetime | str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if is_plain(sent_at):
            moment("sent_at", sent_at)
        self.campaign_id = campaign_id
        self.send_id = send_id
        self.sent_at = sent_at

    def condition(self, context: Context) -> Figures:  # noqa: ARG002
        """The send's figure has reached the number."""
        campaign_id = identifier("campaign_id", self.campaign_id)
        send_id = identifier("send_id", self.send_id)
        if not isinstance(self.send_id, str):
            raise ValueError(f"send_id is {self.send_id!r}: give a text.")
        if len(send_id) > SEND_ID_CHARACTERS:
            raise ValueError(f"send_id has {len(send_id)} characters, Braze takes {SEND_ID_CHARACTERS}.")
        if others := [used for used in told(self.reports, "send_id") if used != send_id]:
            raise ValueError(
                f"send_id is {send_id!r}, but what was accepted went out with {others[0]!r}, as when a task that makes "
                "ids was cleared: none of it counts for this one."
            )
        sent_at = began_of(self.reports) if self.sent_at is None else moment("sent_at", self.sent_at)
        return self.figures(
            of=self.of, program_id=campaign_id, send_id=send_id, sent_at=sent_at and sent_at.isoformat()
        )
