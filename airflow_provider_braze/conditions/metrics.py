"""The figures that Braze keeps: their names, and how a day's figures are read off an answer.

See https://www.braze.com/docs/api/endpoints/export/campaigns/get_campaign_analytics/,
https://www.braze.com/docs/api/endpoints/export/campaigns/get_send_analytics/ and
https://www.braze.com/docs/api/endpoints/export/canvas/get_canvas_analytics/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

_PUSH = ("sent", "direct_opens", "total_opens", "bounces", "body_clicks")
_SEND = (
    *("sent", "delivered", "undelivered", "delivery_failed", "direct_opens", "total_opens", "bounces", "body_clicks"),
    *("revenue", "unique_recipients", "conversions"),
)
CHANNELS: Mapping[str, tuple[str, ...]] = {
    "email": (
        *("sent", "opens", "unique_opens", "clicks", "unique_clicks", "unsubscribes", "bounces", "delivered"),
        "reported_spam",
    ),
    "ios_push": _PUSH,
    "android_push": _PUSH,
    "kindle_push": _PUSH,
    "web_push": _PUSH,
    "sms": (*("sent", "sent_to_carrier", "delivered", "rejected", "delivery_failed", "clicks", "opt_out", "help"),),
    "whats_app": ("sent", "delivered", "failed", "read"),
    "webhook": ("sent", "errors"),
    "content_cards": (
        *("sent", "total_clicks", "total_dismissals", "total_impressions"),
        *("unique_clicks", "unique_dismissals", "unique_impressions"),
    ),
    "trigger_in_app_message": (
        *("impressions", "clicks", "first_button_clicks", "second_button_clicks"),
        *("revenue", "unique_recipients", "conversions", "enrolled"),
    ),
}
"""Figures of each channel, for each message variation."""
_CONVERSIONS = tuple(f"conversions{n}{by}" for by in ("", "_by_send_time") for n in ("", "1", "2", "3"))
TOTALS: Mapping[str, tuple[str, ...]] = {
    "campaign": ("unique_recipients", "revenue", *_CONVERSIONS),
    "send": ("unique_recipients", "revenue", *_CONVERSIONS),
    "canvas": ("entries", "revenue", "conversions", "conversions_by_entry_time"),
}
"""Figures of a day as a whole, by what they are asked for."""
ONE_EACH = {
    *("sent", "delivered", "sent_to_carrier", "unique_recipients", "entries", "enrolled"),
    *("unique_opens", "unique_clicks", "unique_impressions", "unique_dismissals"),
}
"""Figures that count a recipient once for each message: with one message there are no more than recipients."""
LOST = ("bounces", "undelivered", "delivery_failed", "rejected", "failed")
"""Figures of what will not be delivered any more."""
Figures = dict[str, dict[str, float]]
"""Of one day: by channel, and by figure. Those of the day as a whole stand under an empty channel."""


def known_metrics(of: str, channel: str | None = None) -> set[str]:
    """Give the names that there are.

    :param of: ``campaign``, ``canvas`` or ``send``.
    :param channel: one channel's only.
    """
    names = set(CHANNELS[channel]) if channel else set(TOTALS[of]).union(*CHANNELS.values())
    # Braze documents what a send counts for one channel, and names no others.
    return names | set(_SEND) if of == "send" else names


def check_metrics(of: str, metrics: Iterable[str], channel: str | None = None) -> None:
    """Refuse names that Braze does not know.

    :raises ValueError: one of them is no metric, or of another channel.
    """
    if channel is not None and channel not in CHANNELS:
        raise ValueError(f"channel is {channel!r}, Braze has figures for {', '.join(sorted(CHANNELS))}.")
    known = known_metrics(of, channel)
    for metric in metrics:
        if metric not in known:
            where = f"channel {channel}" if channel else {"canvas": "a Canvas"}.get(of, f"a {of}")
            raise ValueError(f"{metric!r} is no metric of {where}: there are {', '.join(sorted(known))}.")


def is_total(of: str, metric: str, channel: str | None) -> bool:
    """Tell whether a figure is one of the day as a whole."""
    return channel is None and metric in TOTALS[of]


def value(days: Iterable[Figures], of: str, metric: str, channel: str | None) -> float:
    """Sum a figure up, over all channels where none is named."""
    if is_total(of, metric, channel):
        return sum(day.get("", {}).get(metric, 0) for day in days)
    return sum(
        figures.get(metric, 0)
        for day in days
        for name, figures in day.items()
        if name and (channel is None or name == channel)
    )


def days_of(of: str, answer: Mapping[str, Any]) -> Mapping[str, Figures]:
    """Read the figures of each day off an answer.

    :raises ValueError: it cannot be read; ``AttributeError``, ``KeyError`` and ``TypeError`` say the same.
    """
    known_of, known_answer, days = _Latest.read
    if known_answer is not answer or known_of != of:
        rows = answer["data"]["stats"] if of == "canvas" else answer["data"]
        days = {str(row["time"])[:10]: _figures(of, row) for row in rows}
        _Latest.read = of, answer, days
    return days


class _Latest:
    """What was read last: in a triggerer, thousands of waits judge the same answer, one after the other."""

    read: ClassVar[tuple[str, Mapping[str, Any] | None, Mapping[str, Figures]]] = ("", None, {})


def _figures(of: str, row: Mapping[str, Any]) -> Figures:
    totals = row["total_stats"] if of == "canvas" else row
    figures: Figures = {"": {name: _number(totals[name]) for name in TOTALS[of] if totals.get(name) is not None}}
    for channel, counters in _counters(of, row):
        sums = figures.setdefault(channel, {})
        for name, number in counters.items():
            if isinstance(number, int | float) and not isinstance(number, bool):
                sums[name] = sums.get(name, 0) + number
    return figures


def _counters(of: str, row: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """One entry per message variation."""
    parts = (row.get("step_stats") or {}).values() if of == "canvas" else [row]
    for part in parts:
        for channel, variations in (part.get("messages") or {}).items():
            for counters in variations:
                yield channel, counters


def _number(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise TypeError(f"{given!r} is no number")
    return given


@dataclass(frozen=True, slots=True)
class Series:
    """How daily figures are asked for.

    :param endpoint: key of ``ENDPOINTS``.
    :param lengths: numbers of days to ask for: few, so that many waits share a question; the last is Braze's limit.
    """

    endpoint: str
    id_field: str
    lengths: tuple[int, ...]
    now_field: str | None = None


SERIES = {
    "campaign": Series("campaigns_data_series", "campaign_id", (3, 7, 14, 30, 60, 100)),
    "canvas": Series("canvas_data_series", "canvas_id", (3, 7, 14), now_field="ending_at"),
    "send": Series("sends_data_series", "campaign_id", (3, 7, 14, 16)),
}
