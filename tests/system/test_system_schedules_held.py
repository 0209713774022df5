"""A person ends the wait of a task that holds its schedules: in a real triggerer, through Airflow's API."""

from __future__ import annotations

import json
import os
import signal
from contextlib import ExitStack

import airflow as airflow_package
import pytest
from airflow_processes import Airflow, fetch, wait_for
from servers import Postgres

from airflow_provider_braze.emulator import BrazeEmulator

HAS_STORE = tuple(map(int, airflow_package.__version__.split(".")[:2])) >= (3, 3)
DAG_FILE = """
from datetime import datetime, timedelta, timezone

from airflow.sdk import DAG, task

from airflow_provider_braze.delivery.sql_ledger import SqlLedger
from airflow_provider_braze.operators.schedule import (
    BrazeDeleteScheduledCampaignOperator,
    BrazeScheduleCampaignOperator,
)
from airflow_provider_braze.operators.schedule_group import guarded_schedule

# Before Airflow 3.3 nothing else remembers what was scheduled.
remembered = {} if HAS_STORE else {"ledger": SqlLedger("ledger")}
what = {
    "campaign_id": "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10",
    "recipients": [f"p{number}" for number in range(120)],
    "trigger_properties": {"run": "{{ run_id }}"},
    "retries": 0,
    **remembered,
}

with DAG("held", schedule=None):
    BrazeScheduleCampaignOperator(task_id="launch", schedule="2099-04-07T09:00:00Z", wait_until_sent=True, **what)

with DAG("mapped", schedule=None):
    BrazeScheduleCampaignOperator.partial(
        task_id="launch", schedule="2099-04-07T09:00:00Z", wait_until_sent=True, **what
    ).expand(send_id=["one", "two"])

with DAG("soon", schedule=None):
    BrazeScheduleCampaignOperator(
        task_id="launch",
        # From when the task has begun.
        schedule="{{ (macros.datetime.utcnow() + macros.timedelta(seconds=30)).isoformat() }}Z",
        wait_until_sent=True,
        **what,
    )

with DAG("paused", schedule=None):
    BrazeScheduleCampaignOperator(
        task_id="launch", schedule="2099-04-07T09:00:00Z", max_quota_wait=timedelta(0), **what
    )

with DAG("guarded", schedule=None):
    with guarded_schedule("launch", BrazeScheduleCampaignOperator, schedule="2099-04-07T09:00:00Z", **what):

        @task(retries=0)
        def look(ti=None):
            if ti.try_number == 1:
                raise ValueError("a price is missing")

        look()

with DAG("refused", schedule=None):
    with guarded_schedule("launch", BrazeScheduleCampaignOperator, schedule="2099-04-07T09:00:00Z", **what):

        @task(retries=0, task_id="look")
        def delete_one(ti=None):
            ids = ti.xcom_pull(task_ids="launch.schedule", key="schedule_ids")
            BrazeDeleteScheduledCampaignOperator(
                task_id="delete", campaign_id=what["campaign_id"], schedule_id=ids[0]
            ).execute({})
            raise ValueError("somebody was quicker")

        delete_one()
"""
DAGS = ("held", "mapped", "soon", "paused", "guarded", "refused")


@pytest.fixture(scope="module")
def servers():
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def braze(servers):
    return servers.enter_context(BrazeEmulator())


@pytest.fixture(scope="module")
def airflow(servers, braze, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dags")
    (folder / "launches.py").write_text(f"HAS_STORE = {HAS_STORE}\n{DAG_FILE}")
    postgres = servers.enter_context(Postgres(fsync="off"))
    running = servers.enter_context(
        Airflow(
            folder,
            database=postgres.url(postgres.create_database("airflow")).replace("://", "+psycopg2://"),
            executor="LocalExecutor",
            connections={
                "braze_default": json.dumps({**json.loads(braze.connection_json()), "extra": {"lanes": 1}}),
                "ledger": postgres.connection_json(postgres.create_database("ledger")),
            },
            settings={
                "core.parallelism": 4,
                "triggerer.job_heartbeat_sec": 1,
                "triggerer.triggerer_health_check_threshold": 10,
            },
        )
    )
    running.command("db", "migrate")
    running.start("scheduler", "dag-processor", "triggerer")
    running.wait_until_ready(*DAGS)
    return running


class Run:
    """One run of a DAG, and what Braze has of it."""

    def __init__(self, airflow, braze, dag_id):
        self._airflow, self._braze, self._dag_id = airflow, braze, dag_id
        self.run_id = airflow.post(f"dags/{dag_id}/dagRuns", logical_date=None)["dag_run_id"]

    def tasks(self):
        return self._airflow.task_instances(self._dag_id, self.run_id)

    def states(self):
        return {one["task_id"].rpartition(".")[2]: one["state"] for one in self.tasks()}

    def wait_for(self, task_id, *states, tries=1):
        def there():
            found = [one for one in self.tasks() if one["task_id"] == task_id]
            return (
                found if found and all(one["state"] in states and one["try_number"] == tries for one in found) else None
            )

        return self._airflow.wait_for(f"{task_id} {states} in try {tries}: {self.states()}", there)

    def schedules(self):
        """The states of the schedules of this run, the oldest first."""
        known = fetch(f"{self._braze.url}/__emulator__/schedules?limit=1000")["schedules"]
        mine = [one for one in known if one["body"].get("trigger_properties", {}).get("run") == self.run_id]
        return [one["state"] for one in mine][::-1]

    def wait_for_schedules(self, *states):
        try:
            self._airflow.wait_for(f"schedules {states}", lambda: self.schedules() == list(states))
        except AssertionError as error:
            raise AssertionError(f"{trigger_log(self._airflow, self)}\n{error}") from None

    def mark(self, state, task_id="launch", map_index=None):
        part = "" if map_index is None else f"/{map_index}"
        path = f"dags/{self._dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}{part}"
        fetch(f"{self._airflow._url}/api/v2/{path}", {"new_state": state}, self._airflow._headers, "PATCH")

    def wait_for_end(self):
        """A clear at the moment at which the scheduler ends the run would be lost."""
        path = f"dags/{self._dag_id}/dagRuns/{self.run_id}"
        self._airflow.wait_for("the run's end", lambda: self._airflow.get(path)["state"] in ("success", "failed"))

    def clear(self, task_id="launch", downstream=True):
        self._airflow.post(
            f"dags/{self._dag_id}/clearTaskInstances",
            dry_run=False,
            dag_run_id=self.run_id,
            task_ids=[task_id],
            only_failed=False,
            include_downstream=downstream,
        )


@pytest.fixture
def start(airflow, braze):
    return lambda dag_id: Run(airflow, braze, dag_id)


def waits(airflow, run, *, tries=1):
    """Wait until the trigger runs: who is quicker ends a wait that has not begun."""
    run.wait_for("launch", "deferred", tries=tries)
    airflow.wait_for("the trigger", lambda: started(airflow, run) >= tries * len(run.tasks()))
    return run


@pytest.fixture
def held(start, airflow):
    """A run whose task waits until all is sent."""
    run = waits(airflow, start("held"))
    assert run.schedules() == ["waiting"] * 3
    return run


def test_marked_failed_it_is_called_off(held):
    held.mark("failed")
    held.wait_for_schedules(*["deleted"] * 3)
    held.wait_for("launch", "failed")


def test_marked_a_success_it_stays(held, airflow):
    held.mark("success")
    held.wait_for("launch", "success")
    airflow.wait_for("the trigger's end", lambda: "schedules stay as they are" in trigger_log(airflow, held))
    assert held.schedules() == ["waiting"] * 3


def trigger_log(airflow, run):
    """All that was logged for the run, by workers and triggerer, and by the triggerer itself."""
    found = [path.read_text(errors="replace") for path in airflow.logs.glob(f"**/run_id={run.run_id}/**/*.log*")]
    return "\n".join(found) + airflow.processes["triggerer"].text()


def test_cleared_it_is_called_off_and_made_anew(held, airflow):
    held.clear()
    waits(airflow, held, tries=2)
    assert held.schedules() == ["deleted"] * 3 + ["waiting"] * 3
    held.mark("failed")
    held.wait_for_schedules(*["deleted"] * 6)


def test_one_of_mapped_tasks(start, airflow):
    run = waits(airflow, start("mapped"))
    assert run.schedules() == ["waiting"] * 6
    run.mark("failed", map_index=1)
    airflow.wait_for("half of them", lambda: sorted(run.schedules()) == ["deleted"] * 3 + ["waiting"] * 3)
    run.mark("failed", map_index=0)
    run.wait_for_schedules(*["deleted"] * 6)


def test_the_wait_ends_when_all_is_sent(start, airflow):
    run = start("soon")
    run.wait_for("launch", "deferred")
    [instance] = run.wait_for("launch", "success")
    report = airflow.result(instance)
    assert (report["accepted"], len(report["schedule_ids"])) == (120, 3)
    assert run.schedules() == ["fired"] * 3


def test_a_pause_for_the_quota_is_called_off_too(start, airflow, braze):
    braze.inject("rate_limited", path="/campaigns/trigger/schedule/create", skip=2, retry_after=900.0)
    run = waits(airflow, start("paused"))
    assert run.schedules() == ["waiting"] * 2
    braze.clear_faults()
    run.mark("failed")
    run.wait_for_schedules(*["deleted"] * 2)


def test_a_key_that_may_not_delete_is_told_with_the_ids(held, airflow, braze):
    braze.inject("echo_key_401", path="/campaigns/trigger/schedule/delete", times=None)
    try:
        held.mark("failed")
        airflow.wait_for("the error", lambda: "could NOT be deleted" in trigger_log(airflow, held))
    finally:
        braze.clear_faults()
    log = trigger_log(airflow, held)
    mine = [one for one in braze.schedules() if one["body"]["trigger_properties"]["run"] == held.run_id]
    assert [
        one["schedule_id"] for one in mine if one["schedule_id"] not in log.partition("could NOT be deleted")[2]
    ] == []
    assert braze.api_key not in log
    assert held.schedules() == ["waiting"] * 3


def test_a_guard_that_is_cleared_has_all_scheduled_anew(start):
    run = start("guarded")
    run.wait_for("launch.call_off", "success")
    assert (run.states()["look"], run.schedules()) == ("failed", ["deleted"] * 3)
    run.wait_for_end()
    run.clear("launch.look")
    run.wait_for("launch.call_off", "success", tries=2)
    assert run.schedules() == ["deleted"] * 3 + ["waiting"] * 3
    # Beside it is the task that lets go on.
    run.wait_for_end()
    assert set(run.states().values()) == {"success"}


def test_who_clears_the_teardown_has_looked_into_braze(start, airflow):
    run = start("refused")
    run.wait_for("launch.call_off", "failed")
    assert run.schedules() == ["deleted"] * 3
    run.wait_for_end()
    run.clear("launch.call_off", downstream=False)
    run.wait_for("launch.call_off", "success", tries=2)
    assert "1 of 3 schedules could NOT be deleted" in trigger_log(airflow, run)


def started(airflow, run):
    """How often triggers of a run were started."""
    logs = [one.read_text() for one in airflow.logs.glob(f"**/run_id={run.run_id}/**/*.trigger.*")]
    return sum(log.count(" starting") for log in logs)


def ended(process):
    try:
        process.check()
    except RuntimeError:
        return True
    return False


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_a_triggerer_that_ends_leaves_all_as_it_is(held, airflow, how):
    """Last, since the others need the triggerer."""
    before = started(airflow, held)
    triggerer = airflow.processes.pop("triggerer")
    if how == "stopped":
        os.kill(triggerer.pid, signal.SIGTERM)
        wait_for("its end", lambda: ended(triggerer), 300)
    triggerer.kill()
    airflow.begin("triggerer", "triggerer")
    airflow.wait_for("another triggerer", lambda: started(airflow, held) > before)
    assert held.schedules() == ["waiting"] * 3
    assert held.states() == {"launch": "deferred"}
    held.mark("failed")
    held.wait_for_schedules(*["deleted"] * 3)
