"""A try that ends before it comes to those whom earlier tries messaged: they are counted all the same."""

from __future__ import annotations

import json

import pytest
from task_states import TaskState, instance

from airflow_provider_braze.delivery.errors import BrazeDeliveryError, BrazeNobodyMessagedError
from airflow_provider_braze.delivery.sql_ledger import SqlLedger
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
MANY = [f"p{number}" for number in range(500)]


@pytest.fixture(params=["task state", "sql"])
def attempt(request, monkeypatch, tmp_path, connection, braze_emulator):
    """Run a try of a task whose first one messaged half of its people."""
    connection(extra={"lanes": 1})
    monkeypatch.setattr("airflow_provider_braze.delivery.sender.MOST_TRIES", 2)
    monkeypatch.setattr("airflow_provider_braze.delivery.sender.LONGEST_BACKOFF", 0.01)
    path = str(tmp_path / "ledger.db")
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": path}))
    store, more = (TaskState(), {}) if request.param == "task state" else (None, {"ledger": SqlLedger("ledger")})

    def run(try_number, recipients=MANY, *, killed=False):
        task = instance(try_number=try_number)
        operator = BrazeSendCampaignOperator(task_id="t", campaign_id=WEEKLY, recipients=recipients, **more)
        if killed:
            operator.on_kill()
        return operator.execute({"ti": task, **({"task_state_store": store} if store else {})})

    braze_emulator.inject("server_error", status=503, skip=5, times=2)
    with pytest.raises(BrazeDeliveryError) as caught:
        run(1)
    assert (caught.value.report["accepted"], caught.value.report["skipped"]) == (250, 250)
    return run


def test_of_a_try_that_is_stopped_at_its_start(attempt, people):
    with pytest.raises(BrazeDeliveryError) as caught:
        attempt(2, killed=True)
    assert not isinstance(caught.value, BrazeNobodyMessagedError), "a new run would message 250 of them again"
    told = {name: caught.value.report[name] for name in ("accepted", "accepted_before", "skipped")}
    assert told == {"accepted": 250, "accepted_before": 250, "skipped": 250}
    assert attempt(3)["accepted"] == 500
    assert set(people().values()) == {1}


def test_of_a_try_that_begins_with_the_others(attempt, people, braze_emulator, request):
    # The task state knows requests by their place, so that the order must stay.
    others = MANY if "task state" in request.node.name else MANY[::-1]
    braze_emulator.inject("server_error", status=503, times=2)
    with pytest.raises(BrazeDeliveryError) as caught:
        attempt(2, others)
    assert not isinstance(caught.value, BrazeNobodyMessagedError)
    assert (caught.value.report["accepted"], caught.value.report["skipped"]) == (250, 250)
    assert attempt(3, others)["accepted"] == 500
    assert set(people().values()) == {1}
