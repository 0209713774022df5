"""PostgreSQL, Redis, Braze and Airflow, all of it real and on loopback ports."""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest
from airflow_processes import Airflow, Emulator
from distributed_support import ANSWER_SECONDS, CUSTOMERS, HERE, KEY, RESERVE, SEED, WORKERS
from servers import Postgres, Redis


@pytest.fixture(scope="session")
def servers():
    """Ends with the session, after all that needs it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def postgres(servers):
    """With a database each for Airflow, the ledger, and the shop with its customers."""
    postgres = servers.enter_context(Postgres(fsync="off"))
    for name in ("airflow", "ledger", "shop"):
        postgres.create_database(name)
    postgres.execute("CREATE TABLE customers (id TEXT PRIMARY KEY, first_name TEXT)", database="shop")
    rows = "SELECT 'customer-' || number, 'Kim' FROM generate_series(1, %s) AS number"
    postgres.execute(f"INSERT INTO customers {rows}", CUSTOMERS, database="shop")
    return postgres


@pytest.fixture(scope="session")
def braze(servers, tmp_path_factory):
    """Answers as late as Braze does, so that requests are under way at any moment."""
    folder = tmp_path_factory.mktemp("braze")
    (folder / "seed.yaml").write_text(SEED)
    program = ["-m", "airflow_provider_braze.emulator"]
    braze = servers.enter_context(Emulator(program, folder / "seed.yaml", folder))
    braze.inject("slow", path="/campaigns/trigger/send", seconds=ANSWER_SECONDS, times=None)
    return braze


@pytest.fixture(scope="session")
def airflow(servers, postgres, braze):
    """With two Celery workers, which take two tasks each."""
    redis = servers.enter_context(Redis())
    metadata = postgres.url("airflow").replace("://", "+psycopg2://")
    extra = {"quota_reserve": RESERVE}
    connections = {
        "braze_default": json.dumps({"conn_type": "braze", "host": braze.url, "password": KEY, "extra": extra}),
        "ledger_db": postgres.connection_json("ledger"),
        "shop": postgres.connection_json("shop"),
    }
    settings = {
        "celery.broker_url": redis.url(),
        "celery.result_backend": f"db+{metadata}",
        "celery.worker_concurrency": 2,
        # To hand a task to Redis may take longer than a second on a busy machine.
        "celery.operation_timeout": 20,
        # Airflow learns of a dead worker by its tasks' silence, by default after five minutes.
        "scheduler.task_instance_heartbeat_timeout": 20,
        "scheduler.task_instance_heartbeat_timeout_detection_interval": 2,
        "workers.min_heartbeat_interval": 2,
        "workers.max_failed_heartbeats": 10,
    }
    airflow = servers.enter_context(
        Airflow(
            HERE / "dags",
            database=metadata,
            executor="CeleryExecutor",
            connections=connections,
            settings=settings,
        )
    )
    airflow.command("db", "migrate")
    options = ("--skip-serve-logs", "--without-gossip", "--without-mingle")
    workers = {name: ["celery", "worker", "--celery-hostname", name, *options] for name in WORKERS}
    airflow.start("scheduler", "dag-processor", **workers)
    airflow.wait_until_ready("spring_sale")
    for name in WORKERS:
        airflow.wait_for(name, lambda name=name: f"{name} ready" in airflow.processes[name].text())
    return airflow
