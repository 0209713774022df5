"""What the distributed test and its servers have to agree on."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
CUSTOMERS = 200_000
KEY = "spring-key"
# Hours of half a minute, so that the test sees a pool run out, and the next hour begin. The delivery empties four of
# them, and the four tasks that begin together need two.
POOL, RESERVE, HOUR_SECONDS = 1200, 100, 30
ANSWER_SECONDS = 0.1
WORKERS = ("worker-1", "worker-2")
SEED = f"""
name: Larkspur Coffee
everyone_is_known: true
api_keys:
  - {{name: Airflow, key: {KEY}, permissions: "*"}}
campaigns:
  - {{id: 0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10, name: Spring sale, state: active, channel: email}}
rate_limits: {{default_hourly: {{limit: {POOL}, seconds: {HOUR_SECONDS}}}}}
"""
