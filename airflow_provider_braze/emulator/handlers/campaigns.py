"""Reading campaigns and sends: lists, details, analytics."""

from __future__ import annotations

from typing import Any

from airflow_provider_braze.emulator.analytics import campaign_rows, days_until, hour_of, send_rows
from airflow_provider_braze.emulator.audience import parse_time
from airflow_provider_braze.emulator.calls import Answer, Call, serves
from airflow_provider_braze.emulator.dashboard import Program
from airflow_provider_braze.emulator.handlers.listing import is_asked, page_of, text_of
from airflow_provider_braze.emulator.journal import iso
from airflow_provider_braze.emulator.programs import campaign_of
from airflow_provider_braze.emulator.state import State

SENDS_KEPT_SECONDS = 14 * 24 * 3600


@serves("campaigns_list")
def list_campaigns(call: Call) -> Answer:
    """List campaigns, archived ones only where asked for."""
    archived_too = is_asked(call, "include_archived")
    campaigns = [one for one in call.state.workspace.campaigns.values() if archived_too or one.state != "archived"]
    rows = [
        {
            "id": campaign.id,
            "last_edited": text_of(campaign.last_edited),
            "name": campaign.name,
            "is_api_campaign": campaign.is_api_campaign,
            "tags": list(campaign.tags),
        }
        for campaign in page_of(call, campaigns)
    ]
    return call.answer({"message": "success", "campaigns": rows})


@serves("campaigns_details")
def campaign_details(call: Call) -> Answer:
    """Whether it may be sent, and when it last was."""
    campaign = campaign_of(call.state, call.query)
    first, last = sent_between(call.state, campaign)
    details = {
        **common_details(campaign),
        "schedule_type": schedule_type(campaign),
        "first_sent": first,
        "last_sent": last,
        "messages": {one.id: {"channel": one.channel, "name": one.name} for one in campaign.variations},
        "conversion_behaviors": [],
    }
    return call.answer({"message": "success", **details})


def common_details(program: Program) -> dict[str, Any]:
    """What the details of a campaign and of a Canvas share."""
    edited = text_of(program.last_edited)
    return {
        "created_at": edited,
        "updated_at": edited,
        "name": program.name,
        "description": program.description,
        "archived": program.state == "archived",
        "draft": program.state == "draft",
        "enabled": program.state == "active",
        "has_post_launch_draft": False,
        "channels": list(program.channels),
        "tags": list(program.tags),
        "teams": [],
    }


def schedule_type(program: Program) -> str:
    """Triggered by the API unless the dashboard has it scheduled."""
    return "api_triggered_delivery" if program.next_send_time is None else "time_based"


def sent_between(state: State, program: Program) -> tuple[str | None, str | None]:
    """When it first and last reached anybody, to the hour; null where it never did."""
    tally = state.journal.tally(program.key)
    first, last = hour_of(tally.first), hour_of(tally.last)
    return (None if first is None else iso(first), None if last is None else iso(last))


@serves("campaigns_data_series")
def campaign_series(call: Call) -> Answer:
    """One row per day."""
    campaign = campaign_of(call.state, call.query)
    tally = call.state.journal.tally(campaign.key)
    return call.answer({"message": "success", "data": campaign_rows(tally, campaign, days_asked(call))})


@serves("sends_data_series")
def send_series(call: Call) -> Answer:
    """One row per day; none 14 days after the latest send, nor for an id that nobody made: Braze's way is unknown."""
    state = call.state
    campaign = campaign_of(state, call.query)
    key = state.send_ids.key(call.query["send_id"], campaign.id)
    tally = state.journal.tally(key) if key is not None else None
    expired = tally is not None and tally.last is not None and state.clock.now() - tally.last > SENDS_KEPT_SECONDS
    rows = [] if tally is None or expired else send_rows(tally, campaign, days_asked(call))
    return call.answer({"message": "success", "data": rows})


def days_asked(call: Call) -> list[str]:
    """``length`` days until ``ending_at``, or until today."""
    ending = parse_time(call.query.get("ending_at")) or call.state.clock.datetime()
    return days_until(ending, int(call.query["length"]), call.state.workspace.time_zone)
