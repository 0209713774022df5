"""An audience divided over mapped tasks, from the file that an author writes to what Airflow stores of it."""

from __future__ import annotations

import json

import pytest
from airflow.sdk import DAG, timezone

from airflow_provider_braze.delivery.audience import SqlAudience
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
PARTS = 5
PEOPLE = 400
SECRET = "kim.secret@example.com"
QUERY = "SELECT id AS external_user_id, city FROM people WHERE city = '{{ dag_run.conf['city'] }}' AND note <> ?"


@pytest.fixture
def people(warehouse):
    """People in two cities, a few of them in several rows, as text or as a number."""
    warehouse(
        "CREATE TABLE people (id, city TEXT, note TEXT)",
        *(("INSERT INTO people VALUES (?, 'Rome', '')", [number]) for number in range(PEOPLE)),
        *(("INSERT INTO people VALUES (?, 'Oslo', '')", [f"oslo-{number}"]) for number in range(PEOPLE)),
        *(("INSERT INTO people VALUES (?, 'Rome', '')", [str(number)]) for number in range(0, PEOPLE, 10)),
        ("INSERT INTO people VALUES ('unwanted', 'Rome', ?)", [SECRET]),
        "INSERT INTO people VALUES (NULL, 'Rome', '')",
    )


def mapped(dag_id):
    with DAG(dag_id, schedule=None, start_date=timezone.datetime(2026, 1, 1), params={"city": "Rome"}) as dag:
        BrazeSendCampaignOperator.partial(task_id="send", campaign_id=WEEKLY, max_invalid=1).expand(
            recipients=SqlAudience("warehouse", QUERY, [SECRET]).partitions(PARTS)
        )
    return dag


def reports(run):
    tasks = sorted(run.get_task_instances(), key=lambda one: one.map_index)
    return [one.xcom_pull(task_ids="send", map_indexes=one.map_index) for one in tasks]


@pytest.mark.usefixtures("people")
def test_everybody_gets_one_message_from_one_of_the_tasks(run_dag, braze_emulator):
    run = run_dag(mapped("parts"), run_conf={"city": "Rome"})
    assert str(run.state) == "success"
    assert braze_emulator.deliveries() == {f"external_user_id:{number}": 1 for number in range(PEOPLE)}
    found = reports(run)
    assert len(found) == PARTS
    assert sum(report["accepted"] for report in found) == PEOPLE
    assert sum(report["duplicates"] for report in found) == PEOPLE // 10
    assert [report["invalid"] for report in found] == [1, 0, 0, 0, 0]
    assert all(report["accepted"] > PEOPLE / PARTS / 2 for report in found)


@pytest.mark.usefixtures("people")
def test_the_same_dag_again_renders_again(run_dag, braze_emulator):
    dag = mapped("parts_again")
    assert str(run_dag(dag, run_conf={"city": "Rome"}).state) == "success"
    assert str(run_dag(dag, run_conf={"city": "Oslo"}).state) == "success"
    assert len(braze_emulator.deliveries()) == 2 * PEOPLE
    assert set(braze_emulator.deliveries().values()) == {1}


def serialized(dag):
    """What Airflow stores of a DAG, as JSON, and what its scheduler makes of that."""
    from airflow.serialization import serialized_objects

    serialization = getattr(serialized_objects, "DagSerialization", serialized_objects.SerializedDAG)
    stored = json.dumps(serialization.to_dict(dag))
    return stored, serialization.from_dict(json.loads(stored))


def test_airflow_stores_the_parts_in_words_and_counts_them():
    stored, dag = serialized(mapped("parts_stored"))
    assert stored == serialized(mapped("parts_stored"))[0], (
        "a DAG that changes at every parsing gets a new version each"
    )
    assert "<part 3 of 5 of SqlAudience(conn_id='warehouse', sql=" in stored
    assert "secret" not in stored
    assert dag.get_task("send").get_parse_time_mapped_ti_count() == PARTS


@pytest.mark.usefixtures("people", "braze_emulator")
def test_rendered_fields_say_which_part_and_name_nobody(run_dag, rendered_fields):
    run = run_dag(mapped("parts_rendered"), run_conf={"city": "Rome"})
    stored = {index: fields for (_, index), fields in rendered_fields(run).items()}
    assert sorted(stored) == list(range(PARTS))
    for index, fields in stored.items():
        assert fields["recipients"].startswith(f"<part {index + 1} of {PARTS} of SqlAudience(conn_id='warehouse', sql=")
        assert "city = 'Rome'" in fields["recipients"]
        assert "secret" not in str(fields)
