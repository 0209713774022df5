"""The inbox page's other views as rows: schedules, live activities, send ids; and its lists at the side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from airflow_provider_braze.emulator.contents import of_messages
from airflow_provider_braze.emulator.dashboard import Program
from airflow_provider_braze.emulator.handlers.segments import size_of
from airflow_provider_braze.emulator.journal import Part
from airflow_provider_braze.emulator.live import LiveActivity
from airflow_provider_braze.emulator.overview import send_id_rows
from airflow_provider_braze.emulator.quota import BROADCAST, EXPORT, FAST_EXPORT, HOURLY, SEND_IDS
from airflow_provider_braze.emulator.scheduling import Scheduled
from airflow_provider_braze.emulator.sending import named_people
from airflow_provider_braze.emulator.state import State

ROWS_SHOWN = 100
PROGRAMS_SHOWN = 100
SEGMENTS_SHOWN = 20
PEOPLE_NAMED = 3
_POOLS = {
    HOURLY: "All calls, per hour",
    BROADCAST: "Broadcasts, per minute",
    SEND_IDS: "Send ids, per day",
    "campaigns_data_series": "Campaign analytics, per minute",
    EXPORT: "Exports of people, per minute",
    FAST_EXPORT: "Fast exports, per second",
}
_ALWAYS_SHOWN = (HOURLY, BROADCAST)


def schedule_rows(state: State) -> list[dict[str, Any]]:
    """Those that wait first, the next one on top; then what was, the latest on top."""
    numbered = list(enumerate(state.schedules, 1))
    waiting = [pair for pair in numbered if pair[1].ended is None]
    done = [pair for pair in numbered if pair[1].ended is not None]
    waiting.sort(key=lambda pair: pair[1].when.due)
    done.sort(key=lambda pair: -(pair[1].ended or 0))
    return [_schedule_row(state, number, one) for number, one in (waiting + done)[:ROWS_SHOWN]]


def _schedule_row(state: State, number: int, scheduled: Scheduled) -> dict[str, Any]:
    name, part = _content(state, scheduled)
    return {
        **scheduled.as_dict(),
        "key": f"{number}-{scheduled.state}-{scheduled.updates}-{scheduled.reached}",
        "name": name,
        "text": part.subject or part.body if part else "",
        "seconds": max(0, math.ceil(scheduled.when.due - state.clock.now()) + 1) if scheduled.ended is None else 0,
        "who": audience_words(state, scheduled.body),
        "in": span_words(scheduled.when.due - state.clock.now()) if scheduled.ended is None else "",
    }


def _content(state: State, scheduled: Scheduled) -> tuple[str, Part | None]:
    programs: Mapping[str, Program] = (
        state.workspace.canvases if scheduled.kind == "canvas" else state.workspace.campaigns
    )
    program = programs.get(scheduled.program_id or "")
    messages = scheduled.body.get("messages")
    if not messages:
        return (program.name if program else "Gone"), None
    source = of_messages(messages, program)
    return source.name, source.parts[0]


def audience_words(state: State, body: Mapping[str, Any]) -> str:
    """Whom a request means, in a few words; the first few by name."""
    names = [_name(one) for one in named_people(body)]
    if names:
        more = len(names) - PEOPLE_NAMED
        people = ", ".join(names[:PEOPLE_NAMED]) + (f" and {more:,} more" if more > 0 else "")
    else:
        people = "Everybody"
    segment = state.workspace.segments.get(str(body.get("segment_id")))
    narrowed = [f"in the segment {segment.name}"] if segment else []
    if body.get("audience"):
        narrowed.append("who match the audience")
    return " ".join([people, *narrowed])


def _name(recipient: Mapping[str, Any]) -> str:
    alias = recipient.get("user_alias")
    if isinstance(alias, Mapping):
        return str(alias.get("alias_name"))
    given = (recipient.get(name) for name in ("external_user_id", "email", "braze_id"))
    return str(next((value for value in given if value is not None), ""))


def span_words(seconds: float) -> str:
    """``in 2 h 5 min``: the two largest units."""
    left = max(0, round(seconds))
    parts = [(left // 86400, "d"), (left // 3600 % 24, "h"), (left // 60 % 60, "min"), (left % 60, "s")]
    told = [f"{count} {unit}" for count, unit in parts if count][:2]
    return f"in {' '.join(told)}" if told else "now"


def live_rows(state: State) -> list[dict[str, Any]]:
    """Those that run first, then the ended ones; the latest on top."""
    now = state.clock.now()
    numbered = sorted(enumerate(state.live_activities, 1), key=lambda pair: (pair[1].ended, -pair[1].updated))
    return [_live_row(state, number, one, now) for number, one in numbered[:ROWS_SHOWN]]


def _live_row(state: State, number: int, activity: LiveActivity, now: float) -> dict[str, Any]:
    row = activity.as_dict(now)
    return {
        **row,
        "key": f"{number}-{row['state']}-{activity.updates}-{len(activity.people)}",
        "app": state.workspace.apps.get(activity.app_id, activity.app_id),
        "facts": list(islice(activity.content_state.items(), 6)),
    }


def send_rows(state: State) -> list[dict[str, Any]]:
    """The latest on top."""
    campaigns = state.workspace.campaigns
    rows = send_id_rows(state)[::-1][:ROWS_SHOWN]
    return [
        {**row, "campaign": campaigns[row["campaign_id"]].name if row["campaign_id"] in campaigns else "Gone"}
        for row in rows
    ]


def tabs(state: State, view: str) -> list[dict[str, Any]]:
    """The views, each with what there is to see."""
    waiting = sum(one.ended is None for one in state.schedules)
    running = sum(not one.ended for one in state.live_activities)
    counted = (
        ("inbox", "Inbox", state.journal.delivered),
        ("schedules", "Schedules", waiting),
        ("live", "Live activities", running),
        ("sends", "Send ids", sum(1 for _ in state.send_ids)),
    )
    return [{"view": name, "label": label, "count": count, "here": name == view} for name, label, count in counted]


def programs(state: State, known: Iterable[Program]) -> list[tuple[Program, int]]:
    """Campaigns or Canvases, and how many messages each has sent."""
    shown = islice(known, PROGRAMS_SHOWN)
    return [(program, state.journal.tally(program.key).per_person.total()) for program in shown]


def segments(state: State) -> list[tuple[Any, int]]:
    """Segments and their sizes."""
    return [(one, size_of(state, one)) for one in islice(state.workspace.segments.values(), SEGMENTS_SHOWN)]


def pools(state: State) -> list[dict[str, Any]]:
    """The quota: always the two that matter most, of the rest those in use."""
    now = state.clock.now()
    rows = []
    for name, label in _POOLS.items():
        allowance = state.quotas.look(now, name)
        if name in _ALWAYS_SHOWN or allowance.remaining < allowance.limit:
            until = span_words(allowance.reset - now)
            rows.append({"label": label, "allowance": allowance, "until": until})
    return rows
