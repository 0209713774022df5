"""What the system tests share: the demo's customers as a warehouse, and the sending of the weekly offer."""

from __future__ import annotations

import csv

import pytest
from airflow.sdk import DAG, timezone

from airflow_provider_braze.operators.send import BrazeSendCampaignOperator

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"


@pytest.fixture
def customers(repo, warehouse):
    """The warehouse with the demo's customers; an empty field is a NULL. Gives the rows."""
    with (repo / "demo" / "customers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0])
    kinds = {"customer_id": "INTEGER", "points": "INTEGER", "subscribed": "INTEGER"}
    columns = ", ".join(f"{name} {kinds.get(name, 'TEXT')}" for name in names)
    warehouse(f"CREATE TABLE customers ({columns})")
    places = ", ".join("?" * len(names))
    warehouse(*((f"INSERT INTO customers VALUES ({places})", [row[name] or None for name in names]) for row in rows))
    return rows


@pytest.fixture
def sending():
    """A DAG with one task that sends and that Airflow may try twice."""

    def make(dag_id, **parameters):
        with DAG(dag_id, schedule=None, start_date=timezone.datetime(2026, 1, 1)) as dag:
            BrazeSendCampaignOperator(
                **{"task_id": "send", "campaign_id": WEEKLY, "retries": 1, "retry_delay": 0, **parameters}
            )
        return dag

    return make


@pytest.fixture
def said(capfd, caplog):
    """What the logs have said since it was asked last: Airflow's own, and those of the standard library."""
    caplog.set_level("INFO")

    def read():
        text = "".join(capfd.readouterr()) + caplog.text
        caplog.clear()
        return text

    return read
