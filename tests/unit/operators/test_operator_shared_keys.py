"""Runs that share a delivery_key: what one of them met with is no other's failure, and a doubt keeps its numbers."""

from __future__ import annotations

import json
import logging
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from types import SimpleNamespace

import airflow.sdk
import pytest
from airflow.providers.common.compat.sdk import AirflowException
from task_states import NEVER_EXPIRE, TaskState

from airflow_provider_braze.delivery.errors import BrazeDeliveryError
from airflow_provider_braze.delivery.sql_ledger import SqlLedger

MANY = [f"p{number}" for number in range(60)]


@pytest.fixture
def database(monkeypatch, tmp_path):
    path = tmp_path / "ledger.db"
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return path


def context(run_id, try_number=1, max_tries=1):
    now = datetime.now(UTC)
    task = SimpleNamespace(try_number=try_number, max_tries=max_tries, dag_id="d", run_id=run_id, task_id="send")
    return {
        "ti": task,
        "dag_run": SimpleNamespace(run_id=run_id, run_type="scheduled", run_after=now, clear_number=0),
    }


@pytest.fixture
def hourly(task, database):
    """Run an hourly task that shares a key; gives its report, or its error."""

    def run(run_id, people, **when):
        operator = task(recipients=people, ledger=SqlLedger("ledger"), delivery_key="first points")
        try:
            return operator.execute(context(run_id, **when))
        except AirflowException as error:
            return error

    return run


def test_whom_one_run_had_refused_fails_that_run_and_no_later_one(hourly, braze_emulator, caplog):
    braze_emulator.inject("errors_in_201", indexes=[3], style="objects")
    first = hourly("r1", MANY)
    assert isinstance(first, BrazeDeliveryError)
    assert (first.report["failed"], first.report["failed_elsewhere"]) == (1, 0)
    people = list(MANY)
    for number in (2, 3):
        people.append(f"new-{number}")
        report = hourly(f"r{number}", people)
        assert (report["accepted"], report["requests"]) == (len(people) - 1, 1)
        assert (report["failed"], report["failed_elsewhere"]) == (1, 1), "they are told of, and fail nothing"
        assert report["recipients"] == report["accepted"] + report["failed"]
    with caplog.at_level(logging.WARNING):
        assert hourly("r4", people)["requests"] == 0
    assert "Nothing was sent to 1 whom Braze refused in another task or run." in caplog.text
    cleared = hourly("r1", people, try_number=2, max_tries=2)
    assert isinstance(cleared, BrazeDeliveryError)
    assert "1 refused by Braze" in str(cleared)
    assert "Nothing is left to send" in str(cleared)


def test_people_whose_request_was_deleted_end_a_task_and_do_not_hold_it(hourly, database, braze_emulator):
    hourly("r1", MANY)
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("DELETE FROM braze_ledger_requests")
    error = hourly("r2", [*MANY, "new"])
    assert isinstance(error, BrazeDeliveryError)
    assert "somebody deleted rows of braze_ledger_requests only" in str(error)
    assert set(braze_emulator.deliveries().values()) == {1}


@pytest.fixture(params=["SQL", "task state"])
def kept(request, database, monkeypatch):
    """A ledger, and what Airflow's context has for it."""
    monkeypatch.setattr(airflow.sdk, "NEVER_EXPIRE", NEVER_EXPIRE, raising=False)
    return (SqlLedger("ledger"), {}) if request.param == "SQL" else (None, {"task_state_store": TaskState()})


def test_a_task_that_stops_at_an_earlier_doubt_has_the_same_numbers(task, kept, braze_emulator, connection):
    ledger, state = kept
    connection(extra={"lanes": 1})
    braze_emulator.inject("errors_in_201", indexes=[0, 1, 2], style="objects")
    braze_emulator.inject("drop_after_acceptance", skip=2)
    reports = []
    for try_number in (1, 2):
        operator = task(recipients=[f"p{number}" for number in range(250)], ledger=ledger)
        with pytest.raises(BrazeDeliveryError) as caught:
            operator.execute(context("r", try_number) | state)
        reports.append({name: caught.value.report[name] for name in ("accepted", "failed", "unknown", "skipped")})
    assert reports == [{"accepted": 147, "failed": 3, "unknown": 50, "skipped": 50}] * 2
