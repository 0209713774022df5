"""Sensors in real DAG runs: what they take from upstream, what they leave behind, and how they end."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk import DAG, Param, task, timezone

from airflow_provider_braze.operators.baseline import BrazeCampaignBaselineOperator, BrazeCanvasBaselineOperator
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator, BrazeSendCanvasOperator
from airflow_provider_braze.sensors.broadcasts import BrazeScheduledBroadcastSensor
from airflow_provider_braze.sensors.metrics import (
    BrazeCampaignMetricSensor,
    BrazeCanvasMetricSensor,
    BrazeSendMetricSensor,
)
from airflow_provider_braze.sensors.recipients import BrazeRecipientsReceivedSensor
from airflow_provider_braze.sensors.status import BrazeCampaignActiveSensor, BrazeCanvasActiveSensor

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
WIN_BACK = "5e8d2f61-0b7c-4c1a-9d3e-6a1f2b3c4d5e"
PAUSED = "b4d6e8f0-1a2c-4e3f-9b8d-7c6a5f4e3d2c"
ARCHIVED = "c5e7f901-2b3d-4f40-8c9e-8d7b604f5e3d"
WAYS = {
    "poke": {"mode": "poke", "deferrable": False},
    "reschedule": {"mode": "reschedule", "deferrable": False},
    "deferrable": {"deferrable": True},
}


@pytest.fixture(params=WAYS)
def how(request):
    return {"poke_interval": 0.1, "timeout": 300, **WAYS[request.param]}


def dag(name, how=None, **options):
    way = next((name for name, given in WAYS.items() if how and given.items() <= how.items()), "")
    start = timezone.datetime(2026, 1, 1)
    return DAG(f"{name}_{way}", schedule=None, start_date=start, render_template_as_native_obj=False, **options)


def instance(run, task_id="wait", map_index=-1):
    [found] = [one for one in run.get_task_instances() if (one.task_id, one.map_index) == (task_id, map_index)]
    return found


def result_of(run, task_id="wait", map_index=-1):
    found = instance(run, task_id, map_index).xcom_pull(task_ids=task_id, map_indexes=map_index)
    assert json.loads(json.dumps(found)) == found
    return found


@pytest.fixture
def later(braze_emulator):
    """Change something once Braze was asked so often at a path."""
    threads = []

    def plan(path, looks, change):
        def watch():
            end = time.monotonic() + 100
            while braze_emulator.request_counts().get(path, 0) < looks and time.monotonic() < end:
                time.sleep(0.01)
            change()

        threads.append(threading.Thread(target=watch, daemon=True))
        threads[-1].start()

    yield plan
    for thread in threads:
        thread.join(100)


def test_baseline_send_and_wait(how, run_dag, braze_emulator, later):
    braze_emulator.add_figures(campaign_id=WEEKLY, sent=1000, delivered=1000, bounces=40)
    with dag("baseline_send_wait", how) as made:
        before = BrazeCampaignBaselineOperator(task_id="before", campaign_id=WEEKLY)
        send = BrazeSendCampaignOperator(task_id="send", campaign_id=WEEKLY, recipients=[f"p-{n}" for n in range(20)])
        wait = BrazeCampaignMetricSensor(
            task_id="wait",
            campaign_id=WEEKLY,
            metric="opens",
            baseline=before.output,
            accepted=send.output,
            at_least_share=0.5,
            at_most_share={"bounces": 0.1},
            **how,
        )
        before >> send >> wait
    later("GET /campaigns/data_series", 3, lambda: braze_emulator.add_figures(campaign_id=WEEKLY, opens=11, bounces=2))
    run = run_dag(made)
    assert str(run.state) == "success"
    assert result_of(run) == {
        "metric": "opens",
        "value": 11,
        "needed": 10,
        "accepted": 20,
        "figures": {"opens": 11, "bounces": 2},
    }


@pytest.mark.parametrize("how", [{"poke_interval": 0.1, **WAYS["deferrable"]}])
def test_a_canvas(how, run_dag, braze_emulator):
    braze_emulator.add_figures(canvas_id=WEEKLY, entries=1000)
    with dag("canvas_wait", how) as made:
        before = BrazeCanvasBaselineOperator(task_id="before", canvas_id=WEEKLY)
        send = BrazeSendCanvasOperator(task_id="send", canvas_id=WEEKLY, recipients=["a", "b"])
        wait = BrazeCanvasMetricSensor(
            task_id="wait", canvas_id=WEEKLY, baseline=before.output, accepted=send.output, at_least_share=1, **how
        )
        before >> send >> wait
    run = run_dag(made)
    assert str(run.state) == "success"
    assert (result_of(run)["value"], result_of(run)["accepted"]) == (2, 2)


def test_templates(how, run_dag, braze_emulator, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_BRAZE_OTHER", braze_emulator.connection_json())
    monkeypatch.delenv("AIRFLOW_CONN_BRAZE_DEFAULT")
    params = {
        "campaign": WEEKLY,
        "metric": "delivered",
        "enough": 2,
        "most": 1,
        "channel": "email",
        "conn": "braze_other",
    }
    with dag("templated_wait", how, params=params) as made:
        send = BrazeSendCampaignOperator(
            task_id="send", campaign_id=WEEKLY, recipients=["a", "b"], braze_conn_id="braze_other"
        )
        send >> BrazeCampaignMetricSensor(
            task_id="wait",
            braze_conn_id="{{ params.conn }}",
            campaign_id="{{ params.campaign }}",
            metric="{{ params.metric }}",
            channel="{{ params.channel }}",
            at_least="{{ params.enough }}",
            at_most={"bounces": "{{ params.most }}"},
            accepted="{{ ti.xcom_pull('send')['accepted'] }}",
            since="{{ (macros.datetime.now() - macros.timedelta(days=1)) | ds }}",
            **how,
        )
    run = run_dag(made)
    assert str(run.state) == "success"
    assert result_of(run) == {
        "metric": "delivered",
        "value": 2,
        "needed": 2,
        "accepted": 2,
        "figures": {"delivered": 2, "bounces": 0},
    }


@pytest.mark.parametrize(
    "given",
    [
        {"metric": "{{ 'openings' }}"}, {"at_least": "{{ 'many' }}"}, {"at_least": "{{ 0 }}"}, {"at_least": "{{ -3 }}"},
        {"since": "{{ 'soon' }}"}, {"channel": "{{ 'pigeon' }}"}, {"at_most": {"bounces": "{{ 'few' }}"}},
        {"at_least": "{{ 'nan' }}"}, {"metric": "{{ 'entries' }}"}, {"campaign_id": "{{ '' }}"},
    ],
    ids=lambda given: "-".join(map(str, given)),
)  # fmt: skip
def test_templates_that_render_to_nonsense(given, run_dag, braze_emulator):
    """Refused on the first poke; soft_fail does not make it a skip."""
    with dag(f"nonsense_{'_'.join(given)}") as made:
        BrazeCampaignMetricSensor(
            task_id="wait",
            **{"campaign_id": WEEKLY, "at_least": 1, "since": datetime.now(UTC).isoformat(), **given},
            deferrable=False,
            poke_interval=0.1,
            timeout=0.5,
            soft_fail=True,
        )
    run = run_dag(made)
    assert str(instance(run).state) == "failed"
    assert braze_emulator.request_counts().get("GET /campaigns/data_series", 0) == 0


def test_recipients_from_a_task(how, run_dag, stored, braze_emulator, later):
    with dag("recipients_wait", how) as made:

        @task
        def people():
            return ["secret-1", 7, {"external_user_id": "secret-2", "trigger_properties": {"a": 1}}]

        who = people()
        send = BrazeSendCampaignOperator(task_id="send", campaign_id=WEEKLY, recipients=who)
        send >> BrazeRecipientsReceivedSensor(task_id="wait", campaign_id=WEEKLY, recipients=who, **how)
    braze_emulator.inject("late_receipts", seconds=3600, times=2)
    run = run_dag(made)
    assert str(run.state) == "success"
    assert result_of(run) == {"asked": 3, "received": 3, "missing": 0, "unknown": 0}
    assert braze_emulator.request_counts()["POST /users/export/ids"] == 3
    assert "secret" not in str(stored(run))


@pytest.fixture
def stored(rendered_fields):
    """What Airflow keeps of the sensor: rendered fields and XCom."""

    def read(run):
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        fields = [one for (task_id, _), one in rendered_fields(run).items() if task_id == "wait"]
        assert all(fields)
        with create_session() as session:
            values = session.query(XComModel).filter_by(dag_id=run.dag_id, run_id=run.run_id, task_id="wait")
            return fields, [str(row.value) for row in values]

    return read


@pytest.mark.parametrize("how", [{"poke_interval": 0.1, **WAYS["poke"]}])
def test_mapped_over_campaigns(how, run_dag, braze_emulator):
    braze_emulator.change_program(campaign_id=PAUSED, state="active")
    with dag("mapped_states", how) as made:
        BrazeCampaignActiveSensor.partial(task_id="wait", **how).expand(campaign_id=[WEEKLY, PAUSED])
    run = run_dag(made)
    assert str(run.state) == "success"
    assert [result_of(run, map_index=n)["name"] for n in range(2)] == ["Your weekly offer", "Spring newsletter"]


@pytest.mark.parametrize("how", [{"poke_interval": 0.1, **WAYS["deferrable"]}])
def test_mapped_over_what_was_sent(how, run_dag, braze_emulator):
    """One send and one wait per group, each with the report of its own."""
    with dag("mapped_sends", how) as made:
        groups = [["a-1", "a-2"], ["b-1"]]
        sends = BrazeSendCampaignOperator.partial(task_id="send", campaign_id=WEEKLY).expand(recipients=groups)
        BrazeCampaignMetricSensor.partial(
            task_id="wait", campaign_id=WEEKLY, at_least_share=1, since=datetime.now(UTC).date().isoformat(), **how
        ).expand(accepted=sends.output)
    run = run_dag(made)
    assert str(run.state) == "success"
    assert [result_of(run, map_index=n)["accepted"] for n in range(2)] == [2, 1]


@pytest.mark.parametrize("how", [{"poke_interval": 0.1, **WAYS["deferrable"]}])
def test_mapped_recipients(how, run_dag, stored, braze_emulator):
    with dag("mapped_recipients", how) as made:

        @task
        def groups():
            return [["secret-1", "secret-2"], ["secret-3"]]

        found = groups()
        sends = BrazeSendCampaignOperator.partial(task_id="send", campaign_id=WEEKLY).expand(recipients=found)
        wait = BrazeRecipientsReceivedSensor.partial(task_id="wait", campaign_id=WEEKLY, **how).expand(recipients=found)
        sends >> wait
    run = run_dag(made)
    assert str(run.state) == "success"
    assert [result_of(run, map_index=n)["received"] for n in range(2)] == [2, 1]
    assert "secret" not in str(stored(run))


@pytest.mark.parametrize("soft_fail", [False, True])
def test_what_follows_a_wait_that_failed(how, soft_fail, run_dag, braze_emulator):
    """No retry brings an archived campaign back."""
    with dag(f"failed_wait_{soft_fail}", how) as made:
        BrazeCampaignActiveSensor(
            task_id="wait", campaign_id=ARCHIVED, soft_fail=soft_fail, retries=2, retry_delay=timedelta(0), **how
        )
    run = run_dag(made)
    assert str(instance(run).state) == ("skipped" if soft_fail else "failed")
    assert instance(run).try_number == 1
    assert braze_emulator.request_counts() == {"GET /campaigns/details": 1}


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_a_timeout_in_a_dag_run(mode, run_dag, braze_emulator):
    """dag.test() runs a trigger to its end, however long: see test_sensor_waits for the timeout of a deferred one."""
    how = {"poke_interval": 0.1, "timeout": 0.3, **WAYS[mode]}
    with dag(f"timed_out_wait_{mode}") as made:
        BrazeCampaignActiveSensor(task_id="wait", campaign_id=PAUSED, soft_fail=True, **how)
    run = run_dag(made)
    assert str(instance(run).state) == "skipped"


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_bad_metric_stops_the_dag(deferrable, run_dag, braze_emulator, later):
    with dag(f"bad_metric_{deferrable}") as made:
        before = BrazeCampaignBaselineOperator(task_id="before", campaign_id=WEEKLY)
        send = BrazeSendCampaignOperator(task_id="send", campaign_id=WEEKLY, recipients=[f"p-{n}" for n in range(100)])
        wait = BrazeCampaignMetricSensor(
            task_id="wait",
            campaign_id=WEEKLY,
            metric="delivered",
            baseline=before.output,
            accepted=send.output,
            at_least_share=0.95,
            at_most_share={"bounces": 0.02},
            deferrable=deferrable,
            poke_interval=0.1,
            timeout=300,
        )
        before >> send >> wait
    braze_emulator.add_figures(campaign_id=WEEKLY, delivered=-100)
    later(
        "GET /campaigns/data_series",
        3,
        lambda: braze_emulator.add_figures(campaign_id=WEEKLY, delivered=197, bounces=3),
    )
    run = run_dag(made)
    assert (str(run.state), str(instance(run).state)) == ("failed", "failed")


def test_the_other_sensors(how, run_dag, braze_emulator):
    braze_emulator.change_program(campaign_id=WIN_BACK, next_send_time=datetime.now(UTC) + timedelta(hours=2))
    braze_emulator._state.send_ids.create("week-1", WEEKLY, braze_emulator.clock.now())
    params = {"until": Param("+3 hours"), "send_id": "week-1"}
    with dag("other_waits", how, params=params) as made:
        quiet = BrazeScheduledBroadcastSensor(
            task_id="quiet",
            expect="nothing",
            since="{{ macros.datetime.now() + macros.timedelta(hours=30) }}",
            before="{{ macros.datetime.now() + macros.timedelta(hours=31) }}",
            **how,
        )
        scheduled = BrazeScheduledBroadcastSensor(
            task_id="scheduled",
            expect="scheduled",
            campaign_id=WIN_BACK,
            before="{{ (macros.datetime.now() + macros.timedelta(hours=30)).isoformat() }}",
            **how,
        )
        canvas = BrazeCanvasActiveSensor(task_id="canvas", canvas_id="{{ '" + WEEKLY + "' }}", **how)
        send = BrazeSendCampaignOperator(
            task_id="send", campaign_id=WEEKLY, recipients=["a", "b", "c"], send_id="{{ params.send_id }}"
        )
        wait = BrazeSendMetricSensor(
            task_id="wait",
            campaign_id=WEEKLY,
            send_id="{{ ti.xcom_pull('send')['send_id'] }}",
            accepted=send.output,
            sent_at="{{ macros.datetime.now() }}",
            at_least_share=1.0,
            **how,
        )
        [quiet, scheduled, canvas] >> send >> wait
    run = run_dag(made)
    assert {one.task_id: str(one.state) for one in run.get_task_instances()} == dict.fromkeys(
        ["quiet", "scheduled", "canvas", "send", "wait"], "success"
    )
    assert result_of(run, "quiet") == {"broadcasts": []}
    assert [row["id"] for row in result_of(run, "scheduled")["broadcasts"]] == [WIN_BACK]
    assert result_of(run)["value"] == 3
