"""The analytics of Braze's exports, from what was delivered. Nobody opens, clicks, converts or bounces here: zeros."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from airflow_provider_braze.emulator.dashboard import Program
from airflow_provider_braze.emulator.problems import Problem, Refused
from airflow_provider_braze.emulator.tallies import Day, Tally

_PUSH = ("direct_opens", "total_opens", "bounces", "body_clicks")
# Channels as the exports call them, and the counters next to "sent" that stay zero.
COUNTERS: dict[str, tuple[str, ...]] = {
    "ios_push": _PUSH,
    "android_push": _PUSH,
    "kindle_push": _PUSH,
    "web_push": _PUSH,
    "webhook": ("errors",),
    "email": ("opens", "unique_opens", "clicks", "unique_clicks", "unsubscribes", "bounces", "reported_spam"),
    "sms": ("rejected", "delivery_failed", "clicks", "opt_out", "help"),
    "whats_app": ("failed", "read"),
    "content_cards": (
        *("total_clicks", "total_dismissals", "total_impressions"),
        *("unique_clicks", "unique_dismissals", "unique_impressions"),
    ),
}
# Counters that follow "sent": nothing is lost on the way here.
FOLLOWING = {"email": ("delivered",), "sms": ("sent_to_carrier", "delivered"), "whats_app": ("delivered",)}
_EXPORT_NAMES = {"push": "ios_push", "apple_push": "ios_push", "content_card": "content_cards"}
_SEND_ZEROS = (
    *("undelivered", "delivery_failed", "direct_opens", "total_opens", "bounces", "body_clicks"),
    *("revenue", "conversions"),
)
CONVERSIONS = tuple(f"conversions{n}{by}" for by in ("", "_by_send_time") for n in ("", "1", "2", "3"))
HOUR = 3600


def days_until(ending: datetime, length: int, zone: Any) -> list[str]:
    """So many calendar days of the workspace's, the last one that of ``ending``."""
    last = ending.astimezone(zone).date()
    return [(last - timedelta(days=back)).isoformat() for back in reversed(range(length))]


def days_between(starting: datetime, ending: datetime, most: int, zone: Any) -> list[str]:
    """The calendar days from one to the other; longer than ``length`` may be is refused."""
    first, last = starting.astimezone(zone).date(), ending.astimezone(zone).date()
    count = (last - first).days + 1
    if not 0 < count <= most + 1:
        raise Refused(Problem(f"starting_at must be before ending_at, and at most {most} days"))
    return [date.fromordinal(first.toordinal() + ahead).isoformat() for ahead in range(count)]


def hour_of(at: float | None) -> float | None:
    """The exports tell when something was sent to the hour only."""
    return None if at is None else at // HOUR * HOUR


def campaign_rows(tally: Tally, program: Program, days: list[str]) -> list[dict[str, Any]]:
    """One row per day, every variation in it."""
    return [
        {
            "time": day,
            **dict.fromkeys(CONVERSIONS, 0),
            "unique_recipients": len(counted.people),
            "revenue": 0.0,
            "messages": _by_channel(counted, program, _campaign_counters),
        }
        for day, counted in ((day, _day(tally, day)) for day in days)
    ]


def send_rows(tally: Tally, program: Program, days: list[str]) -> list[dict[str, Any]]:
    """The same for one send id."""
    return [
        {
            "time": day,
            "messages": _by_channel(counted, program, _send_counters),
            **dict.fromkeys(CONVERSIONS, 0),
            "unique_recipients": len(counted.people),
            "revenue": 0.0,
        }
        for day, counted in ((day, _day(tally, day)) for day in days)
    ]


def canvas_totals(entries: int) -> dict[str, Any]:
    """A Canvas counts who entered."""
    return {"revenue": 0.0, "conversions": 0, "conversions_by_entry_time": 0, "entries": entries}


def entries_on(tally: Tally, day: str) -> int:
    """How often people entered on a day."""
    return _day(tally, day).deliveries


def step_messages(tally: Tally, program: Program, days: list[str]) -> dict[str, Any]:
    """What the one step of a Canvas sent on these days."""
    together = Day()
    for day in days:
        counted = _day(tally, day)
        together.people |= counted.people
        together.together.update(counted.together)
    return _by_channel(together, program, _campaign_counters)


def _day(tally: Tally, day: str) -> Day:
    return tally.days.get(day) or Day()


def _by_channel(day: Day, program: Program, counters: Any) -> dict[str, Any]:
    rows: dict[str, list[dict[str, Any]]] = {}
    names = {variation.id: variation.name for variation in program.variations}
    sent = {(variation.channel, variation.id): 0 for variation in program.variations}
    for (channel, variation), count in day.sent.items():
        general = ("push", variation)
        place = general if general in sent else (channel, variation)
        sent[place] = sent.get(place, 0) + count
    for (channel, variation), count in sent.items():
        exported = _EXPORT_NAMES.get(channel, channel)
        rows.setdefault(exported, []).append(counters(exported, variation, names.get(variation, ""), count, day))
    return rows


def _campaign_counters(channel: str, variation: str, _name: str, sent: int, _day: Day) -> dict[str, Any]:
    return {
        "variation_api_id": variation,
        "sent": sent,
        **dict.fromkeys(FOLLOWING.get(channel, ()), sent),
        **dict.fromkeys(COUNTERS.get(channel, ()), 0),
    }


def _send_counters(_channel: str, _variation: str, name: str, sent: int, day: Day) -> dict[str, Any]:
    return {
        "variation_name": name,
        "sent": sent,
        "delivered": sent,
        **dict.fromkeys(_SEND_ZEROS, 0),
        "unique_recipients": len(day.people),
    }
