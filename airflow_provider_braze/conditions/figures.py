"""Waits until a figure of a campaign, a Canvas or a send reaches a number, and while others stay within bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

from airflow_provider_braze.conditions.base import Condition, Question, Verdict, moment_of
from airflow_provider_braze.conditions.errors import BrazeWaitError, BrazeWaitFailedError, BrazeWaitRefusedError
from airflow_provider_braze.conditions.metrics import (
    CHANNELS,
    LOST,
    ONE_EACH,
    SERIES,
    days_of,
    is_total,
    known_metrics,
    value,
)
from airflow_provider_braze.conditions.status import NAMES, details_question

SEND_DAYS = timedelta(days=14)
"""How long Braze keeps the figures of a send."""
_IN_DASHBOARD = ("time", "action")
_CHANNELS_OF = {"push": "ios_push", "content_card": "content_cards", "in_app_message": "trigger_in_app_message"}


@dataclass
class Figures(Condition):
    """A figure has reached a number.

    :param of: ``campaign``, ``canvas`` or ``send``.
    :param program_id: API identifier of the campaign or Canvas.
    :param metric: name of the figure.
    :param needed: the number.
    :param send_id: of a send.
    :param channel: one channel's figures only.
    :param accepted: how many recipients Braze accepted, where that is known.
    :param at_most: other figures, and what they may reach without failing the wait.
    :param from_day: the first day that counts, ISO 8601; None for all that Braze keeps of a send.
    :param minus: what the figures were before.
    :param sent_at: when it was sent, ISO 8601, where that is known.
    """

    of: str
    program_id: str
    metric: str
    needed: float
    send_id: str | None = None
    channel: str | None = None
    accepted: int | None = None
    at_most: dict[str, float] = field(default_factory=dict)
    from_day: str | None = None
    minus: dict[str, float] = field(default_factory=dict)
    sent_at: str | None = None

    kind: ClassVar[str] = "figures"

    @property
    def metrics(self) -> list[str]:
        """All figures that count."""
        return [self.metric, *(name for name in self.at_most if name != self.metric)]

    def first_questions(self) -> list[Question]:
        """Ask what kind of campaign or Canvas it is."""
        return [details_question("canvas" if self.of == "canvas" else "campaign", self.program_id)]

    def admit(self, answers: Sequence[Mapping[str, Any]], now: datetime) -> None:
        """Refuse what can never be reached, as far as Braze's answer tells."""
        if self.sent_at and now - moment_of(self.sent_at) > SEND_DAYS:
            raise BrazeWaitRefusedError(
                f"Send {self.send_id!r} was made at {self.sent_at}: Braze keeps the figures of a send for "
                f"{SEND_DAYS.days} days."
            )
        if self.from_day and date.fromisoformat(self.from_day[:10]) > now.astimezone(UTC).date() + timedelta(days=1):
            raise BrazeWaitRefusedError(f"The figures are wanted from {self.from_day[:10]} on, which lies ahead.")
        self._days(now, BrazeWaitRefusedError)
        channels: list[str] | None = None
        for details in answers:
            name = f"{NAMES['canvas' if self.of == 'canvas' else 'campaign']} {details.get('name')!r}"
            if details.get("archived") is True:
                raise BrazeWaitRefusedError(f"{name} is archived: its figures do not grow any more.")
            channels = self._channels(details)
            self._check_channels(name, channels)
            if self.of == "send":
                self._check_send(name, details, now)
        self._check_needed(channels)

    def _check_needed(self, channels: list[str] | None) -> None:
        needed = f"{self.metric} is to reach {_tidy(self.needed):,}"
        most = self.at_most.get(self.metric, self.needed)
        if self.needed > most:
            raise BrazeWaitRefusedError(f"{needed}, but the wait fails at more than {_tidy(most):,} of it.")
        # The steps of a Canvas may reach everybody several times, by one channel, too.
        one_message = self.of != "canvas" and (self.channel or (channels and len(channels) == 1))
        one_message = one_message or is_total(self.of, self.metric, self.channel)
        if self.accepted is not None and self.metric in ONE_EACH and one_message and self.needed > self.accepted:
            raise BrazeWaitRefusedError(f"{needed}, but Braze accepted only {self.accepted:,} recipients.")

    def _channels(self, details: Mapping[str, Any]) -> list[str] | None:
        """Give the channels as the figures name them, None where one is not known."""
        given = details.get("channels")
        if not isinstance(given, list) or not given:
            return None
        channels = [_CHANNELS_OF.get(str(name), str(name)) for name in given]
        return channels if all(name in CHANNELS for name in channels) else None

    def _check_channels(self, name: str, channels: list[str] | None) -> None:
        for metric in self.metrics:
            if channels is None or is_total(self.of, metric, self.channel):
                continue
            if (
                self.channel
                and self.channel not in channels
                and not (self.channel.endswith("push") and "ios_push" in channels)
            ):
                raise BrazeWaitRefusedError(f"{name} has no channel {self.channel}: it has {', '.join(channels)}.")
            known = set().union(*(known_metrics(self.of, channel) for channel in channels))
            if metric not in known:
                raise BrazeWaitRefusedError(
                    f"{name} goes out by {', '.join(channels)}, which has no {metric}: there are "
                    f"{', '.join(sorted(known))}."
                )

    def _check_send(self, name: str, details: Mapping[str, Any], now: datetime) -> None:
        kind = str(details.get("schedule_type") or "")
        if kind.startswith(_IN_DASHBOARD):
            raise BrazeWaitRefusedError(
                f"{name} is sent by the dashboard ({kind}): Braze tracks sends of campaigns that the API triggers."
            )
        last = _known_moment(details.get("last_sent"))
        # To the hour only.
        if last and now - last > SEND_DAYS + timedelta(hours=1) and not self.sent_at:
            raise BrazeWaitRefusedError(
                f"{name} was last sent at {last}: Braze keeps the figures of a send for {SEND_DAYS.days} days. Give "
                "sent_at where it was sent just now: Braze is late to tell."
            )

    def _days(self, now: datetime, error: type[BrazeWaitError] = BrazeWaitFailedError) -> int:
        """Say how many days to ask for: one more than there are by UTC, since Braze's may be ahead.

        :param error: what is raised where Braze does not give so many: in the middle of a wait it is no refusal.
        """
        lengths = SERIES[self.of].lengths
        first = self.from_day or (self.sent_at and str(moment_of(self.sent_at).astimezone(UTC).date()))
        if not first:
            return lengths[-1]
        days = (now.astimezone(UTC).date() - date.fromisoformat(first[:10])).days + 1
        if days > lengths[-1]:
            raise error(
                f"The figures are wanted from {first[:10]} on, Braze gives those of {lengths[-1]} days at most."
            )
        return next((length for length in lengths if length > days), lengths[-1])

    def questions(self, now: datetime) -> list[Question]:
        """Ask for daily figures."""
        series = SERIES[self.of]
        query: dict[str, Any] = {series.id_field: self.program_id, "length": self._days(now)}
        if self.send_id is not None:
            query["send_id"] = self.send_id
        if self.of == "canvas" and not all(is_total(self.of, metric, self.channel) for metric in self.metrics):
            query["include_step_breakdown"] = True
        return [Question.of(series.endpoint, query, series.now_field)]

    def judge(self, answers: Sequence[Mapping[str, Any]], now: datetime) -> Verdict:
        """Compare; a bound that is passed counts before a number that is reached."""
        try:
            days = [day for name, day in days_of(self.of, answers[0]).items() if name >= (self.from_day or "")[:10]]
        except (AttributeError, KeyError, TypeError, ValueError):
            raise BrazeWaitRefusedError(f"Braze's figures of {self.program_id} cannot be read.") from None
        figures = {
            metric: _tidy(value(days, self.of, metric, self.channel) - self.minus.get(metric, 0))
            for metric in self.metrics
        }
        reached = figures[self.metric]
        result = {
            "metric": self.metric,
            "value": reached,
            "needed": _tidy(self.needed),
            "accepted": self.accepted,
            "figures": figures,
        }
        text = ", ".join(self._texts(figures)) + ("." if days else "; Braze has no figures of it so far.")
        over = [name for name, most in self.at_most.items() if figures[name] > most]
        if over:
            return Verdict("failed", f"Too many {' and '.join(over)}: {text}", result)
        if reached >= self.needed:
            return Verdict("met", text, result)
        if why := self._out_of_reach(days, now):
            return Verdict("failed", f"{why}: {text}", result)
        return Verdict("waiting", text, result)

    def _texts(self, figures: Mapping[str, float]) -> Iterator[str]:
        of_all = "" if self.accepted is None else f" ({self.accepted:,} were accepted)"
        yield f"{self.metric}: {figures[self.metric]:,} of {_tidy(self.needed):,} needed{of_all}"
        for name, most in self.at_most.items():
            yield f"{name}: {figures[name]:,}, at most {_tidy(most):,}"

    def _out_of_reach(self, days: list[dict[str, dict[str, float]]], now: datetime) -> str | None:
        if self.sent_at and now - moment_of(self.sent_at) > SEND_DAYS:
            return f"Braze keeps the figures of a send for {SEND_DAYS.days} days"
        # The days of a campaign or Canvas hold what others sent, too.
        if self.of != "send" or self.metric != "delivered" or self.accepted is None:
            return None
        channels = {channel for day in days for channel in day if channel} & (
            {self.channel} if self.channel else set(CHANNELS)
        )
        # With several messages for each recipient, one that is lost says nothing of the others.
        if len(channels) > 1:
            return None
        # The largest of them: one that bounced may count as undelivered, too.
        lost = max(value(days, self.of, name, self.channel) for name in LOST)
        return f"{_tidy(lost):,} of {self.accepted:,} are lost" if self.accepted - lost < self.needed else None


def _known_moment(given: Any) -> datetime | None:
    try:
        return moment_of(given) if given else None
    except (TypeError, ValueError):
        return None


def _tidy(number: float) -> float:
    """Counts are whole, only money is not."""
    return int(number) if number == int(number) else round(number, 6)
