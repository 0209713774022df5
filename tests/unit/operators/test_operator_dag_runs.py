"""The operator in real DAG runs: XCom in, XCom out, mapping."""

from __future__ import annotations

import pytest
from airflow.sdk import DAG, task, timezone

from airflow_provider_braze.api.errors import identity_hash
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator, BrazeSendTransactionalEmailOperator

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
RECEIPT = "7a1f0c3e-2b4d-4e6f-8a90-1b2c3d4e5f60"


def dag(name, **options):
    return DAG(name, schedule=None, start_date=timezone.datetime(2026, 1, 1), **options)


def report_of(run, task_id="send", map_index=-1):
    [instance] = [one for one in run.get_task_instances() if (one.task_id, one.map_index) == (task_id, map_index)]
    return instance.xcom_pull(task_ids=task_id, map_indexes=map_index)


def test_an_upstream_task_names_the_people(run_dag, braze_emulator):
    with dag("from_upstream") as made:

        @task
        def people():
            return ["u-1", 7, {"external_user_id": "u-2", "trigger_properties": {"offer": "Cake"}}]

        BrazeSendCampaignOperator(
            task_id="send",
            campaign_id=WEEKLY,
            recipients=people(),
            trigger_properties={"run": "{{ run_id }}", "task": "{{ ti.task_id }}"},
        )
    run = run_dag(made)
    assert str(run.state) == "success"
    assert braze_emulator.deliveries() == {f"external_user_id:{name}": 1 for name in ("u-1", "7", "u-2")}
    assert braze_emulator.requests()[0]["body"]["trigger_properties"] == {"run": run.run_id, "task": "send"}
    report = report_of(run)
    assert type(report) is dict
    assert (report["recipients"], report["accepted"], len(report["dispatch_ids"])) == (3, 3, 1)


def test_the_output_of_an_operator(run_dag, braze_emulator):
    from airflow.providers.standard.operators.python import PythonOperator

    with dag("from_output") as made:
        people = PythonOperator(task_id="people", python_callable=lambda: ["u-1", "u-2"])
        BrazeSendCampaignOperator(task_id="send", campaign_id=WEEKLY, recipients=people.output)
    assert str(run_dag(made).state) == "success"
    assert braze_emulator.summary()["recipients"] == braze_emulator.summary()["total"] == 2


def test_one_task_per_group(run_dag, braze_emulator):
    with dag("mapped") as made:
        BrazeSendCampaignOperator.partial(task_id="send", campaign_id=WEEKLY).expand(
            recipients=[["a-1", "a-2"], ["b-1"], [{"external_user_id": "c-1"}]]
        )
    run = run_dag(made)
    assert str(run.state) == "success"
    assert [report_of(run, map_index=index)["accepted"] for index in range(3)] == [2, 1, 1]
    assert set(braze_emulator.deliveries().values()) == {1}
    assert len(braze_emulator.deliveries()) == 4


def test_mapping_over_what_an_upstream_task_returns(run_dag, braze_emulator):
    with dag("mapped_upstream") as made:

        @task
        def groups():
            return [["a-1", "a-2"], ["b-1"]]

        BrazeSendCampaignOperator.partial(task_id="send", campaign_id=WEEKLY).expand(recipients=groups())
    assert str(run_dag(made).state) == "success"
    assert len(braze_emulator.deliveries()) == 3


def test_rendered_fields_name_nobody(run_dag, rendered_fields, braze_emulator):
    with dag("rendered_private") as made:

        @task
        def people():
            return ["secret-1", {"email": "secret@example.com", "prioritization": ["identified"]}]

        BrazeSendCampaignOperator(
            task_id="send", campaign_id=WEEKLY, recipients=people(), send_id="week-{{ ds_nodash }}"
        )
    run = run_dag(made)
    assert len(braze_emulator.deliveries()) == 2
    stored = rendered_fields(run)["send", -1]
    assert stored["campaign_id"] == WEEKLY
    assert stored["send_id"].startswith("week-2")
    assert "secret" not in str(stored)


def test_rendered_fields_of_mapped_tasks_name_nobody(run_dag, rendered_fields, braze_emulator):
    with dag("rendered_private_mapped") as made:

        @task
        def groups():
            return [["secret-1", "secret-2"], ["secret-3"]]

        BrazeSendCampaignOperator.partial(task_id="send", campaign_id=WEEKLY).expand(recipients=groups())
    run = run_dag(made)
    assert len(braze_emulator.deliveries()) == 3
    stored = rendered_fields(run)
    assert stored["send", 0]["campaign_id"] == WEEKLY
    assert "secret" not in str(stored["send", 0]) + str(stored["send", 1])


def test_rendered_fields_of_an_email_name_nobody(run_dag, rendered_fields, braze_emulator):
    address = "secret@example.com"
    with dag("rendered_private_email", params={"user": "secret-1", "address": address}) as made:
        recipient = {"external_user_id": "{{ params.user }}", "attributes": {"email": "{{ params.address }}"}}
        BrazeSendTransactionalEmailOperator(task_id="send", campaign_id=RECEIPT, recipient=recipient)
        BrazeSendTransactionalEmailOperator.partial(task_id="mapped", campaign_id=RECEIPT).expand(
            recipient=[{"external_user_id": "secret-2"}, {"user_alias": {"alias_name": "secret", "alias_label": "a"}}]
        )
    run = run_dag(made)
    assert str(run.state) == "success"
    assert len(braze_emulator.deliveries()) == 3
    [first] = [body for one in braze_emulator.requests() if "attributes" in (body := one["body"])["recipient"]]
    assert first["recipient"] == {"external_user_id": "secret-1", "attributes": {"email": address}}
    stored = rendered_fields(run)
    assert stored["send", -1]["recipient"] == f"<recipient {identity_hash('secret-1')}>"
    assert stored["mapped", 1]["recipient"] == f"<recipient {identity_hash('secret')}>"
    assert "secret" not in str(stored)


@pytest.mark.parametrize("broadcast", [None, True])
def test_an_upstream_task_that_returns_nothing(run_dag, braze_emulator, broadcast):
    """The author gave recipients: that there are none at run time must not make it a message to everybody."""
    with dag(f"from_nothing_{broadcast}") as made:

        @task
        def people():
            return None

        BrazeSendCampaignOperator(task_id="send", campaign_id=WEEKLY, recipients=people(), broadcast=broadcast)
    run = run_dag(made)
    assert braze_emulator.requests() == []
    assert str(run.state) == "failed"
