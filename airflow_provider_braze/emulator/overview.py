"""Small listings that the admin, the Python API and the inbox page share."""

from __future__ import annotations

from typing import Any

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
