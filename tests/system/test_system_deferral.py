"""A quota that is used up for longer than a worker should wait: the task defers, goes on, and everybody gets one."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace

import airflow
import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import DAG, timezone
from airflow.triggers.base import TriggerEvent

from airflow_provider_braze.delivery.sql_ledger import SqlLedger
from airflow_provider_braze.operators.schedule import BrazeScheduleCampaignOperator

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
PEOPLE = [f"p{number}" for number in range(300)]
HAS_STORE = tuple(map(int, airflow.__version__.split(".")[:2])) >= (3, 3)
SEND = "/campaigns/trigger/send"
AT_ONCE = {"max_quota_wait": timedelta(0), "retries": 0}
# So long that nothing of it is over by itself, however slow the machine.
PAUSE = 600.0


@pytest.fixture
def remembered(monkeypatch, tmp_path):
    """What an author writes to have a delivery remembered: nothing on 3.3, a ledger of their own before."""
    path = str(tmp_path / "ledger.db")
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": path}))
    return {} if HAS_STORE else {"ledger": SqlLedger("ledger")}


@pytest.fixture
def over_at_once(monkeypatch):
    """A pause is over as soon as a trigger waits for its end, which lies as far ahead as Braze said."""

    async def run(self):
        left = (self.moment - timezone.utcnow()).total_seconds()
        assert PAUSE / 2 < left < PAUSE + 5
        yield TriggerEvent(self.moment)

    monkeypatch.setattr(DateTimeTrigger, "run", run)


@pytest.fixture
def trial(run_dag, sending, braze_emulator, connection, said):
    """Run the sending DAG; gives its state, how often it deferred, deliveries per person, and the log."""
    connection(extra={"lanes": 2})

    def run(dag_id, **parameters):
        made = run_dag(sending(dag_id, recipients=PEOPLE, **parameters))
        [instance] = made.get_task_instances()
        log = said()
        return str(instance.state), log.count("frees its worker until then"), braze_emulator.deliveries(), log

    return run


def limited(emulator, *skips, seconds=PAUSE, style="retry_after"):
    for skip in skips:
        emulator.inject("rate_limited", path=SEND, retry_after=seconds, header_style=style, skip=skip)


@pytest.mark.usefixtures("over_at_once")
@pytest.mark.parametrize("style", ["epoch", "seconds", "retry_after"])
def test_a_429_defers_and_goes_on(trial, braze_emulator, remembered, style):
    limited(braze_emulator, 2, style=style)
    state, deferrals, deliveries, log = trial(f"defers_{style}", **AT_ONCE, **remembered)
    assert state == "success", log
    assert deferrals >= 1
    assert "frees its worker until then" in log
    assert deliveries == {f"external_user_id:{name}": 1 for name in PEOPLE}


@pytest.mark.usefixtures("over_at_once")
def test_the_first_request_may_defer(trial, braze_emulator, remembered):
    limited(braze_emulator, 0)
    state, deferrals, deliveries, log = trial("defers_first", **AT_ONCE, **remembered)
    assert (state, deferrals) == ("success", 1), log
    assert set(deliveries.values()) == {1}
    assert len(deliveries) == 300


@pytest.mark.usefixtures("over_at_once")
def test_several_deferrals_of_one_task(trial, braze_emulator, remembered):
    limited(braze_emulator, 1, 1, 1)
    state, deferrals, deliveries, log = trial("defers_often", **AT_ONCE, **remembered)
    assert state == "success", log
    assert deferrals >= 2
    assert set(deliveries.values()) == {1}
    assert len(deliveries) == 300


def test_a_short_wait_does_not_defer(trial, braze_emulator, remembered):
    limited(braze_emulator, 2, seconds=1.0)
    state, deferrals, deliveries, log = trial("waits", retries=0, max_quota_wait=timedelta(seconds=30), **remembered)
    assert (state, deferrals, len(deliveries)) == ("success", 0, 300), log


@pytest.mark.usefixtures("over_at_once")
def test_without_a_ledger_the_worker_waits(trial, braze_emulator):
    """Before 3.3 nothing would remember who got it; from 3.3 on there is always a ledger."""
    limited(braze_emulator, 2, seconds=PAUSE if HAS_STORE else 2.0)
    state, deferrals, deliveries, log = trial("no_ledger", **AT_ONCE)
    assert state == "success", log
    assert (deferrals > 0) == HAS_STORE
    assert set(deliveries.values()) == {1}
    assert len(deliveries) == 300


def test_the_settling_time_of_reconcile_defers(trial, braze_emulator, remembered):
    # The last of the requests: what is sent after it would use up its time.
    braze_emulator.inject("drop_after_acceptance", path=SEND, skip=5)
    wishes = {"on_unknown": "reconcile", "settling_time": timedelta(seconds=5)}
    state, deferrals, deliveries, log = trial("settles", **AT_ONCE, **wishes, **remembered)
    assert (state, deferrals) == ("success", 1), log
    assert set(deliveries.values()) == {1}
    assert len(deliveries) == 300


@pytest.mark.usefixtures("early_in_the_hour")
def test_a_tiny_hour_defers_until_the_next(braze_emulator, sending, remembered, connection):
    """The hour is the emulator's: the trigger is for its end, and the clock is moved there instead of waiting."""

    class Store(dict):
        def set(self, key, value, *, retention=None):
            self[key] = json.loads(json.dumps(value))

        def __bool__(self):
            return True

    connection(extra={"lanes": 2})
    braze_emulator.reset({"rate_limits": {"default_hourly": 4}})
    task = SimpleNamespace(try_number=1, max_tries=0, dag_id="d", run_id="r", task_id="send", map_index=-1)
    context = {"ti": task} | ({"task_state_store": Store()} if HAS_STORE else {})
    report, hours = None, 0
    while report is None and hours < 10:
        operator = sending(f"tiny_{hours}", recipients=PEOPLE, **AT_ONCE, **remembered).task_dict["send"]
        try:
            report = (operator.resume if hours else operator.execute)(context)
        except TaskDeferred as deferred:
            assert deferred.method_name == "resume"
            left = (deferred.trigger.moment - timezone.utcnow()).total_seconds()
            assert 0 < left <= 3600 * (hours + 1) + 5
            braze_emulator.clock.advance(3600)
            hours += 1
    assert report is not None
    assert (report["accepted"], report["unknown"], report["skipped"]) == (300, 0, 0)
    assert braze_emulator.deliveries() == {f"external_user_id:{name}": 1 for name in PEOPLE}
    # Of so small a pool one request goes at a time, and what is left is spread over the hour.
    assert 2 <= hours <= 6


def test_a_deferred_schedule_leaves_the_ids_of_all_its_parts(run_dag, braze_emulator, connection, remembered):
    connection(extra={"lanes": 1})
    braze_emulator.inject("rate_limited", retry_after=2.0, header_style="retry_after", skip=2)
    with DAG("defers_schedules", schedule=None, start_date=timezone.datetime(2026, 1, 1)) as dag:
        BrazeScheduleCampaignOperator(
            task_id="send",
            campaign_id=WEEKLY,
            schedule="2099-01-01T00:00:00Z",
            recipients=PEOPLE,
            **AT_ONCE,
            **remembered,
        )
    run = run_dag(dag)
    assert str(run.state) == "success"
    [instance] = run.get_task_instances()
    made = [one["schedule_id"] for one in braze_emulator.schedules()]
    assert len(made) == 6
    assert sorted(instance.xcom_pull(task_ids="send", key="schedule_ids")) == sorted(made)
