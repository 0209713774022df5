"""Airflow over several processes: 200,000 people, eight mapped tasks on two Celery workers, one of which is killed."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest
from airflow_processes import Airflow, Emulator, Process
from servers import Postgres, Redis

HERE = Path(__file__).parent
CUSTOMERS = int(os.environ.get("DIST_CUSTOMERS", "200000"))
PARTS = 8
SEED = f"""
name: Larkspur Coffee
everyone_is_known: true
api_keys: [{{name: Airflow, key: spring-key, permissions: "*"}}]
campaigns:
  - {{id: 0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10, name: Spring sale, state: active, channel: email}}
rate_limits: {{default_hourly: {os.environ.get("DIST_POOL", "6000")}}}
"""
T0 = time.time()


def say(*what):
    print(f"{time.time() - T0:6.1f}", *what, flush=True)


def test_walk(tmp_path):
    with Postgres(fsync="off") as postgres, Redis() as redis:
        say("servers")
        metadata, ledger, shop = map(postgres.create_database, ("metadata", "ledger", "shop"))
        postgres.execute("CREATE TABLE customers (id TEXT PRIMARY KEY, first_name TEXT)", database=shop)
        postgres.execute(
            "INSERT INTO customers SELECT 'customer-' || n, 'Kim' FROM generate_series(1, %s) AS n",
            CUSTOMERS,
            database=shop,
        )
        say("customers")
        (tmp_path / "seed.yaml").write_text(SEED)
        with Emulator([str(HERE / "emulator_by_the_minute.py")], tmp_path / "seed.yaml", tmp_path) as braze:
            say("emulator", braze.url)
            url = postgres.url(metadata).replace("://", "+psycopg2://")
            with Airflow(
                HERE / "dags",
                database=url,
                executor="CeleryExecutor",
                connections={
                    "braze_default": json.dumps({"conn_type": "braze", "host": braze.url, "password": "spring-key"}),
                    "ledger_db": postgres.connection_json(ledger),
                    "shop": postgres.connection_json(shop),
                },
                settings={
                    "celery.broker_url": redis.url(),
                    "celery.result_backend": f"db+{url}",
                    "celery.worker_concurrency": 2,
                    "celery.operation_timeout": 20,
                    "scheduler.task_instance_heartbeat_timeout": 20,
                    "scheduler.task_instance_heartbeat_timeout_detection_interval": 2,
                    "workers.min_heartbeat_interval": 2,
                    "workers.max_failed_heartbeats": 10,
                },
            ) as airflow:
                airflow.command("db", "migrate")
                say("migrated")
                airflow.start(
                    "scheduler",
                    "dag-processor",
                    "triggerer",
                    **{n: ["celery", "worker", "-H", n, "--skip-serve-logs", "--without-gossip", "--without-mingle"] for n in ("worker-1", "worker-2")},
                )
                airflow.wait_until_ready("spring_sale")
                say("ready")
                for n in ("worker-1", "worker-2"):
                    airflow.wait_for(n, lambda n=n: f"{n} ready" in airflow.processes[n].text())
                say("workers ready")
                braze.inject("slow", path="/campaigns/trigger/send", seconds=0.1, times=None)
                airflow.post("dags/spring_sale/dagRuns", dag_run_id="first", logical_date=None)
                killed = False
                last = 0
                while True:
                    time.sleep(1)
                    s = braze.summary()
                    if time.time() - last > 5:
                        last = time.time()
                        say(s, braze.statuses(), [(t["map_index"], t["state"], t["try_number"]) for t in airflow.task_instances("spring_sale", "first")])
                    if not killed and s["total"] > 0.3 * CUSTOMERS:
                        killed = True
                        say("killed", airflow.processes.pop("worker-2").kill(), braze.summary())
                    state = airflow.get("dags/spring_sale/dagRuns/first")["state"]
                    if state in ("success", "failed"):
                        break
                say(state, braze.summary(), braze.statuses())
                for t in airflow.task_instances("spring_sale", "first"):
                    say(t["map_index"], t["state"], t["try_number"], t["hostname"], t["duration"], t["state"] == "success" and airflow.result(t))
                    if t["try_number"] > 1:
                        for a in range(1, t["try_number"] + 1):
                            print(airflow.task_log(t, a)[-2500:])
                os.system(f"cp -r {airflow.home} /tmp/dist/home")
