"""All that one emulator holds, behind one lock: requests, admin calls and Python callers share it."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path

from airflow_provider_braze.emulator.clock import Clock
from airflow_provider_braze.emulator.faults import Faults
from airflow_provider_braze.emulator.figures import add_figures
from airflow_provider_braze.emulator.journal import Journal
from airflow_provider_braze.emulator.live import LiveActivities
from airflow_provider_braze.emulator.quota import Quotas
from airflow_provider_braze.emulator.references import ExternalSendIds, SendIds
from airflow_provider_braze.emulator.scheduling import Schedules
from airflow_provider_braze.emulator.specification import load_contract
from airflow_provider_braze.emulator.workspace import Seed, Workspace, load_seed


class State:
    """Everything that a reset takes back to the seed."""

    seed: Seed
    workspace: Workspace
    quotas: Quotas
    journal: Journal
    schedules: Schedules
    live_activities: LiveActivities
    send_ids: SendIds
    external_send_ids: ExternalSendIds

    def __init__(self, seed: str | Path | Seed | None = None) -> None:
        self.lock = threading.RLock()
        self.clock = Clock()
        self.faults = Faults()
        self.version = 0
        self.reset(load_seed(seed))

    def reset(self, seed: Seed | None = None) -> None:
        """Back to the seed, or on to another one; the version moves on so that the inbox notices."""
        with self.lock:
            self.seed = self.seed if seed is None else seed
            self.workspace = Workspace(self.seed)
            self.quotas = Quotas(load_contract().buckets, self.seed.get("rate_limits"))
            self.journal = Journal()
            self.schedules = Schedules()
            self.send_ids = SendIds()
            self.external_send_ids = ExternalSendIds()
            self.faults.clear()
            self.clock.reset()
            self.live_activities = LiveActivities(self.seed.get("live_activities") or (), self.clock.now())
            for row in self.seed.get("figures") or ():
                add_figures(self, **row)
            self.touch()

    def touch(self) -> None:
        """Say that something changed which the inbox page shows."""
        self.version += 1

    def day(self, at: float) -> str:
        """The calendar day of an instant in the workspace's time zone, as the analytics count it."""
        return datetime.fromtimestamp(at, self.workspace.time_zone).date().isoformat()
