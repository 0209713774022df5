"""Waits in whole DAG runs: the example that sends, waits and verifies, from its good end to its bad ones."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk import DAG, timezone

from airflow_provider_braze.hooks.braze import BrazeHook
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator
from airflow_provider_braze.sensors.metrics import BrazeSendMetricSensor

CAMPAIGN = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"


@pytest.fixture
def example(repo, airflow_db, customers):
    """The example DAG with waits of this test's length."""
    assert airflow_db.exists()
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        from airflow.models.dagbag import DagBag
    dag = DagBag(repo / "dags_examples").dags["braze_send_wait_verify"]
    for name in ("nothing_else", "delivered", "spot_check"):
        dag.task_dict[name].poke_interval = 0.2
        dag.task_dict[name].timeout = 300.0
    return dag


def states(run):
    return {instance.task_id: str(instance.state) for instance in run.get_task_instances()}


def test_it_sends_waits_and_verifies(example, run_dag, braze_emulator):
    run = run_dag(example)
    assert states(run) == dict.fromkeys(states(run), "success")
    pull = run.get_task_instance("spot_check").xcom_pull
    assert pull(task_ids="delivered")["figures"] == {"delivered": 988, "bounces": 0}
    assert pull(task_ids="spot_check") == {"asked": 50, "received": 50, "missing": 0, "unknown": 0}
    assert set(braze_emulator.deliveries().values()) == {1}


def test_a_broadcast_of_the_dashboard_holds_it_back(example, run_dag, braze_emulator):
    soon = datetime.now(UTC) + timedelta(hours=1)
    braze_emulator.add_campaign("other", name="Marketing's", next_send_time=soon)
    over = threading.Event()

    def asked():
        return braze_emulator.request_counts().get("GET /messages/scheduled_broadcasts", 0)

    def move_once_it_waits():
        while asked() <= 3 and not over.wait(0.05):
            pass
        braze_emulator.change_program(campaign_id="other", next_send_time=soon + timedelta(days=9))

    marketing = threading.Thread(target=move_once_it_waits)
    marketing.start()
    try:
        run = run_dag(example)
    finally:
        over.set()
        marketing.join()
    assert states(run) == dict.fromkeys(states(run), "success")
    assert asked() > 3


def test_bounces_fail_it_early(example, run_dag, braze_emulator):
    example.task_dict["send_id"].send_id = "this-week"
    BrazeHook().call("sends_id_create", {"campaign_id": CAMPAIGN, "send_id": "this-week"})
    braze_emulator.add_figures(campaign_id=CAMPAIGN, send_id="this-week", channel="email", delivered=-40, bounces=40)
    assert states(run_dag(example)) == {
        "nothing_else": "success",
        "send_id": "success",
        "send": "success",
        "delivered": "failed",
        "spot_check": "upstream_failed",
    }


def test_the_send_id_of_a_task_is_an_output_by_name(run_dag, braze_emulator):
    BrazeHook().call("sends_id_create", {"campaign_id": CAMPAIGN, "send_id": "this-week"})
    with DAG("by_name", schedule=None, start_date=timezone.datetime(2026, 1, 1)) as dag:
        send = BrazeSendCampaignOperator(
            task_id="send", campaign_id=CAMPAIGN, recipients=["u-1", "u-2"], send_id="this-week"
        )
        BrazeSendMetricSensor(
            task_id="wait",
            campaign_id=CAMPAIGN,
            send_id=send.output["send_id"],
            accepted=send.output,
            at_least_share=1.0,
            poke_interval=0.2,
            timeout=300,
        )
    run = run_dag(dag)
    assert states(run) == {"send": "success", "wait": "success"}
    assert run.get_task_instance("wait").xcom_pull(task_ids="wait")["value"] == 2
