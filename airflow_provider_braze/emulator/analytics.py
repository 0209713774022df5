"""The analytics of Braze's exports: what was delivered, and the figures that a test or a seed added (figures.py)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from airflow_provider_braze.emulator.dashboard import Program
from airflow_provider_braze.emulator.problems import Problem, Refused
from airflow_provider_braze.emulator.tallies import Day, Part, Tally

_PUSH = ("direct_opens", "total_opens", "bounces", "body_clicks")
# Channels as the exports call them, and the counters next to "sent" that no delivery moves.
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
# Counters that follow deliveries: nothing is lost on the way here.
FOLLOWING = {"email": ("delivered",), "sms": ("sent_to_carrier", "delivered"), "whats_app": ("delivered",)}
_EXPORT_NAMES = {"push": "ios_push", "apple_push": "ios_push", "content_card": "content_cards"}
CONVERSIONS = tuple(f"conversions{n}{by}" for by in ("", "_by_send_time") for n in ("", "1", "2", "3"))
_SEND_ZEROS = ("undelivered", "delivery_failed", "direct_opens", "total_opens", "bounces", "body_clicks")
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


Counters = dict[str, float]
Counting = Callable[[str, Part, str, int, Day], dict[str, Any]]


def exported_name(channel: str) -> str:
    """What the exports call a channel of the dashboard."""
    return _EXPORT_NAMES.get(channel, channel)


def day_counters(people: int = 0) -> Counters:
    """What a campaign or a send id counts per day, whatever the channel."""
    return {**dict.fromkeys(CONVERSIONS, 0), "unique_recipients": people, "revenue": 0.0}


def canvas_counters(entries: int = 0) -> Counters:
    """What a Canvas counts: who entered."""
    return {"revenue": 0.0, "conversions": 0, "conversions_by_entry_time": 0, "entries": entries}


def variation_counters(channel: str, sent: int = 0) -> Counters:
    """What a campaign or a Canvas counts per variation of a channel, by the name that the exports give it."""
    return {
        "sent": sent,
        **dict.fromkeys(FOLLOWING.get(channel, ()), sent),
        **dict.fromkeys(COUNTERS.get(channel, ()), 0),
    }


def send_counters(sent: int = 0, people: int = 0) -> Counters:
    """The same for a send id, which counts alike in all channels."""
    return {"sent": sent, "delivered": sent, **dict.fromkeys(_SEND_ZEROS, 0), **day_counters(people)}


def campaign_rows(tally: Tally, program: Program, days: list[str]) -> list[dict[str, Any]]:
    """One row per day, every variation in it."""
    return _rows(tally, program, days, _of_variation)


def send_rows(tally: Tally, program: Program, days: list[str]) -> list[dict[str, Any]]:
    """The same for one send id."""
    return _rows(tally, program, days, _of_send)


def canvas_totals(tally: Tally, days: list[str]) -> dict[str, Any]:
    """How often people entered on these days, and what came of it."""
    together = tally.together(days)
    return together.with_added(canvas_counters(together.deliveries))


def step_messages(tally: Tally, program: Program, days: list[str]) -> dict[str, Any]:
    """What the one step of a Canvas sent on these days."""
    return _by_channel(tally.together(days), program, _of_variation)


def _of_variation(channel: str, part: Part, _name: str, sent: int, day: Day) -> dict[str, Any]:
    return {"variation_api_id": part[1], **day.with_added(variation_counters(channel, sent), part)}


def _of_send(_channel: str, part: Part, name: str, sent: int, day: Day) -> dict[str, Any]:
    return {"variation_name": name, **day.with_added(send_counters(sent, len(day.people)), part)}


def _rows(tally: Tally, program: Program, days: list[str], counting: Counting) -> list[dict[str, Any]]:
    return [
        {
            "time": day,
            **counted.with_added(day_counters(len(counted.people))),
            "messages": _by_channel(counted, program, counting),
        }
        for day, counted in ((day, tally.days.get(day) or Day()) for day in days)
    ]


def _by_channel(day: Day, program: Program, counting: Counting) -> dict[str, Any]:
    rows: dict[str, list[dict[str, Any]]] = {}
    names = {variation.id: variation.name for variation in program.variations}
    sent = {(variation.channel, variation.id): 0 for variation in program.variations}
    sent |= {part: 0 for part, _ in day.added if part is not None}
    for (channel, variation), count in day.sent.items():
        general = ("push", variation)
        place = general if general in sent else (channel, variation)
        sent[place] = sent.get(place, 0) + count
    for part, count in sent.items():
        exported = exported_name(part[0])
        rows.setdefault(exported, []).append(counting(exported, part, names.get(part[1], ""), count, day))
    return rows
