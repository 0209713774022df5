"""The example DAGs, as Airflow finds them, run against the emulator."""

from __future__ import annotations

import pytest


@pytest.fixture
def examples(repo, airflow_db):
    """The example DAGs as the DAG processor reads them."""
    assert airflow_db.exists()
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:
        from airflow.models.dagbag import DagBag
    return DagBag(repo / "dags_examples")


def test_all_examples_import(repo, examples):
    assert examples.import_errors == {}
    files = {path.name for path in (repo / "dags_examples").glob("*.py")}
    assert files == {dag.fileloc.rpartition("/")[2] for dag in examples.dags.values()}


def test_every_example_explains_itself(examples):
    for dag in examples.dags.values():
        assert dag.doc_md, dag.dag_id
        assert dag.dag_id.startswith("braze_")
        assert not dag.catchup


def expected(rows):
    """Who should get the offer with which values, worked out without the package."""
    order = sorted((row for row in rows if row["subscribed"] == "1"), key=lambda row: row["last_order"], reverse=True)
    people = {}
    for row in order:
        if row["customer_id"]:
            people.setdefault(row["customer_id"], row)
    return order, people


def values(row):
    kinds = {"points": int}
    return {key: kinds.get(key, str)(row[key]) for key in ("first_name", "city", "points") if row[key]}


def test_the_sql_audience_example(examples, run_dag, braze_emulator, customers):
    run = run_dag(examples.dags["braze_sql_audience_to_campaign"])
    assert str(run.state) == "success"
    order, people = expected(customers)
    assert (len(order), len(people)) == (1000, 988)
    assert braze_emulator.deliveries() == {f"external_user_id:{name}": 1 for name in people}

    [instance] = run.get_task_instances()
    report = instance.xcom_pull(task_ids="send_weekly_offer")
    counts = ("recipients", "duplicates", "invalid", "requests", "accepted", "failed", "unknown", "skipped")
    nameless = sum(not row["customer_id"] for row in order)
    assert [report[name] for name in counts] == [1000, 12 - nameless, nameless, 20, 988, 0, 0, 0]
    assert nameless == sum(report["invalid_reasons"].values()) > 0
    assert len(report["dispatch_ids"]) == 20
    assert not {"u-1", *people} & set(str(report).split("'"))

    sent = [one for request in braze_emulator.requests() for one in request["body"]["recipients"]]
    got = {str(one["external_user_id"]): one["trigger_properties"] for one in sent}
    for name, row in people.items():
        # Rows of the same person and day are equally new: either may count.
        newest = [one for one in order if (one["customer_id"], one["last_order"]) == (name, row["last_order"])]
        assert got[name] in [values(one) for one in newest], name
    week = {request["body"]["trigger_properties"]["week"] for request in braze_emulator.requests()}
    assert week == {run.run_after.date().isoformat()}


def test_the_newest_row_of_a_person_counts(examples, run_dag, braze_emulator, warehouse):
    warehouse(
        "CREATE TABLE customers (customer_id, first_name, city, points INTEGER, last_order, subscribed INTEGER)",
        "INSERT INTO customers VALUES (1, 'Kim', 'Oslo', 10, '2026-05-01', 1), (1, 'Kim', 'Rome', 20, '2026-06-01', 1)",
        "INSERT INTO customers VALUES (2, 'Bo', 'Rome', 30, '2026-06-01', 1), (2, 'Bo', 'Milan', 40, '2026-05-01', 1)",
        "INSERT INTO customers VALUES (3, 'Ada', 'Paris', 50, '2026-06-01', 0)",
    )
    assert str(run_dag(examples.dags["braze_sql_audience_to_campaign"]).state) == "success"
    [request] = braze_emulator.requests()
    got = {one["external_user_id"]: one["trigger_properties"]["points"] for one in request["body"]["recipients"]}
    assert got == {1: 20, 2: 30}
