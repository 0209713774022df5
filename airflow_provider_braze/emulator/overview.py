"""Small listings that the admin, the Python API and the inbox page share."""

from __future__ import annotations

from typing import Any

from airflow_provider_braze.emulator.dashboard import Program
from airflow_provider_braze.emulator.journal import iso
from airflow_provider_braze.emulator.references import tally_key
from airflow_provider_braze.emulator.state import State


def send_id_rows(state: State) -> list[dict[str, Any]]:
    """The send ids made, oldest first, and how many messages went out under each."""
    return [
        {
            "send_id": send_id,
            "campaign_id": campaign_id,
            "created_at": iso(at),
            "sent": state.journal.tally(tally_key(send_id, campaign_id)).per_person.total(),
        }
        for send_id, campaign_id, at in state.send_ids
    ]


def program_rows(state: State) -> list[dict[str, Any]]:
    """Campaigns, then Canvases."""
    programs: list[Program] = [*state.workspace.campaigns.values(), *state.workspace.canvases.values()]
    return [program_row(state, program) for program in programs]


def program_row(state: State, program: Program) -> dict[str, Any]:
    """Whether it may be sent, when it will be, and how many messages it has sent."""
    return {
        "kind": program.kind,
        "id": program.id,
        "name": program.name,
        "state": program.state,
        "next_send_time": program.next_send_time.isoformat() if program.next_send_time else None,
        "schedule_type": program.schedule_type,
        "sent": state.journal.tally(program.key).per_person.total(),
    }
