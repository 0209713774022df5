"""Reading Canvases: lists, details, analytics. An emulated Canvas has one variant of one step."""

from __future__ import annotations

from typing import Any

from airflow_provider_braze.emulator.analytics import (
    canvas_totals,
    days_between,
    days_until,
    step_messages,
)
from airflow_provider_braze.emulator.audience import parse_time
from airflow_provider_braze.emulator.calls import Answer, Call, serves
from airflow_provider_braze.emulator.dashboard import Canvas
from airflow_provider_braze.emulator.handlers.campaigns import common_details, schedule_type, sent_between
from airflow_provider_braze.emulator.handlers.listing import is_asked, page_of, text_of
from airflow_provider_braze.emulator.programs import canvas_of
from airflow_provider_braze.emulator.tallies import Tally

MOST_DAYS = 14
STEP_NAME = "Message"


@serves("canvas_list")
def list_canvases(call: Call) -> Answer:
    """List Canvases, archived ones only where asked for."""
    archived_too = is_asked(call, "include_archived")
    canvases = [one for one in call.state.workspace.canvases.values() if archived_too or one.state != "archived"]
    rows = [
        {"id": one.id, "last_edited": text_of(one.last_edited), "name": one.name, "tags": list(one.tags)}
        for one in page_of(call, canvases)
    ]
    return call.answer({"message": "success", "canvases": rows})


@serves("canvas_details")
def canvas_details(call: Call) -> Answer:
    """Whether it may be entered, and when somebody last did."""
    canvas = canvas_of(call.state, call.query)
    first, last = sent_between(call.state, canvas)
    step = {
        "name": STEP_NAME,
        "type": "message",
        "id": _step_id(canvas),
        "next_step_ids": [],
        "next_paths": [],
        "channels": list(canvas.channels),
        "messages": {one.id: {"channel": one.channel} for one in canvas.variations},
    }
    variant = {"name": "Variant 1", "id": _variant_id(canvas), "first_step_ids": [_step_id(canvas)]}
    details = {
        **common_details(canvas),
        "schedule_type": schedule_type(canvas),
        "first_entry": first,
        "last_entry": last,
        "variants": [variant],
        "steps": [step],
    }
    return call.answer({"message": "success", **details})


@serves("canvas_data_series")
def canvas_series(call: Call) -> Answer:
    """Entries per day."""
    canvas = canvas_of(call.state, call.query)
    tally = call.state.journal.tally(canvas.key)
    rows = [{"time": day, **_stats(call, canvas, tally, [day])} for day in _days(call)]
    return call.answer({"message": "success", "data": {"name": canvas.name, "stats": rows}})


@serves("canvas_data_summary")
def canvas_summary(call: Call) -> Answer:
    """Entries of all these days together."""
    canvas = canvas_of(call.state, call.query)
    tally = call.state.journal.tally(canvas.key)
    return call.answer(
        {"message": "success", "data": {"name": canvas.name, **_stats(call, canvas, tally, _days(call))}}
    )


def _stats(call: Call, canvas: Canvas, tally: Tally, days: list[str]) -> dict[str, Any]:
    totals = canvas_totals(tally, days)
    stats: dict[str, Any] = {"total_stats": totals}
    if is_asked(call, "include_variant_breakdown"):
        stats["variant_stats"] = {_variant_id(canvas): {"name": "Variant 1", **totals}}
    if is_asked(call, "include_step_breakdown"):
        counters = {name: value for name, value in totals.items() if name != "entries"}
        messages = step_messages(tally, canvas, days)
        stats["step_stats"] = {_step_id(canvas): {"name": STEP_NAME, **counters, "messages": messages}}
    return stats


def _days(call: Call) -> list[str]:
    zone = call.state.workspace.time_zone
    ending = parse_time(call.query["ending_at"]) or call.state.clock.datetime()
    starting = parse_time(call.query.get("starting_at"))
    if starting is not None:
        return days_between(starting, ending, MOST_DAYS, zone)
    return days_until(ending, int(call.query["length"]), zone)


def _variant_id(canvas: Canvas) -> str:
    return f"{canvas.id}-variant"


def _step_id(canvas: Canvas) -> str:
    return f"{canvas.id}-step"
