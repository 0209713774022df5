"""Operators over a connection that may message its test recipients only."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_braze.api.errors import BrazeGuardError
from airflow_provider_braze.delivery.errors import BrazeAudienceError
from airflow_provider_braze.delivery.sql_ledger import SqlLedger
from airflow_provider_braze.operators.live_activity import (
    BrazeStartLiveActivityOperator,
    BrazeUpdateLiveActivityOperator,
)
from airflow_provider_braze.operators.schedule import (
    BrazeDeleteScheduledCampaignOperator,
    BrazeScheduleCampaignOperator,
    BrazeUpdateScheduledCampaignOperator,
)
from airflow_provider_braze.operators.send import BrazeSendCampaignOperator

WEEKLY = "0f2c9a54-7f0e-4a55-9a55-2d8a4f6f1b10"
APRIL, MAY = "2099-04-07T09:00:00Z", "2099-05-07T09:00:00Z"
ACTIVITY = {
    "app_id": "a1b2c3d4-0000-4000-8000-00000000000a",
    "activity_id": "match-77",
    "content_state": {"goals": 1},
    "notification": {"alert": {"title": "Goal", "body": "1:0"}},
}


@pytest.fixture
def testers(connection):
    """Make of ``braze_default`` a connection for test recipients."""
    return lambda **extra: connection(extra={"test_recipients": ["qa-1"], **extra})


def schedule(time, *people, **more):
    parameters = {"task_id": "t", "campaign_id": WEEKLY, "schedule": time, "recipients": list(people), **more}
    return BrazeScheduleCampaignOperator(**parameters)


def test_a_customers_schedule_cannot_be_moved(braze_emulator, testers):
    ids = schedule(APRIL, "customer").execute({})["schedule_ids"]
    testers()
    soon = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    of_it = {"campaign_id": WEEKLY, "schedule_id": ids}
    with pytest.raises(BrazeGuardError, match="does not say whom the change reaches") as caught:
        BrazeUpdateScheduledCampaignOperator(task_id="u", schedule=soon, **of_it).execute({})
    assert isinstance(caught.value, AirflowException)
    braze_emulator.clock.advance(3600)
    assert braze_emulator.deliveries() == {}
    BrazeDeleteScheduledCampaignOperator(task_id="d", **of_it).execute({})
    assert [row["state"] for row in braze_emulator.schedules()] == ["deleted"]


def test_a_customers_live_activity_cannot_be_changed(braze_emulator, testers):
    start = {**ACTIVITY, "activity_attributes_type": "Match", "activity_attributes": {"home": "Oslo"}}
    BrazeStartLiveActivityOperator(task_id="s", external_user_ids=["customer"], **start).execute({})
    testers()
    with pytest.raises(BrazeGuardError, match="does not say whom the change reaches"):
        BrazeUpdateLiveActivityOperator(task_id="u", **ACTIVITY).execute({})
    assert [request["path"] for request in braze_emulator.requests()] == ["/messages/live_activity/start"]


def test_a_task_changes_what_it_has_scheduled_to_test_recipients(braze_emulator, testers, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}))
    testers()
    for number, time in enumerate((APRIL, MAY), start=1):
        task = SimpleNamespace(
            try_number=number,
            max_tries=1,
            map_index=-1,
            dag_id="d",
            task_id="t",
            run_id="r",
            xcom_push=lambda **_: None,
        )
        run = SimpleNamespace(clear_number=0, run_id="r", run_type="scheduled", run_after=datetime.now(UTC))
        report = schedule(time, "qa-1", ledger=SqlLedger("ledger")).execute({"ti": task, "dag_run": run})
    assert report["updated"] == 1
    [row] = braze_emulator.schedules()
    assert row["body"]["schedule"]["time"].startswith("2099-05-07")


@pytest.mark.parametrize("others", ["refuse", "rewrite"])
def test_no_address_of_a_customer_is_written(braze_emulator, testers, others):
    testers(test_recipients_others=others)
    person = {"external_user_id": "qa-1", "attributes": {"email": "customer@example.com"}}
    BrazeSendCampaignOperator(task_id="t", campaign_id=WEEKLY, recipients=[person]).execute({})
    assert braze_emulator.requests()[0]["body"]["recipients"] == [{"external_user_id": "qa-1"}]


def test_a_cap_counts_those_who_are_meant_and_not_those_who_stand_in(braze_emulator, testers):
    testers(test_recipients_others="rewrite")
    many = [f"p{number}" for number in range(11)]
    with pytest.raises(BrazeAudienceError, match="more than the 10 recipients that max_recipients allows"):
        BrazeSendCampaignOperator(task_id="s", campaign_id=WEEKLY, recipients=many, max_recipients=10).execute({})
    assert braze_emulator.deliveries() == {}
    enough = BrazeSendCampaignOperator(task_id="s", campaign_id=WEEKLY, recipients=[*many, "p1"], max_recipients=11)
    assert enough.execute({})["accepted"] == 1
