"""Reading segments: lists, details, sizes."""

from __future__ import annotations

import json

from airflow_provider_braze.emulator.audience import matches
from airflow_provider_braze.emulator.calls import Answer, Call, serves
from airflow_provider_braze.emulator.dashboard import Segment
from airflow_provider_braze.emulator.handlers.campaigns import days_asked
from airflow_provider_braze.emulator.handlers.listing import page_of, text_of
from airflow_provider_braze.emulator.programs import segment_of
from airflow_provider_braze.emulator.state import State


@serves("segments_list")
def list_segments(call: Call) -> Answer:
    """List segments."""
    rows = [
        {
            "id": segment.id,
            "name": segment.name,
            "analytics_tracking_enabled": segment.analytics_tracking_enabled,
            "tags": list(segment.tags),
        }
        for segment in page_of(call, call.state.workspace.segments.values())
    ]
    return call.answer({"message": "success", "segments": rows})


@serves("segments_details")
def segment_details(call: Call) -> Answer:
    """What it is made of."""
    segment = segment_of(call.state, call.query)
    edited = text_of(segment.last_edited)
    details = {
        "created_at": edited,
        "updated_at": edited,
        "name": segment.name,
        "description": segment.description,
        "text_description": json.dumps(segment.filter) if segment.filter else "everybody",
        "tags": list(segment.tags),
        "teams": [],
    }
    return call.answer({"message": "success", **details})


@serves("segments_data_series")
def segment_series(call: Call) -> Answer:
    """Its size, one row per day; the size is today's on all of them, for nobody kept the past."""
    size = size_of(call.state, segment_of(call.state, call.query))
    return call.answer({"message": "success", "data": [{"time": day, "size": size} for day in days_asked(call)]})


def size_of(state: State, segment: Segment) -> int:
    """How many of the known people belong to it now."""
    now = state.clock.datetime()
    people = state.workspace.profiles
    return sum(segment.filter is None or matches(segment.filter, one.attributes, now) for one in people)
