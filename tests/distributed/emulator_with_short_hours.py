"""The emulator with hours of half a minute: so a test sees the pool of an hour run out, and the next hour begin."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_braze.emulator.__main__ import main
from airflow_provider_braze.emulator.quota import HOURLY
from airflow_provider_braze.emulator.specification import load_contract

SECONDS = 30

if __name__ == "__main__":
    pools = load_contract().buckets
    pools[HOURLY] = replace(pools[HOURLY], seconds=SECONDS)
    raise SystemExit(main())
