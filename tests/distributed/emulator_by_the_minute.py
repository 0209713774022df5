"""The emulator, whose hours last a minute: so a test sees a pool run out, and begin anew."""

from __future__ import annotations

from dataclasses import replace

from airflow_provider_braze.emulator.__main__ import main
from airflow_provider_braze.emulator.quota import HOURLY
from airflow_provider_braze.emulator.specification import load_contract

if __name__ == "__main__":
    buckets = load_contract().buckets
    buckets[HOURLY] = replace(buckets[HOURLY], seconds=60)
    raise SystemExit(main())
