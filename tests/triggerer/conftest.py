"""PostgreSQL, Braze and Airflow with a triggerer, all of it real and on loopback ports."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from airflow_processes import Airflow, Emulator
from servers import Postgres

DAGS = Path(__file__).parent / "dags"
sys.path.insert(0, str(DAGS))

import waiting_ids as ids  # noqa: E402

SEED = f"""
name: Larkspur Coffee
everyone_is_known: true
api_keys:
  - {{name: Airflow, key: {ids.KEY}, permissions: "*"}}
campaigns:
  - {{id: {ids.SALE}, name: Sale, channel: email}}
  - {{id: {ids.PAUSED}, name: Newsletter, state: paused, channel: email}}
  - {{id: {ids.NEWS}, name: News, channel: email}}
  - {{id: {ids.BOUNCING}, name: Old addresses, channel: email}}
  - {{id: {ids.LATE}, name: Late, channel: email}}
  - {{id: {ids.CROWD}, name: Waited for by many, channel: email}}
  - {{id: {ids.FEW}, name: Waited for by few, channel: email}}
canvases:
  - {{id: {ids.LETTER}, name: Sunday letter, channel: email, state: draft}}
  - {{id: {ids.JOURNEY}, name: First ten cups, channel: email}}
"""


@pytest.fixture(scope="session")
def servers():
    """Ends with the session, after all that needs it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def braze(servers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("braze")
    (folder / "seed.yaml").write_text(SEED)
    return servers.enter_context(Emulator(["-m", "airflow_provider_braze.emulator"], folder / "seed.yaml", folder))


@pytest.fixture(scope="session")
def airflow(servers, braze):
    postgres = servers.enter_context(Postgres(fsync="off"))
    connections = {
        name: json.dumps({"conn_type": "braze", "host": braze.url, "password": key})
        for name, key in {"braze_default": ids.KEY, "braze_wrong": ids.WRONG_KEY}.items()
    }
    settings = {
        "core.parallelism": 4,
        "scheduler.trigger_timeout_check_interval": 1,
        "triggerer.capacity": 2 * ids.CROWD_SIZE,
        "triggerer.max_trigger_to_select_per_loop": 2 * ids.CROWD_SIZE,
        # So long after its last sign of life, another triggerer takes over what a dead one had.
        "triggerer.job_heartbeat_sec": 1,
        "triggerer.triggerer_health_check_threshold": 6,
    }
    airflow = servers.enter_context(
        Airflow(
            DAGS,
            database=postgres.url(postgres.create_database("airflow")).replace("://", "+psycopg2://"),
            executor="LocalExecutor",
            connections=connections,
            settings=settings | {"core.max_map_length": 2 * ids.CROWD_SIZE},
        )
    )
    airflow.command("db", "migrate")
    airflow.start("scheduler", "dag-processor", "triggerer")
    airflow.wait_until_ready("waits", "crowd")
    airflow.wait_for("the triggerer", lambda: airflow.is_well("triggerer"))
    return airflow
